//! What replies mean. Only exact success texts count; everything else is a [`Rejection`].
//!
//! Replies are never passed on raw: 2.8 repeats lines that it does not understand, a line of a private key included.

/// Why `HAProxy` did not do what a command asks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// Another commit is running at this moment.
    #[error("another program is changing certificates at this moment")]
    Locked,
    /// The socket may not do that.
    #[error("permission denied")]
    Permission,
    /// This version has no such command.
    #[error("this version of HAProxy does not know the command")]
    UnknownCommand,
    /// A slot of this name is there already.
    #[error("the slot exists already")]
    Exists,
    /// There is no such slot.
    #[error("HAProxy has no such slot")]
    NoSlot,
    /// The one transaction of the process is about another slot.
    #[error("a transaction on {open} is open")]
    OtherTransaction {
        /// The slot of the open transaction.
        open: String,
    },
    /// There is no transaction.
    #[error("no transaction is open")]
    NoTransaction,
    /// A PEM was not understood.
    #[error("HAProxy cannot read the certificate")]
    Unreadable,
    /// Key and certificate do not belong together.
    #[error("HAProxy says that the private key does not match the certificate")]
    KeyMismatch,
    /// Key or certificate is missing.
    #[error("HAProxy misses the certificate or its private key")]
    Incomplete,
    /// The slot is in use.
    #[error("the slot is in use")]
    InUse,
    /// There is no such list.
    #[error("HAProxy has no such crt-list")]
    NoList,
    /// A slot without certificate cannot be attached.
    #[error("the slot is empty")]
    Empty,
    /// The directory has the slot already.
    #[error("it is attached already")]
    Attached,
    /// A slot of a certificate directory must be a path right below it.
    #[error("the list is a directory, and the slot is not a path right below it")]
    OutsideDirectory,
    /// The options or filters of the entry were refused.
    #[error("HAProxy does not understand the options or filters of the entry")]
    BadEntry,
    /// There is no such entry.
    #[error("the crt-list has no such entry")]
    NoEntry,
    /// The entry is the default of a bind.
    #[error("it is the default certificate of a bind")]
    DefaultCertificate,
    /// There is no such map.
    #[error("HAProxy has no such map")]
    NoMap,
    /// The command began and did not succeed.
    #[error("HAProxy began and failed")]
    Failed,
    /// An answer that is not known.
    #[error("the answer is not understood: {0:?}")]
    Other(String),
}

/// The longest part of an unknown answer that is passed on, in characters.
const SHOWN: usize = 120;

/// A run of this many base64 characters may be part of a key.
const SUSPICIOUS_RUN: usize = 40;

/// What `HAProxy` answers, whatever the command, while another one is at work on certificates.
const LOCKED: &str = "Operations on certificates are currently locked!";

/// Whether a command was refused because another one is at work on certificates.
pub(super) fn is_locked(reply: &str) -> bool {
    reply.contains(LOCKED)
}

impl Rejection {
    /// Parts of a reply that tell the cause (as 2.6 to 3.2 word them), most telling first.
    const TELLING: [(&'static str, Self); 27] = [
        (LOCKED, Self::Locked),
        ("Permission denied", Self::Permission),
        ("Can't allocate memory!", Self::Permission),
        ("Unknown command", Self::UnknownCommand),
        ("already exists!", Self::Exists),
        ("which is not referenced by the configuration!", Self::NoSlot),
        ("Not found or the certificate is a bundle!", Self::NoSlot),
        ("No ongoing transaction!", Self::NoTransaction),
        ("Can't load the payload", Self::Unreadable),
        ("inconsistencies between private key and certificate", Self::KeyMismatch),
        ("must contain at least a certificate and a private key", Self::Incomplete),
        ("unable to load SSL private key", Self::Incomplete),
        ("in use, can't be deleted!", Self::InUse),
        ("ongoing transaction for the certificate", Self::InUse),
        ("Can't edit the crt-list: crt-list", Self::NoList),
        ("didn't find the specified filename", Self::NoList),
        ("does not exist!", Self::NoSlot),
        ("doesn't exist!", Self::NoSlot),
        ("is empty!", Self::Empty),
        ("file already exists in this directory!", Self::Attached),
        ("must contain the directory path", Self::OutsideDirectory),
        ("Can't edit the crt-list:", Self::BadEntry),
        ("can't be found in crt-list", Self::NoEntry),
        ("line number", Self::NoEntry),
        ("it is used as default certificate", Self::DefaultCertificate),
        ("Unknown map identifier", Self::NoMap),
        ("Failed!", Self::Failed),
    ];

    pub(super) fn of(reply: &str) -> Self {
        if let Some((_, rest)) = reply.split_once("The ongoing transaction is about '")
            && let Some((open, _)) = rest.split_once('\'')
        {
            return Self::OtherTransaction { open: sanitised(open) };
        }
        let known = Self::TELLING.into_iter().find(|(part, _)| reply.contains(part));
        known.map_or_else(|| Self::Other(sanitised(reply)), |(_, rejection)| rejection)
    }
}

/// The first line of a text, made fit for a log: printable ASCII, short, and nothing that could be a key.
pub(super) fn sanitised(text: &str) -> String {
    let line: String = text
        .lines()
        .find(|line| !line.trim().is_empty())
        .unwrap_or("")
        .chars()
        .filter(|c| (' '..='~').contains(c))
        .collect();
    let base64 = |byte: u8| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte);
    let run = line.as_bytes().split(|byte| !base64(*byte)).map(<[u8]>::len).max().unwrap_or(0);
    if run >= SUSPICIOUS_RUN || line.contains("PRIVATE KEY") {
        return "(left out, for it could be a part of a key)".to_owned();
    }
    line.chars().take(SHOWN).collect()
}

/// Whether the first reply to `set ssl cert` opened a transaction, and for which slot.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum SetReply<'a> {
    /// A new transaction for the slot of this name.
    Created(&'a str),
    /// It went into a transaction that was open already.
    Updated(&'a str),
    Rejected(Rejection),
}

impl<'a> SetReply<'a> {
    pub(super) fn of(reply: &'a str) -> Self {
        let named = |start: &str| {
            reply.strip_prefix(start).and_then(|rest| rest.strip_suffix('!')).filter(|name| !name.contains('\n'))
        };
        if let Some(name) = named("Transaction created for certificate ") {
            Self::Created(name)
        } else if let Some(name) = named("Transaction updated for certificate ") {
            Self::Updated(name)
        } else {
            Self::Rejected(Rejection::of(reply))
        }
    }
}

/// Accepts exactly one text.
pub(super) fn exactly(reply: &str, expected: &str) -> Result<(), Rejection> {
    if reply == expected { Ok(()) } else { Err(Rejection::of(reply)) }
}

/// Accepts a streamed reply: its first line begins as told (and goes on with a dot for each instance), its last is `Success!`,
/// and there may be warnings between.
pub(super) fn succeeded(reply: &str, begin: &str) -> Result<(), Rejection> {
    let good = reply.starts_with(begin) && reply.lines().next_back() == Some("Success!");
    if good { Ok(()) } else { Err(Rejection::of(reply)) }
}

#[cfg(test)]
mod tests;
