//! One process of HAProxy in memory: certificates, lists, binds, maps and the one transaction.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::content::{Content, Leaf};
use super::profile::Profile;

/// What HAProxy's configuration says.
#[derive(Debug, Clone)]
pub struct Layout {
    pub bufsize: usize,
    pub level: String,
    pub binds: Vec<BindLine>,
    /// Map files; `virt@NAME` has none.
    pub maps: Vec<String>,
}

/// A bind line.
#[derive(Debug, Clone)]
pub struct BindLine {
    /// `FRONTEND/FILE:LINE`.
    pub name: String,
    /// Whether names without a certificate are refused.
    pub strict: bool,
    /// A file, a directory or a crt-list, in the order of the line.
    pub sources: Vec<Source>,
}

/// What a bind line names.
#[derive(Debug, Clone)]
pub enum Source {
    File(PathBuf),
    Directory(PathBuf),
    List(PathBuf),
}

/// A certificate directory or a crt-list.
#[derive(Debug, Default)]
pub struct List {
    pub is_directory: bool,
    pub entries: Vec<Entry>,
    pub last_line: u32,
}

/// One of its lines.
#[derive(Debug, Clone)]
pub struct Entry {
    pub slot: String,
    pub line: u32,
    pub options: String,
    pub filters: Vec<String>,
    /// What tells it from others.
    pub id: usize,
}

/// A name that is served on a bind, by an entry.
#[derive(Debug, Clone)]
pub struct Sni {
    pub name: String,
    pub slot: String,
    pub entry: usize,
}

#[derive(Debug)]
pub struct Bind {
    pub line: BindLine,
    /// The lists of it, by name.
    lists: Vec<String>,
    /// In the order in which they were loaded, which decides.
    pub served: Vec<Sni>,
    /// The first entry.
    pub default: Option<usize>,
}

/// A process.
#[derive(Debug)]
pub struct Process {
    pub profile: Profile,
    pub pid: u32,
    /// Seconds since the epoch.
    pub started: i64,
    pub stopping: bool,
    pub layout: Layout,
    pub slots: BTreeMap<String, Content>,
    /// One for the whole process, without an owner.
    pub transaction: Option<(String, Content)>,
    pub lists: BTreeMap<String, List>,
    pub binds: Vec<Bind>,
    pub maps: BTreeMap<String, Vec<(usize, String, String)>>,
    /// All entries, those of plain files too.
    entries: BTreeMap<usize, Entry>,
    next: usize,
}

impl Process {
    /// Reads the files, as a start or a reload does. One bad file, and it does not start.
    pub fn start(profile: Profile, layout: &Layout, pid: u32, started: i64) -> Result<Self, String> {
        let mut process = Self {
            profile,
            pid,
            started,
            stopping: false,
            layout: layout.clone(),
            slots: BTreeMap::new(),
            transaction: None,
            lists: BTreeMap::new(),
            binds: Vec::new(),
            maps: layout.maps.iter().map(|map| (map.clone(), Vec::new())).collect(),
            entries: BTreeMap::new(),
            next: 0,
        };
        for line in &layout.binds {
            process.bind(line)?;
        }
        Ok(process)
    }

    fn bind(&mut self, line: &BindLine) -> Result<(), String> {
        self.binds.push(Bind { line: line.clone(), lists: Vec::new(), served: Vec::new(), default: None });
        let at = self.binds.len() - 1;
        for source in &line.sources {
            let (name, lines, is_directory) = match source {
                Source::File(path) => {
                    let entry = self.entry(&text(path), 0, String::new(), Vec::new());
                    self.read(path)?;
                    self.serve(at, &entry);
                    continue;
                }
                Source::Directory(path) => (text(path), in_directory(path)?, true),
                Source::List(path) => (text(path), in_list(path)?, false),
            };
            if !self.lists.contains_key(&name) {
                let mut list = List { is_directory, ..List::default() };
                for (number, slot, options, filters) in lines {
                    self.read(Path::new(&slot))?;
                    list.last_line = number;
                    list.entries.push(self.entry(&slot, number, options, filters));
                }
                self.lists.insert(name.clone(), list);
            }
            for entry in self.lists[&name].entries.clone() {
                self.serve(at, &entry);
            }
            self.binds[at].lists.push(name);
        }
        Ok(())
    }

    fn read(&mut self, path: &Path) -> Result<(), String> {
        let refuse = |why: &str| format!("unable to load certificate from file '{}': {why}", path.display());
        if self.slots.contains_key(&text(path)) {
            return Ok(());
        }
        let pem = fs::read_to_string(path).map_err(|error| refuse(&error.to_string()))?;
        let mut content = Content::read(&pem).map_err(|error| refuse(error.0))?;
        if let Ok(key) = fs::read_to_string(format!("{}.key", path.display()))
            && !content.is_complete()
        {
            content.take_key(&key).map_err(|error| refuse(error.0))?;
        }
        if !content.is_consistent() {
            return Err(refuse("no key, or another one's"));
        }
        self.slots.insert(text(path), content);
        Ok(())
    }

    /// Makes an entry; it serves once it is added to binds.
    pub fn entry(&mut self, slot: &str, line: u32, options: String, filters: Vec<String>) -> Entry {
        self.next += 1;
        let entry = Entry { slot: slot.to_owned(), line, options, filters, id: self.next };
        self.entries.insert(entry.id, entry.clone());
        entry
    }

    /// A number that was not used before.
    pub fn number(&mut self) -> usize {
        self.next += 1;
        self.next
    }

    /// Adds an entry to a list, and to every bind of the list.
    pub fn attach(&mut self, name: &str, entry: Entry) {
        for at in 0..self.binds.len() {
            if self.binds[at].lists.iter().any(|list| list == name) {
                self.serve(at, &entry);
            }
        }
        let list = self.lists.get_mut(name).expect("the list is there");
        list.last_line = entry.line;
        list.entries.push(entry);
    }

    /// Takes an entry out of its list, and of every bind.
    pub fn detach(&mut self, name: &str, id: usize) {
        self.lists.get_mut(name).expect("the list is there").entries.retain(|entry| entry.id != id);
        for bind in &mut self.binds {
            bind.served.retain(|sni| sni.entry != id);
        }
        self.entries.remove(&id);
    }

    fn serve(&mut self, at: usize, entry: &Entry) {
        let names = self.names(entry);
        let bind = &mut self.binds[at];
        bind.default.get_or_insert(entry.id);
        let sni = names.into_iter().map(|name| Sni { name, slot: entry.slot.clone(), entry: entry.id });
        bind.served.extend(sni);
    }

    /// What an entry serves: its filters, else the names of its certificate.
    fn names(&self, entry: &Entry) -> Vec<String> {
        let positive: Vec<String> = entry
            .filters
            .iter()
            .filter(|filter| !filter.starts_with('!'))
            .map(|filter| filter.to_lowercase())
            .collect();
        let leaf = || self.slots.get(&entry.slot).and_then(|content| content.leaf.clone());
        if positive.is_empty() { leaf().map(|leaf| leaf.names.clone()).unwrap_or_default() } else { positive }
    }

    /// Puts a certificate into a slot. Each of its entries is served anew, and so stands behind all others from now on. Returns how
    /// many there are.
    pub fn replace(&mut self, slot: &str, content: Content) -> usize {
        self.slots.insert(slot.to_owned(), content);
        let mut count = 0;
        for at in 0..self.binds.len() {
            for id in self.entries_of(at, slot) {
                let entry = self.entries[&id].clone();
                self.binds[at].served.retain(|sni| sni.entry != id);
                self.serve(at, &entry);
                count += 1;
            }
        }
        count
    }

    /// The entries of a slot on a bind.
    fn entries_of(&self, at: usize, slot: &str) -> Vec<usize> {
        let bind = &self.binds[at];
        let listed = bind.lists.iter().flat_map(|list| &self.lists[list].entries).map(|entry| entry.id);
        let in_lists: Vec<usize> = listed.collect();
        let is_on_it = |entry: &&Entry| in_lists.contains(&entry.id) || bind.default == Some(entry.id);
        self.entries.values().filter(|entry| entry.slot == slot).filter(is_on_it).map(|entry| entry.id).collect()
    }

    /// Whether a slot serves anywhere.
    pub fn is_used(&self, slot: &str) -> bool {
        self.entries.values().any(|entry| entry.slot == slot)
    }

    /// What clients of a bind are shown for a name.
    pub fn shown(&self, at: usize, name: &str) -> Option<Arc<Leaf>> {
        let bind = self.binds.get(at)?;
        let name = name.to_lowercase();
        let wildcard = name.split_once('.').map(|(_, rest)| format!("*.{rest}"));
        let is_excluded =
            |sni: &Sni| self.entries[&sni.entry].filters.iter().any(|filter| *filter == format!("!{name}"));
        let exact = bind.served.iter().find(|sni| sni.name == name);
        let found =
            exact.or_else(|| bind.served.iter().find(|sni| Some(&sni.name) == wildcard.as_ref() && !is_excluded(sni)));
        let slot = match (found, bind.default) {
            (Some(sni), _) => &sni.slot,
            (None, Some(default)) if !bind.line.strict => &self.entries[&default].slot,
            _ => return None,
        };
        self.slots[slot].leaf.clone()
    }

    /// The binds that cannot do without an entry, as `FILE:LINE`.
    pub fn defaults(&self, id: usize) -> Vec<&str> {
        let needing = self.binds.iter().filter(|bind| !bind.line.strict && bind.default == Some(id));
        needing.map(|bind| bind.line.name.split_once('/').map_or("", |(_, place)| place)).collect()
    }

    /// The filters of an entry that exclude.
    pub fn negative(&self, id: usize) -> Vec<&str> {
        let filters = self.entries[&id].filters.iter().map(String::as_str);
        filters.filter(|filter| filter.starts_with('!')).collect()
    }

    /// The slot of an entry.
    pub fn slot_of(&self, id: usize) -> Option<&str> {
        self.entries.get(&id).map(|entry| entry.slot.as_str())
    }
}

type Line = (u32, String, String, Vec<String>);

/// Every file but dotfiles and companions, by name (configuration manual, section 5.1, `crt`).
fn in_directory(path: &Path) -> Result<Vec<Line>, String> {
    let entries = fs::read_dir(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    files.sort();
    let is_companion = |name: &str| [".key", ".ocsp", ".sctl", ".issuer"].iter().any(|end| name.ends_with(end));
    let is_loaded = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        !name.starts_with('.') && !is_companion(&name)
    };
    Ok(files.into_iter().filter(is_loaded).map(|file| (0, text(&file), String::new(), Vec::new())).collect())
}

fn in_list(path: &Path) -> Result<Vec<Line>, String> {
    let content = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let lines = content.lines().zip(1..).filter(|(line, _)| !line.trim().is_empty() && !line.starts_with('#'));
    Ok(lines
        .map(|(line, number)| {
            let (slot, options, filters) = split_line(line);
            (number, slot, options, filters)
        })
        .collect())
}

/// A line of a crt-list: a certificate, options in brackets, filters.
pub fn split_line(line: &str) -> (String, String, Vec<String>) {
    let (slot, rest) = line.trim().split_once(' ').unwrap_or((line.trim(), ""));
    let (options, filters) = match rest.trim_start().strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((options, filters)) => (options.trim().to_owned(), filters),
        None => (String::new(), rest),
    };
    (slot.to_owned(), options, filters.split_whitespace().map(str::to_owned).collect())
}

/// A path as HAProxy names it.
pub fn text(path: &Path) -> String {
    path.to_str().expect("paths of tests are text").trim_end_matches('/').to_owned()
}
