//! What a program of `HAProxy` says of itself, when no process of it can be asked.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use super::arguments::is_program;
use super::trust::is_protected;

/// How long `haproxy -v` may take: it prints a few lines.
const DEADLINE: Duration = Duration::from_secs(5);
/// Characters of a version that anybody has seen.
const MAX_VERSION: usize = 64;

/// The version that `haproxy -v` prints, such as `2.6.12-1+deb12u3`; `None` when it cannot be told, or when others than root and we could
/// have put the program there.
pub async fn version_of(program: &Path) -> Option<String> {
    if !is_program(program.to_str()?) || !is_protected(program) {
        return None;
    }
    let mut command = Command::new(program);
    command.arg("-v").env_clear().stdin(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(DEADLINE, command.output()).await.ok()?.ok()?;
    parse(&String::from_utf8_lossy(&output.stdout))
}

/// `HAProxy version 2.6.12-1+deb12u3 2025/10/17 - https://haproxy.org/`; up to 2.2 it is `HA-Proxy`.
fn parse(text: &str) -> Option<String> {
    let mut words = text.lines().next()?.split_whitespace();
    let is_haproxy =
        words.next().is_some_and(|word| word == "HAProxy" || word == "HA-Proxy") && words.next() == Some("version");
    let version = words.next()?;
    (is_haproxy && version.len() <= MAX_VERSION && version.bytes().all(|byte| byte.is_ascii_graphic()))
        .then(|| version.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_the_third_word() {
        let new = "HAProxy version 3.2.26-1 2026/10/01 - https://haproxy.org/\nStatus: long-term";
        assert_eq!(parse(new).as_deref(), Some("3.2.26-1"));
        assert_eq!(parse("HA-Proxy version 2.2.9 2021").as_deref(), Some("2.2.9"));
        for other in ["", "nginx version 1", "HAProxy", "HAProxy version"] {
            assert_eq!(parse(other), None);
        }
    }
}
