//! A web server for a directory, to which HAProxy sends challenges.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use super::Scratch;
use super::http;

/// A directory and its server, until dropped.
#[derive(Debug)]
pub struct Webroot {
    scratch: Scratch,
    addr: SocketAddr,
    stop: Arc<AtomicBool>,
    refuse: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Webroot {
    /// Serves an empty directory at an address, one request after the other.
    pub fn serve(addr: SocketAddr) -> Self {
        let scratch = Scratch::new();
        let listener = TcpListener::bind(addr).unwrap_or_else(|error| panic!("listen on {addr}: {error}"));
        let (root, stop) = (scratch.path().to_path_buf(), Arc::new(AtomicBool::new(false)));
        let refuse = Arc::new(AtomicBool::new(false));
        let (stopped, refused) = (Arc::clone(&stop), Arc::clone(&refuse));
        let thread = thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                let mut lines = BufReader::new(&stream).lines();
                let first = lines.next().and_then(Result::ok).unwrap_or_default();
                // The client may be refused its answer while it has more to say.
                lines.map_while(Result::ok).take_while(|line| !line.is_empty()).for_each(drop);
                let path = first.split(' ').nth(1).unwrap_or("/").trim_start_matches('/').to_owned();
                let answer = match std::fs::read_to_string(root.join(path)) {
                    Ok(text) if !refused.swap(false, Ordering::Relaxed) => {
                        format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{text}", text.len())
                    }
                    _ => "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_owned(),
                };
                let _ = (&stream).write_all(answer.as_bytes());
            }
        });
        Self { scratch, addr, stop, refuse, thread: Some(thread) }
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        self.scratch.path()
    }

    /// Answers the next request for a file as if there were none.
    pub fn refuse_once(&self) {
        self.refuse.store(true, Ordering::Relaxed);
    }

    /// The challenges that lie in it.
    pub fn challenges(&self) -> Vec<PathBuf> {
        let directory = self.scratch.join(".well-known/acme-challenge");
        std::fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
    }
}

impl Drop for Webroot {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // It looks at the word only when somebody comes.
        let _ = http::listens(self.addr);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
