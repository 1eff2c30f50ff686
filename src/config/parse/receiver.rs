//! `[[hook]]` and `[[webhook]]`.

use std::net::IpAddr;
use std::path::Path;

use toml::de::DeValue;

use super::super::read::{Reader, Section, list, one_or_more, parsed, text};
use super::super::receiver::host;
use super::super::{Receiver, Target};
use super::dns::optional_file;

pub(super) fn receivers(top: &mut Section<'_>, reader: &mut Reader<'_>) -> Vec<Receiver> {
    let mut receivers: Vec<Receiver> = Vec::new();
    for mut section in top.array(reader, "hook") {
        let on = section.require(reader, "on", |value| one_or_more(value, parsed));
        let run = section.require(reader, "run", program);
        section.finish(reader);
        receivers.extend(
            on.zip(run).map(|(on, run)| Receiver { on: on.into_iter().collect(), target: Target::Hook { run } }),
        );
    }
    for mut section in top.array(reader, "webhook") {
        let on = section.require(reader, "on", |value| one_or_more(value, parsed));
        // The path of many is all that keeps others from using them.
        let url = section.require_veiled(reader, "url", |value| {
            let url = url(value)?;
            let shown = host(&url);
            Ok((url, shown))
        });
        let token_file = optional_file(&mut section, reader, "token_file");
        let root_ca = optional_file(&mut section, reader, "root_ca");
        section.finish(reader);
        receivers.extend(on.zip(url).map(|(on, url)| Receiver {
            on: on.into_iter().collect(),
            target: Target::Webhook { url, token_file, root_ca },
        }));
    }
    receivers
}

fn program(value: &DeValue<'_>) -> Result<Vec<String>, String> {
    let words = list(value, text)?;
    let program = words.first().ok_or("must have the path of a program, and then its arguments")?;
    if !Path::new(program).is_absolute() {
        return Err(format!("{program:?} is not an absolute path: it is run without a shell"));
    }
    if words.iter().any(|word| word.contains('\0')) {
        return Err("must not contain NUL".to_owned());
    }
    Ok(words)
}

fn url(value: &DeValue<'_>) -> Result<String, String> {
    let url = text(value)?;
    let parsed: http::Uri =
        url.parse().map_err(|_| "is no URL: use one such as https://hooks.example.org/hotcert".to_owned())?;
    let authority = parsed.authority().filter(|authority| !authority.host().is_empty());
    let authority = authority.ok_or("has no host: use one such as https://hooks.example.org/hotcert")?;
    if authority.as_str().contains('@') {
        return Err("must not have a name or password in it: use token_file".to_owned());
    }
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    let is_local = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    match parsed.scheme_str() {
        Some("https") => Ok(url),
        Some("http") if is_local => Ok(url),
        _ => Err("must be https, or http to this machine".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::parsed;

    #[test]
    fn programs_and_webhooks_are_told_and_secrets_of_their_addresses_are_not_shown() {
        let config = parsed(
            "[[hook]]\non = \"failed\"\nrun = [\"/bin/mail\", \"ops\"]\n[[webhook]]\non = [\"renewed\", \"loaded\"]\nurl = \"https://hooks.test/T0/secret\"\n\
             [[webhook]]\non = \"expiring\"\nurl = \"http://127.0.0.1:9000/x\"",
        )
        .unwrap();
        assert_eq!(config.receivers.len(), 3);
        let shown = format!("{:?} {:?}", config.receivers, config.settings);
        assert!(shown.contains("https://hooks.test") && !shown.contains("secret"), "{shown}");
        assert_ne!(config.receivers[0].target.id(), config.receivers[1].target.id());
    }

    #[test]
    fn what_cannot_be_told_is_a_problem_with_its_place() {
        for (text, expected) in [
            ("[[hook]]\nrun = [\"/bin/true\"]", "hook[0].on: is missing"),
            (
                "[[hook]]\non = \"dead\"\nrun = [\"/bin/true\"]",
                "hook[0].on: must be renewed, loaded, failed or expiring",
            ),
            ("[[hook]]\non = \"failed\"\nrun = [\"mail\"]", "is not an absolute path"),
            ("[[hook]]\non = \"failed\"\nrun = []", "hook[0].run: must have the path of a program"),
            ("[[hook]]\non = \"failed\"\nrun = \"/bin/true\"", "hook[0].run: must be a list"),
            ("[[hook]]\non = \"failed\"\nrun = [\"/a\"]\nshell = true", "hook[0].shell: unknown key"),
            ("[[webhook]]\non = \"failed\"\nurl = \"http://hooks.test/secret\"", "webhook[0].url: must be https"),
            ("[[webhook]]\non = \"failed\"\nurl = \"https://u:secret@hooks.test/\"", "use token_file"),
            ("[[webhook]]\non = \"failed\"\nurl = \"https:///secret\"", "webhook[0].url: "),
            (
                "[[webhook]]\non = \"failed\"\nurl = \"https://a.test\"\ntoken_file = \"token\"",
                "must be the absolute path of a file",
            ),
            ("[[webhook]]\non = \"failed\"\nurl = \"https://a.test\"\ntoken_file = \"secret\"", "token_file: must be"),
            ("[[webhook]]\non = \"failed\"\nurl = \"https://a.test\"\ntoken = \"x\"", "unknown key"),
        ] {
            let problems = parsed(text).unwrap_err();
            assert!(problems.iter().any(|problem| problem.contains(expected)), "{expected} in {problems:#?}");
            assert!(!problems.concat().contains("secret"), "{problems:#?}");
        }
    }
}
