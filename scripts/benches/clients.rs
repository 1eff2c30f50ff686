//! Clients that come at a steady rate, whatever else happens: each shakes hands anew.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::node::Node;
use crate::support::client::{self, Options};

/// So many threads, each with a client every so often: a hundred a second together.
const THREADS: u32 = 4;
const EVERY: Duration = Duration::from_millis(40);

/// Clients of one node, until they are stopped.
pub struct Clients {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<(Vec<Duration>, usize)>>,
}

/// How long their handshakes took.
pub struct Waits {
    pub p50: Duration,
    pub p99: Duration,
    pub longest: Duration,
    pub count: usize,
    pub failed: usize,
}

impl Clients {
    pub fn start(node: &Node, names: &[String]) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let threads = (0..THREADS).map(|number| {
            let (stop, names, address) = (Arc::clone(&stop), names.to_vec(), node.https());
            thread::spawn(move || {
                let (mut took, mut failed) = (Vec::new(), 0);
                let mut next = Instant::now() + EVERY * number / THREADS;
                for name in names.iter().skip(usize::try_from(number).unwrap()).cycle() {
                    thread::sleep(next.saturating_duration_since(Instant::now()));
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    // From when it should have begun: whoever waits for a slow answer makes the next one wait.
                    match client::handshake(address, name, Options::default()) {
                        Ok(_) => took.push(next.elapsed()),
                        Err(_) => failed += 1,
                    }
                    next += EVERY;
                }
                (took, failed)
            })
        });
        Self { threads: threads.collect(), stop }
    }

    pub fn stop(self) -> Waits {
        self.stop.store(true, Ordering::Relaxed);
        let (mut all, mut failed) = (Vec::new(), 0);
        for thread in self.threads {
            let (took, more) = thread.join().unwrap();
            all.extend(took);
            failed += more;
        }
        all.sort_unstable();
        let at = |percent: usize| all[(all.len() - 1) * percent / 100];
        Waits { p50: at(50), p99: at(99), longest: at(100), count: all.len(), failed }
    }
}
