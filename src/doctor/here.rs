//! The nodes of this machine, where nobody says which they are: every `HAProxy` that runs.

use std::path::Path;

use crate::config::Node;
use crate::host::{Host, Instance, Level};
use crate::model::{Address, NodeName};

/// Addresses at which handshakes are tried: more prove nothing more.
const VERIFIED: usize = 8;

/// A node for each `HAProxy` that runs and that root or this user started, as far as it can be reached.
#[must_use]
pub fn nodes(host: &Host) -> Vec<Node> {
    let running: Vec<&Instance> =
        host.instances.iter().filter(|instance| !instance.processes.is_empty() && instance.is_trusted()).collect();
    let name = |index: usize| -> NodeName {
        let name = if running.len() == 1 { "haproxy".to_owned() } else { format!("haproxy-{}", index + 1) };
        name.parse().expect("letters, a dash and digits are a node name")
    };
    running.iter().enumerate().filter_map(|(index, instance)| node(name(index), instance)).collect()
}

fn node(name: NodeName, instance: &Instance) -> Option<Node> {
    let configuration = &instance.configuration;
    let mut sockets = configuration.global().stats_sockets;
    sockets.sort_by_key(|socket| std::cmp::Reverse(socket.level));
    let master = instance.master_socket().and_then(|at| instance.address(&at)).map(|at| Address::Master(Box::new(at)));
    let mut stats = sockets.iter().filter(|socket| socket.level == Level::Admin).chain(&sockets);
    let socket = stats.find_map(|socket| instance.address(&socket.listen)).or_else(|| master.clone())?;
    let mut node = Node { master, ..Node::new(name, socket) };
    let view = instance.view();
    let certificates = configuration.certificates(&view);
    let here = |path: &Path| view.lasting(path);
    if let Some((directory, ours)) =
        certificates.directories.iter().find_map(|named| Some((named, here(named.path.as_deref()?)?)))
    {
        let theirs = directory.name.trim_end_matches('/');
        node.haproxy_crt_dir = (Path::new(theirs) != ours).then(|| theirs.to_owned());
        node.crt_dir = Some(ours);
    } else {
        node.crt_list = certificates.lists.first().map(|list| list.name.clone());
    }
    let binds = configuration.binds();
    let clients = binds.iter().filter(|bind| bind.has_tls && !bind.accepts_proxy).flat_map(|bind| &bind.listen);
    node.verify = clients.filter_map(|listen| instance.authority(listen)).take(VERIFIED).collect();
    Some(node)
}
