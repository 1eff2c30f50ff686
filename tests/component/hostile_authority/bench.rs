//! The real engine against the scripted authority: one certificate, one account and one standing for each case.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hotcert::config::Certificate;
use hotcert::renew::{Error, Obtained};
use hotcert::schedule::Retry;
use jiff::{SignedDuration, Timestamp};
use tokio::runtime::Runtime;

use crate::support::authority::{Good, ScriptedAuthority, Sent};
use crate::support::net::Port;
use crate::support::simulation::Simulation;

pub(crate) type Spoil = Arc<dyn Fn(&Good<'_>) -> Sent + Send + Sync>;

/// The longest text that a person may be told, in characters.
const LONGEST: usize = 40_000;

/// As much of a line is agreed on, in characters.
const SHOWN: usize = 300;

/// One thing that the authority does wrong.
pub(crate) struct Case {
    /// For people: `step: what`.
    pub(crate) name: String,
    /// The path that it is asked for, with all below where it ends in a slash.
    pub(crate) path: &'static str,
    pub(crate) spoil: Spoil,
}

impl Case {
    pub(crate) fn new(
        name: impl Into<String>,
        path: &'static str,
        spoil: impl Fn(&Good<'_>) -> Sent + Send + Sync + 'static,
    ) -> Self {
        Self { name: name.into(), path, spoil: Arc::new(spoil) }
    }
}

/// Runs a test in a process that trusts no root of the system: to read all of them takes longer than to order a certificate.
pub(crate) fn alone(test: impl FnOnce()) {
    const ROOTS: &str = "SSL_CERT_FILE";
    if std::env::var_os(ROOTS).is_some_and(|file| file == "/dev/null") {
        return test();
    }
    let name = std::thread::current().name().unwrap().to_owned();
    let mut command = Command::new(std::env::current_exe().unwrap());
    let status = command.args([&name, "--exact", "--nocapture"]).env(ROOTS, "/dev/null").status().unwrap();
    assert!(status.success(), "{status}");
}

/// Everything that a case needs.
pub(crate) struct Bench {
    pub(crate) authority: ScriptedAuthority,
    pub(crate) simulation: Simulation,
    cases: Vec<Case>,
    runtime: Runtime,
    count: AtomicUsize,
}

impl Bench {
    pub(crate) fn of(cases: Vec<Case>) -> Self {
        let begin = Timestamp::from_second(Timestamp::now().as_second()).unwrap();
        let authority = ScriptedAuthority::start(Some(begin), SignedDuration::from_hours(24 * 90));
        authority.be_strict();
        let (directory, root) = (authority.directory(), authority.root_pem());
        let simulation = Simulation::new(1, begin, &directory, &authority.root_ca(), &root, &Port::reserve());
        let runtime = Runtime::new().unwrap();
        Self { authority, simulation, cases, runtime, count: AtomicUsize::new(0) }
    }

    /// A new certificate of a new account, as if it came from an authority of its own.
    pub(crate) fn certificate(&self, label: &str) -> Certificate {
        let number = self.count.fetch_add(1, Ordering::Relaxed);
        let name = format!("{label}-{number}.test");
        let pattern = &self.simulation.certificates[0];
        let mut order = pattern.order.clone().unwrap();
        order.issuers[0].directory = Some(format!("{}/{number}", self.authority.directory()).parse().unwrap());
        Certificate {
            domains: vec![name.parse().unwrap()],
            order: Some(order),
            ..Certificate::new(name.parse().unwrap())
        }
    }

    /// Orders, whatever failed before.
    pub(crate) fn obtain(&self, certificate: &Certificate) -> Result<Obtained, Error> {
        self.runtime.block_on(self.simulation.renewer().obtain(certificate, true))
    }

    /// Time passes for both sides.
    pub(crate) fn pass(&self, span: SignedDuration) {
        use hotcert::clock::Clock as _;
        let now = self.simulation.clock.now() + span;
        self.simulation.clock.set(now);
        self.authority.set_time(now);
    }

    /// Orders a certificate that is issued in spite of what the authority does; returns its name.
    pub(crate) fn succeeds(
        &self,
        what: &str,
        path: &'static str,
        spoil: impl Fn(&Good<'_>) -> Sent + Send + Sync + 'static,
    ) -> String {
        let certificate = self.certificate("good");
        self.authority.spoil(path, spoil);
        let outcome = self.obtain(&certificate);
        self.authority.mend();
        outcome.unwrap_or_else(|error| panic!("{what}: {}", told(&error).0));
        certificate.name.to_string()
    }

    /// The directories of the current generations.
    pub(crate) fn stored(&self) -> Vec<PathBuf> {
        let certificates = self.simulation.state_dir().join("certs");
        let entries = std::fs::read_dir(certificates).unwrap().map(|entry| entry.unwrap().path().join("current"));
        entries.filter(|current| current.exists()).collect()
    }

    /// Plays every case, and compares what users are told with what was agreed on.
    pub(crate) fn play(self, snapshot: &str) {
        let mut texts: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        let mut flaws = Vec::new();
        for Case { name, path, spoil } in &self.cases {
            let certificate = self.certificate("case");
            let spoil = Arc::clone(spoil);
            self.authority.spoil(path, move |good| spoil(good));
            let outcome = self.obtain(&certificate);
            let Err(error) = outcome else {
                flaws.push(format!("{name}: it was issued"));
                continue;
            };
            self.expect_nothing(&certificate, name);
            let (message, hint) = told(&error);
            let again = again(&error, self.authority_time());
            let text = self.plain(&format!("error: {message}\n hint: {hint}\nagain: {again}\n"), &certificate);
            let is_bidi = |letter| matches!(letter, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
            let is_raw = |letter: char| letter != '\n' && (letter.is_control() || is_bidi(letter));
            if hint.is_empty() || text.contains(is_raw) || text.chars().count() > LONGEST {
                flaws.push(format!("{name}: not fit for people: {text:?}"));
            }
            let shown = |line: &str| {
                if line.chars().count() > SHOWN {
                    line.chars().take(SHOWN).chain(['…']).collect()
                } else {
                    line.to_owned()
                }
            };
            let text: String = text.lines().map(|line| shown(line) + "\n").collect();
            texts.entry(text).or_default().insert(name.clone());

            // Whatever it was, it passes: also where the order is kept.
            self.authority.mend();
            let is_kept = self.simulation.store.has_journal(&certificate.name).unwrap();
            if is_kept && let Err(error) = self.obtain(&certificate) {
                flaws.push(format!("{name}: it does not pass: {}", told(&error).0));
            }
        }
        let lines = |(text, names): (&String, &BTreeSet<String>)| {
            let names: Vec<_> = names.iter().map(|name| format!("     - {name}")).collect();
            format!("{text}{}\n", names.join("\n"))
        };
        let table: Vec<String> = texts.iter().map(lines).collect();
        let filters = [(r"\d{4}-\d\d-\d\dT[0-9:.]+Z", "[time]")];
        assert!(flaws.is_empty(), "{}", flaws.join("\n"));
        insta::with_settings!({ snapshot_path => "../../snapshots", prepend_module_to_snapshot => false, omit_expression => true, filters => filters }, {
            insta::assert_snapshot!(format!("hostile__{snapshot}"), table.join("\n"));
        });
    }

    fn authority_time(&self) -> Timestamp {
        use hotcert::clock::Clock as _;
        self.simulation.clock.now()
    }

    /// Nothing is stored, and no answer to a challenge is left.
    fn expect_nothing(&self, certificate: &Certificate, case: &str) {
        let store = &self.simulation.store;
        assert!(store.current(&certificate.name).unwrap().is_none(), "{case}: something was stored");
        assert_eq!(store.generations(&certificate.name).unwrap(), Vec::<u64>::new(), "{case}");
        assert_eq!(store.tokens().unwrap(), Vec::new(), "{case}");
        assert_eq!(self.simulation.challenges(), Vec::<PathBuf>::new(), "{case}: an answer was left");
    }

    /// The text without what changes from run to run.
    fn plain(&self, text: &str, certificate: &Certificate) -> String {
        let place = self.authority.directory().replace("https://", "").replace("/dir", "");
        let text = text.replace(&place, "ca.test").replace(certificate.name.as_str(), "a.test");
        let mut out = String::new();
        for word in text.split_inclusive([' ', '\n', '/', ':', ',']) {
            // The number of an order or directory in a URL.
            // What tells one test authority from another.
            let of_authority = ["Intermediate 1 ", "Root "].iter().any(|part| out.ends_with(part));
            let hex = word.bytes().take_while(u8::is_ascii_hexdigit).count();
            if of_authority && hex == 8 {
                out.pop();
                out.push_str(&word[hex..]);
                continue;
            }
            let is_number = word.trim_end_matches([' ', '\n', ':', ',', '/']).bytes().all(|byte| byte.is_ascii_digit());
            let is_in_url =
                ["order/", "dir/", "authz/", "chall/", "finalize/", "cert/"].iter().any(|part| out.ends_with(part));
            if is_number && is_in_url {
                out.push('N');
                out.extend(word.chars().skip_while(char::is_ascii_digit));
            } else {
                out.push_str(word);
            }
        }
        out
    }
}

/// What a user is told: the error with its causes, and the hint.
pub(crate) fn told(error: &Error) -> (String, String) {
    let mut text = error.to_string();
    let mut next = std::error::Error::source(error);
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        next = cause.source();
    }
    (text, error.hint().unwrap_or_default())
}

fn again(error: &Error, now: Timestamp) -> String {
    match error.retry() {
        Retry::Now => "at once".to_owned(),
        Retry::Backoff => "after a pause".to_owned(),
        Retry::NotBefore(instant) if instant < now => "at a time that is past, so after a pause".to_owned(),
        Retry::NotBefore(instant) => format!("in {} s", instant.duration_since(now).as_secs()),
        Retry::Never => "when somebody has changed something".to_owned(),
    }
}
