//! Who listens, and who is let in.

use std::fs;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _, chown};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use hotcert::control::Client;
use hotcert::store::Store;
use rustix::fs::Mode;
use serde_json::{Value, json};
use tokio::sync::{Notify, mpsc};

use super::player::{InProcess, Part, ask, state};

/// How often the socket is made while somebody looks; each time takes a fraction of a millisecond.
const TIMES: usize = 300;

#[test]
fn the_socket_is_never_open_to_others() {
    let scratch = state();
    let state = scratch.join("state");
    let before = rustix::process::umask(Mode::empty());
    let store = Store::open(&state).unwrap();
    let done = AtomicBool::new(false);
    let seen = thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            let mut seen = Vec::new();
            while !done.load(Ordering::Relaxed) {
                for entry in fs::read_dir(&state).unwrap().flatten() {
                    if let Ok(found) = entry.metadata()
                        && found.file_type().is_socket()
                    {
                        seen.push((entry.file_name(), found.mode() & 0o7777));
                    }
                }
            }
            seen
        });
        for _ in 0..TIMES {
            let socket = store.listen(store.try_lock_control().unwrap().unwrap()).unwrap();
            assert_eq!(fs::metadata(state.join("control.sock")).unwrap().mode() & 0o7777, 0o600);
            drop(socket);
            assert!(!state.join("control.sock").exists(), "the socket outlives its listener");
        }
        done.store(true, Ordering::Relaxed);
        watcher.join().unwrap()
    });
    rustix::process::umask(before);
    let wide: Vec<_> = seen.iter().filter(|(_, mode)| mode & !0o600 != 0).collect();
    assert!(wide.is_empty(), "{wide:?}");
    assert!(!seen.is_empty(), "a watcher that sees nothing proves nothing");
}

#[tokio::test]
async fn without_a_server_there_is_no_client_and_that_is_known_at_once() {
    let scratch = state();
    let state = scratch.join("state");
    for place in [scratch.join("nowhere"), state] {
        let start = Instant::now();
        assert!(Client::connect(&place).await.unwrap().is_none());
        assert!(start.elapsed() < Duration::from_millis(50), "{:?}", start.elapsed());
    }
}

#[tokio::test]
async fn the_socket_of_a_dead_server_is_replaced() {
    let scratch = state();
    let state = scratch.join("state");
    drop(UnixListener::bind(state.join("control.sock")).unwrap());
    drop(UnixListener::bind(state.join(".control.sock.new")).unwrap());
    assert!(Client::connect(&state).await.unwrap().is_none());
    let server = InProcess::serve(&state, |request| async { request }).await;
    assert_eq!(ask(&state, &json!([1, "a"])).await.unwrap(), json!([1, "a"]));
    server.end().await;
    assert!(Client::connect(&state).await.unwrap().is_none());
}

#[test]
fn a_second_server_stands_by_and_takes_over() {
    let scratch = state();
    let state = scratch.join("state");
    let mut first = Part::new("echo", &state).serve();
    let second = Part::new("echo", &state).start();
    while !second.process.log().contains("standing by") {
        thread::sleep(Duration::from_millis(5));
    }
    first.wait_until_it_serves();
    first.process.kill();
    second.wait_until_it_serves();
    let log = second.process.log();
    assert!(log.contains("INFO") && log.contains("the other daemon has ended"), "{log}");
}

#[tokio::test]
async fn a_state_directory_may_have_a_long_path() {
    let scratch = state();
    let state = scratch.path().join(["a-rather-long-name-for-a-directory"; 8].iter().collect::<PathBuf>());
    fs::create_dir_all(&state).unwrap();
    fs::set_permissions(&state, fs::Permissions::from_mode(0o700)).unwrap();
    assert!(state.as_os_str().len() > 200);
    let server = InProcess::serve(&state, |request| async { request }).await;
    assert_eq!(ask(&state, &json!("far")).await.unwrap(), json!("far"));
    server.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_clients_at_once_are_served() {
    let scratch = state();
    let state = scratch.join("state");
    let server = InProcess::serve(&state, |request| async {
        tokio::time::sleep(Duration::from_millis(20)).await;
        request
    })
    .await;
    let clients = (0..100).map(|number| {
        let state = state.clone();
        tokio::spawn(async move { (ask(&state, &json!(number)).await.unwrap(), number) })
    });
    for client in clients.collect::<Vec<_>>() {
        let (reply, number) = client.await.unwrap();
        assert_eq!(reply, json!(number));
    }
    server.end().await;
}

#[tokio::test]
async fn what_a_client_that_went_away_asked_for_is_brought_to_its_end() {
    let scratch = state();
    let state = scratch.join("state");
    let (begun, mut begins) = mpsc::unbounded_channel();
    let (ended, mut ends) = mpsc::unbounded_channel();
    let go_on = Arc::new(Notify::new());
    let may = Arc::clone(&go_on);
    let server = InProcess::serve(&state, move |request: Value| {
        let (begun, ended, may) = (begun.clone(), ended.clone(), Arc::clone(&may));
        async move {
            begun.send(()).unwrap();
            may.notified().await;
            ended.send(request.clone()).unwrap();
            request
        }
    })
    .await;
    let client = Client::connect(&state).await.unwrap().unwrap();
    let asking = tokio::spawn(async move { client.ask::<Value>(&json!("work")).await });
    begins.recv().await.unwrap();
    asking.abort();
    let _ = asking.await;
    // Stopping waits for it as well, and another server may serve meanwhile.
    server.stop.cancel();
    let next = InProcess::serve(&state, |request| async { request }).await;
    assert_eq!(ask(&state, &json!("next")).await.unwrap(), json!("next"));
    assert!(!server.task.is_finished());
    go_on.notify_one();
    assert_eq!(ends.recv().await.unwrap(), json!("work"));
    server.end().await;
    next.end().await;
}

#[test]
fn a_client_of_another_user_is_turned_away() {
    needs_root();
    let scratch = state();
    let state = scratch.join("state");
    let server = Part::new("echo", &state).serve();
    // As if somebody had opened what keeps others out.
    scratch.chmod("", 0o711);
    scratch.chmod("state", 0o711);
    scratch.chmod("state/control.sock", 0o666);
    let said = Part::new("client", &state).by_nobody().start().end();
    assert!(said.contains("user 65534 is neither root nor the user of the daemon, 0"), "{said}");
    assert!(server.process.log().contains("a stranger was turned away"), "{}", server.process.log());
}

#[test]
fn a_server_of_another_user_is_not_believed() {
    needs_root();
    let scratch = state();
    scratch.chmod("", 0o711);
    let state = scratch.join("state");
    chown(&state, Some(65534), Some(65534)).unwrap();
    let server = Part::new("echo", &state).by_nobody().serve();
    chown(&state, Some(65533), Some(65533)).unwrap();
    let said = Part::new("client", &state).start().end();
    assert!(said.contains("is user 65534, who is not trusted"), "{said}\n{}", server.process.log());
}

fn needs_root() {
    assert!(rustix::process::geteuid().is_root(), "only root can become another user: run this test as root");
}
