use super::super::testing::{CLOSE, Peer, SILENCE, bundle, described, slot};
use super::*;
use crate::haproxy::Level;
use crate::schedule::Retry;

#[tokio::test]
async fn opening_tells_who_answers() {
    let session = Peer::new("3.0.11-1").open().await.unwrap();
    let info = session.info();
    assert_eq!((info.pid, info.version.branch, info.level, info.stopping), (7, (3, 0), Level::Admin, false));
    assert_eq!(info.payload_limit.bufsize, 16384);
    assert_eq!(info.started_at.unwrap().as_second(), 1_795_369_036);
}

#[tokio::test]
async fn who_is_not_an_admin_socket_of_haproxy_is_told_with_a_cure() {
    let cases = [
        (Peer::new("3.0.11").on("show cli level", "operator"), "level", "level admin"),
        (Peer::default().on("prompt", "RAW:HTTP/1.1 400 Bad Request\r\n"), "is not HAProxy", "stats socket"),
        (Peer::default().on("prompt", "RAW:master> "), "master socket", "master = \"/run/haproxy.sock\""),
        (Peer::default().on("prompt", CLOSE), "closed during `prompt`", ""),
        (Peer::default().on("prompt", SILENCE), "no answer to `prompt` within 5 s", "hangs"),
        (Peer::default().on("show info", "what?"), "is not HAProxy", "stats socket"),
    ];
    for (peer, message, hint) in cases {
        let error = peer.open().await.unwrap_err();
        assert!(error.to_string().contains(message), "{error}");
        assert!(error.hint().unwrap_or_default().contains(hint), "{error}");
    }
}

#[tokio::test]
async fn a_socket_that_cannot_be_opened_is_told_with_a_cure() {
    let dir = tempfile::tempdir().unwrap();
    let open = async |file: &str| {
        let address = dir.path().join(file).to_str().unwrap().parse().unwrap();
        Session::open(&super::super::SystemConnect, &address).await.unwrap_err()
    };
    let missing = open("missing.sock").await;
    assert!(matches!(missing, Error::NoSocket { .. }), "{missing}");
    assert!(missing.hint().unwrap().contains("missing.sock mode 660 level admin"));
    drop(std::os::unix::net::UnixListener::bind(dir.path().join("dead.sock")).unwrap());
    let tls = Session::open(&super::super::SystemConnect, &"tls://127.0.0.1:1".parse().unwrap()).await.unwrap_err();
    assert!(tls.to_string().contains("it takes a client certificate, and none is given"), "{tls}");
    let dead = open("dead.sock").await;
    assert!(matches!(dead, Error::Refused { .. }), "{dead}");
    assert_eq!(dead.retry(), Retry::Backoff);
}

#[tokio::test]
async fn a_peer_that_falls_silent_ends_in_five_seconds_and_the_session_is_not_used_again() {
    let peer = Peer::new("3.0.11").on("show ssl cert", SILENCE);
    let mut session = peer.open().await.unwrap();
    let start = tokio::time::Instant::now();
    let error = session.certificates().await.unwrap_err();
    assert!(matches!(error, Error::Silent { command: "show ssl cert", .. }), "{error}");
    assert_eq!(start.elapsed().as_secs(), 5);
    assert!(!session.is_in_step());
    assert!(matches!(session.certificates().await, Err(Error::Closed { .. })));
}

#[tokio::test]
async fn a_bundle_is_staged_looked_at_and_committed() {
    let (a, bundle) = (slot("/c/a.pem"), bundle("a.test", 0));
    let shown = described("*/c/a.pem", "Unused", &bundle);
    let peer = Peer::new("2.8.25")
        .on("set ssl cert", "+ + Transaction created for certificate /c/a.pem!")
        .on("show ssl cert *", &shown)
        .on("show ssl cert *", &shown)
        .on("commit", "Committing /c/a.pem.\nSuccess!");
    let staged = peer.open().await.unwrap().stage(&a, &bundle).await.unwrap();
    staged.commit().await.unwrap();
    assert_eq!(
        peer.commands(),
        ["set ssl cert /c/a.pem <<", "show ssl cert */c/a.pem", "show ssl cert */c/a.pem", "commit ssl cert /c/a.pem"]
    );
}

#[tokio::test]
async fn a_set_that_lands_in_another_transaction_is_aborted_there() {
    let (b, bundle) = (slot("/c/b.pem"), bundle("b.test", 0));
    for (reply, named) in [
        ("Transaction updated for certificate /c/a.pem!", "/c/a.pem"),
        ("Transaction updated for certificate /c/b.pem!", "/c/b.pem"),
        ("Transaction created for certificate /c/a.pem!", "/c/a.pem"),
    ] {
        let peer = Peer::new("2.6.12")
            .on("set ssl cert", reply)
            .on("show ssl cert *", "Can't display the certificate: Not found or the certificate is a bundle!")
            .on("abort", &format!("Transaction aborted for certificate '{named}'!"));
        let failed = peer.open().await.unwrap().stage(&b, &bundle).await.unwrap_err();
        assert!(matches!(&failed.error, Error::ForeignTransaction { slot } if *slot == b), "{}", failed.error);
        assert!(failed.session.is_some());
        assert_eq!(peer.commands()[2..], [format!("abort ssl cert {named}")]);
    }
}

#[tokio::test]
async fn a_transaction_that_others_changed_is_aborted_instead_of_committed() {
    let (a, ours, theirs) = (slot("/c/a.pem"), bundle("a.test", 0), bundle("a.test", 0));
    let peer = Peer::new("2.6.12")
        .on("set ssl cert", "Transaction created for certificate /c/a.pem!")
        .on("show ssl cert *", &described("*/c/a.pem", "Unused", &ours))
        .on("show ssl cert *", &described("*/c/a.pem", "Unused", &theirs))
        .on("abort", "Transaction aborted for certificate '/c/a.pem'!");
    let staged = peer.open().await.unwrap().stage(&a, &ours).await.unwrap();
    let failed = staged.commit().await.unwrap_err();
    assert!(matches!(failed.error, Error::ForeignTransaction { .. }), "{}", failed.error);
    assert_eq!(peer.commands().last().unwrap(), "abort ssl cert /c/a.pem");
}

#[tokio::test]
async fn a_refused_set_aborts_nothing_for_nothing_of_ours_is_open() {
    let (a, bundle) = (slot("/c/a.pem"), bundle("a.test", 0));
    let other =
        "The ongoing transaction is about '/c/z.pem' but you are trying to set '/c/a.pem'\nCan't update /c/a.pem!";
    let peer = Peer::new("2.8.25").on("set ssl cert", other).on("show ssl cert *", other);
    let failed = peer.open().await.unwrap().stage(&a, &bundle).await.unwrap_err();
    assert_eq!(failed.error.retry(), Retry::Backoff);
    assert!(failed.session.unwrap().is_in_step());
    assert_eq!(peer.commands().len(), 2);
}

#[tokio::test]
async fn a_command_that_another_one_locks_out_is_repeated() {
    const LOCKED: &str =
        "Can't commit /c/a.pem!\nOperations on certificates are currently locked!\nCan't commit /c/a.pem!";
    let (a, bundle) = (slot("/c/a.pem"), bundle("a.test", 0));
    let shown = described("*/c/a.pem", "Unused", &bundle);
    let peer = Peer::new("2.8.25")
        .on("set ssl cert", "Operations on certificates are currently locked!")
        .on("set ssl cert", "Transaction created for certificate /c/a.pem!")
        .on("show ssl cert *", LOCKED)
        .on("show ssl cert *", &shown)
        .on("show ssl cert *", &shown)
        .on("commit", LOCKED)
        .on("commit", "Committing /c/a.pem.\nSuccess!");
    let staged = peer.open().await.unwrap().stage(&a, &bundle).await.unwrap();
    staged.commit().await.unwrap();
}

#[tokio::test]
async fn after_a_transaction_that_cannot_be_aborted_nothing_else_is_begun() {
    let (a, bundle) = (slot("/c/a.pem"), bundle("a.test", 0));
    let shown = described("*/c/a.pem", "Unused", &bundle);
    let peer = Peer::new("2.8.25")
        .on("set ssl cert", "Transaction created for certificate /c/a.pem!")
        .on("show ssl cert *", &shown)
        .on("show ssl cert *", &shown)
        .on("commit", "Committing /c/a.pem.\nFailed!")
        .on("abort", "Permission denied");
    let staged = peer.open().await.unwrap().stage(&a, &bundle).await.unwrap();
    let failed = staged.commit().await.unwrap_err();
    assert!(failed.session.is_none());
}

#[tokio::test]
async fn a_failed_commit_is_aborted() {
    let (a, bundle) = (slot("/c/a.pem"), bundle("a.test", 0));
    for reply in [
        "Committing /c/a.pem.\nFailed!",
        "inconsistencies between private key and certificate loaded '/c/a.pem'.\nCan't commit /c/a.pem!",
    ] {
        let shown = described("*/c/a.pem", "Unused", &bundle);
        let peer = Peer::new("2.8.25")
            .on("set ssl cert", "Transaction created for certificate /c/a.pem!")
            .on("show ssl cert *", &shown)
            .on("show ssl cert *", &shown)
            .on("commit", reply)
            .on("abort", "Transaction aborted for certificate '/c/a.pem'!");
        let staged = peer.open().await.unwrap().stage(&a, &bundle).await.unwrap();
        let failed = staged.commit().await.unwrap_err();
        assert!(failed.error.rejection().is_some(), "{}", failed.error);
        assert_eq!(peer.commands().last().unwrap(), "abort ssl cert /c/a.pem");
    }
}

#[tokio::test]
async fn what_does_not_fit_is_never_sent() {
    let (a, long) = (slot("/c/a.pem"), bundle("a.test", 13_000));
    let peer = Peer::new("2.6.12");
    let session = peer.open().await.unwrap();
    assert_eq!(session.info().fits(&a, &long).unwrap_err().suggested, 32768);
    assert!(session.info().fits(&a, &bundle("a.test", 0)).is_ok());
    let failed = session.stage(&a, &long).await.unwrap_err();
    assert!(failed.error.hint().unwrap().contains("tune.bufsize 32768"));
    assert!(failed.session.unwrap().is_in_step());
    assert_eq!(peer.commands(), [""; 0]);
}

#[tokio::test]
async fn many_slots_are_read_in_the_order_asked() {
    let bundles = [bundle("a.test", 0), bundle("b.test", 0)];
    for version in ["2.6.12", "3.2.26"] {
        let slots: Vec<_> = (0..40).map(|n| slot(&format!("/c/{n}.pem"))).collect();
        let mut peer = Peer::new(version);
        for (n, slot) in slots.iter().enumerate() {
            let command = format!("show ssl cert {slot}");
            peer = match n % 3 {
                0 => peer.on(&command, "Can't display the certificate: Not found or the certificate is a bundle!"),
                m => peer.on(&command, &described(slot.as_str(), "Used", &bundles[m - 1])),
            };
        }
        let loaded = peer.open().await.unwrap().certificates_of(&slots).await.unwrap();
        assert_eq!(loaded.len(), 40);
        for (n, loaded) in loaded.iter().enumerate() {
            match n % 3 {
                0 => assert_eq!(loaded, &None),
                m => assert!(loaded.as_ref().unwrap().is(bundles[m - 1].facts())),
            }
        }
    }
}

#[tokio::test]
async fn a_map_entry_replaces_the_older_one() {
    let peer = Peer::new("2.6.12").on("del map", "Key not found.").on("add map", "").on("show map", "0x1 k v");
    let mut session = peer.open().await.unwrap();
    let (map, key, value): (Map, Word, Word) = ("/m".parse().unwrap(), "k".parse().unwrap(), "v".parse().unwrap());
    session.map_set(&map, &key, &value).await.unwrap();
    assert_eq!(session.map_entries(&map).await.unwrap(), [("k".to_owned(), "v".to_owned())]);
    assert_eq!(peer.commands(), ["del map /m k", "add map /m k v", "show map /m"]);
}

#[tokio::test]
async fn lists_are_told_from_refusals() {
    let peer = Peer::new("3.2.26").on("show ssl crt-list", "/c\n/l.txt\n@g\nwith blank");
    let lists = peer.open().await.unwrap().lists().await.unwrap();
    assert_eq!(lists.iter().map(Slot::as_str).collect::<Vec<_>>(), ["/c", "/l.txt", "@g"]);
    let refused = Peer::new("3.2.26").on("show ssl crt-list", "Permission denied");
    let error = refused.open().await.unwrap().lists().await.unwrap_err();
    assert_eq!(error.rejection(), Some(&Rejection::Permission));
}
