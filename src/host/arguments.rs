//! The command line of a running `HAProxy` (management guide, section 3).

use std::path::{Path, PathBuf};

/// What a command line says, as far as it matters here.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Arguments {
    /// Configuration files and directories (`-f`, and everything after `--`), in order.
    pub files: Vec<PathBuf>,
    /// The directory to go to first (`-C`).
    pub directory: Option<PathBuf>,
    /// The file for process ids (`-p`).
    pub pid_file: Option<PathBuf>,
    /// The master's socket, with its options behind commas (`-S`).
    pub master_socket: Option<String>,
    /// Whether it is a master with workers (`-W`, `-Ws`).
    pub is_master_worker: bool,
    /// Whether it goes into the background (`-D`).
    pub is_daemon: bool,
    /// Whether it only looks, and serves nothing (`-c`, `-v`).
    pub only_looks: bool,
}

/// File names of the program.
const PROGRAMS: [&str; 2] = ["haproxy", "hapee-lb"];
/// How the file name of a dynamic loader begins, by which a program that brings its own libraries is started (`ld.so(8)`).
const LOADERS: [&str; 2] = ["ld-linux", "ld-musl"];
/// Options of a dynamic loader that take a value.
const LOADER_VALUES: [&str; 7] = [
    "--argv0",
    "--library-path",
    "--preload",
    "--audit",
    "--glibc-hwcaps-prepend",
    "--glibc-hwcaps-mask",
    "--inhibit-rpath",
];

impl Arguments {
    /// Reads a command line; `None` when it is not that of a `HAProxy`.
    #[must_use]
    pub fn parse(words: &[String]) -> Option<Self> {
        let mut rest = words;
        if file_name(rest.first()?).is_some_and(|name| LOADERS.iter().any(|loader| name.starts_with(loader))) {
            rest = behind_loader(&rest[1..]);
        }
        let (program, rest) = rest.split_first()?;
        is_program(program).then(|| Self::read(rest))
    }

    /// As `HAProxy` reads them: an option is known by its first letter, and a value is always a word of its own.
    fn read(mut rest: &[String]) -> Self {
        let mut out = Self::default();
        while let Some((word, after)) = rest.split_first() {
            rest = after;
            let Some(flag) = word.strip_prefix('-') else { continue };
            let mut value = || {
                let (value, after) = rest.split_first()?;
                rest = after;
                Some(value.clone())
            };
            match flag {
                "-" => {
                    out.files.extend(rest.iter().map(PathBuf::from));
                    break;
                }
                "sf" | "st" => {
                    while rest.first().is_some_and(|pid| pid.bytes().all(|byte| byte.is_ascii_digit())) {
                        rest = &rest[1..];
                    }
                }
                "cc" => {
                    value();
                    out.only_looks = true;
                }
                _ => match flag.bytes().next() {
                    Some(b'v' | b'c') => out.only_looks = true,
                    Some(b'W') => out.is_master_worker = true,
                    Some(b'D') => out.is_daemon = true,
                    Some(b'f') => out.files.extend(value().map(PathBuf::from)),
                    Some(b'C') => out.directory = value().map(PathBuf::from),
                    Some(b'p') => out.pid_file = value().map(PathBuf::from),
                    Some(b'S') => out.master_socket = value(),
                    Some(b'x' | b'n' | b'm' | b'N' | b'L') => drop(value()),
                    _ => {}
                },
            }
        }
        out
    }
}

/// Whether a path is that of a `HAProxy`, by its name.
pub(super) fn is_program(path: &str) -> bool {
    let Some(name) = file_name(path) else { return false };
    PROGRAMS.iter().any(|program| {
        // Beside `haproxy` itself, those that distributions install side by side, such as `haproxy-3.2`.
        name.strip_prefix(program).is_some_and(|rest| {
            rest.is_empty() || rest.strip_prefix('-').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
        })
    })
}

fn file_name(path: &str) -> Option<&str> {
    Path::new(path.strip_suffix(" (deleted)").unwrap_or(path)).file_name()?.to_str()
}

fn behind_loader(mut rest: &[String]) -> &[String] {
    while let Some(option) = rest.first().filter(|word| word.starts_with("--")) {
        let words = if LOADER_VALUES.contains(&option.as_str()) { 2 } else { 1 };
        rest = rest.get(words..).unwrap_or_default();
    }
    rest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Option<Arguments> {
        Arguments::parse(&line.split(' ').map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn a_command_line_is_read_as_haproxy_does() {
        let debian =
            parse("/usr/sbin/haproxy -Ws -f /etc/haproxy/haproxy.cfg -p /run/haproxy.pid -S /run/haproxy-master.sock")
                .unwrap();
        assert_eq!(debian.files, [Path::new("/etc/haproxy/haproxy.cfg")]);
        assert!(debian.is_master_worker && !debian.is_daemon && !debian.only_looks);
        assert_eq!(debian.master_socket.as_deref(), Some("/run/haproxy-master.sock"));
        assert_eq!(debian.pid_file.as_deref(), Some(Path::new("/run/haproxy.pid")));

        let reloaded =
            parse("/usr/sbin/haproxy -sf 12 13 -x sockpair@5 -W -f a -f b -dM -dr -D -C /srv -- c d").unwrap();
        assert_eq!(reloaded.files, ["a", "b", "c", "d"].map(PathBuf::from));
        assert_eq!(reloaded.directory.as_deref(), Some(Path::new("/srv")));
        assert!(reloaded.is_daemon);

        assert!(parse("haproxy -c -f a").unwrap().only_looks && parse("haproxy -vv").unwrap().only_looks);
        assert_eq!(parse("haproxy -f").unwrap().files, Vec::<PathBuf>::new());
    }

    #[test]
    fn a_haproxy_is_known_by_the_name_of_its_program() {
        let loaded = parse(
            "/o/ld-linux-x86-64.so.2 --inhibit-cache --argv0 /o/haproxy --library-path /o/lib /o/usr/sbin/haproxy -f a",
        );
        assert_eq!(loaded.unwrap().files, [Path::new("a")]);
        for is in [
            "haproxy",
            "/usr/local/sbin/haproxy-3.2 -D",
            "/opt/hapee-2.8/sbin/hapee-lb",
            "/usr/sbin/haproxy\u{20}(deleted)",
        ] {
            assert!(is_program(is.split(" -").next().unwrap()), "{is}");
        }
        for other in [
            "vim haproxy.cfg",
            "haproxy_exporter",
            "haproxy-exporter",
            "/usr/bin/python3 haproxy",
            "",
            "/o/ld-linux-x86-64.so.2",
        ] {
            assert_eq!(parse(other), None, "{other}");
        }
    }
}
