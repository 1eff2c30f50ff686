//! Programs of the user's, and scripts of acme.sh, keep the records.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;

use super::{County, expect_no_notes};
use crate::support::bind::OTHER;
use crate::support::tool;
use crate::support::{poll, process, sidecar};

/// A secret for the environment of a script.
const TOKEN: &str = "t0ken/that&is=planted+here";

/// Adds and removes one value, as lego's programs do.
fn hook(county: &County) -> PathBuf {
    tool::packaged("nsupdate");
    let (port, key) = (county.bind.addr().port(), county.bind.key_file());
    let script = format!(
        "#!/bin/sh
set -eu
env | cut -d= -f1 | sort | tr '\\n' ' ' >>\"$0.env\"
case $1 in
    present) line=\"update add $2 60 TXT \\\"$3\\\"\" ;;
    cleanup) [ ! -e \"$0.broken\" ]; line=\"update delete $2 TXT \\\"$3\\\"\" ;;
esac
printf 'server 127.0.0.1 {port}\\n%s\\nsend\\n' \"$line\" | nsupdate -k '{key}'
",
        key = key.display()
    );
    let file = county.hotcert.scratch().write("hook.sh", script);
    county.hotcert.scratch().chmod("hook.sh", 0o755);
    file
}

#[test]
fn a_program_keeps_the_records() {
    let county = County::new();
    let hook = hook(&county);
    let solver = format!("provider = \"exec\"\nprogram = {hook:?}");
    county.renew(&solver, "shared", &["shared.test", "*.shared.test"]).expect_code(0);
    assert_eq!(county.bind.txt("_acme-challenge.shared.test"), [OTHER]);
    expect_no_notes(&county.hotcert);
    // The shell adds some of these itself.
    let seen = fs::read_to_string(hook.with_extension("sh.env")).unwrap();
    let seen: BTreeSet<&str> = seen.split_whitespace().collect();
    assert!(seen.is_subset(&BTreeSet::from(["HOME", "PATH", "OLDPWD", "PWD", "SHLVL", "_"])), "{seen:?}");
}

#[test]
fn a_record_that_cannot_be_removed_is_removed_later() {
    let county = County::new();
    let hook = hook(&county);
    let broken = county.hotcert.scratch().write("hook.sh.broken", "");
    let solver = format!("provider = \"exec\"\nprogram = {hook:?}");
    let issued = county.renew(&solver, "a", &["a.test"]).expect_code(0);
    assert!(issued.stderr.contains("could not be removed, and may still be there"), "{issued:?}");
    assert_eq!(county.bind.txt("_acme-challenge.a.test").len(), 1);
    let still = county.renew(&solver, "a", &["a.test"]).expect_code(0);
    assert!(still.stderr.contains("could not be removed, and may still be there"), "{still:?}");
    fs::remove_file(broken).unwrap();
    let outcome = county.renew(&solver, "a", &["a.test"]).expect_code(0);
    assert!(!outcome.stderr.contains("left behind"), "{outcome:?}");
    assert_eq!(county.pebble.orders(), 1);
    county.expect_tidy(&["_acme-challenge.a.test"]);
}

#[test]
fn a_program_that_fails_is_quoted() {
    let county = County::new();
    let hook = county.hotcert.scratch().write("hook.sh", "#!/bin/sh\necho \"no luck with $2\" >&2\nexit 7\n");
    county.hotcert.scratch().chmod("hook.sh", 0o755);
    let outcome = county.renew(&format!("provider = \"exec\"\nprogram = {hook:?}"), "a", &["a.test"]).expect_code(75);
    assert!(
        outcome.stdout.contains("(exit status: 7), and printed: no luck with _acme-challenge.a.test."),
        "{outcome:?}"
    );
    assert_eq!(county.pebble.requests("/chalZ/"), 0);
}

/// A home of acme.sh: the parts of it that its scripts for the DNS use, in the same order and by the same names (`acme.sh` 3.1.4), and
/// such a script.
fn acme_sh(county: &County) -> PathBuf {
    tool::packaged("nsupdate");
    let scratch = county.hotcert.scratch();
    scratch.write(
        "acme/acme.sh",
        r#"#!/usr/bin/env sh
PROJECT_NAME="acme.sh"
DEFAULT_INSTALL_HOME="$HOME/.$PROJECT_NAME"
_SCRIPT_="$0"
_readaccountconf_mutable() {
  [ ! -f "$ACCOUNT_CONF_PATH" ] || (. "$ACCOUNT_CONF_PATH"; eval "printf '%s' \"\$SAVED_$1\"")
}
_saveaccountconf_mutable() {
  printf "SAVED_%s='%s'\n" "$1" "$2" >>"$ACCOUNT_CONF_PATH"
}
_info() { printf -- "%s\n" "$1"; }
_err() { printf -- "%s\n" "$1" >&2; return 1; }
_startswith() { case $1 in "$2"*) ;; *) return 1 ;; esac; }
showhelp() { echo usage; }
_initpath() {
  domain="$1"
  LE_WORKING_DIR="${LE_WORKING_DIR:-$DEFAULT_INSTALL_HOME}"
  LE_CONFIG_HOME="${LE_CONFIG_HOME:-$LE_WORKING_DIR}"
  ACCOUNT_CONF_PATH="$LE_CONFIG_HOME/account.conf"
}
main() {
  [ -z "$1" ] && showhelp && return
  if _startswith "$1" '-'; then _process "$@"; else "$@"; fi
}

main "$@"
"#,
    );
    let (port, key) = (county.bind.addr().port(), county.bind.key_file());
    scratch.write(
        "acme/dnsapi/dns_standin.sh",
        format!(
            r#"#!/usr/bin/env sh
_dns_standin_send() {{
  STANDIN_TOKEN="${{STANDIN_TOKEN:-$(_readaccountconf_mutable STANDIN_TOKEN)}}"
  if [ "$STANDIN_TOKEN" != '{TOKEN}' ]; then
    _err "this is no good: $STANDIN_TOKEN"
    return 1
  fi
  _saveaccountconf_mutable STANDIN_TOKEN "$STANDIN_TOKEN"
  printf 'server 127.0.0.1 {port}\n%s\nsend\n' "$1" | nsupdate -k '{key}'
}}
dns_standin_add() {{
  fulldomain=$1
  txtvalue=$2
  _info "adding"
  _dns_standin_send "update add $fulldomain. 60 in txt \"$txtvalue\""
}}
dns_standin_rm() {{
  fulldomain=$1
  txtvalue=$2
  _dns_standin_send "update delete $fulldomain. txt \"$txtvalue\""
}}
"#,
            key = key.display()
        ),
    );
    scratch.join("acme")
}

#[test]
fn a_script_of_acme_sh_keeps_the_records_and_its_secret_stays_with_it() {
    let county = County::new();
    let home = acme_sh(&county);
    let environment = county.hotcert.scratch().write("standin.env", format!("export STANDIN_TOKEN='{TOKEN}'\n"));
    let solver =
        format!("provider = \"acme.sh\"\napi = \"dns_standin\"\nhome = {home:?}\nenvironment_file = {environment:?}");
    let command = ["renew", "-vvv", "--json"].iter().map(OsString::from);
    let command = command.chain(county.flags(&solver, "shared", &["shared.test", "*.shared.test"]));
    let running = county.hotcert.spawn(command.collect::<Vec<_>>());
    let mut lines = BTreeSet::new();
    let root = running.id();
    poll(sidecar::DEADLINE, || {
        for id in process::tree(root) {
            lines.insert(fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default());
        }
        (!process::is_running(root)).then_some(())
    });
    let outcome = running.wait(sidecar::DEADLINE).expect_code(0);
    assert_eq!(county.bind.txt("_acme-challenge.shared.test"), [OTHER]);
    expect_no_notes(&county.hotcert);

    assert!(lines.iter().any(|line| line.windows(11).any(|part| part == b"dns_standin")), "no script was seen");
    let has_token = |bytes: &[u8]| bytes.windows(TOKEN.len()).any(|part| part == TOKEN.as_bytes());
    assert!(!lines.iter().any(|line| has_token(line)), "the token is on a command line");
    assert!(!has_token(outcome.stdout.as_bytes()) && !has_token(outcome.stderr.as_bytes()), "{outcome:?}");
    for file in crate::support::secrets::files(&county.hotcert.state_dir()) {
        assert!(!has_token(&fs::read(&file).unwrap()), "{}", file.display());
    }
    // It wrote nothing where the user keeps acme.sh.
    assert_eq!(fs::read_dir(&home).unwrap().count(), 2);
}

#[test]
fn what_a_script_of_acme_sh_prints_is_told_without_its_secrets() {
    let county = County::new();
    let home = acme_sh(&county);
    let wrong = format!("{TOKEN}+wrong");
    let environment = county.hotcert.scratch().write("standin.env", format!("STANDIN_TOKEN={wrong}\n"));
    let solver =
        format!("provider = \"acme.sh\"\napi = \"dns_standin\"\nhome = {home:?}\nenvironment_file = {environment:?}");
    let outcome = county.renew(&solver, "a", &["a.test"]).expect_code(75);
    assert!(outcome.stdout.contains("this is no good: …"), "{outcome:?}");
    assert!(!outcome.stdout.contains(&wrong) && !outcome.stderr.contains(&wrong), "{outcome:?}");
}
