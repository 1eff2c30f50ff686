//! Clients that never stop: proof that nobody noticed.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::client::{Connection, Options};

/// A thread that shakes hands anew and asks for `/`, over and over.
#[derive(Debug)]
pub struct Hammer {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Report>>,
}

/// What a [`Hammer`] saw.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Handshakes with an answered request after them.
    pub handshakes: usize,
    pub errors: usize,
    /// The different errors, in the order in which they first came.
    pub error_texts: Vec<String>,
    /// The serials served, in order, each change once: `[old, new]` after one renewal.
    pub serials: Vec<String>,
    /// The shortest chain served, the leaf counted.
    pub min_chain: usize,
}

impl Report {
    /// Fails the test unless there were handshakes, and all of them went well.
    pub fn expect_no_errors(&self) -> &Self {
        assert!(self.handshakes > 0 && self.errors == 0, "clients noticed: {self:#?}");
        self
    }
}

impl Hammer {
    /// Starts one handshake each `interval`, or as often as they can follow each other. A request without a good answer, or
    /// a chain shorter than `chain` certificates (the leaf counted), is an error.
    pub fn start(addr: SocketAddr, sni: &str, interval: Duration, chain: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, sni) = (Arc::clone(&stop), sni.to_owned());
        let thread = thread::spawn(move || {
            let mut report = Report { min_chain: usize::MAX, ..Report::default() };
            let mut next = Instant::now();
            while !stopped.load(Ordering::Relaxed) {
                if let Err(error) = once(addr, &sni, chain, &mut report) {
                    report.errors += 1;
                    if !report.error_texts.contains(&error) {
                        report.error_texts.push(error);
                    }
                }
                next = (next + interval).max(Instant::now());
                thread::sleep(next.saturating_duration_since(Instant::now()));
            }
            report
        });
        Self { stop, thread: Some(thread) }
    }

    /// Ends it, after the handshake that is under way.
    pub fn stop(mut self) -> Report {
        self.stop.store(true, Ordering::Relaxed);
        let thread = self.thread.take().expect("it is stopped once");
        thread.join().expect("the hammer does not panic")
    }
}

impl Drop for Hammer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn once(addr: SocketAddr, sni: &str, chain: usize, report: &mut Report) -> Result<(), String> {
    let mut connection = Connection::open(addr, sni, Options::default()).map_err(|error| error.to_string())?;
    let response = connection.get("/").map_err(|error| format!("after the handshake: {error}"))?;
    if response.status != 200 {
        return Err(format!("after the handshake: {response:?}"));
    }
    let served = connection.served();
    report.handshakes += 1;
    report.min_chain = report.min_chain.min(served.chain.len());
    if report.serials.last() != Some(&served.serial) {
        report.serials.push(served.serial.clone());
    }
    if served.chain.len() < chain {
        return Err(format!("{} certificates instead of {chain}", served.chain.len()));
    }
    Ok(())
}
