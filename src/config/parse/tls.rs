//! `tls = { ca, cert, key }` of `[haproxy.NAME]`.

use super::super::read::{Reader, Section};
use crate::model::{Address, ClientTls};

pub(super) fn tls(section: &mut Section<'_>, reader: &mut Reader<'_>, socket: Option<&Address>) -> Option<ClientTls> {
    let is_behind_tls = matches!(socket, Some(Address::Tls(_)));
    if !section.has("tls") {
        if is_behind_tls {
            section.problem(
                reader,
                "tls",
                "is missing: a tls:// node asks for tls = { ca = \"…\", cert = \"…\", key = \"…\" }",
            );
        }
        section.take("tls");
        return None;
    }
    if socket.is_some() && !is_behind_tls {
        section.problem(reader, "tls", "is for a tls:// socket, and this is another");
    }
    let mut table = section.table(reader, "tls")?;
    let [ca, cert, key] = ["ca", "cert", "key"].map(|name| table.file(reader, name));
    table.finish(reader);
    Some(ClientTls { ca: ca?, cert: cert?, key: key? })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::super::Config;
    use super::super::testing;

    fn parsed(node: &str) -> Result<Config, Vec<String>> {
        testing::parsed(&format!("[haproxy.edge]\n{node}"))
    }

    #[test]
    fn a_node_behind_tls_names_its_three_files() {
        let config =
            parsed("socket = \"tls://edge.test:9443\"\ntls = { ca = \"/x/ca\", cert = \"/x/c\", key = \"/x/k\" }")
                .unwrap();
        let node = config.nodes.values().next().unwrap();
        assert_eq!(node.endpoint().tls.unwrap().key, Path::new("/x/k"));
        assert_eq!(config.warnings, Vec::<String>::new());
        // They need not be there to read the configuration: whoever asks a daemon may not read its key.
        assert_eq!(config.unreadable.len(), 3);
        let told = config.unreadable[2].to_string();
        assert!(told.starts_with("hotcert.toml:4:44: haproxy.edge.tls.key: cannot read /x/k: "), "{told}");
    }

    #[test]
    fn what_cannot_be_meant_is_a_problem_with_a_place() {
        let files = "tls = { ca = \"/x/ca\", cert = \"/x/c\", key = \"/x/k\" }";
        for (node, expected) in [
            ("socket = \"tls://edge.test:9443\"".to_owned(), "haproxy.edge.tls: is missing: a tls:// node"),
            (format!("socket = \"/run/x.sock\"\n{files}"), "haproxy.edge.tls: is for a tls:// socket"),
            (
                "socket = \"tls://a.test:1\"\ntls = { ca = \"/x\", cert = \"/x\" }".to_owned(),
                "haproxy.edge.tls.key: is missing",
            ),
            (
                "socket = \"tls://a.test:1\"\ntls = { ca = \"/x\", cert = \"/x\", key = \"k\" }".to_owned(),
                "must be the absolute path of a file",
            ),
            (
                "socket = \"tls://a.test:1\"\ntls = { ca = \"/x\", cert = \"/x\", kye = \"/k\" }".to_owned(),
                "haproxy.edge.tls.kye: unknown key",
            ),
            ("socket = \"tls://a.test:1\"\ntls = true".to_owned(), "haproxy.edge.tls: must be a table"),
            ("socket = \"tcp://10.0.0.1:9999\"".to_owned(), "haproxy.edge.socket: plain TCP off loopback"),
        ] {
            let problems = parsed(&node).unwrap_err();
            assert!(problems.iter().any(|problem| problem.contains(expected)), "{expected} in {problems:#?}");
        }
        assert!(parsed("socket = \"tcp://10.0.0.1:9999\"\ninsecure = true").is_ok());
    }
}
