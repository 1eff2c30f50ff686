//! `hotcert completions` and `hotcert man`, made from the definition of the command line.

use std::io::{Result as IoResult, Write};

use clap::{Command, CommandFactory};
use clap_mangen::Man;

use super::Cli;
use super::failure::Failure;
use super::outcome::Outcome;

pub(super) fn shell(shell: clap_complete::Shell) -> Outcome {
    let mut bytes = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "hotcert", &mut bytes);
    Outcome::script(String::from_utf8_lossy(&bytes))
}

pub(super) fn man() -> Result<Outcome, Failure> {
    let mut bytes = Vec::new();
    page(&mut bytes).map_err(|error| anyhow::Error::new(error).context("cannot make the manual page"))?;
    Ok(Outcome::script(String::from_utf8_lossy(&bytes)))
}

/// What stands at the end of the manual page.
const FILES: &str = r".SH FILES
.TP
.I /etc/hotcert/hotcert.toml
The configuration: authorities, ways to prove names, HAProxy nodes, certificates, watched directories.
.B hotcert config show
prints it with every default.
.TP
.I /var/lib/hotcert
The store: accounts, private keys, and the generations of each certificate; for its owner alone.
.TP
.I /var/lib/hotcert/control.sock
By it the other commands find a running sidecar, and have it do their work.
.SH EXAMPLES
.TP
The lines that HAProxy needs:
.B hotcert config haproxy \-\-socket /run/haproxy/admin.sock \-\-crt\-dir /etc/haproxy/certs
.TP
A first certificate, rehearsed and then ordered:
.B hotcert issue example.org \-\-directory letsencrypt \-\-contact admin@example.org \-\-agree\-terms \-\-socket
.B /run/haproxy/admin.sock \-\-crt\-dir /etc/haproxy/certs \-\-verify 127.0.0.1:443 \-\-dry\-run
.TP
A certificate that another program has ordered:
.B hotcert push fullchain.pem privkey.pem \-\-name example.org
.TP
The one before, because the new one is wrong:
.B hotcert rollback example.org
.SH SEE ALSO
.BR haproxy (1),
.BR systemctl (1)
";

/// One page for all commands, so that one file is installed and one page is searched.
fn page(out: &mut Vec<u8>) -> IoResult<()> {
    let global = Cli::command();
    let mut root = global.clone();
    root.build();
    // The options of every command stand once, on top.
    let top = Man::new(global.clone());
    top.render_title(out)?;
    top.render_name_section(out)?;
    top.render_synopsis_section(out)?;
    top.render_description_section(out)?;
    top.render_options_section(out)?;
    for command in root.get_subcommands() {
        section(command, &global, out)?;
    }
    exit_status(&global, out)?;
    out.write_all(FILES.as_bytes())?;
    top.render_version_section(out)
}

/// The exit codes, as the end of the help lists them.
fn exit_status(global: &Command, out: &mut Vec<u8>) -> IoResult<()> {
    let listed = global.get_after_help().map(ToString::to_string).unwrap_or_default();
    writeln!(out, ".SH \"EXIT STATUS\"")?;
    for code in listed.trim_start_matches("Exit codes: ").trim_end_matches('.').split(", ") {
        let (code, meaning) = code.split_once(' ').unwrap_or((code, ""));
        writeln!(out, ".TP\n.B {code}\n{}", roff(meaning))?;
    }
    Ok(())
}

fn section(command: &Command, global: &Command, out: &mut Vec<u8>) -> IoResult<()> {
    if command.get_name() == "help" {
        return Ok(());
    }
    if command.has_subcommands() {
        return command.get_subcommands().try_for_each(|child| section(child, global, out));
    }
    let path = command.get_bin_name().unwrap_or(command.get_name());
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    let usage = command.clone().render_usage().to_string();
    let usage = usage.trim_start_matches("Usage: ");
    writeln!(out, ".SH \"{path}\"\n.B {}\n.PP\n{}", roff(usage), roff(&about))?;
    let own = command.clone().mut_args(|argument| {
        let is_global = global.get_arguments().any(|known| known.get_id() == argument.get_id());
        let hidden = is_global || argument.get_id() == "help";
        argument.hide(hidden)
    });
    let mut options = Vec::new();
    Man::new(own).render_options_section(&mut options)?;
    // As a part of the command's section.
    let options = String::from_utf8_lossy(&options).replace(".SH OPTIONS\n", "").replace(".SH ", ".SS ");
    write!(out, "{options}")
}

/// A dash that is no hyphen.
fn roff(text: &str) -> String {
    text.replace('-', "\\-")
}
