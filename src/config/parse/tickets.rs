//! `[ticket_keys]`.

use jiff::SignedDuration;

use super::super::read::{Reader, Section, parsed, span, text};
use super::super::{DEFAULT_ROTATION, TicketKeys};
use super::group::Groups;

/// Tickets that are shorter than this are not worth their name: `HAProxy` itself lets them live for 5 minutes.
const SHORTEST: SignedDuration = SignedDuration::from_mins(1);
/// No client may use a ticket for longer (RFC 8446, section 4.6.1), so an older key is of no use, but to whoever steals it.
const LONGEST: SignedDuration = SignedDuration::from_hours(7 * 24);

pub(super) fn tickets(top: &mut Section<'_>, reader: &mut Reader<'_>, groups: &Groups<'_>) -> Option<TicketKeys> {
    let mut section = top.table(reader, "ticket_keys")?;
    let file = section.require(reader, "file", parsed);
    let nodes = section.get(reader, "nodes", |value| groups.nodes(value)).unwrap_or_default();
    let rotate = if section.has("rotate") {
        section
            .get(reader, "rotate", |value| span(value, SHORTEST..=LONGEST, "1 minute to 7 days"))
            .unwrap_or(DEFAULT_ROTATION)
    } else {
        section.get_or(reader, "rotate", format!("{DEFAULT_ROTATION:#}"), text);
        DEFAULT_ROTATION
    };
    section.finish(reader);
    Some(TicketKeys { file: file?, nodes, rotate })
}

#[cfg(test)]
mod tests {
    use super::super::super::Config;
    use super::super::testing;
    use super::*;

    fn parsed(table: &str) -> Result<Config, Vec<String>> {
        let nodes =
            "[haproxy.one]\nsocket = \"/1\"\n[haproxy.two]\nsocket = \"/2\"\n[group.all]\nnodes = [\"one\", \"two\"]";
        testing::parsed(&format!("{nodes}\n[ticket_keys]\n{table}"))
    }

    #[test]
    fn ticket_keys_have_a_file_nodes_and_a_span() {
        let config = parsed("file = \"/etc/haproxy/tickets.key\"").unwrap();
        let keys = config.ticket_keys.as_ref().unwrap();
        assert_eq!((keys.rotate, config.ticket_nodes(keys).count()), (SignedDuration::from_hours(12), 2));
        let shown = config.settings.iter().find(|setting| setting.key == "ticket_keys.rotate").unwrap();
        assert_eq!((shown.value.as_str(), shown.origin.as_str()), ("12h", "default"));

        for (text, hours) in [("1d", 24), ("PT6H", 6), ("90m", 1), ("1d 12h", 36)] {
            let config = parsed(&format!("file = \"/t\"\nnodes = [\"one\"]\nrotate = \"{text}\"")).unwrap();
            let keys = config.ticket_keys.as_ref().unwrap();
            assert_eq!((keys.rotate.as_hours(), config.ticket_nodes(keys).count()), (hours, 1), "{text}");
        }
        assert!(testing::parsed("").unwrap().ticket_keys.is_none());
    }

    #[test]
    fn ticket_keys_that_cannot_be_are_problems() {
        for (table, expected) in [
            ("", "ticket_keys.file: is missing"),
            ("file = \"tickets\"", "ticket_keys.file: \"tickets\" is not a ticket key file"),
            ("file = \"/t\"\nnodes = [\"three\"]", "ticket_keys.nodes: names \"three\""),
            ("file = \"/t\"\nrotate = \"1s\"", "ticket_keys.rotate: \"1s\" is not from 1 minute to 7 days"),
            ("file = \"/t\"\nrotate = \"1mo\"", "ticket_keys.rotate: \"1mo\" is no span of time"),
            ("file = \"/t\"\nrotate = \"-1h\"", "ticket_keys.rotate: \"-1h\" is not from"),
            ("file = \"/t\"\nrotate = 12", "ticket_keys.rotate: must be a string"),
            ("file = \"/t\"\nrotat = \"1h\"", "unknown key; did you mean `rotate`?"),
        ] {
            let problems = parsed(table).unwrap_err();
            assert!(problems.iter().any(|problem| problem.contains(expected)), "{expected} in {problems:#?}");
        }
    }
}
