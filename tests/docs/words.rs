//! Commands of hotcert as the text names them: they must exist, and so must their flags.

use clap::{Command, CommandFactory as _};

/// Checks code between backquotes, if it is a command of hotcert.
pub fn check(page: &str, code: &str) {
    let mut words = code.split_whitespace().peekable();
    if words.next() != Some("hotcert") {
        return;
    }
    let mut command = hotcert::cli::Cli::command();
    command.build();
    let mut command = &command;
    while let Some(next) = words.peek().and_then(|word| subcommand(command, word)) {
        command = next;
        words.next();
    }
    let wants_more = command.has_subcommands() && words.peek().is_some_and(|word| !word.starts_with(['-', '…']));
    assert!(!wants_more, "{page}: `{code}`: there is no such command");
    for flag in words.filter_map(|word| word.split(['=', '…', '.', '[', ']']).next()?.strip_prefix("--")) {
        let mut flags = command.get_arguments().filter_map(clap::Arg::get_long);
        let is_known = ["", "help", "version"].contains(&flag) || flags.any(|known| known == flag);
        assert!(is_known, "{page}: `{code}`: there is no flag --{flag}");
    }
}

fn subcommand<'a>(command: &'a Command, name: &str) -> Option<&'a Command> {
    command.get_subcommands().find(|child| child.get_name() == name)
}
