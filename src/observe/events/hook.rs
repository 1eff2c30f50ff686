//! A program that is told: its arguments as configured, the event on its standard input and in its environment.

use std::path::Path;
use std::time::Duration;

use super::Event;
use crate::program;

/// How long a program may take: enough to send a mail.
const DEADLINE: Duration = Duration::from_secs(30);

/// Runs it; success is the exit code 0.
pub(super) async fn run(words: &[String], event: &Event, document: &[u8]) -> Result<(), program::Error> {
    let Some((path, arguments)) = words.split_first() else { return Ok(()) };
    let mut command = program::command(path);
    command.args(arguments).envs(environment(event));
    program::run(Path::new(path), &mut command, Some(document), DEADLINE).await
}

/// What a program finds in its environment besides `PATH`; what does not apply is not there.
fn environment(event: &Event) -> Vec<(&'static str, String)> {
    let domains: Vec<_> = event.domains.iter().map(ToString::to_string).collect();
    let all = [
        ("HOTCERT_EVENT", Some(event.occasion.to_string())),
        ("HOTCERT_EVENT_ID", Some(event.id.clone())),
        ("HOTCERT_CERTIFICATE", event.certificate.as_ref().map(ToString::to_string)),
        ("HOTCERT_DOMAINS", Some(domains.join(" ")).filter(|domains| !domains.is_empty())),
        ("HOTCERT_NODE", event.node.as_ref().map(ToString::to_string)),
        ("HOTCERT_ISSUER", event.issuer.clone()),
        ("HOTCERT_GENERATION", event.generation.map(|number| number.to_string())),
        ("HOTCERT_SERIAL", event.serial.as_ref().map(ToString::to_string)),
        ("HOTCERT_NOT_AFTER", event.not_after.map(|end| end.to_string())),
        ("HOTCERT_MESSAGE", Some(event.message.clone())),
    ];
    all.into_iter().filter_map(|(name, value)| Some((name, value.filter(|value| !value.contains('\0'))?))).collect()
}
