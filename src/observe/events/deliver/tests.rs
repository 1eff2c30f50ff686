//! With a real store, real programs and a real server; what time it is, is said here.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::sync::{Mutex, PoisonError};

use super::*;
use crate::config::Occasion;
use crate::observe::events::find::bare;
use crate::observe::events::{LETTERS, tell};
use crate::observe::testing::{certificate, report};
use crate::store::Told;

/// How long anything may take.
const DEADLINE: Duration = Duration::from_secs(20);

struct Hand(Mutex<Timestamp>);

impl Hand {
    fn on(&self, seconds: i64) {
        let mut now = self.0.lock().unwrap();
        *now += SignedDuration::from_secs(seconds);
    }
}

impl Clock for Hand {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Fix {
    directory: tempfile::TempDir,
    store: Store,
    clock: Hand,
    receivers: Vec<Receiver>,
}

impl Fix {
    fn new(targets: impl FnOnce(&Path) -> Vec<Target>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&directory.path().join("state")).unwrap();
        let receiver = |target| Receiver { on: [Occasion::Renewed, Occasion::Failed].into(), target };
        let receivers = targets(directory.path()).into_iter().map(receiver).collect();
        let clock = Hand(Mutex::new("2026-11-23T12:00:00Z".parse().unwrap()));
        Self { directory, store, clock, receivers }
    }

    /// Adds a letter to a receiver.
    async fn post(&self, to: usize, message: &str) {
        let event = bare(Occasion::Renewed, self.clock.now(), message).sealed();
        let to = self.receivers[to].target.id();
        let (id, at) = (event.id.clone(), event.at);
        let lock = lock(&self.store).await.unwrap().unwrap();
        let mut told = self.told();
        told.letters.push(Letter { to, id, event: serde_json::to_value(event).unwrap(), attempts: 0, at });
        self.store.put_told(&lock, &told).unwrap();
    }

    fn told(&self) -> Told {
        self.store.told().unwrap().unwrap_or_default()
    }

    /// The letters that wait for a receiver.
    fn waiting(&self, to: usize) -> Vec<Letter> {
        let to = self.receivers[to].target.id();
        self.told().letters.into_iter().filter(|letter| letter.to == to).collect()
    }

    async fn deliver(&self, more: &Notify) -> Option<i64> {
        let next = deliver(&self.store, &|| self.receivers.clone(), &self.clock, more).await.unwrap();
        next.map(|next| i64::try_from(next.as_secs()).unwrap())
    }
}

fn hook(script: &str, arguments: &[&Path]) -> Target {
    let arguments = arguments.iter().map(|path| path.display().to_string());
    let run = ["/bin/sh", "-c", script, "sh"].map(str::to_owned).into_iter().chain(arguments);
    Target::Hook { run: run.collect() }
}

/// A server that answers by one status after the other, and by the last for ever; it tells what it was told.
fn server(statuses: &'static [u16]) -> (Target, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let (sender, told) = mpsc::channel();
    // It ends with the test's process.
    std::thread::spawn(move || {
        for (number, stream) in listener.incoming().flatten().enumerate() {
            let mut reader = BufReader::new(&stream);
            let mut head = String::new();
            while reader.read_line(&mut head).unwrap_or(0) > 2 {}
            let head = head.to_lowercase();
            let length = head.split("content-length: ").nth(1).and_then(|rest| rest.lines().next()?.parse().ok());
            let mut body = vec![0; length.unwrap_or(0)];
            reader.read_exact(&mut body).unwrap();
            let status = statuses[number.min(statuses.len() - 1)];
            let _ = write!(&stream, "HTTP/1.1 {status} x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
            let _ = sender.send(body["message"].as_str().unwrap().to_owned());
        }
    });
    (Target::Webhook { url, token_file: None, root_ca: None }, told)
}

async fn until(file: &Path, text: &str) {
    let is_there = async {
        while fs::read_to_string(file).unwrap_or_default() != text {
            sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(DEADLINE, is_there).await.unwrap_or_else(|_| panic!("{:?}", fs::read_to_string(file)));
}

#[tokio::test]
async fn a_webhook_that_fails_is_tried_again_later_and_told_each_event_once_and_in_order() {
    let (target, requests) = server(&[503, 500, 429, 204]);
    let fix = Fix::new(|_| vec![target]);
    fix.post(0, "one").await;
    fix.post(0, "two").await;
    let more = Notify::new();
    let mut pauses = Vec::new();
    while let Some(pause) = fix.deliver(&more).await {
        // Neither a moment before nor for any other reason.
        fix.clock.on(pause - 1);
        assert_eq!(fix.deliver(&more).await, Some(1));
        fix.clock.on(1);
        pauses.push(pause);
    }
    assert_eq!(pauses, [10, 60, 300]);
    assert_eq!(requests.try_iter().collect::<Vec<_>>(), ["one", "one", "one", "one", "two"]);
    assert_eq!(fix.told().letters, []);
}

#[tokio::test]
async fn a_webhook_that_goes_on_failing_is_given_up_after_hours_and_one_that_refuses_at_once() {
    for (statuses, pauses) in [(&[503], &PAUSES[..]), (&[404], &[][..])] {
        let (target, requests) = server(statuses);
        let fix = Fix::new(|_| vec![target]);
        fix.post(0, "one").await;
        for pause in pauses {
            assert_eq!(fix.deliver(&Notify::new()).await, Some(*pause));
            fix.clock.on(*pause);
        }
        assert_eq!(fix.deliver(&Notify::new()).await, None);
        assert_eq!((requests.try_iter().count(), fix.told().letters), (pauses.len() + 1, Vec::new()));
    }
}

#[tokio::test]
async fn a_hook_that_hangs_holds_up_nobody_else_and_keeps_its_order() {
    let fifo = |directory: &Path| directory.join("fifo");
    let fix = Fix::new(|directory| {
        rustix::fs::mkfifoat(rustix::fs::CWD, fifo(directory), 0o600.into()).unwrap();
        let hangs = "read line < \"$1\"; echo \"$HOTCERT_MESSAGE\" >> \"$2\"";
        let slow = hook(hangs, &[&fifo(directory), &directory.join("slow")]);
        vec![slow, hook("echo \"$HOTCERT_MESSAGE\" >> \"$1\"", &[&directory.join("quick")])]
    });
    let [fifo, slow, quick] = ["fifo", "slow", "quick"].map(|name| fix.directory.path().join(name));
    for (to, message) in [(0, "a"), (0, "b"), (1, "a")] {
        fix.post(to, message).await;
    }
    let more = Notify::new();
    let release = |fifo: PathBuf| tokio::task::spawn_blocking(move || fs::write(fifo, "go\n").unwrap());
    let meanwhile = async {
        until(&quick, "a\n").await;
        fix.post(1, "c").await;
        more.notify_one();
        until(&quick, "a\nc\n").await;
        assert!(!slow.exists());
        // What it does not get now, it gets after a restart.
        assert_eq!(fix.waiting(0).len(), 2);
        release(fifo.clone()).await.unwrap();
        until(&slow, "a\n").await;
        release(fifo.clone()).await.unwrap();
    };
    let (next, ()) = tokio::join!(fix.deliver(&more), meanwhile);
    assert_eq!((next, fs::read_to_string(slow).unwrap().as_str()), (None, "a\nb\n"));
    assert_eq!(fix.told().letters, []);
}

#[tokio::test]
async fn of_one_who_does_not_listen_the_oldest_is_dropped_and_of_no_other() {
    let fix = Fix::new(|_| vec![hook("false", &[]), hook("true", &[])]);
    fix.post(0, "old").await;
    fix.post(1, "old").await;
    let mut told = fix.told();
    let first = told.letters[0].clone();
    told.letters.extend((1..LETTERS).map(|number| Letter { id: number.to_string(), ..first.clone() }));
    let lock = lock(&fix.store).await.unwrap().unwrap();
    fix.store.put_told(&lock, &told).unwrap();
    drop(lock);

    let mut failing = certificate("shop.test");
    failing.problem = Some("x".to_owned());
    assert!(tell(&fix.store, &fix.receivers, &report(vec![failing], vec![]), true, fix.clock.now()).await.unwrap());
    let (full, other) = (fix.waiting(0), fix.waiting(1));
    assert_eq!(full.len(), LETTERS);
    assert!(full.iter().all(|letter| letter.id != first.id));
    assert_eq!(full.last().unwrap().event["event"], "failed");
    assert_eq!(other[0].event["message"], "old");
}
