//! Session ticket keys in the memory of one worker (management guide, `show tls-keys` and `set ssl tls-key`).
//!
//! A key that is set becomes the last one, the oldest is dropped, and the one that was last begins to encrypt.

use zeroize::Zeroizing;

use super::command::Command;
use super::error::Error;
use super::reply::{self, Rejection};
use super::session::{Session, accept, rejected};
use crate::bundle::TicketKey;
use crate::model::TicketFile;

/// What both commands are answered when no bind line has the file.
const UNKNOWN_FILE: &str = "unable to locate referenced filename";

impl Session {
    /// The keys, from the oldest to the newest; `None` when no bind line has the file.
    pub async fn ticket_keys(&mut self, file: &TicketFile) -> Result<Option<Vec<TicketKey>>, Error> {
        let command = Command::ShowTicketKeys(file);
        let reply = Zeroizing::new(self.ask(command).await?);
        if reply.contains(UNKNOWN_FILE) {
            return Ok(None);
        }
        match parse(&reply) {
            Some(keys) => Ok(Some(keys)),
            None => Err(rejected(command, Rejection::of(&reply))),
        }
    }

    /// Adds a key, of the same size as those that are there.
    pub async fn add_ticket_key(&mut self, file: &TicketFile, key: &TicketKey) -> Result<(), Error> {
        let command = Command::SetTicketKey(file, key);
        let reply = Zeroizing::new(self.ask(command).await?);
        accept(command, reply::exactly(&reply, "TLS ticket key updated!"))?;
        tracing::trace!(target: "hotcert::step", "haproxy: ticket key added");
        Ok(())
    }
}

/// Reads lines such as `0.2 BASE64` behind a head.
fn parse(reply: &str) -> Option<Vec<TicketKey>> {
    let mut lines = reply.lines();
    lines.next().filter(|head| head.starts_with("# id secret"))?;
    let keys = lines.filter(|line| !line.starts_with('#') && !line.is_empty());
    keys.map(|line| TicketKey::from_base64(line.split_once(' ')?.1)).collect()
}

#[cfg(test)]
mod tests {
    use super::super::testing::Peer;
    use super::*;

    fn key(byte: u8) -> TicketKey {
        use base64::Engine;
        TicketKey::from_base64(&base64::prelude::BASE64_STANDARD.encode([byte; 80])).unwrap()
    }

    fn file() -> TicketFile {
        "/etc/tickets".parse().unwrap()
    }

    #[tokio::test]
    async fn keys_are_listed_and_added() {
        let listing = format!("# id secret\n# 0 (/etc/tickets)\n0.0 {}\n0.1 {}", *key(1).base64(), *key(2).base64());
        let peer = Peer::new("2.6.12")
            .on("show tls-keys /etc/tickets\n", &listing)
            .on("set ssl tls-key /etc/tickets ", "TLS ticket key updated!");
        let mut session = peer.open().await.unwrap();
        assert_eq!(session.ticket_keys(&file()).await.unwrap(), Some(vec![key(1), key(2)]));
        session.add_ticket_key(&file(), &key(3)).await.unwrap();
        assert_eq!(peer.commands()[1], format!("set ssl tls-key /etc/tickets {}", *key(3).base64()));
    }

    #[tokio::test]
    async fn a_file_that_no_bind_line_has_is_told_from_a_refusal() {
        let peer = Peer::new("3.2.1")
            .on("show tls-keys", "'show tls-keys' unable to locate referenced filename")
            .on("show tls-keys", "Permission denied");
        let mut session = peer.open().await.unwrap();
        assert_eq!(session.ticket_keys(&file()).await.unwrap(), None);
        assert_eq!(session.ticket_keys(&file()).await.unwrap_err().rejection(), Some(&Rejection::Permission));
    }

    #[tokio::test]
    async fn a_key_that_is_echoed_gets_into_no_error() {
        let echo = format!("Unknown: 'set ssl tls-key /etc/tickets {}'", *key(3).base64());
        let peer = Peer::new("2.8.1").on("set ssl tls-key", &echo);
        let mut session = peer.open().await.unwrap();
        let error = session.add_ticket_key(&file(), &key(3)).await.unwrap_err();
        assert!(!format!("{error:?}").contains(&key(3).base64()[..8]), "{error:?}");
        assert!(!format!("{:?}", Command::SetTicketKey(&file(), &key(3))).contains(&key(3).base64()[..8]));
    }
}
