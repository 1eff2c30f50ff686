//! The state of the sidecar, as the service manager wants to know it (`sd_notify(3)`).
//!
//! Owns nothing but the words: where the service manager listens, and how often it wants to hear, stands in the environment
//! that it gave (`NOTIFY_SOCKET`, `WATCHDOG_USEC`). Without it, as in a terminal, everything here does nothing. One message
//! is one datagram, so tasks may share a [`Notifier`]. Nobody waits for an answer, and a message that cannot be sent stops
//! nothing: it is logged.

use std::time::Duration;

use crate::model::chain;
use sd_notify::NotifyState;

/// Tells the service manager how it goes.
#[derive(Debug, Clone, Copy)]
pub struct Notifier {
    is_heard: bool,
    watchdog: Option<Duration>,
}

impl Notifier {
    /// Reads how often the service manager wants to hear of this process.
    #[must_use]
    pub fn from_env() -> Self {
        // Half of the interval, as sd_watchdog_enabled(3) recommends.
        let is_heard = std::env::var_os("NOTIFY_SOCKET").is_some();
        Self { is_heard, watchdog: sd_notify::watchdog_enabled().map(|interval| interval / 2) }
    }

    /// Whether a service manager listens, so that it is worth finding out what to say.
    #[must_use]
    pub fn is_heard(&self) -> bool {
        self.is_heard
    }

    /// How often to call [`Notifier::alive`]; `None` where nobody watches.
    #[must_use]
    pub fn watchdog(&self) -> Option<Duration> {
        self.watchdog
    }

    /// The service is up, or has finished its reload.
    pub fn ready(&self) {
        send(&[NotifyState::Ready]);
    }

    /// A reload begins; [`Notifier::ready`] ends it.
    pub fn reloading(&self) {
        // Later versions of systemd refuse the one without the other.
        match NotifyState::monotonic_usec_now() {
            Ok(now) => send(&[NotifyState::Reloading, now]),
            Err(error) => complain(&error),
        }
    }

    /// The service stops.
    pub fn stopping(&self) {
        send(&[NotifyState::Stopping]);
    }

    /// One line about the state, for `systemctl status`.
    pub fn status(&self, text: &str) {
        // A line end would begin another message.
        send(&[NotifyState::Status(&text.replace(char::is_control, " "))]);
    }

    /// Every task has made progress. When this is missing for twice [`Notifier::watchdog`], the service is killed and started anew.
    pub fn alive(&self) {
        if self.watchdog.is_some() {
            send(&[NotifyState::Watchdog]);
        }
    }
}

fn send(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        complain(&error);
    }
}

fn complain(error: &std::io::Error) {
    tracing::warn!(error = %chain(&error), "the service manager cannot be told");
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixDatagram;
    use std::process::Command;

    use super::*;

    /// Also what [`heard`] runs in a process of its own, as a service.
    #[test]
    fn every_word_may_be_said_anywhere() {
        let notifier = Notifier::from_env();
        notifier.ready();
        notifier.status(&format!("watchdog {:?}\nREADY=0\rserved", notifier.watchdog()));
        notifier.reloading();
        notifier.alive();
        notifier.stopping();
    }

    /// What a service manager hears that gave this environment, message by message.
    fn heard(environment: &[(&str, &str)]) -> Vec<String> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_nonblocking(true).unwrap();
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "observe::notify::tests::every_word_may_be_said_anywhere"])
            .env("NOTIFY_SOCKET", path)
            .envs(environment.iter().copied())
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        let mut message = [0; 512];
        let messages = std::iter::from_fn(|| {
            let length = socket.recv(&mut message).ok()?;
            Some(String::from_utf8(message[..length].to_vec()).unwrap())
        });
        messages.collect()
    }

    #[test]
    fn the_service_manager_hears_each_word_in_order() {
        let heard = heard(&[("WATCHDOG_USEC", "3000000")]);
        let [ready, status, reloading, alive, stopping] = &heard[..] else { panic!("{heard:?}") };
        assert_eq!(ready, "READY=1\n");
        assert_eq!(status, "STATUS=watchdog Some(1.5s) READY=0 served\n");
        let now = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap().trim_end();
        assert!(now.parse::<u64>().unwrap() > 0, "{reloading}");
        assert_eq!(alive, "WATCHDOG=1\n");
        assert_eq!(stopping, "STOPPING=1\n");
    }

    #[test]
    fn a_watchdog_that_is_meant_for_another_process_is_not_fed() {
        let heard = heard(&[("WATCHDOG_USEC", "3000000"), ("WATCHDOG_PID", "1")]);
        assert_eq!(heard.get(1).unwrap(), "STATUS=watchdog None READY=0 served\n");
        assert!(!heard.contains(&"WATCHDOG=1\n".to_owned()), "{heard:?}");
    }

    #[test]
    fn a_service_manager_that_went_away_stops_nothing() {
        // The last value of a name counts.
        assert!(heard(&[("NOTIFY_SOCKET", "/nonexistent/notify")]).is_empty());
    }
}
