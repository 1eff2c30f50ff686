//! What is in a page: its blocks, in order, and what stands in comments for this test alone.
//!
//! A comment `<!-- docs: VERB … -->` speaks to the test, and is not seen by readers:
//!
//! | verb | what it does |
//! |---|---|
//! | `run COMMANDS` | runs these lines in a shell of the machine, at this point of the page |
//! | `file PATH` | writes the next block to this path of the machine |
//! | `certificate PEM [KEY] NAMES…` | makes a certificate there, in one file or two; `expired` among the names makes it one |
//! | `staple PATH` | writes an OCSP response for the last certificate that was made |
//! | `exits N` | the last command of the next block ends with this exit code |
//! | `within LINES` | the lines among which the next block belongs, to be checked |

use std::collections::BTreeSet;

/// What is done next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// A block of code.
    Block(Block),
    /// Lines for a shell, which readers do not see.
    Run(String),
    /// A certificate to be made: a file, maybe another one for the key, and the names.
    Certificate(Vec<String>),
    /// An OCSP response to be made, for the last certificate.
    Staple(String),
}

/// A block of code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// The line of the page where it begins, from 1.
    pub line: usize,
    /// `console`, `toml`, `haproxy`, `sh` and so on.
    pub language: String,
    pub text: String,
    /// Where it is written to.
    pub file: Option<String>,
    /// How its last command ends.
    pub exits: i32,
    /// The lines in front of it, to be checked.
    pub within: String,
}

/// A command as a page shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    pub command: String,
    /// What it prints; nothing, if the page does not say.
    pub output: Vec<String>,
}

/// What to do, in the order of the page.
pub fn steps(text: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    let (mut file, mut exits, mut within) = (None, 0, String::new());
    let mut lines = text.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        let indent = line.len() - line.trim_start().len();
        if let Some(language) = line.trim_start().strip_prefix("```") {
            let body = lines.by_ref().map(|(_, line)| line).take_while(|line| line.trim() != "```");
            let body: String =
                body.map(|line| format!("{}\n", line.get(indent..).unwrap_or(line.trim_start()))).collect();
            steps.push(Step::Block(Block {
                line: number + 1,
                language: language.trim().to_owned(),
                text: body,
                file: file.take(),
                exits: std::mem::take(&mut exits),
                within: std::mem::take(&mut within),
            }));
        } else if let Some(rest) = line.trim_start().strip_prefix("<!-- docs: ") {
            let mut comment = rest.to_owned();
            while !comment.trim_end().ends_with("-->") {
                let (_, next) = lines.next().expect("a comment ends");
                comment = format!("{comment}\n{}", next.get(indent..).unwrap_or(next.trim_start()));
            }
            let comment = comment.trim_end().strip_suffix("-->").expect("as looked for").trim_end();
            let (verb, rest) = comment.split_once(char::is_whitespace).unwrap_or((comment, ""));
            match verb {
                "run" => steps.push(Step::Run(rest.to_owned())),
                "certificate" => steps.push(Step::Certificate(rest.split_whitespace().map(str::to_owned).collect())),
                "staple" => steps.push(Step::Staple(rest.trim().to_owned())),
                "file" => file = Some(rest.trim().to_owned()),
                "exits" => exits = rest.trim().parse().expect("an exit code is a number"),
                "within" => within = format!("{}\n", rest.trim_start()),
                other => panic!("line {}: nobody knows the verb {other}", number + 1),
            }
        }
    }
    steps
}

/// The commands of a `console` block: a line that begins with `$ ` or `# `, and those after a backslash at its end.
pub fn commands(block: &str) -> Vec<Shown> {
    let mut commands: Vec<Shown> = Vec::new();
    let mut goes_on = false;
    for line in block.lines() {
        if goes_on {
            let last = commands.last_mut().expect("something goes on");
            last.command.push('\n');
            last.command.push_str(line);
        } else if let Some(command) = line.strip_prefix("$ ").or_else(|| line.strip_prefix("# ")) {
            commands.push(Shown { command: command.to_owned(), output: Vec::new() });
        } else if !line.trim().is_empty() {
            let last = commands.last_mut().unwrap_or_else(|| panic!("a block begins with a command, not with: {line}"));
            last.output.push(line.to_owned());
            continue;
        } else {
            continue;
        }
        goes_on = line.ends_with('\\');
    }
    commands
}

/// The text outside of blocks.
fn prose(text: &str) -> String {
    let mut is_code = false;
    let mut prose = String::new();
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            is_code = !is_code;
        } else if !is_code {
            prose.push_str(line);
            prose.push('\n');
        }
    }
    prose
}

/// What stands between backquotes in the text.
pub fn inline_code(text: &str) -> Vec<String> {
    prose(text)
        .split('`')
        .skip(1)
        .step_by(2)
        .map(|code| code.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect()
}

/// Links to files of the repository.
pub fn links(text: &str) -> Vec<String> {
    let prose = prose(text);
    let targets = prose.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(target, _)| target);
    targets.filter(|target| !target.contains("://")).map(str::to_owned).collect()
}

/// The anchors of a page's headings, as GitHub makes them.
pub fn sections(text: &str) -> BTreeSet<String> {
    let headings = prose(text);
    let headings =
        headings.lines().filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#').trim());
    headings
        .map(|heading| {
            let kept = heading.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
            kept.collect::<String>().to_lowercase().replace(' ', "-")
        })
        .collect()
}
