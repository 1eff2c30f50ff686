//! The commands about files for clients.

use crate::model::{ClientFile, Slot};

/// The commands about such files (management guide, section 9.3).
#[derive(Debug, Clone, Copy)]
pub(in crate::haproxy) enum ClientCommand<'a> {
    List(ClientFile),
    Show { kind: ClientFile, name: &'a Slot, index: Option<usize>, open: bool },
    Set { kind: ClientFile, name: &'a Slot, pem: &'a str },
    Add { name: &'a Slot, pem: &'a str },
    Commit(ClientFile, &'a Slot),
    Abort(ClientFile, &'a Slot),
}

impl ClientCommand<'_> {
    pub(in crate::haproxy) fn name(self) -> &'static str {
        use ClientFile::{CaFile, CrlFile};
        match self {
            Self::List(CaFile) | Self::Show { kind: CaFile, .. } => "show ssl ca-file",
            Self::List(CrlFile) | Self::Show { kind: CrlFile, .. } => "show ssl crl-file",
            Self::Set { kind: CaFile, .. } => "set ssl ca-file",
            Self::Set { kind: CrlFile, .. } => "set ssl crl-file",
            Self::Add { .. } => "add ssl ca-file",
            Self::Commit(CaFile, _) => "commit ssl ca-file",
            Self::Commit(CrlFile, _) => "commit ssl crl-file",
            Self::Abort(CaFile, _) => "abort ssl ca-file",
            Self::Abort(CrlFile, _) => "abort ssl crl-file",
        }
    }

    pub(in crate::haproxy) fn subject(self) -> String {
        match self {
            Self::List(_) => String::new(),
            Self::Show { name, .. }
            | Self::Set { name, .. }
            | Self::Add { name, .. }
            | Self::Commit(_, name)
            | Self::Abort(_, name) => name.to_string(),
        }
    }

    pub(in crate::haproxy) fn line(self) -> String {
        let command = self.name();
        match self {
            Self::List(_) => format!("{command}\n"),
            Self::Show { name, index, open, .. } => {
                let star = if open { "*" } else { "" };
                let index = index.map(|index| format!(":{index}")).unwrap_or_default();
                format!("{command} {star}{name}{index}\n")
            }
            Self::Set { name, .. } | Self::Add { name, .. } => format!("{command} {name} <<\n"),
            Self::Commit(_, name) | Self::Abort(_, name) => format!("{command} {name}\n"),
        }
    }

    pub(in crate::haproxy) fn payload(&self) -> Option<&str> {
        match self {
            Self::Set { pem, .. } | Self::Add { pem, .. } => Some(pem),
            _ => None,
        }
    }
}
