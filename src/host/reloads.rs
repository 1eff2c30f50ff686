//! Commands that reload or restart `HAProxy`, wherever somebody wrote them down.

/// Longest line that is looked at, in characters.
const LINE: usize = 4096;

/// What carries a reload out; also with a path before it, as in `/etc/init.d/haproxy`.
const PROGRAMS: [&str; 23] = [
    "crictl",
    "docker",
    "docker-compose",
    "haproxy",
    "invoke-rc.d",
    "kill",
    "killall",
    "kubectl",
    "monit",
    "nc",
    "ncat",
    "nerdctl",
    "pkill",
    "podman",
    "rc-service",
    "rcctl",
    "s6-rc",
    "service",
    "socat",
    "start-stop-daemon",
    "supervisorctl",
    "sv",
    "systemctl",
];
/// What makes it one: a verb, a signal, or what tells a new process to take over.
const VERBS: [&str; 15] = [
    "reload",
    "restart",
    "force-reload",
    "try-restart",
    "reload-or-restart",
    "try-reload-or-restart",
    "usr2",
    "sigusr2",
    "hup",
    "sighup",
    "12",
    "sf",
    "st",
    "1",
    "graceful",
];

/// Whether a line of a script, of a table or of a unit reloads `HAProxy`. Nothing is run and no variable is known, so it is a good guess.
pub(super) fn is_reload(line: &str) -> bool {
    let line: String = line.trim_start().chars().take(LINE).collect::<String>().to_ascii_lowercase();
    if line.starts_with('#') || !line.contains("haproxy") {
        return false;
    }
    let is_end = |letter: char| letter.is_whitespace() || "\"'`;|&()<>=,".contains(letter);
    let words: Vec<&str> = line.split(is_end).filter(|word| !word.is_empty()).collect();
    let program =
        |word: &&str| word.rsplit('/').next().unwrap_or(word).trim_start_matches(['-', '@', '+', '!', ':']).to_owned();
    let runs = words.iter().any(|word| PROGRAMS.contains(&program(word).as_str()));
    let is_verb = |word: &&str| {
        let (verb, is_option) = (word.trim_start_matches('-'), word.starts_with('-'));
        // A number or a short word alone may mean anything.
        VERBS.contains(&verb) && (is_option || verb.len() > 2)
    };
    runs && words.iter().any(is_verb)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_ways_to_reload_haproxy_are_known() {
        for line in [
            "systemctl reload haproxy",
            "  /usr/bin/systemctl reload-or-restart haproxy.service || true",
            "ExecStart=-/bin/systemctl --no-block try-reload-or-restart haproxy@edge.service",
            "service haproxy reload",
            "/etc/init.d/haproxy reload",
            "rc-service haproxy restart",
            "0 3 * * * root certbot renew --deploy-hook 'systemctl reload haproxy'",
            "kill -USR2 $(cat /run/haproxy.pid)",
            "kill -s SIGUSR2 `cat /run/haproxy.pid`",
            "pkill -HUP haproxy",
            "haproxy -f /etc/haproxy/haproxy.cfg -p /run/haproxy.pid -sf $(cat /run/haproxy.pid)",
            "docker kill -s HUP haproxy",
            "docker exec haproxy kill -12 1",
            "kubectl rollout restart deployment/haproxy",
            "echo reload | socat - /run/haproxy-master.sock",
            "sv reload haproxy",
        ] {
            assert!(is_reload(line), "{line}");
        }
    }

    #[test]
    fn what_looks_like_it_and_is_not_is_left_alone() {
        for line in [
            "# systemctl reload haproxy",
            "systemctl reload nginx",
            "systemctl status haproxy",
            "kill -0 $(cat /run/haproxy.pid)",
            "haproxy -c -f /etc/haproxy/haproxy.cfg",
            "cat a.pem b.pem > /etc/haproxy/certs/a.pem",
            "echo 'show info' | socat - /run/haproxy/admin.sock",
            "kill -HUP $MAINPID",
            "hotcert push a.pem --crt-dir /etc/haproxy/certs",
            "",
        ] {
            assert!(!is_reload(line), "{line}");
        }
    }
}
