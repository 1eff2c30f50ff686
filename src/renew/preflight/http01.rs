//! Asking for an http-01 challenge ourselves.

use super::trial::Reply;
use crate::model::{Identifier, Token, printable};
use crate::probe::{self, Answer, Target};

/// How much of a wrong answer is shown, in characters.
const SHOWN: usize = 60;

/// Asks for a token whose answer should be `expected`.
pub(super) async fn ask(name: &Identifier, token: &Token, expected: &str, target: &Target) -> Reply {
    match probe::http01(target, name, token).await {
        Ok(answer) => match judge(&answer, expected) {
            None => Reply::Right(answer.address),
            Some(meaning) => {
                let asked = format!("http://{name}{} at {}", token.path(), answer.address);
                Reply::Wrong(asked, describe(&answer), meaning)
            }
        },
        Err(error) => Reply::Silence(error),
    }
}

fn judge(answer: &Answer, expected: &str) -> Option<&'static str> {
    match answer.status {
        200 if answer.body.trim_ascii() == expected.as_bytes() => None,
        200 => {
            Some("something else answers challenges: another program, another HAProxy, or another account's thumbprint")
        }
        300..=399 => Some("HAProxy redirects challenges: the rule for them must stand above the redirect"),
        404 => {
            Some("the request does not reach what answers challenges: the rule for them is missing, or stands too low")
        }
        503 => Some("HAProxy has the rule, and cannot reach hotcert: look at the address of the `server` line"),
        _ => Some("challenges are not answered"),
    }
}

fn describe(answer: &Answer) -> String {
    let mut text = format!("status {}", answer.status);
    if let Some(location) = &answer.location {
        text.push_str(&format!(" to {}", plain(location)));
    }
    if answer.status == 200 {
        text.push_str(&format!(" with the body \"{}\"", plain(&String::from_utf8_lossy(&answer.body))));
    }
    text
}

/// The beginning of a foreign text, fit for a terminal.
fn plain(text: &str) -> String {
    printable(text, SHOWN)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> Answer {
        Answer {
            address: "127.0.0.1:80".parse().unwrap(),
            status,
            location: (status == 301).then(|| "https://a.test/\u{1b}[31m".to_owned()),
            body: body.as_bytes().to_vec(),
        }
    }

    #[test]
    fn only_the_key_authorization_passes() {
        assert_eq!(judge(&answer(200, "t.thumb\n"), "t.thumb"), None);
        for (status, body, word) in [
            (200, "t.other", "another"),
            (301, "", "redirect"),
            (404, "", "missing"),
            (503, "", "server"),
            (500, "", "not answered"),
        ] {
            let meaning = judge(&answer(status, body), "t.thumb").unwrap();
            assert!(meaning.contains(word), "{meaning}");
        }
    }

    #[test]
    fn foreign_text_is_shown_without_control_characters() {
        assert_eq!(describe(&answer(301, "")), "status 301 to https://a.test/[31m");
        assert!(describe(&answer(200, &"x".repeat(1000))).len() < 120);
    }
}
