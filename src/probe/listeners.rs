//! Which processes of this machine accept connections at an address, as far as `/proc` shows them (`proc(5)`).
//!
//! Whoever may not look into other people's processes sees none. Nothing of it is certain: a process may end meanwhile.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::path::Path;

/// The state of a socket that listens, in `/proc/net/tcp`.
const LISTEN: &str = "0A";

/// A process that accepts connections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// Its process id, as this process sees it.
    pub pid: u32,
    /// The name of its program, up to 15 bytes.
    pub name: String,
    /// The sockets by which it does so. Processes of one program may share them; two programs never do.
    pub sockets: BTreeSet<u64>,
}

/// Those that accept connections at an address of this machine, by process id; none for an address of another machine.
#[must_use]
pub fn listeners(address: SocketAddr) -> Vec<Listener> {
    // Only what is ours can be bound.
    if UdpSocket::bind((address.ip(), 0)).is_err() { Vec::new() } else { found(Path::new("/proc"), address) }
}

fn found(proc: &Path, address: SocketAddr) -> Vec<Listener> {
    let mut exact = BTreeSet::new();
    let mut any = BTreeSet::new();
    for table in ["net/tcp", "net/tcp6"] {
        let Ok(file) = File::open(proc.join(table)) else { continue };
        let lines = BufReader::new(file).lines().map_while(Result::ok).skip(1);
        // Sockets that listen stand first, and there may be a million others.
        for (local, inode) in lines.map_while(|line| listening(&line)) {
            if local.port() != address.port() {
                continue;
            }
            let ip = local.ip().to_canonical();
            if ip == address.ip().to_canonical() {
                exact.insert(inode);
            } else if ip.is_unspecified() && (ip.is_ipv6() || address.is_ipv4()) {
                any.insert(inode);
            }
        }
    }
    // Linux prefers the socket that is bound to the very address.
    owners(proc, if exact.is_empty() { &any } else { &exact })
}

/// The address and the inode of a socket that listens.
fn listening(line: &str) -> Option<(SocketAddr, u64)> {
    let fields: Vec<_> = line.split_whitespace().collect();
    let [_, local, _, LISTEN, _, _, _, _, _, inode, ..] = fields[..] else { return None };
    let (ip, port) = local.split_once(':')?;
    Some((SocketAddr::new(ip_of(ip)?, u16::from_str_radix(port, 16).ok()?), inode.parse().ok()?))
}

/// Each word of 32 bits is printed as a number of this machine's byte order.
fn ip_of(hex: &str) -> Option<IpAddr> {
    let word = |at: usize| Some(u32::from_str_radix(hex.get(at * 8..at * 8 + 8)?, 16).ok()?.to_ne_bytes());
    match hex.len() {
        8 => Some(Ipv4Addr::from(word(0)?).into()),
        32 => {
            let words = [word(0)?, word(1)?, word(2)?, word(3)?];
            let octets: [u8; 16] = words.concat().try_into().ok()?;
            Some(Ipv6Addr::from(octets).into())
        }
        _ => None,
    }
}

fn owners(proc: &Path, inodes: &BTreeSet<u64>) -> Vec<Listener> {
    let links: BTreeMap<String, u64> = inodes.iter().map(|inode| (format!("socket:[{inode}]"), *inode)).collect();
    let mut owners = Vec::new();
    if links.is_empty() {
        return owners;
    }
    for entry in fs::read_dir(proc).into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let held = fs::read_dir(entry.path().join("fd")).into_iter().flatten().flatten();
        let sockets: BTreeSet<_> =
            held.filter_map(|held| links.get(fs::read_link(held.path()).ok()?.to_str()?).copied()).collect();
        if !sockets.is_empty() {
            let name = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
            owners.push(Listener { pid, name: name.trim_end().to_owned(), sockets });
        }
    }
    owners.sort_by_key(|owner| owner.pid);
    owners
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::os::unix::fs::symlink;

    use super::*;

    const TCP: &str = "\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:20FB 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 11 1 0000000000000000 100 0 0 10 0
   1: 0100007F:20FB 00000000:0000 0A 00000000:00000000 00:00000000 00000000    99        0 12 1 0000000000000000 100 0 0 10 0
   2: 00000000:20FB 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 13 1 0000000000000000 100 0 0 10 0
   3: 00000000:01BB 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 14 1 0000000000000000 100 0 0 10 0
   4: 0100007F:20FB 0100007F:C350 01 00000000:00000000 00:00000000 00000000     0        0 15 1 0000000000000000 100 0 0 10 0
   5: 0100007F:20FB 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 16 1 0000000000000000 100 0 0 10 0
";
    const TCP6: &str = "\
  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000000000000000000000000000:01BB 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 21 1 0000000000000000 100 0 0 10 0
   1: 00000000000000000000000001000000:20FB 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 22 1 0000000000000000 100 0 0 10 0
";

    /// A `/proc` in which processes hold sockets.
    fn proc_of(processes: &[(u32, &str, &[u64])]) -> tempfile::TempDir {
        let proc = tempfile::tempdir().unwrap();
        fs::create_dir(proc.path().join("net")).unwrap();
        fs::write(proc.path().join("net/tcp"), TCP).unwrap();
        fs::write(proc.path().join("net/tcp6"), TCP6).unwrap();
        for (pid, name, sockets) in processes {
            let place = proc.path().join(pid.to_string());
            fs::create_dir_all(place.join("fd")).unwrap();
            fs::write(place.join("comm"), format!("{name}\n")).unwrap();
            symlink("/dev/null", place.join("fd/0")).unwrap();
            for (fd, inode) in sockets.iter().enumerate() {
                symlink(format!("socket:[{inode}]"), place.join(format!("fd/{}", fd + 3))).unwrap();
            }
        }
        proc
    }

    fn pids(proc: &tempfile::TempDir, address: &str) -> Vec<u32> {
        found(proc.path(), address.parse().unwrap()).iter().map(|listener| listener.pid).collect()
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn two_processes_at_one_address_are_told_apart() {
        let proc =
            proc_of(&[(812, "haproxy", &[12]), (97, "haproxy", &[11, 14]), (5, "sshd", &[99]), (6, "late", &[16])]);
        let listeners = found(proc.path(), "127.0.0.1:8443".parse().unwrap());
        let expected = [(97, BTreeSet::from([11])), (812, BTreeSet::from([12]))];
        let expected = expected.map(|(pid, sockets)| Listener { pid, name: "haproxy".to_owned(), sockets });
        assert_eq!(listeners, expected);
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn a_socket_for_any_address_counts_where_there_is_none_for_the_very_one() {
        let proc = proc_of(&[(1, "a", &[13]), (2, "b", &[14]), (3, "c", &[21]), (4, "d", &[22])]);
        assert_eq!(pids(&proc, "192.0.2.1:8443"), [1]);
        assert_eq!(pids(&proc, "192.0.2.1:443"), [2, 3], "one for IPv6 may take IPv4 too");
        assert_eq!(pids(&proc, "[2001:db8::1]:443"), [3]);
        assert_eq!(pids(&proc, "[::1]:8443"), [4]);
        assert!(pids(&proc, "127.0.0.1:80").is_empty());
    }

    #[test]
    fn without_rights_or_tables_nobody_is_seen() {
        assert!(pids(&proc_of(&[]), "127.0.0.1:8443").is_empty());
        assert_eq!(found(Path::new("/nowhere"), "127.0.0.1:8443".parse().unwrap()), []);
        assert_eq!(listening("   0: 0100007F:20FB"), None);
        assert_eq!(listening("0: 01:20FB 0:0 0A 0 0 0 0 0 11 1"), None);
    }

    #[test]
    fn this_process_is_found_by_its_socket() {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let found = listeners(socket.local_addr().unwrap());
        assert_eq!(found.iter().map(|listener| listener.pid).collect::<Vec<_>>(), [std::process::id()]);
        // Of another machine, if at all.
        let elsewhere = SocketAddr::new("192.0.2.1".parse().unwrap(), socket.local_addr().unwrap().port());
        assert_eq!(listeners(elsewhere), []);
    }
}
