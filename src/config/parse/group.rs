//! `[group.NAME]`, and what names nodes elsewhere.

use std::collections::{BTreeMap, BTreeSet};

use toml::de::DeValue;

use super::super::Node;
use super::super::read::{Reader, Section, list, one_or_more, parsed, text};
use super::join;
use crate::model::NodeName;

/// What a list of nodes may name: nodes, and groups of them.
pub(super) struct Groups<'a> {
    nodes: &'a BTreeMap<NodeName, Node>,
    groups: BTreeMap<NodeName, Vec<NodeName>>,
}

/// Reads the groups.
pub(super) fn groups<'a>(
    top: &mut Section<'_>,
    reader: &mut Reader<'_>,
    nodes: &'a BTreeMap<NodeName, Node>,
) -> Groups<'a> {
    let mut groups = Groups { nodes, groups: BTreeMap::new() };
    let mut found = BTreeMap::new();
    for (name, mut section) in top.tables(reader, "group") {
        let members = section.require(reader, "nodes", |value| {
            let members = list(value, |value| groups.node(value))?;
            if members.is_empty() { Err("must name at least one node".to_owned()) } else { Ok(members) }
        });
        match name.parse::<NodeName>() {
            Ok(name) if nodes.contains_key(&name) => {
                section.problem(reader, "", format!("{name} is a node: give the group another name"));
            }
            Ok(name) => found.extend(members.map(|members| (name, members))),
            Err(error) => section.problem(reader, "", error.to_string()),
        }
        section.finish(reader);
    }
    groups.groups = found;
    groups
}

impl Groups<'_> {
    /// Nodes and groups by their names, to nodes; each once, in the order given.
    pub(super) fn nodes(&self, value: &DeValue<'_>) -> Result<Vec<NodeName>, String> {
        let mut chosen = Vec::new();
        for name in one_or_more(value, text)? {
            let member = name.parse().ok().and_then(|name| match self.groups.get(&name) {
                Some(members) => Some(members.clone()),
                None => self.nodes.contains_key(&name).then(|| vec![name]),
            });
            chosen.extend(member.ok_or_else(|| self.unknown(&name))?);
        }
        let mut seen = BTreeSet::new();
        chosen.retain(|name| seen.insert(name.clone()));
        Ok(chosen)
    }

    fn node(&self, value: &DeValue<'_>) -> Result<NodeName, String> {
        let name: NodeName = parsed(value)?;
        if self.nodes.contains_key(&name) { Ok(name) } else { Err(self.unknown(name.as_str())) }
    }

    fn unknown(&self, name: &str) -> String {
        match (self.nodes.is_empty(), self.groups.is_empty()) {
            (true, _) => format!("names {name:?}, and no haproxy is configured"),
            (false, true) => format!("names {name:?}, and the haproxys are: {}", join(self.nodes.keys())),
            (false, false) => format!(
                "names {name:?}, and the haproxys are: {}; the groups are: {}",
                join(self.nodes.keys()),
                join(self.groups.keys())
            ),
        }
    }
}
