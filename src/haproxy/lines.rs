//! The lines of `HAProxy`'s configuration that open its runtime API at an address.

use crate::model::{Address, Authority};

/// What has to stand in `HAProxy`'s configuration so that hotcert reaches it at an address, with comments.
///
/// Never `ssl` on a `stats socket` line: every version accepts it, ignores it, and speaks plain text with anyone.
#[must_use]
pub fn socket_lines(address: &Address) -> String {
    let stats = |at: &str| format!("# In the global section:\nstats socket {at} mode 660 level admin\n");
    match address {
        Address::Unix(path) => stats(&path.display().to_string()),
        Address::Tcp(authority) if !address.is_local() => {
            format!("# Anyone who reaches this address can take the private keys: prefer tls://.\n{}", tcp(authority))
        }
        Address::Tcp(authority) => tcp(authority),
        Address::Master(socket) => format!("# On its command line:\nhaproxy -W -S {socket}\n"),
        Address::Tls(Authority { port, .. }) => format!(
            "{}stats timeout 2m\n
# A frontend that lets in whom its ca-file knows, and leads to that socket. Files: a certificate for the host of {address},
# and the authority that signed the client certificate of the node.
frontend hotcert
    mode tcp
    bind :{port} ssl crt /etc/haproxy/hotcert/server.pem ca-file /etc/haproxy/hotcert/clients-ca.pem verify required
    option dontlog-normal
    timeout client 2m
    default_backend hotcert
backend hotcert
    mode tcp
    timeout connect 5s
    timeout server 2m
    server stats unix@/run/haproxy/admin.sock
",
            stats("/run/haproxy/admin.sock")
        ),
    }
}

fn tcp(authority: &Authority) -> String {
    let at = match authority.host.as_str() {
        "localhost" => format!("ipv4@127.0.0.1:{}", authority.port),
        host if host.contains(':') => format!("ipv6@{host}:{}", authority.port),
        host => format!("ipv4@{host}:{}", authority.port),
    };
    format!("# In the global section:\nstats socket {at} level admin\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tls_is_never_suggested_on_a_stats_socket() {
        for address in
            ["/run/x.sock", "tcp://127.0.0.1:9999", "tcp://[::1]:9999", "tcp://10.0.0.1:9", "tls://a.test:9443"]
        {
            let lines = socket_lines(&address.parse().unwrap());
            let stats: Vec<_> = lines.lines().filter(|line| line.trim().starts_with("stats socket")).collect();
            assert_eq!(stats.len(), 1, "{lines}");
            assert!(!stats[0].contains("ssl") && !stats[0].contains("://"), "{lines}");
            assert_eq!(lines.contains("verify required"), address.starts_with("tls"), "{lines}");
        }
    }
}
