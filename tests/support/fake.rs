//! Listeners that are not HAProxy: one that answers the same whatever it is asked, one that never answers.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

/// A Unix socket on which something else than HAProxy listens, until dropped.
#[derive(Debug)]
pub struct FakeSocket {
    path: PathBuf,
    received: Receiver<Vec<u8>>,
}

impl FakeSocket {
    /// Answers the first bytes of each connection with `answer`, and closes.
    pub fn replying(path: impl AsRef<Path>, answer: impl Into<Vec<u8>>) -> Self {
        let answer = answer.into();
        Self::serve(path.as_ref(), move |mut stream, received| {
            let mut buffer = vec![0; 1 << 16];
            if let Ok(length @ 1..) = stream.read(&mut buffer) {
                buffer.truncate(length);
                let _ = received.send(buffer);
                let _ = stream.write_all(&answer);
            }
            let _ = stream.shutdown(Shutdown::Both);
        })
    }

    /// Reads whatever comes, and never answers or closes.
    pub fn silent(path: impl AsRef<Path>) -> Self {
        Self::serve(path.as_ref(), |mut stream, received| {
            let mut buffer = vec![0; 1 << 16];
            while let Ok(length @ 1..) = stream.read(&mut buffer) {
                let _ = received.send(buffer.get(..length).unwrap_or_default().to_vec());
            }
            // The client has closed its half, and still gets no answer.
            thread::park();
        })
    }

    /// Where it listens.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Everything received since the last call, on all connections.
    pub fn received(&self) -> Vec<u8> {
        self.received.try_iter().flatten().collect()
    }

    fn serve(path: &Path, answer: impl Fn(UnixStream, &Sender<Vec<u8>>) + Clone + Send + 'static) -> Self {
        let _ = fs::remove_file(path);
        let listener = UnixListener::bind(path).unwrap_or_else(|error| panic!("listen on {}: {error}", path.display()));
        let (sender, received) = channel();
        // The threads end with the test's process: no one may have to wait for a peer that hangs by design.
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (answer, sender) = (answer.clone(), sender.clone());
                thread::spawn(move || answer(stream, &sender));
            }
        });
        Self { path: path.to_path_buf(), received }
    }
}

impl Drop for FakeSocket {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}
