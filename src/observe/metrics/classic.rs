//! From `OpenMetrics` to the text format of Prometheus 0.0.4.
//!
//! What we use of both differs in two things: there counters are declared by the name that their samples have, and there is no mark of
//! the end.

/// The same metrics in the older format.
pub(super) fn of(open: &str) -> String {
    let mut classic = String::with_capacity(open.len() + 1024);
    let mut help = None;
    for line in open.lines() {
        if let Some(described) = line.strip_prefix("# HELP ") {
            help = described.split_once(' ');
            continue;
        }
        match line.strip_prefix("# TYPE ").and_then(|declared| declared.split_once(' ')) {
            Some((name, kind)) => {
                let end = if kind == "counter" { "_total" } else { "" };
                if let Some((_, help)) = help.take() {
                    classic.push_str(&format!("# HELP {name}{end} {help}\n"));
                }
                classic.push_str(&format!("# TYPE {name}{end} {kind}\n"));
            }
            None if line == "# EOF" => {}
            None => {
                classic.push_str(line);
                classic.push('\n');
            }
        }
    }
    classic
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_declared_as_they_are_named_and_the_end_is_not_marked() {
        let open = "# HELP a_seconds Some time.\n# TYPE a_seconds gauge\na_seconds{b=\"# EOF\"} 1\n\
                    # HELP c Events.\n# TYPE c counter\nc_total 2\n# EOF\n";
        let classic = "# HELP a_seconds Some time.\n# TYPE a_seconds gauge\na_seconds{b=\"# EOF\"} 1\n\
                       # HELP c_total Events.\n# TYPE c_total counter\nc_total 2\n";
        assert_eq!(of(open), classic);
    }
}
