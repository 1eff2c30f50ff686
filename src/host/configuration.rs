//! The configuration of a `HAProxy` as it would read it: sections of lines of words. Pure text.
//!
//! Lines that a condition takes away are not here. Where that cannot be decided from outside, or a variable is unknown, the line is
//! here, and says so ([`Line::is_certain`]).

use std::fmt;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use super::condition::Blocks;
use super::error::Problem;
use super::words::{Here, Variables, split};
use crate::model::printable;

/// Words that begin a section (configuration manual, sections 3 to 12; `REGISTER_CONFIG_SECTION` in the source). Other words never do.
const SECTIONS: [&str; 21] = [
    "acme",
    "backend",
    "cache",
    "crt-store",
    "defaults",
    "fcgi-app",
    "frontend",
    "global",
    "healthcheck",
    "http-errors",
    "listen",
    "log-forward",
    "log-profile",
    "mailers",
    "namespace_list",
    "peers",
    "program",
    "resolvers",
    "ring",
    "traces",
    "userlist",
];
/// Problems that are told; further ones say the same.
const MAX_PROBLEMS: usize = 50;
/// Characters of a foreign word in a message.
const SHOWN: usize = 200;

/// What the files of one `HAProxy` say.
#[derive(Debug, Clone, Default)]
pub struct Configuration {
    /// The files, as `HAProxy` names them, in the order in which it reads them.
    pub files: Vec<PathBuf>,
    /// All sections, in that order.
    pub sections: Vec<Section>,
    /// What could not be read or understood: what is missing here may stand there.
    pub problems: Vec<Problem>,
}

/// A section.
#[derive(Debug, Clone)]
pub struct Section {
    /// The word that begins it, such as `global` or `frontend`.
    pub kind: String,
    /// Its name, where it has one.
    pub name: Option<String>,
    /// Where it begins.
    pub place: Place,
    /// Its lines, without the first.
    pub lines: Vec<Line>,
    /// Which of [`Configuration::sections`] are its `defaults`.
    pub defaults: Option<usize>,
}

/// A line.
#[derive(Debug, Clone)]
pub struct Line {
    /// Where it stands.
    pub place: Place,
    /// Its words, at least one, without quotes and with variables in their place.
    pub words: Vec<String>,
    /// Whether it surely counts and surely reads so: no condition and no variable in it is unknown.
    pub is_certain: bool,
    /// Where relative names begin, as `HAProxy` names it (`default-path`, `-C`); `None` when that is not known.
    pub base: Option<Arc<Path>>,
}

/// A line of a file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The file, as `HAProxy` names it.
    pub file: Arc<Path>,
    /// Number of the line, from 1.
    pub line: u32,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", printable(&self.file.display().to_string(), SHOWN), self.line)
    }
}

impl Line {
    /// Its first word.
    #[must_use]
    pub fn keyword(&self) -> &str {
        &self.words[0]
    }

    /// Whether it begins with these words.
    #[must_use]
    pub fn begins(&self, words: &[&str]) -> bool {
        self.words.len() >= words.len() && self.words.iter().zip(words).all(|(own, word)| own == word)
    }

    /// The word after this one, which takes a value.
    #[must_use]
    pub fn after(&self, word: &str) -> Option<&str> {
        let at = self.words.iter().position(|own| own == word)?;
        self.words.get(at + 1).map(String::as_str)
    }

    /// A name in it as an absolute path, as `HAProxy` sees it; `None` when it is relative to nobody knows what.
    #[must_use]
    pub fn path(&self, name: &str) -> Option<PathBuf> {
        absolute(self.base.as_deref(), Path::new(name))
    }
}

impl Section {
    /// Its last line, after which another can be added.
    #[must_use]
    pub fn end(&self) -> &Place {
        self.lines.last().map_or(&self.place, |line| &line.place)
    }

    /// Its lines with this first word.
    pub fn all<'a>(&'a self, keyword: &'a str) -> impl Iterator<Item = &'a Line> {
        self.lines.iter().filter(move |line| line.keyword() == keyword)
    }

    /// Kind and name, as they begin it.
    #[must_use]
    pub fn title(&self) -> String {
        match &self.name {
            Some(name) => format!("{} {}", self.kind, printable(name, SHOWN)),
            None => self.kind.clone(),
        }
    }
}

impl Configuration {
    /// The names of the files, for people.
    #[must_use]
    pub fn shown_files(&self) -> Vec<String> {
        self.files.iter().map(|file| printable(&file.display().to_string(), SHOWN)).collect()
    }

    /// Reads files, in order, each with its name and its contents. Relative names begin at `base`.
    pub(super) fn parse(sources: &[(PathBuf, Vec<u8>)], base: Option<&Path>, variables: Variables) -> Self {
        let mut parser =
            Parser { out: Self::default(), variables, cwd: base.map(Arc::from), mode: Base::Current, defaults: None };
        for (file, bytes) in sources {
            parser.file(file, bytes);
        }
        parser.out
    }

    /// Sections of one of these kinds.
    pub fn of<'a>(&'a self, kinds: &'a [&str]) -> impl Iterator<Item = &'a Section> {
        self.sections.iter().filter(move |section| kinds.contains(&section.kind.as_str()))
    }

    /// Whether a proxy speaks HTTP (`mode http`), by itself or by its `defaults`.
    #[must_use]
    pub fn speaks_http(&self, section: &Section) -> bool {
        let own = |section: &Section| section.all("mode").last().and_then(|line| line.words.get(1).cloned());
        let defaults = section.defaults.and_then(|index| self.sections.get(index));
        own(section).or_else(|| defaults.and_then(own)).is_some_and(|mode| mode == "http")
    }

    pub(super) fn problem(&mut self, problem: Problem) {
        if self.problems.len() < MAX_PROBLEMS {
            self.problems.push(problem);
        }
    }
}

/// Where relative names begin (configuration manual, `default-path`).
enum Base {
    Current,
    Config,
    Parent,
    Origin(PathBuf),
}

struct Parser {
    out: Configuration,
    variables: Variables,
    /// Where the process was when it read.
    cwd: Option<Arc<Path>>,
    mode: Base,
    /// The last `defaults` that later proxies take over.
    defaults: Option<usize>,
}

impl Parser {
    fn file(&mut self, file: &Path, bytes: &[u8]) {
        let text = String::from_utf8_lossy(bytes);
        let file: Arc<Path> = file.into();
        self.out.files.push(file.to_path_buf());
        let name = file.display().to_string();
        let mut base = self.base(&file);
        let mut blocks = Blocks::default();
        // A section does not go on in the next file.
        let mut is_inside = false;
        for (line, text) in (1..).zip(text.split('\n')) {
            // A scope, which only tells `HAProxy` what may be used.
            if text.trim_start().starts_with('[') {
                continue;
            }
            let section = self.out.sections.last().filter(|_| is_inside).map_or("", |section| section.kind.as_str());
            let place = Place { file: Arc::clone(&file), line };
            let split = match split(text, &self.variables, Here { file: &name, line, section }) {
                Ok(split) => split,
                Err(_) if blocks.now() == Some(false) => continue,
                Err(reason) => {
                    self.out.problem(Problem::Line { place, reason });
                    continue;
                }
            };
            if split.words.is_empty() {
                continue;
            }
            match blocks.take(&split.words, &self.variables) {
                Ok(false) => {}
                Ok(true) => continue,
                Err(reason) => {
                    self.out.problem(Problem::Line { place, reason });
                    continue;
                }
            }
            let now = blocks.now();
            // Messages to whoever starts it (section 2.4).
            if now == Some(false) || split.words[0].starts_with('.') {
                continue;
            }
            let line = Line {
                place,
                words: split.words,
                is_certain: split.is_certain && now == Some(true),
                base: base.clone(),
            };
            if SECTIONS.contains(&line.keyword()) {
                self.begin(&line);
                is_inside = true;
            } else if is_inside && let Some(section) = self.out.sections.last_mut() {
                let is_global = section.kind == "global";
                section.lines.push(line.clone());
                if is_global && self.setting(&line) {
                    base = self.base(&file);
                }
            } else {
                self.out.problem(Problem::Line { place: line.place, reason: "it stands in no section" });
            }
        }
    }

    fn begin(&mut self, line: &Line) {
        let kind = line.keyword().to_owned();
        // `defaults from x` has no name of its own, `defaults y from x` has.
        let name = line.words.get(1).filter(|name| *name != "from").cloned();
        let from = line.after("from").and_then(|from| {
            self.out
                .sections
                .iter()
                .rposition(|section| section.kind == "defaults" && section.name.as_deref() == Some(from))
        });
        let takes_over = ["frontend", "backend", "listen"].contains(&kind.as_str());
        let defaults = from.or(self.defaults.filter(|_| takes_over));
        if kind == "defaults" {
            self.defaults = Some(self.out.sections.len());
        }
        self.out.sections.push(Section { kind, name, place: line.place.clone(), lines: Vec::new(), defaults });
    }

    /// Follows what changes how later lines are read; tells whether relative names begin elsewhere now.
    fn setting(&mut self, line: &Line) -> bool {
        let words: Vec<&str> = line.words.iter().map(String::as_str).collect();
        match words[..] {
            ["setenv", name, value, ..] => {
                self.variables.values.insert(name.to_owned(), value.to_owned());
            }
            ["presetenv", name, value, ..] => {
                self.variables.values.entry(name.to_owned()).or_insert_with(|| value.to_owned());
            }
            ["unsetenv", ref names @ ..] => names.iter().for_each(|name| drop(self.variables.values.remove(*name))),
            ["resetenv", ref names @ ..] => self.variables.values.retain(|name, _| names.contains(&name.as_str())),
            ["default-path", mode, ref rest @ ..] => {
                self.mode = match (mode, rest.first()) {
                    ("config", _) => Base::Config,
                    ("parent", _) => Base::Parent,
                    ("origin", Some(origin)) => Base::Origin(PathBuf::from(*origin)),
                    _ => Base::Current,
                };
                return true;
            }
            _ => {}
        }
        false
    }

    fn base(&self, file: &Path) -> Option<Arc<Path>> {
        let beside = file.parent().unwrap_or(Path::new(""));
        let relative = match &self.mode {
            Base::Current => return self.cwd.clone(),
            Base::Config => beside.to_owned(),
            Base::Parent => beside.join(".."),
            Base::Origin(origin) => origin.clone(),
        };
        absolute(self.cwd.as_deref(), &relative).map(Arc::from)
    }
}

/// A name, from the root on; `.` and `..` are resolved by name alone, which is enough for people.
pub(super) fn absolute(base: Option<&Path>, name: &Path) -> Option<PathBuf> {
    let whole = if name.is_absolute() { name.to_owned() } else { base?.join(name) };
    let mut out = PathBuf::new();
    for part in whole.components() {
        match part {
            Component::ParentDir => drop(out.pop()),
            Component::CurDir => {}
            part => out.push(part),
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests;
