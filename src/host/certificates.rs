//! Which directories, crt-lists and stores of certificates a configuration names.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use super::bind::{Named, named};
use super::configuration::Configuration;
use super::view::{View, read};

/// Largest crt-list that is read, in bytes: a hundred thousand lines.
const MAX_LIST: usize = 32 * 1024 * 1024;

/// Where certificates come from when `HAProxy` starts, each once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Certificates {
    /// Directories, of which every file is loaded.
    pub directories: Vec<Named>,
    /// Single files, and names in stores.
    pub files: Vec<Named>,
    /// crt-lists.
    pub lists: Vec<Named>,
}

/// A certificate of a `crt-store` section (configuration manual, section 12.7).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreEntry {
    /// The name in the runtime API, such as `@web/shop`.
    pub name: String,
    /// The file with the certificate, as `HAProxy` sees it.
    pub path: Option<PathBuf>,
}

impl Configuration {
    /// Looks up what the `bind` lines name. `view` is that of the instance: whether a name is a directory is told by the disk.
    #[must_use]
    pub fn certificates(&self, view: &View) -> Certificates {
        let mut out = Certificates::default();
        let mut seen = BTreeSet::new();
        for bind in self.binds().into_iter().filter(|bind| bind.has_tls) {
            for named in bind.certificates {
                if !seen.insert(named.clone()) {
                    continue;
                }
                let is_directory = named.name.ends_with('/')
                    || named.path.as_deref().is_some_and(|path| view.here(path).is_ok_and(|here| here.is_dir()));
                if is_directory { out.directories.push(named) } else { out.files.push(named) }
            }
            out.lists.extend(bind.crt_lists.into_iter().filter(|list| seen.insert(list.clone())));
        }
        out
    }

    /// The certificates that a crt-list names; none when it cannot be read.
    #[must_use]
    pub fn listed(&self, list: &Named, view: &View) -> Vec<Named> {
        let Some(path) = &list.path else { return Vec::new() };
        let Ok(bytes) = view.here(path).and_then(|here| read(&here, MAX_LIST)) else { return Vec::new() };
        let crt_base = self.global().crt_base;
        let Some(line) = self.binds().into_iter().find(|bind| bind.crt_lists.contains(list)).map(|bind| bind.line)
        else {
            return Vec::new();
        };
        let text = String::from_utf8_lossy(&bytes);
        text.lines()
            .filter_map(|entry| entry.split_whitespace().next())
            .filter(|name| !name.starts_with('#'))
            .map(|name| named(line, name, crt_base.as_deref()))
            .collect()
    }

    /// The entries of all stores.
    #[must_use]
    pub fn stores(&self) -> Vec<StoreEntry> {
        let mut out = Vec::new();
        for section in self.of(&["crt-store"]) {
            let base = section.all("crt-base").last().and_then(|line| line.words.get(1).cloned());
            let base = base.or_else(|| self.global().crt_base);
            for line in section.all("load") {
                let Some(file) = line.after("crt") else { continue };
                let name = line.after("alias").unwrap_or(file);
                out.push(StoreEntry {
                    name: format!("@{}/{name}", section.name.as_deref().unwrap_or_default()),
                    path: named(line, file, base.as_deref()).path,
                });
            }
        }
        out
    }
}

impl Named {
    /// Whether it is there, and a directory.
    #[must_use]
    pub fn is_directory(&self, view: &View) -> bool {
        let found = self.path.as_deref().and_then(|path| view.here(path).ok()).map(fs::metadata);
        found.is_some_and(|found| found.is_ok_and(|found| found.is_dir()))
    }
}
