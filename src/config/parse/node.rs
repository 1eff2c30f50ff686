//! `[haproxy.NAME]`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use toml::de::DeValue;

use super::super::read::{Reader, Section, boolean, one_or_more, parsed, path, text};
use super::super::{Node, PushPace};
use super::{slot_text, tls};
use crate::model::{Address, NodeName, Slot};

/// Bits that a published file may have: it holds a private key, so at most its group may read it.
const WIDEST_MODE: u32 = 0o640;

pub(super) fn nodes(top: &mut Section<'_>, reader: &mut Reader<'_>) -> BTreeMap<NodeName, Node> {
    let mut nodes = BTreeMap::new();
    for (name, mut section) in top.tables(reader, "haproxy") {
        let name = match name.parse::<NodeName>() {
            Ok(name) => Some(name),
            Err(error) => {
                section.problem(reader, "", error.to_string());
                None
            }
        };
        let insecure = section.get_or(reader, "insecure", false, boolean);
        let (has_socket, has_master) = (section.has("socket"), section.has("master"));
        let master = section.get(reader, "master", |value| match address(value, insecure)? {
            socket @ Address::Master(_) => Ok(socket),
            Address::Tls(_) => Err("must be a path or tcp://host:port".to_owned()),
            socket => Ok(Address::Master(Box::new(socket))),
        });
        let socket = if has_master {
            section.get(reader, "socket", |value| address(value, insecure))
        } else {
            section.require(reader, "socket", |value| address(value, insecure))
        };
        // Without a socket of its own, the worker is reached through its master.
        let (socket, master) = if has_socket { (socket, master) } else { (master, None) };
        let tls = tls::tls(&mut section, reader, socket.as_ref());
        let node = Node {
            name: name.clone().unwrap_or_else(|| "invalid".parse().expect("it is a valid node name")),
            socket: socket.clone().unwrap_or(Address::Unix(PathBuf::new())),
            master,
            tls,
            crt_dir: section.get(reader, "crt_dir", path),
            haproxy_crt_dir: section.get(reader, "haproxy_crt_dir", slot_text),
            crt_list: section.get(reader, "crt_list", slot_text),
            verify: section.get(reader, "verify", |value| one_or_more(value, parsed)).unwrap_or_default(),
            owner: section.get(reader, "owner", text),
            group: section.get(reader, "group", text),
            mode: section.get(reader, "mode", mode),
            push_pace: section.get(reader, "push_pace", push_pace).unwrap_or_default(),
            ca_files: section.get(reader, "ca_file", client_files).unwrap_or_default(),
            crl_files: section.get(reader, "crl_file", client_files).unwrap_or_default(),
        };
        check_client_files(&node, &section, reader);
        section.finish(reader);
        if let (Some(name), Some(_)) = (name, socket) {
            nodes.insert(name, node);
        }
    }
    nodes
}

fn address(value: &DeValue<'_>, insecure: bool) -> Result<Address, String> {
    let address: Address = parsed(value)?;
    let is_plain = match &address {
        Address::Master(socket) => matches!(**socket, Address::Tcp(_)),
        address => matches!(address, Address::Tcp(_)),
    };
    if is_plain && !address.is_local() && !insecure {
        let instead = if matches!(address, Address::Master(_)) { "a path" } else { "tls://" };
        return Err(format!(
            "plain TCP off loopback lets anyone on the way read private keys; use {instead}, or set insecure = true"
        ));
    }
    Ok(address)
}

fn client_files(value: &DeValue<'_>) -> Result<Vec<Slot>, String> {
    let files: Vec<Slot> = one_or_more(value, |value| {
        let text = slot_text(value)?;
        if !text.starts_with('/') {
            return Err(format!("{text:?} must be an absolute path: the one that HAProxy's configuration has"));
        }
        if text.contains(':') {
            return Err(format!("{text:?} has a colon, after which HAProxy's command line expects an index"));
        }
        parsed(value)
    })?;
    match files.iter().enumerate().find(|(index, file)| files[..*index].contains(file)) {
        Some((_, twice)) => Err(format!("{twice} stands there twice")),
        None => Ok(files),
    }
}

/// A revocation list is measured against the authorities of its node.
fn check_client_files(node: &Node, section: &Section<'_>, reader: &mut Reader<'_>) {
    if section.was_wrong(reader, "ca_file") || section.was_wrong(reader, "crl_file") {
        return;
    }
    if let Some(both) = node.crl_files.iter().find(|file| node.ca_files.contains(file)) {
        section.problem(reader, "crl_file", format!("{both} is named as ca_file too; HAProxy knows it as one of them"));
    }
    if node.ca_files.is_empty() && !node.crl_files.is_empty() {
        section.problem(
            reader,
            "crl_file",
            "needs a ca_file: a CRL is only loaded when one of the CAs in it has signed it",
        );
    }
}

fn push_pace(value: &DeValue<'_>) -> Result<PushPace, String> {
    let text = text(value)?;
    PushPace::ALL.into_iter().find(|pace| pace.as_str() == text).ok_or_else(|| {
        format!("{text:?} is no pace: use \"adaptive\", which leaves HAProxy time for its clients, or \"full\"")
    })
}

fn mode(value: &DeValue<'_>) -> Result<u32, String> {
    let text = text(value)?;
    match u32::from_str_radix(&text, 8) {
        Ok(mode) if mode & !WIDEST_MODE == 0 && mode & 0o400 != 0 => Ok(mode),
        Ok(_) => Err(format!("{text:?} is wider than 0640 or hides the file from its owner: it holds a private key")),
        Err(_) => Err(format!("{text:?} is no file mode: use octal digits, as in \"0640\"")),
    }
}
