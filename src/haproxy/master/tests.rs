use std::collections::VecDeque;
use std::io;
use std::sync::Mutex;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::super::testing::{bundle, described, slot};
use super::super::{Connecting, Session, Stream};
use super::*;

/// What was recorded from each version: at the start, after a reload, and after one that failed.
const V2_6: &str = "\
#<PID>          <type>          <reloads>       <uptime>        <version>      
14209           master          2 [failed: 1]   0d00h00m02s     2.6.12-1+deb12u3
# workers
14215           worker          1               0d00h00m02s     2.6.12-1+deb12u3
# old workers
14211           worker          2               0d00h00m02s     2.6.12-1+deb12u3
# programs

";
const V2_8: &str = "\
#<PID>          <type>          <reloads>       <uptime>        <version>      
14269           master          1 [failed: 0]   0d00h00m00s     2.8.25-5cf5d0683
# workers
14275           worker          0               0d00h00m00s     2.8.25-5cf5d0683
# old workers
14271           worker          1               0d00h00m00s     2.8.25-5cf5d0683
# programs

";
const V3_0: &str = "\
#<PID>          <type>          <reloads>       <uptime>        <version>      
14343           master          0 [failed: 0]   0d00h00m00s     3.0.11-1+deb13u3
# workers
14345           worker          0               0d00h00m00s     3.0.11-1+deb13u3
# programs

";
/// After a reload that failed: 14408 serves.
const V3_2: &str = "\
#<PID>          <type>          <reloads>       <uptime>        <version>      
14403           master          2 [failed: 1]   0d00h00m02s     3.2.26-1       
# workers
# old workers
14408           worker          1               0d00h00m02s     3.2.26-1       
14405           worker          2               0d00h00m02s     3.2.26-1       

";

/// What a peer does instead of answering.
const REFUSE: &str = "(refuse)";

/// A master in memory: each connection is answered by the first entry of its script whose command it begins with, once.
#[derive(Clone, Default)]
struct Peer {
    script: Arc<Mutex<VecDeque<(String, String)>>>,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Peer {
    fn on(self, command: &str, reply: &str) -> Self {
        self.script.lock().unwrap().push_back((command.to_owned(), reply.to_owned()));
        self
    }

    /// A master whose current worker is 7, which may be asked who it is.
    fn with_worker() -> Self {
        Self::default()
            .on("@1 show info", &info(7, 0, 3))
            .on("@!7 show cli level", "admin\n\n")
            .on("@!7 show pools", "  - Pool buffer (16384 bytes) : 4 allocated\n\n")
    }

    async fn open(&self) -> Result<Session, Error> {
        Session::open(self, &master()).await
    }

    fn commands(&self) -> Vec<String> {
        self.seen.lock().unwrap().iter().map(|command| command.lines().next().unwrap().to_owned()).collect()
    }
}

impl Connect for Peer {
    fn connect<'a>(&'a self, _: &'a Address) -> Connecting<'a> {
        Box::pin(async move {
            let refused = self.script.lock().unwrap().front().is_some_and(|(_, reply)| reply == REFUSE);
            if refused {
                self.script.lock().unwrap().pop_front();
                return Err(io::ErrorKind::ConnectionRefused.into());
            }
            let (ours, mut theirs) = tokio::io::duplex(1 << 16);
            let peer = self.clone();
            tokio::spawn(async move {
                let mut command = String::new();
                theirs.read_to_string(&mut command).await.unwrap();
                let reply = {
                    let mut script = peer.script.lock().unwrap();
                    let at = script.iter().position(|(begin, _)| command.starts_with(begin));
                    let at = at.unwrap_or_else(|| panic!("nothing answers {:?}", command.lines().next()));
                    script.remove(at).unwrap().1
                };
                peer.seen.lock().unwrap().push(command);
                theirs.write_all(reply.as_bytes()).await.unwrap();
            });
            Ok(Box::new(ours) as Box<dyn Stream>)
        })
    }
}

fn master() -> Address {
    "master@/run/haproxy-master.sock".parse().unwrap()
}

fn info(pid: u32, stopping: u8, connections: u32) -> String {
    format!(
        "Name: HAProxy\nVersion: 3.0.11\nPid: {pid}\nCurrConns: {connections}\nCurrSslConns: 1\nStopping: {stopping}\nStart_time_sec: 1795369036\n\n"
    )
}

#[test]
fn workers_of_every_version_are_read_whatever_they_are_listed_under() {
    assert_eq!(workers(V2_6), Some(vec![14215, 14211]));
    assert_eq!(workers(V2_8), Some(vec![14275, 14271]));
    assert_eq!(workers(V3_0), Some(vec![14345]));
    assert_eq!(workers(V3_2), Some(vec![14408, 14405]));
    let with_program =
        format!("{}99              sidecar         0               0d00h00m00s     -\n", V2_8.trim_end());
    assert_eq!(workers(&with_program), Some(vec![14275, 14271]));
    assert_eq!(workers("Unknown command: 'show proc'\n"), None);
    assert_eq!(workers(""), None);
}

#[tokio::test]
async fn only_a_worker_that_says_so_is_an_old_one() {
    let peer = Peer::default()
        .on("show proc", V3_2)
        .on("@!14408 show info", &info(14408, 0, 5))
        .on("@!14405 show info", &info(14405, 1, 2));
    let old = OldWorker::all(&peer, &master()).await.unwrap();
    assert_eq!(old.iter().map(|worker| (worker.pid, worker.connections)).collect::<Vec<_>>(), [(14405, 2)]);
    assert_eq!((old[0].tls_connections, old[0].started_at.as_second()), (1, 1_795_369_036));
}

#[tokio::test]
async fn a_worker_that_ends_meanwhile_is_left_out() {
    let peer = Peer::default()
        .on("show proc", V3_2)
        .on("@!14408 show info", &info(14408, 0, 5))
        .on("@!14405 show info", "Can't find the target PID matching the prefix '@!14405'\n");
    assert_eq!(OldWorker::all(&peer, &master()).await.unwrap(), []);
}

#[tokio::test]
async fn a_session_asks_for_the_current_worker_once_and_stays_with_it() {
    let (a, bundle) = (slot("/c/a.pem"), bundle("a.test", 0));
    let shown = described("*/c/a.pem", "Unused", &bundle) + "\n\n";
    let peer = Peer::with_worker()
        .on("@!7 show ssl cert\n", "# filename\n/c/a.pem\n\n")
        .on("@!7 set ssl cert /c/a.pem <<\n-----BEGIN", "Transaction created for certificate /c/a.pem!\n\n")
        .on("@!7 show ssl cert *", &shown)
        .on("@!7 show ssl cert *", &shown)
        .on("@!7 commit", "Committing /c/a.pem.\nSuccess!\n\n");
    let mut session = peer.open().await.unwrap();
    assert_eq!((session.info().pid, session.info().payload_limit.bufsize), (7, 16384));
    assert!(!session.can_stream(), "each command has a connection of its own");
    assert!(session.certificates().await.unwrap().contains(&a));
    session.stage(&a, &bundle).await.unwrap().commit().await.unwrap();
    let commands = peer.commands();
    assert_eq!(commands.len(), 8, "{commands:?}");
    assert!(commands[1..].iter().all(|command| command.starts_with("@!7 ")), "{commands:?}");
    assert!(peer.seen.lock().unwrap()[4].ends_with("-----END PRIVATE KEY-----\n\n"));
}

#[tokio::test]
async fn the_moment_without_a_master_is_waited_for_and_a_longer_one_is_not() {
    let peer = Peer::default().on("", REFUSE).on("", REFUSE).on("@1 show info", &info(7, 0, 0));
    assert_eq!(Process::ask(&peer, &master()).await.unwrap().pid, 7);
    let dead = (0..200).fold(Peer::default(), |peer, _| peer.on("", REFUSE));
    let began = Instant::now();
    let error = Process::ask(&dead, &master()).await.unwrap_err();
    assert!(matches!(error, Error::Refused { .. }), "{error}");
    assert_eq!(began.elapsed().as_secs(), 2);
}

#[tokio::test]
async fn a_reply_that_was_cut_off_is_not_believed() {
    // To ask again does no harm; to change again might.
    let peer = Peer::with_worker()
        .on("@!7 show ssl cert\n", "# filename\n/c/a.p")
        .on("@!7 show ssl cert\n", "# filename\n/c/a.pem\n/c/b.pem\n\n")
        .on("@!7 new ssl cert", "");
    let mut session = peer.open().await.unwrap();
    assert_eq!(session.certificates().await.unwrap().names.len(), 2);
    let error = session.create(&slot("/c/c.pem")).await.unwrap_err();
    assert!(matches!(error, Error::Closed { command: "new ssl cert", .. }), "{error}");
    assert!(!session.is_in_step());
    assert!(session.certificates().await.is_err());
}

#[tokio::test]
async fn a_worker_that_is_gone_is_told() {
    let peer = Peer::with_worker().on("@!7 show ssl cert", "Can't find the target PID matching the prefix '@!7'\n");
    let error = peer.open().await.unwrap().certificates().await.unwrap_err();
    assert!(matches!(error, Error::WorkerGone { .. }), "{error}");
    assert_eq!(error.to_string(), "master@/run/haproxy-master.sock has no such worker any more");
}

#[tokio::test]
async fn what_is_no_master_socket_is_told_with_a_cure() {
    // What a stats socket answers (2.6).
    let peer = Peer::default().on("@1 show info", "Unknown command, but maybe one of the following\n\n");
    let error = peer.open().await.unwrap_err();
    assert!(matches!(error, Error::NotHaproxy { .. }), "{error}");
    assert!(error.hint().unwrap().contains("haproxy -S"));
}
