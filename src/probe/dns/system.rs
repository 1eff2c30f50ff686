//! The DNS servers of the system.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::PORT;

/// Where the C library finds them, too.
const FILE: &str = "/etc/resolv.conf";
/// How many the C library uses (`resolv.conf(5)`, `MAXNS`).
const USED: usize = 3;

/// The servers of `resolv.conf(5)`; where it names none, the one of this machine.
pub(super) fn servers() -> Vec<SocketAddr> {
    named(&std::fs::read_to_string(FILE).unwrap_or_default())
}

fn named(text: &str) -> Vec<SocketAddr> {
    let address = |line: &str| -> Option<IpAddr> {
        let mut words = line.split_ascii_whitespace();
        words.next().filter(|word| *word == "nameserver")?;
        words.next()?.parse().ok()
    };
    let mut addresses: Vec<_> = text.lines().filter_map(address).take(USED).collect();
    if addresses.is_empty() {
        addresses.push(Ipv4Addr::LOCALHOST.into());
    }
    addresses.into_iter().map(|address| SocketAddr::new(address, PORT)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_of_the_c_library_names_the_servers() {
        let text = "# nameserver 192.0.2.9\nsearch a.test\nnameserver 192.0.2.1\nnameserver\t2001:db8::1 ; x\nnameserver fe80::1%eth0\n";
        assert_eq!(named(text), ["192.0.2.1:53".parse().unwrap(), "[2001:db8::1]:53".parse().unwrap()]);
        assert_eq!(named(&"nameserver 192.0.2.1\n".repeat(9)).len(), USED);
        assert_eq!(named(""), ["127.0.0.1:53".parse().unwrap()]);
    }
}
