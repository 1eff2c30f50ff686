//! `resolver`.

use std::net::{IpAddr, SocketAddr};

use toml::de::DeValue;

use super::super::read::{Reader, Section, one_or_more, text};

/// The port of DNS servers, where none is given.
const PORT: u16 = 53;

pub(super) fn resolver(top: &mut Section<'_>, reader: &mut Reader<'_>) -> Vec<SocketAddr> {
    top.get(reader, "resolver", |value| one_or_more(value, dns_server)).unwrap_or_default()
}

/// An address, with or without a port. No name: there would be nobody to ask where it is.
fn dns_server(value: &DeValue<'_>) -> Result<SocketAddr, String> {
    let text = text(value)?;
    let server = match text.parse::<IpAddr>() {
        Ok(address) => Some(SocketAddr::new(address, PORT)),
        Err(_) => text.parse().ok().filter(|server: &SocketAddr| server.port() != 0),
    };
    server.ok_or_else(|| format!("{text:?} is no address of a DNS server, such as 192.0.2.53 or [2001:db8::53]:5353"))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::super::{Error, Method, parse};

    fn problems(text: &str) -> Vec<String> {
        match parse::parse(Path::new("a.toml"), &format!("version = 1\n{text}")) {
            Err(Error::Problems(problems)) => problems.iter().map(ToString::to_string).collect(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn dns_servers_are_addresses_with_or_without_a_port() {
        let text = "version = 1\nresolver = [\"192.0.2.53\", \"127.0.0.1:5353\", \"2001:db8::1\", \"[::1]:54\"]";
        let config = parse::parse(Path::new("a.toml"), text).unwrap();
        let expected = ["192.0.2.53:53", "127.0.0.1:5353", "[2001:db8::1]:53", "[::1]:54"];
        assert_eq!(config.resolver.iter().map(ToString::to_string).collect::<Vec<_>>(), expected);
        let shown = config.settings.iter().find(|setting| setting.key == "resolver").unwrap();
        assert_eq!(shown.origin, "a.toml:2");
        for bad in ["dns.example.org", "127.0.0.1:0", "::1:x", ""] {
            let problems = problems(&format!("resolver = \"{bad}\""));
            assert!(problems[0].starts_with("a.toml:2:12: resolver: ") && problems.len() == 1, "{problems:?}");
        }
    }

    #[test]
    fn a_record_that_stays_needs_nothing_but_its_name() {
        let text = "version = 1\n[solver.r]\ntype = \"dns-persist-01\"\nnames = \"*.a.test\"";
        let config = parse::parse(Path::new("a.toml"), text).unwrap();
        assert_eq!(config.solvers["r"].method, Method::DnsPersist01);
        let problems = problems("[solver.r]\ntype = \"dns-persist-01\"\nprobe = \"127.0.0.1:80\"");
        assert!(problems[0].contains("solver.r.probe: unknown key"), "{problems:?}");
    }
}
