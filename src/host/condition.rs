//! Conditional blocks of a configuration (configuration manual, section 2.4).
//!
//! What can be decided from outside is; everything else is kept and marked as uncertain, so that nothing is overlooked.

use super::words::Variables;

/// Blocks within blocks that `HAProxy` accepts (`MAXNESTEDCONDS` in its source).
const MAX_DEPTH: usize = 16;

/// Whether lines count: `None` when that cannot be told.
pub(super) type Truth = Option<bool>;

/// The blocks around a line.
#[derive(Debug, Default)]
pub(super) struct Blocks(Vec<Block>);

#[derive(Debug)]
struct Block {
    /// Whether the lines of the branch count.
    now: Truth,
    /// Whether a branch before it counted.
    before: Truth,
}

impl Blocks {
    /// Whether a line counts where it stands.
    pub(super) fn now(&self) -> Truth {
        self.0.iter().map(|block| block.now).reduce(and).unwrap_or(Some(true))
    }

    /// Takes a line that begins with a dot; `false` when it is no condition.
    pub(super) fn take(&mut self, words: &[String], variables: &Variables) -> Result<bool, &'static str> {
        let condition = || truth(words.get(1..).unwrap_or_default(), variables);
        match words.first().map(String::as_str) {
            Some(".if") => {
                if self.0.len() >= MAX_DEPTH {
                    return Err("too many conditional blocks");
                }
                self.0.push(Block { now: condition(), before: Some(false) });
            }
            Some(word @ (".elif" | ".else")) => {
                let block = self.0.last_mut().ok_or("there is no .if before it")?;
                block.before = or(block.before, block.now);
                let own = if word == ".else" { Some(true) } else { condition() };
                block.now = and(not(block.before), own);
            }
            Some(".endif") => {
                self.0.pop().ok_or("there is no .if before it")?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }
}

fn not(truth: Truth) -> Truth {
    truth.map(|truth| !truth)
}

fn and(a: Truth, b: Truth) -> Truth {
    match (a, b) {
        (Some(false), _) | (_, Some(false)) => Some(false),
        (Some(true), Some(true)) => Some(true),
        _ => None,
    }
}

fn or(a: Truth, b: Truth) -> Truth {
    not(and(not(a), not(b)))
}

/// Alternatives of conjunctions; parentheses around them are not decided.
fn truth(words: &[String], variables: &Variables) -> Truth {
    let text = words.concat();
    if text.is_empty() {
        return Some(false);
    }
    if text.contains(['"', '\''])
        || text.starts_with('(')
        || text.contains("&(")
        || text.contains("|(")
        || text.contains("!(")
    {
        return None;
    }
    let all_of = |terms: &str| terms.split("&&").map(|term| single(term, variables)).reduce(and).flatten();
    text.split("||").map(all_of).reduce(or).flatten()
}

fn single(term: &str, variables: &Variables) -> Truth {
    if let Some(rest) = term.strip_prefix('!') {
        return not(single(rest, variables));
    }
    if let Ok(number) = term.parse::<i64>() {
        return Some(number != 0);
    }
    let (function, arguments) = term.strip_suffix(')')?.split_once('(')?;
    let mut arguments = arguments.split(',');
    let (first, second) = (arguments.next()?, arguments.next());
    match (function, second) {
        ("defined", None) => {
            let is_there = variables.values.contains_key(first);
            (is_there || variables.are_known).then_some(is_there)
        }
        ("streq", Some(second)) => Some(first == second),
        ("strneq", Some(second)) => Some(first != second),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(condition: &str) -> Truth {
        let values = [("HERE".to_owned(), String::new())].into();
        let variables = Variables { values, are_known: true };
        truth(&condition.split(' ').filter(|word| !word.is_empty()).map(str::to_owned).collect::<Vec<_>>(), &variables)
    }

    #[test]
    fn what_can_be_decided_is_decided() {
        for yes in ["1", "defined(HERE)", "!defined(AWAY)", "streq(a,a)", "0 || 1", "1 && !0", "feature(OPENSSL) || 1"]
        {
            assert_eq!(holds(yes), Some(true), "{yes}");
        }
        for no in ["", "0", "defined(AWAY)", "strneq(a,a)", "1 && 0", "feature(OPENSSL) && 0"] {
            assert_eq!(holds(no), Some(false), "{no}");
        }
        for unknown in ["feature(OPENSSL)", "version_atleast(2.6)", "(1)", "1 && (0)", "x", "feature(A) || 0"] {
            assert_eq!(holds(unknown), None, "{unknown}");
        }
    }

    #[test]
    fn one_branch_counts_at_most() {
        let run = |lines: &[&str]| {
            let mut blocks = Blocks::default();
            for line in lines {
                let words: Vec<_> = line.split(' ').map(str::to_owned).collect();
                assert!(blocks.take(&words, &Variables::default()).unwrap(), "{line}");
            }
            blocks.now()
        };
        assert_eq!(run(&[".if 1"]), Some(true));
        assert_eq!(run(&[".if 1", ".else"]), Some(false));
        assert_eq!(run(&[".if 0", ".elif 1", ".elif 1"]), Some(false));
        assert_eq!(run(&[".if 0", ".else", ".if 0", ".endif"]), Some(true));
        assert_eq!(run(&[".if feature(X)", ".else"]), None);
        assert_eq!(run(&[".if 0", ".if feature(X)"]), Some(false));
        assert!(Blocks::default().take(&[".else".to_owned()], &Variables::default()).is_err());
    }
}
