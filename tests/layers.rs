//! The rules of the house that no compiler checks: who may import whom, who may write files.
//!
//! The table of layers is that of the crate's documentation. Sources are read as text: comments and the tests in them are left
//! out, and what remains is searched for paths.

#![expect(clippy::unwrap_used, reason = "a test may panic anywhere")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// A module may import only from lower layers, so modules of one layer do not import each other.
const LAYERS: [&[&str]; 8] = [
    &["clock", "model"],
    &["bundle", "plan", "schedule"],
    &["program"],
    &["acme", "config", "haproxy", "host", "internal", "probe", "solver", "store"],
    &["control", "import", "reconcile", "renew", "watch"],
    &["doctor", "observe"],
    &["daemon"],
    &["cli"],
];

/// What writes files, or makes them, or takes them away.
const FILE_WRITES: [&str; 17] = [
    "fs::write",
    "fs::rename",
    "fs::copy",
    "fs::remove_",
    "fs::create_dir",
    "fs::hard_link",
    "fs::set_permissions",
    "::symlink(",
    "File::create",
    "File::options",
    "OpenOptions",
    "DirBuilder",
    "tempfile",
    "openat",
    "mkdirat",
    "renameat",
    "unlinkat",
];

/// Where files are written: by `store`, which does it durably, and by the solver that places challenges in the directory of
/// another program's web server, where nothing has to outlive a crash.
const WRITERS: [&str; 2] = ["store/", "solver/webroot.rs"];

/// A source file without its comments and tests.
struct Source {
    /// Below `src`.
    path: String,
    module: String,
    code: String,
}

#[test]
fn every_module_has_a_layer() {
    let library = fs::read_to_string(root().join("src/lib.rs")).unwrap();
    let declared: BTreeSet<&str> =
        library.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';')).collect();
    assert_eq!(declared, layers().into_keys().collect(), "src/lib.rs and the table of layers differ");
}

#[test]
fn a_module_imports_only_from_lower_layers() {
    let layers = layers();
    let mut wrong = Vec::new();
    for source in sources() {
        let Some(own) = layers.get(source.module.as_str()) else { continue };
        for imported in imports(&source.code) {
            let is_lower = layers.get(imported.as_str()).is_some_and(|layer| layer < own);
            if imported != source.module && !is_lower {
                wrong.push(format!("src/{}: {} is of layer {own} and imports {imported}", source.path, source.module));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn layers_0_and_1_wait_for_nothing_and_read_no_file() {
    let pure: BTreeSet<&str> = LAYERS[..2].iter().flat_map(|layer| layer.iter().copied()).collect();
    let found = mentions(&["tokio", "std::fs", "std::net::Tcp", "now()", "rand::"], |source| {
        pure.contains(source.module.as_str())
            // The clock is where the time comes from.
            && source.module != "clock"
    });
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn only_the_store_and_the_webroot_write_files() {
    let found = mentions(&FILE_WRITES, |source| !WRITERS.iter().any(|writer| source.path.starts_with(writer)));
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn nothing_is_unwrapped_and_nothing_is_left_to_do() {
    let found = mentions(&[".unwrap()", "todo!", "unimplemented!", "dbg!"], |_| true);
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn the_rules_see_what_they_are_to_see() {
    let code = "use crate::{acme, config::Config, store};\nuse crate::model::Slot;\nlet x = crate::plan::Plan;\nuse crate::{\n    probe,\n    solver::{Listener, Via},\n};";
    let expected = ["acme", "config", "model", "plan", "probe", "solver", "store"].map(str::to_owned);
    assert_eq!(imports(code), BTreeSet::from(expected));
    let source =
        "//! crate::cli\nfn a() { b(\"//\"); } // crate::renew\n#[cfg(test)]\nmod tests {\n    use crate::cli;\n}\n";
    assert_eq!(code_of(source), "\nfn a() { b(\"//\"); } \n");
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn layers() -> BTreeMap<&'static str, usize> {
    LAYERS.iter().enumerate().flat_map(|(layer, modules)| modules.iter().map(move |module| (*module, layer))).collect()
}

/// Every file of the library but those of tests.
fn sources() -> Vec<Source> {
    fn walk(directory: &Path, files: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { walk(&path, files) } else { files.push(path) }
        }
    }
    let src = root().join("src");
    let mut files = Vec::new();
    walk(&src, &mut files);
    files.sort();
    let tests =
        |path: &str| ["tests.rs", "testing.rs"].iter().any(|end| path.ends_with(end)) || path.contains("/tests/");
    let sources = files.into_iter().filter_map(|file| {
        let path = file.strip_prefix(&src).unwrap().to_str()?.to_owned();
        let module = path.split(['/', '.']).next()?.to_owned();
        let code = code_of(&fs::read_to_string(&file).unwrap());
        (!tests(&path)).then_some(Source { path, module, code })
    });
    sources.collect()
}

/// Leaves out comments, and everything from the first module of tests on, which stands last by the rules of the house.
fn code_of(text: &str) -> String {
    let mut code = String::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        if line == "#[cfg(test)]" && lines.peek().is_some_and(|next| next.ends_with('{')) {
            break;
        }
        // A `//` in a string is followed by neither a space nor a slash.
        let end = if line.trim_start().starts_with("//") { Some(0) } else { line.find("// ") };
        code.push_str(&line[..end.unwrap_or(line.len())]);
        code.push('\n');
    }
    code
}

/// The modules that the paths beginning with `crate::` lead to, those in braces included.
fn imports(code: &str) -> BTreeSet<String> {
    let first =
        |path: &str| path.trim().split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().unwrap().to_owned();
    let mut found = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        let Some(list) = rest.strip_prefix('{') else {
            found.insert(first(rest));
            continue;
        };
        let mut depth = 0;
        let mut start = 0;
        for (end, letter) in list.char_indices() {
            match letter {
                '{' => depth += 1,
                '}' if depth > 0 => depth -= 1,
                '}' | ',' if depth == 0 => {
                    found.insert(first(&list[start..end]));
                    start = end + 1;
                    if letter == '}' {
                        break;
                    }
                }
                _ => {}
            }
        }
    }
    found.remove("");
    found
}

/// The lines of code in which one of the words stands.
fn mentions(words: &[&str], concerned: impl Fn(&Source) -> bool) -> Vec<String> {
    let mut found = Vec::new();
    for source in sources().into_iter().filter(concerned) {
        for (number, line) in (1..).zip(source.code.lines()) {
            if let Some(word) = words.iter().find(|word| line.contains(*word)) {
                found.push(format!("src/{}:{number}: {word}: {}", source.path, line.trim()));
            }
        }
    }
    found
}
