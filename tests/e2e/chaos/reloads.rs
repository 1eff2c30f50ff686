//! HAProxy is reloaded at random moments, while certificates are pushed and files are replaced.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::client::{Connection, Options};
use crate::support::sidecar::{self, DEADLINE};
use crate::support::{Chance, Haproxy, HaproxyVersion, Hotcert, House, Leaf, Pki, Sidecar, each_haproxy, poll};

/// How often it is reloaded; with all versions, two hundred times.
const RELOADS: usize = 50;
/// The longest pause between two reloads.
const PAUSE: Duration = Duration::from_millis(150);
/// The longest pause between two pushes, or two files.
const WRITING: Duration = Duration::from_millis(100);
/// The pause between two clients.
const CLIENTS: Duration = Duration::from_millis(3);
/// How soon all is right after the last reload, push and file.
const PROMPT: Duration = Duration::from_secs(2);
const PUSHED: [&str; 2] = ["pushed0.test", "pushed1.test"];
const WATCHED: [&str; 2] = ["watched0.test", "watched1.test"];

each_haproxy! {
    reloads_at_random_moments_show_no_client_a_wrong_certificate,
}

/// All certificates that a name has had, and how far HAProxy and clients have come with them.
#[derive(Debug, Default)]
struct History {
    /// In the order in which they were handed over; each stands here before anybody hears of it.
    leaves: Mutex<Vec<Leaf>>,
    /// The newest that is known to be published to stay: it was served, or a push of it has succeeded. An index.
    published: AtomicUsize,
    /// The oldest that may be served: what was published before the worker started that accepts connections. An index.
    oldest: AtomicUsize,
}

impl History {
    /// Writes a certificate down; returns its index.
    fn hand_over(&self, leaf: &Leaf) -> usize {
        let mut leaves = self.leaves.lock().unwrap();
        leaves.push(leaf.clone());
        leaves.len() - 1
    }
}

type Histories = BTreeMap<&'static str, History>;

fn reloads_at_random_moments_show_no_client_a_wrong_certificate(version: HaproxyVersion) {
    let mut chance = Chance::new();
    let mut house = House::new([Haproxy::new(version).master()]);
    let files = house.hotcert.scratch().dir("files");
    let flags = house.flags_and(&format!("[[watch]]\ndir = \"{}\"\n", files.display()));
    let histories: Histories = PUSHED.into_iter().chain(WATCHED).map(|name| (name, History::default())).collect();
    let sidecar = Sidecar::start(&house.hotcert, &flags);
    let socket = house.hotcert.state_dir().join("control.sock");
    poll(DEADLINE, || socket.exists().then_some(())).unwrap();
    {
        let House { hotcert, pki, .. } = &house;
        for name in PUSHED {
            push(name, &histories[name], hotcert, pki, &flags);
        }
        for name in WATCHED {
            replace(name, &histories[name], &files, pki);
        }
    }
    expect_converged(&house, &histories, &sidecar, DEADLINE);

    let addr = house.nodes[0].https_addr();
    let (writing, watching) = (AtomicBool::new(true), AtomicBool::new(true));
    let House { nodes, hotcert, pki } = &mut house;
    let (handshakes, wrong) = thread::scope(|scope| {
        let (histories, writing, watching, files, flags) = (&histories, &writing, &watching, &files, &flags);
        let (hotcert, pki) = (&*hotcert, &*pki);
        let clients = scope.spawn(move || hammer(addr, histories, watching));
        let mut luck = chance.fork();
        let pushes = scope.spawn(move || {
            while writing.load(Ordering::Relaxed) {
                let name = *luck.pick(&PUSHED);
                push(name, &histories[name], hotcert, pki, flags);
                thread::sleep(luck.time(Duration::ZERO..WRITING));
            }
        });
        let mut luck = chance.fork();
        let writes = scope.spawn(move || {
            while writing.load(Ordering::Relaxed) {
                let name = *luck.pick(&WATCHED);
                replace(name, &histories[name], files, pki);
                thread::sleep(luck.time(Duration::ZERO..WRITING));
            }
        });
        let mut before = Vec::new();
        for _ in 0..RELOADS {
            thread::sleep(chance.time(Duration::ZERO..PAUSE));
            let published: Vec<usize> =
                histories.values().map(|history| history.published.load(Ordering::SeqCst)).collect();
            nodes[0].reload();
            // The worker before this one may accept a connection for a last moment; the one before that one is through.
            for (history, oldest) in histories.values().zip(before) {
                history.oldest.store(oldest, Ordering::SeqCst);
            }
            before = published;
        }
        writing.store(false, Ordering::Relaxed);
        pushes.join().unwrap();
        writes.join().unwrap();
        // The last ones are not disturbed by a reload, unless it has just ended.
        for name in PUSHED {
            push(name, &histories[name], hotcert, pki, flags);
        }
        let ended = Instant::now();
        let converged = poll(PROMPT, || is_converged(&nodes[0], histories).then(|| ended.elapsed()));
        eprintln!("{RELOADS} reloads; converged after {converged:?}");
        watching.store(false, Ordering::Relaxed);
        clients.join().unwrap()
    });
    let handed: usize = histories.values().map(|history| history.leaves.lock().unwrap().len()).sum();
    eprintln!("{handed} certificates, {handshakes} handshakes, wrong: {wrong:#?}");
    expect_converged(&house, &histories, &sidecar, Duration::ZERO);
    assert!(wrong.is_empty(), "{wrong:#?}\n{}", sidecar.log());
    house.expect_no_open_transaction();
    sidecar.stop().0.expect_code(0);
    house.expect_no_leftovers();
}

/// Hands a certificate over through the daemon. Where HAProxy is reloaded each time that it is loaded, that is said, by exit code 75;
/// then it
/// is taken back.
fn push(name: &str, history: &History, hotcert: &Hotcert, pki: &Pki, flags: &[OsString]) {
    let leaf = pki.leaf(name).issue();
    let index = history.hand_over(&leaf);
    let file = hotcert.scratch().write(format!("{name}.push"), leaf.fullchain_and_key());
    let arguments = [OsString::from("push"), "-v".into(), file.into(), "--name".into(), name.into()];
    let outcome = hotcert.run(arguments.iter().chain(flags));
    if outcome.code == Some(0) {
        history.published.fetch_max(index, Ordering::SeqCst);
    } else {
        assert!(outcome.stderr.contains("look whether HAProxy was restarted"), "{outcome:?}");
        outcome.expect_code(75);
    }
}

/// Hands a certificate over as another program does: by a rename in a watched directory.
fn replace(name: &str, history: &History, files: &Path, pki: &Pki) {
    let leaf = pki.leaf(name).issue();
    history.hand_over(&leaf);
    let hidden = files.join(format!(".{name}"));
    fs::write(&hidden, leaf.fullchain_and_key()).unwrap();
    fs::rename(hidden, files.join(format!("{name}.pem"))).unwrap();
}

/// Shakes hands for one name after the other; returns how often, and what was wrong.
fn hammer(addr: std::net::SocketAddr, histories: &Histories, watching: &AtomicBool) -> (usize, Vec<String>) {
    let (mut handshakes, mut wrong) = (0, Vec::new());
    while watching.load(Ordering::Relaxed) {
        for (name, history) in histories {
            let oldest = history.oldest.load(Ordering::SeqCst);
            match look(addr, name, history) {
                Err(error) => wrong.push(format!("{name}: {error}")),
                Ok(index) if index < oldest => wrong.push(format!("{name}: number {index}, after {oldest}")),
                // One that is pushed may be taken back for as long as its push goes on.
                Ok(index) if WATCHED.contains(name) => _ = history.published.fetch_max(index, Ordering::SeqCst),
                Ok(_) => {}
            }
            handshakes += 1;
            thread::sleep(CLIENTS);
        }
    }
    (handshakes, wrong)
}

/// The index of the certificate that a client gets.
fn look(addr: std::net::SocketAddr, name: &str, history: &History) -> Result<usize, String> {
    let connection = Connection::open(addr, name, Options::default()).map_err(|error| error.to_string())?;
    let served = connection.served();
    let index = history.leaves.lock().unwrap().iter().position(|leaf| leaf.serial() == served.serial);
    match index {
        Some(index) if served.names == [name] && served.chain.len() == 2 => Ok(index),
        _ => Err(format!("{} for {:?} in a chain of {}", served.serial, served.names, served.chain.len())),
    }
}

/// Whether the last certificate of each name is in memory, in its file, and shown to clients.
fn is_converged(haproxy: &Haproxy, histories: &Histories) -> bool {
    histories.iter().all(|(name, history)| {
        let leaves = history.leaves.lock().unwrap();
        let last = leaves.last().unwrap();
        let file = haproxy.crt_dir().join(format!("{name}.pem"));
        let in_memory = haproxy.try_cli(&format!("show ssl cert {}", file.display())).unwrap_or_default();
        in_memory.to_lowercase().contains(&format!("serial: {}\n", last.serial()))
            && fs::read_to_string(&file).is_ok_and(|text| text == last.fullchain_and_key())
            && sidecar::serial(haproxy, name).as_deref() == Some(last.serial())
    })
}

fn expect_converged(house: &House, histories: &Histories, sidecar: &Sidecar, deadline: Duration) {
    let converged = poll(deadline, || is_converged(&house.nodes[0], histories).then_some(()));
    assert!(converged.is_some(), "not converged\n{}", sidecar.log());
}
