//! Whether a daemon works on the state directory.

use serde::Deserialize;

use super::{Check, Doctor, Finding, count};
use crate::control::Client;

/// What a daemon tells of itself, as far as it is of interest here.
#[derive(Deserialize)]
struct About {
    role: String,
}

pub(super) async fn check(doctor: &Doctor) -> Vec<Finding> {
    let (check, state_dir) = (Check::Daemon, &doctor.config.state_dir);
    let subject = state_dir.display();
    // It has a deadline of its own, of some seconds.
    vec![match Client::connect(state_dir).await {
        Ok(Some(client)) => match client.about::<About>() {
            Ok(About { role }) => {
                let message = format!("process {} works on it (`hotcert run --role {role}`)", client.pid());
                Finding::good(check, subject, message)
            }
            Err(error) => Finding::error(
                check,
                subject,
                &error,
                "it is of another version",
                "restart it: systemctl restart hotcert",
            ),
        },
        Ok(None) => none(doctor),
        Err(error) => {
            let cure =
                "restart it, so that it is of this version: systemctl restart hotcert; if it hangs, its log says more";
            Finding::error(check, subject, &error, "a daemon is there, and cannot be spoken to", cure)
        }
    }]
}

fn none(doctor: &Doctor) -> Finding {
    let (check, subject) = (Check::Daemon, doctor.config.state_dir.display());
    let certificates = doctor.config.configured_names().len();
    if certificates == 0 {
        return Finding::good(check, subject, "none works on it, and there is nothing to renew yet");
    }
    let enabled = doctor.root.join("etc/systemd/system/timers.target.wants/hotcert-renew.timer");
    if enabled.symlink_metadata().is_ok() {
        return Finding::good(check, subject, "none works on it; hotcert-renew.timer renews what is due");
    }
    let message = format!(
        "no daemon works on it, and there {}",
        if certificates == 1 {
            "is 1 certificate".to_owned()
        } else {
            format!("are {}", count(certificates, "certificate"))
        }
    );
    let cause = "without one nothing is renewed by itself, and nothing is loaded again after a restart of HAProxy";
    let cure =
        "systemctl enable --now hotcert   (or run `hotcert run` under another supervisor; or use hotcert-renew.timer)";
    Finding::look(check, subject, message, cause, cure)
}
