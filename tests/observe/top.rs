//! `hotcert top` in a real terminal, and without one.

use std::process::Command;

use crate::support::tool::packaged;
use crate::support::{Haproxy, HaproxyVersion, House, Scratch, poll, sidecar};

/// A terminal in which a program runs.
struct Terminal {
    scratch: Scratch,
}

impl Terminal {
    fn start(house: &House, (columns, rows): (u32, u32), environment: &str) -> Self {
        let terminal = Self { scratch: Scratch::new() };
        let flags: Vec<_> = house.flags().iter().map(|flag| format!("'{}'", flag.to_str().unwrap())).collect();
        let program = env!("CARGO_BIN_EXE_hotcert");
        // A shell stays behind, to show what is left of the screen.
        let line = format!(
            "PS1='$ ' exec env -u NO_COLOR -u LC_ALL {environment} sh -c 'echo before; \"$0\" top \"$@\"; echo \"ended with $?\"; cat' {program} {}",
            flags.join(" ")
        );
        let size = [columns.to_string(), rows.to_string()];
        terminal.tmux(&["-u", "-f", "/dev/null", "new-session", "-d", "-x", &size[0], "-y", &size[1], &line]);
        terminal
    }

    fn tmux(&self, arguments: &[&str]) -> String {
        let socket = self.scratch.join("tmux");
        let ran = Command::new(packaged("tmux")).arg("-S").arg(socket).args(arguments).output().unwrap();
        assert!(ran.status.success(), "{arguments:?}: {ran:?}");
        String::from_utf8(ran.stdout).unwrap()
    }

    fn text(&self) -> String {
        self.tmux(&["capture-pane", "-p"])
    }

    fn press(&self, key: &str) {
        self.tmux(&["send-keys", key]);
    }

    #[track_caller]
    fn wait_for(&self, is_there: impl Fn(&str) -> bool) -> String {
        poll(sidecar::DEADLINE, || Some(self.text()).filter(|text| is_there(text)))
            .unwrap_or_else(|| panic!("not in time:\n{}", self.text()))
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = Command::new("tmux").arg("-S").arg(self.scratch.join("tmux")).arg("kill-server").status();
    }
}

#[test]
fn top_is_live_and_gives_the_terminal_back() {
    let house = House::new([Haproxy::new(HaproxyVersion::V3_2)]);
    house.push("shop.test");
    let running = house.sidecar();
    let terminal = Terminal::start(&house, (110, 30), "LANG=C.UTF-8");
    let text = terminal.wait_for(|text| text.contains("shop.test"));
    assert!(text.contains("● The certificate is served as it should be") && text.contains("────"), "{text}");
    assert!(text.contains("SERVED BY") && !text.contains("before"), "{text}");
    assert!(text.contains("this daemon remembers none: with [observe]"), "{text}");

    house.push("other.test");
    terminal.wait_for(|text| text.contains("other.test"));

    terminal.tmux(&["resize-window", "-x", "40", "-y", "12"]);
    let narrow = terminal.wait_for(|text| !text.contains("SERVED BY") && text.contains("  1-"));
    assert!(narrow.lines().all(|line| line.chars().count() <= 40), "{narrow}");
    terminal.press("End");
    terminal.wait_for(|text| text.contains("HAProxy 3.2"));
    terminal.press("PPage");
    terminal.press("Home");
    terminal.press("/");
    terminal.tmux(&["send-keys", "-l", "other"]);
    terminal.press("Enter");
    terminal.wait_for(|text| text.contains("  /other"));
    terminal.tmux(&["resize-window", "-x", "110", "-y", "30"]);
    terminal.wait_for(|text| text.contains("other.test") && !text.contains("shop.test  "));

    // The daemon goes, and top looks by itself.
    running.stop().0.expect_code(0);
    let happened = poll(sidecar::DEADLINE, || {
        // What came before its first own look is no event.
        house.push("other.test");
        let text = terminal.text();
        (text.contains("EVENTS") && !text.contains("remembers none")).then_some(())
    });
    assert!(happened.is_some(), "{}", terminal.text());
    terminal.press("q");
    let left = terminal.wait_for(|text| text.contains("ended with 0"));
    assert!(left.contains("before") && !left.contains("SERVED BY"), "{left}");
}

#[test]
fn top_ends_well_by_a_signal_and_without_unicode() {
    let house = House::new([Haproxy::new(HaproxyVersion::V2_6)]);
    house.push("shop.test");
    let terminal = Terminal::start(&house, (40, 20), "LANG=C LC_CTYPE=POSIX NO_COLOR=1");
    let text = terminal.wait_for(|text| text.contains("shop.test"));
    assert!(text.is_ascii() && text.contains("----") && text.contains("+ shop.test"), "{text}");
    let pid = terminal.tmux(&["display-message", "-p", "#{pane_pid}"]);
    let child = Command::new("pgrep").args(["-P", pid.trim(), "hotcert"]).output().unwrap();
    let child = String::from_utf8(child.stdout).unwrap();
    assert!(Command::new("kill").arg(child.trim()).status().unwrap().success());
    let left = terminal.wait_for(|text| text.contains("ended with"));
    assert!(left.contains("before") && left.contains("ended with 0"), "{left}");
    // What is typed is shown again.
    terminal.tmux(&["send-keys", "-l", "typed"]);
    terminal.wait_for(|text| text.contains("typed"));
}

#[test]
fn top_without_a_terminal_prints_once() {
    let house = House::new([Haproxy::new(HaproxyVersion::V3_2)]);
    house.push("shop.test");
    let printed = house.run(&["top"]);
    let text = printed.expect_code(0).stdout;
    assert!(text.contains("shop.test") && text.is_ascii() && !text.contains('\u{1b}'), "{text}");
    assert!(text.lines().all(|line| line.len() <= 100), "{text}");
    let json = house.run(&["top", "--json"]).expect_code(0).json();
    assert_eq!(json["certificates"][0]["name"], "shop.test");
    let status = house.run(&["status", "--json"]).json();
    assert_eq!(json["certificates"], status["certificates"]);
}
