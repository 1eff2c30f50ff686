//! Whether what a page shows is what a command has printed.
//!
//! Numbers, dates, versions and serial numbers differ from run to run: of a word with a digit only the shape counts. `…` stands
//! for any part of a word, or on a line of its own for any lines. How many spaces there are does not matter.

/// The first difference, if there is one.
pub fn difference(shown: &[String], printed: &str) -> Option<String> {
    let printed: Vec<&str> = printed.lines().filter(|line| !line.trim().is_empty()).collect();
    let shown: Vec<&str> = shown.iter().map(String::as_str).filter(|line| !line.trim().is_empty()).collect();
    if is_same(&shown, &printed) {
        return None;
    }
    let missing = shown.iter().find(|line| line.trim() != "…" && !printed.iter().any(|other| is_like(line, other)));
    Some(match missing {
        Some(line) => format!("nothing like this line of the page was printed:\n{line}"),
        None => "more was printed, or in another order".to_owned(),
    })
}

fn is_same(shown: &[&str], printed: &[&str]) -> bool {
    match shown.split_first() {
        None => printed.is_empty(),
        Some((line, rest)) if line.trim() == "…" => {
            (0..=printed.len()).any(|skipped| is_same(rest, &printed[skipped..]))
        }
        Some((line, rest)) => {
            printed.split_first().is_some_and(|(first, others)| is_like(line, first) && is_same(rest, others))
        }
    }
}

fn is_like(shown: &str, printed: &str) -> bool {
    let shape = |line: &str| line.split_whitespace().map(shape).collect::<Vec<_>>().join(" ");
    fits(&shape(shown), &shape(printed))
}

/// A word with `#` in place of what is different each time.
fn shape(word: &str) -> String {
    let mut shape = String::new();
    let mut run = String::new();
    for c in word.chars().chain([' ']) {
        if c.is_ascii_alphanumeric() {
            run.push(c);
            continue;
        }
        let is_hex = run.len() >= 4 && run.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f'));
        if run.contains(|c: char| c.is_ascii_digit()) || is_hex {
            shape.push('#');
        } else {
            shape.push_str(&run);
        }
        run.clear();
        shape.push(c);
    }
    // A date, a version, an address: one thing, however many parts it has.
    let mut short = String::new();
    for c in shape.trim_end().chars() {
        if c == '#' {
            while short.ends_with(['.', ':', '-', '~', '+'])
                && short.trim_end_matches(['.', ':', '-', '~', '+']).ends_with('#')
            {
                short.pop();
            }
            if short.ends_with('#') {
                continue;
            }
        }
        short.push(c);
    }
    short
}

/// Whether a text is like a pattern, in which `…` stands for anything.
fn fits(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('…');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

#[test]
fn numbers_dates_and_serials_may_differ_and_words_may_not() {
    for (shown, printed) in [
        ("serial 04ab…, expires 2027-02-20", "serial 35fc0b5d2c, expires 2026-11-23"),
        ("HAProxy 3.2.26-1, process 4790", "HAProxy 3.2.8, process 12"),
        ("a  b", "a b"),
        ("serial 535f is", "serial deaf is"),
    ] {
        assert!(is_like(shown, printed), "{shown} | {printed}");
    }
    for (shown, printed) in [("in-sync", "stale"), ("2 connections", "2 certificates"), ("a b", "a")] {
        assert!(!is_like(shown, printed), "{shown} | {printed}");
    }
    let shown = ["a", "…", "z"].map(str::to_owned);
    assert_eq!(difference(&shown, "a\nb\nc\nz\n"), None);
    assert!(difference(&shown, "a\nb\n").is_some());
}
