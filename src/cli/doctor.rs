//! `hotcert doctor`: checks the surroundings, and explains each problem and its cure.

use std::io::IsTerminal;
use std::path::Path;
use std::sync::Arc;

use serde::Serialize;

use super::args::Nodes;
use super::failure::{Exit, Failure};
use super::outcome::Outcome;
use super::{Color, Global, Output};
use crate::clock::SystemClock;
use crate::config::{Config, Node, Remembered};
use crate::doctor::{self, Doctor, Finding, Verdict};
use crate::haproxy::SystemConnect;
use crate::host::Host;
use crate::store::Store;

/// Narrower than this, nothing is wrapped: a person would read nothing anyway.
const NARROWEST: usize = 40;
/// Columns of the verdict, and of what stands before a cause or a cure.
const VERDICT: usize = 8;
const LABEL: usize = 7;
/// What stands below the verdict.
const INDENT: &str = "        ";

#[derive(Serialize)]
struct Document<'a> {
    checks: &'a [Finding],
}

/// What a line looks like.
struct Style {
    color: bool,
    /// The width of the terminal; `None` where lines are not wrapped.
    width: Option<usize>,
}

/// Does it here, even where a daemon runs: whether this user may reach things is part of the question.
pub(super) async fn run(global: &Global, nodes: &Nodes, output: &Output) -> Result<Outcome, Failure> {
    let mut config = Config::load(global.config.as_deref(), &nodes.flags(global))?;
    let store = Store::to_look_at(&config.state_dir);
    let (remembered, failures) = store.recall::<Remembered>().unwrap_or_default();
    for failure in failures {
        config.warnings.push(failure.to_string());
    }
    config.recall(remembered);
    if config.nodes.is_empty() {
        let host = tokio::task::spawn_blocking(Host::look).await.unwrap_or_default();
        for node in doctor::nodes_here(&host) {
            let crt_dir = nodes.crt_dir.clone().or(node.crt_dir);
            let verify = if nodes.verify.is_empty() { node.verify } else { nodes.verify.clone() };
            config.nodes.insert(node.name.clone(), Node { crt_dir, verify, ..node });
        }
    }
    let doctor = Doctor {
        config: Arc::new(config),
        store,
        clock: Arc::new(SystemClock),
        connect: Arc::new(SystemConnect),
        root: Path::new("/").to_owned(),
    };
    let findings = doctor.examine().await;
    let stdout = std::io::stdout();
    let style = Style {
        color: output.color && (global.color == Color::Always || stdout.is_terminal()),
        width: stdout.is_terminal().then(|| width(&stdout)).flatten(),
    };
    let is_good = findings.iter().all(|finding| finding.verdict == Verdict::Good);
    let text = describe(&findings, &style);
    let exit = if is_good { Exit::Done } else { Exit::Found };
    Ok(Outcome::new(&Document { checks: &findings }, text).exit(exit))
}

fn width(terminal: &std::io::Stdout) -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(terminal).ok()?;
    Some(usize::from(size.ws_col)).filter(|width| *width >= NARROWEST)
}

/// A line for each finding, with cause and cure below those that are not good, and how many there are of each kind.
fn describe(findings: &[Finding], style: &Style) -> String {
    let longest = findings.iter().map(|finding| finding.name.as_str().len()).max().unwrap_or(0);
    let mut text = String::new();
    for finding in findings {
        let (word, color) = look_of(finding.verdict);
        let line = format!("{:longest$}  {}: {}", finding.name.as_str(), finding.subject, finding.message);
        text.push_str(&style.paragraph("", word, color, VERDICT, &line));
        for (label, said) in [("cause:", &finding.cause), ("cure:", &finding.cure)] {
            if let Some(said) = said {
                text.push_str(&style.paragraph(INDENT, label, "1", LABEL, said));
            }
        }
    }
    let number = |verdict| findings.iter().filter(|finding| finding.verdict == verdict).count();
    text.push_str(&format!(
        "{} good, {} to look at, {} broken\n",
        number(Verdict::Good),
        number(Verdict::Look),
        number(Verdict::Broken)
    ));
    text
}

fn look_of(verdict: Verdict) -> (&'static str, &'static str) {
    match verdict {
        Verdict::Good => ("good", "32"),
        Verdict::Look => ("look", "1;33"),
        Verdict::Broken => ("broken", "1;31"),
    }
}

impl Style {
    /// A label and what follows it. Of several lines only the first is wrapped: the others are lines to be copied.
    fn paragraph(&self, indent: &str, label: &str, color: &str, width: usize, body: &str) -> String {
        let below = " ".repeat(indent.len() + width);
        let room = self.width.map(|columns| columns.saturating_sub(below.len()).max(NARROWEST / 2));
        let mut lines = body.lines();
        let first = wrapped(lines.next().unwrap_or_default(), room);
        let all = first.into_iter().chain(lines.map(str::to_owned));
        let padding = " ".repeat(width.saturating_sub(label.len()));
        let label = if self.color { format!("\u{1b}[{color}m{label}\u{1b}[0m") } else { label.to_owned() };
        let mut text = String::new();
        for (number, line) in all.enumerate() {
            let line = if number == 0 { format!("{indent}{label}{padding}{line}") } else { format!("{below}{line}") };
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

/// A line in pieces that fit, broken at blanks; a word that is too long stays whole.
fn wrapped(line: &str, room: Option<usize>) -> Vec<String> {
    let Some(room) = room else { return vec![line.to_owned()] };
    let mut lines = vec![String::new()];
    for word in line.split(' ') {
        let last = lines.last_mut().expect("there is one");
        if !last.trim().is_empty() && last.chars().count() + 1 + word.chars().count() > room {
            lines.push(word.to_owned());
        } else {
            if !last.is_empty() || word.is_empty() {
                last.push(' ');
            }
            last.push_str(word);
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Check;

    fn findings() -> Vec<Finding> {
        vec![
            Finding::good(Check::Socket, "edge", "/run/haproxy/admin.sock answers"),
            Finding::look(Check::CrtDir, "/certs", "a file is left over", "somebody was killed", "nothing"),
            Finding::broken(
                Check::Http01,
                "a.test",
                "challenges would not be answered, and this line is long",
                "a redirect stands above",
                "HAProxy needs these lines, above any redirect:\n    use_backend acme if { path_beg /.well-known/acme-challenge/ }",
            ),
        ]
    }

    #[test]
    fn each_finding_is_a_line_with_cause_and_cure_below() {
        let text = describe(&findings(), &Style { color: false, width: None });
        insta::assert_snapshot!(text, @r"
        good    socket   edge: /run/haproxy/admin.sock answers
        look    crt-dir  /certs: a file is left over
                cause: somebody was killed
                cure:  nothing
        broken  http-01  a.test: challenges would not be answered, and this line is long
                cause: a redirect stands above
                cure:  HAProxy needs these lines, above any redirect:
                           use_backend acme if { path_beg /.well-known/acme-challenge/ }
        1 good, 1 to look at, 1 broken
        ");
    }

    #[test]
    fn a_narrow_terminal_wraps_words_and_leaves_lines_to_be_copied_whole() {
        let text = describe(&findings()[2..], &Style { color: false, width: Some(44) });
        insta::assert_snapshot!(text, @r"
        broken  http-01  a.test: challenges would
                not be answered, and this line is
                long
                cause: a redirect stands above
                cure:  HAProxy needs these lines,
                       above any redirect:
                           use_backend acme if { path_beg /.well-known/acme-challenge/ }
        0 good, 0 to look at, 1 broken
        ");
    }

    #[test]
    fn colour_says_nothing_that_words_do_not() {
        let plain = describe(&findings(), &Style { color: false, width: None });
        let mut painted = describe(&findings(), &Style { color: true, width: None });
        assert!(painted.contains("\u{1b}[1;31mbroken\u{1b}[0m"));
        for code in ["32", "1;33", "1;31", "1", "0"] {
            painted = painted.replace(&format!("\u{1b}[{code}m"), "");
        }
        assert_eq!(painted, plain);
    }
}
