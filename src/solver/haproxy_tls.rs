//! The lines that `HAProxy`'s configuration needs for tls-alpn-01. Pure text.
//!
//! They are the same for all versions. A frontend of its own looks at the greeting of each connection, which it does not decrypt, and
//! passes it on: to hotcert where `acme-tls/1` is asked for, else to the frontend that ends TLS, with the client's address.

use std::fmt::Write;
use std::net::SocketAddr;

use crate::model::ALPN_PROTOCOL;

/// What stands in place of the addresses in the bind lines that end TLS. An abstract socket is not lost behind a `chroot`, which a file
/// would be, and has no ports to run out of.
pub const TLS_BIND: &str = "abns@hotcert_https accept-proxy";

/// The frontend that takes connections to port 443, and where it passes them on.
///
/// Whoever is idle is ended by the frontend that ends TLS, which has timeouts of its own, so those of the frontend before it are long;
/// and connections that ended well are logged there alone.
#[must_use]
pub fn haproxy_tls_lines(listen: SocketAddr) -> String {
    let protocol = String::from_utf8_lossy(ALPN_PROTOCOL);
    let mut out = String::new();
    let _ = write!(
        out,
        "\
# A frontend of its own takes the connections to port 443, and passes them on. It takes over the addresses of the
# `bind` lines with `ssl`, and in these another one takes their place: `bind :443 ssl crt …` becomes
#   bind {TLS_BIND} ssl crt …
frontend hotcert_tls
    mode tcp
    bind :443
    option tcplog
    option dontlog-normal
    timeout client-fin 30s
    tcp-request inspect-delay 5s
    tcp-request content accept if {{ req.ssl_hello_type 1 }}
    use_backend hotcert_tls_alpn if {{ req.ssl_alpn {protocol} }}
    default_backend hotcert_https

backend hotcert_tls_alpn
    mode tcp
    server hotcert {listen}

backend hotcert_https
    mode tcp
    timeout tunnel 24h
    server haproxy {server} send-proxy-v2
",
        server = TLS_BIND.split(' ').next().unwrap_or_default(),
    );
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_asks_for_the_protocol_is_passed_on() {
        insta::assert_snapshot!(haproxy_tls_lines("[::1]:63444".parse().unwrap()), @r"
        # A frontend of its own takes the connections to port 443, and passes them on. It takes over the addresses of the
        # `bind` lines with `ssl`, and in these another one takes their place: `bind :443 ssl crt …` becomes
        #   bind abns@hotcert_https accept-proxy ssl crt …
        frontend hotcert_tls
            mode tcp
            bind :443
            option tcplog
            option dontlog-normal
            timeout client-fin 30s
            tcp-request inspect-delay 5s
            tcp-request content accept if { req.ssl_hello_type 1 }
            use_backend hotcert_tls_alpn if { req.ssl_alpn acme-tls/1 }
            default_backend hotcert_https

        backend hotcert_tls_alpn
            mode tcp
            server hotcert [::1]:63444

        backend hotcert_https
            mode tcp
            timeout tunnel 24h
            server haproxy abns@hotcert_https send-proxy-v2
        ");
    }
}
