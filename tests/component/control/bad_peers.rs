//! Clients that do not keep to the rules.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use hotcert::control::Error;
use serde_json::{Value, json};

use super::player::{InProcess, Part, ask, state};
use crate::support::Pki;
use crate::support::secrets::{Secret, expect_none};

/// Longer than a server waits for a message.
const PATIENCE: Duration = Duration::from_secs(20);

/// A client that writes what it likes.
struct Raw(UnixStream);

impl Raw {
    fn connect(state: &Path) -> Self {
        let stream = UnixStream::connect(state.join("control.sock")).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut raw = Self(stream);
        let (kind, hello) = raw.frame().unwrap();
        assert_eq!(kind, b'h');
        assert!(hello.contains("\"version\""), "{hello}");
        raw
    }

    fn write(&mut self, bytes: &[u8]) {
        // The server may have had enough.
        let _ = self.0.write_all(bytes);
    }

    /// The next message of the server; `None` once it has closed.
    fn frame(&mut self) -> Option<(u8, String)> {
        let mut head = [0; 5];
        match self.0.read_exact(&mut head) {
            Ok(()) => {}
            Err(error) if [ErrorKind::UnexpectedEof, ErrorKind::ConnectionReset].contains(&error.kind()) => {
                return None;
            }
            Err(error) => panic!("the server does not close: {error}"),
        }
        let [a, b, c, d, kind] = head;
        let mut body = vec![0; u32::from_be_bytes([a, b, c, d]) as usize - 1];
        self.0.read_exact(&mut body).unwrap();
        Some((kind, String::from_utf8(body).unwrap()))
    }

    /// Why it was refused, after which the server closes.
    fn refusal(mut self) -> String {
        let (kind, reason) = self.frame().unwrap();
        assert_eq!(kind, b'x', "{reason}");
        assert_eq!(self.frame(), None);
        reason
    }
}

fn frame(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 1).unwrap();
    [&length.to_be_bytes()[..], &[kind], body].concat()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_request_is_refused_and_the_next_client_is_served() {
    let scratch = state();
    let path = scratch.join("state");
    let server = InProcess::serve(&path, |request| async { request }).await;
    let state = path.clone();
    let talk = move || {
        let bytes: [(&[u8], &str); 7] = [
            (&[0xff; 4], "longer than"),
            (b"GET / HTTP/1.1\r\n\r\n", "longer than"),
            (&frame(b'q', b"{\"half\": "), "makes no sense"),
            (&frame(b'q', &[0xff, 0xfe]), "makes no sense"),
            (&frame(b'r', b"[]"), "makes no sense"),
            (&frame(b'?', b"[]"), "makes no sense"),
            (&[0; 4], "makes no sense"),
        ];
        for (bytes, reason) in bytes {
            let mut raw = Raw::connect(&state);
            raw.write(bytes);
            let refusal = raw.refusal();
            assert!(refusal.contains(reason), "{bytes:?}: {refusal}");
        }
        // Deeper than a parser may recurse.
        let mut deep = Raw::connect(&state);
        deep.write(&frame(b'q', &vec![b'['; 100_000]));
        assert!(deep.refusal().contains("makes no sense"));
        // Cut off in the middle.
        let mut cut = Raw::connect(&state);
        let whole = frame(b'q', b"[1, 2, 3]");
        cut.write(&whole[..whole.len() - 2]);
        cut.0.shutdown(Shutdown::Write).unwrap();
        assert!(cut.refusal().contains("broke"));
        // Gone at once, or after the hello.
        drop(UnixStream::connect(state.join("control.sock")).unwrap());
        drop(Raw::connect(&state));
    };
    tokio::task::spawn_blocking(talk).await.unwrap();
    assert_eq!(ask(&path, &json!("good")).await.unwrap(), json!("good"));
    server.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_longest_request_is_served_and_one_byte_more_is_refused() {
    /// As `control` has it: two files of 1 MiB and a byte in base64, and 64 KiB.
    const LIMIT: usize = 2 * (1024 * 1024 + 1) / 3 * 4 + 64 * 1024;
    let scratch = state();
    let state = scratch.join("state");
    let server = InProcess::serve(&state, |request: Value| async move { json!(request.as_str().unwrap().len()) }).await;
    let longest = "x".repeat(LIMIT - 2);
    assert_eq!(ask(&state, &json!(longest)).await.unwrap(), json!(LIMIT - 2));
    let error = ask(&state, &json!(longest + "x")).await.unwrap_err();
    assert!(matches!(error, Error::Unsent(_)), "{error:?}");
    server.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_dawdles_is_given_up_and_one_that_waits_for_long_work_is_not() {
    let scratch = state();
    let path = scratch.join("state");
    let server = InProcess::serve(&path, |request: Value| async move {
        tokio::time::sleep(Duration::from_secs(request.as_u64().unwrap())).await;
        request
    })
    .await;
    let long = tokio::spawn({
        let state = path.clone();
        async move { ask(&state, &json!(11)).await }
    });
    let state = path.clone();
    let dawdle = move || {
        // Nearly as many as are talked to at once.
        let silent: Vec<_> = (0..250).map(|_| Raw::connect(&state)).collect();
        let mut slow = Raw::connect(&state);
        let start = Instant::now();
        let whole = frame(b'q', b"[1, 2, 3, 4, 5, 6, 7, 8, 9]");
        slow.0.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
        for byte in whole {
            slow.write(&[byte]);
            let mut head = [0; 1];
            if slow.0.read(&mut head).is_ok() {
                break;
            }
        }
        assert!(start.elapsed() < PATIENCE, "a slow client holds a place for {:?}", start.elapsed());
        for raw in silent {
            assert!(raw.refusal().contains("in time"));
        }
    };
    tokio::task::spawn_blocking(dawdle).await.unwrap();
    assert_eq!(long.await.unwrap().unwrap(), json!(11));
    assert_eq!(ask(&path, &json!(0)).await.unwrap(), json!(0));
    server.end().await;
}

#[test]
fn a_key_in_a_bad_request_is_in_no_reply_and_no_log() {
    let scratch = state();
    let state = scratch.join("state");
    let key = Pki::new().leaf("a.test").issue().key_pem();
    let secret = Secret::of("the key", &key);
    let daemon = Part::new("daemon", &state).node(&scratch.join("none.sock"), &scratch.dir("certs")).serve();
    let text = serde_json::to_string(&key).unwrap();
    for body in [
        text.clone(),
        format!("{{\"Push\": {text}}}"),
        format!("{{{text}: 1}}"),
        format!("{{\"Push\": {{\"args\": {text}}}}}"),
        format!("{{\"Push\": {{\"args\": {{\"pem\": \"a\"}}, \"pem\": {text}, \"key\": {text}}}}}"),
        format!("{{\"Status\": {{\"certificate\": {text}}}}}"),
        key.clone(),
    ] {
        let mut raw = Raw::connect(&state);
        raw.write(&frame(b'q', body.as_bytes()));
        let refusal = raw.refusal();
        assert!(refusal.contains("makes no sense"), "{refusal}");
        expect_none(std::slice::from_ref(&secret), "a reply", refusal.as_bytes());
    }
    expect_none(&[secret], "the log", daemon.process.log().as_bytes());
}
