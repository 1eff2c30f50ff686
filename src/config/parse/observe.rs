//! `[observe]`.

use std::net::SocketAddr;

use super::super::Observe;
use super::super::read::{Reader, Section, boolean, text};

pub(super) fn observe(top: &mut Section<'_>, reader: &mut Reader<'_>) -> Option<Observe> {
    let mut section = top.table(reader, "observe")?;
    let insecure = section.get_or(reader, "insecure", false, boolean);
    let listen = section.require(reader, "listen", |value| {
        let text = text(value)?;
        let listen: SocketAddr = text
            .parse()
            .map_err(|_| format!("{text:?} is no IP address with a port: use one such as 127.0.0.1:9464 or [::1]:9464"))?;
        if !listen.ip().is_loopback() && !insecure {
            return Err(format!(
                "whoever reaches {listen} can read which certificates and nodes there are; use 127.0.0.1:{port}, or set insecure = true",
                port = listen.port()
            ));
        }
        Ok(listen)
    });
    section.finish(reader);
    Some(Observe { listen: listen?, insecure })
}

#[cfg(test)]
mod tests {
    use super::super::testing;
    use super::*;

    fn parsed(table: &str) -> Result<Option<Observe>, Vec<String>> {
        testing::parsed(table).map(|config| config.observe)
    }

    #[test]
    fn nothing_is_shown_anywhere_unless_it_is_configured() {
        assert_eq!(parsed(""), Ok(None));
        let shown = parsed("[observe]\nlisten = \"[::1]:9464\"").unwrap().unwrap();
        assert_eq!(shown, Observe { listen: "[::1]:9464".parse().unwrap(), insecure: false });
        let wide = parsed("[observe]\nlisten = \"0.0.0.0:9464\"\ninsecure = true").unwrap().unwrap();
        assert!(wide.insecure);
    }

    #[test]
    fn an_address_that_others_reach_has_to_be_meant() {
        for (table, expected) in [
            ("", "observe.listen: is missing"),
            ("listen = \"9464\"", "observe.listen: \"9464\" is no IP address with a port"),
            ("listen = \"localhost:9464\"", "use one such as 127.0.0.1:9464"),
            ("listen = \"0.0.0.0:9464\"", "use 127.0.0.1:9464, or set insecure = true"),
            ("listen = \"192.0.2.7:9464\"\ninsecure = false", "whoever reaches 192.0.2.7:9464"),
            ("listen = 9464", "observe.listen: must be a string"),
            ("listen = \"127.0.0.1:9464\"\ninsecure = 1", "observe.insecure: must be true or false"),
            ("listn = \"127.0.0.1:9464\"", "unknown key; did you mean `listen`?"),
        ] {
            let problems = parsed(&format!("[observe]\n{table}")).unwrap_err();
            assert!(problems.iter().any(|problem| problem.contains(expected)), "{expected} in {problems:#?}");
        }
    }
}
