use super::super::testing::{CLOSE, Peer, bundle, described, slot};
use super::*;

impl Peer {
    /// Takes a certificate that travels with others.
    fn takes(self, name: &str) -> Self {
        self.on(&format!("set ssl cert /c/{name}.pem"), &format!("Transaction created for certificate /c/{name}.pem!"))
            .on(&format!("commit ssl cert /c/{name}.pem"), &format!("Committing /c/{name}.pem.\nSuccess!"))
            .on("abort", "No ongoing transaction!")
    }

    /// Opens a transaction for a certificate, and shows it.
    fn shows(self, (slot, bundle): &(Slot, Bundle)) -> Self {
        self.on(&format!("set ssl cert {slot}"), &format!("Transaction created for certificate {slot}!"))
            .on(&format!("show ssl cert *{slot}"), &described(&format!("*{slot}"), "Unused", bundle))
    }
}

/// Two certificates with their slots.
fn two() -> [(Slot, Bundle); 2] {
    ["a", "b"].map(|name| (slot(&format!("/c/{name}.pem")), bundle(&format!("{name}.test"), 0)))
}

/// What is told of each when two certificates are replaced at once.
async fn replace(peer: &Peer, pair: &[(Slot, Bundle); 2]) -> (Vec<(usize, Progress)>, Result<Session, Error>) {
    let mut told = Vec::new();
    let session = peer.open().await.unwrap();
    let all = pair.iter().map(|(slot, bundle)| (slot, bundle));
    let outcome = session.replace_all(all, |number, what, _| told.push((number, what))).await;
    (told, outcome)
}

#[tokio::test]
async fn many_certificates_travel_together_each_with_an_abort_after_its_commit() {
    use Progress::{Accepted, Committed};

    let peer = Peer::new("2.8.25").takes("a").takes("b");
    let (told, outcome) = replace(&peer, &two()).await;
    outcome.unwrap();
    assert!(matches!(told[..], [(0, Accepted), (0, Committed), (1, Accepted), (1, Committed)]), "{told:?}");
    let expected = ["set ssl cert /c/a.pem <<", "commit ssl cert /c/a.pem", "abort ssl cert /c/a.pem"];
    assert_eq!(peer.commands()[..3], expected);
}

#[tokio::test]
async fn a_commit_that_fails_does_not_poison_what_follows() {
    let refused = "inconsistencies between private key and certificate loaded '/c/a.pem'.\nCan't commit /c/a.pem!";
    let peer = Peer::new("3.2.26")
        .on("set ssl cert /c/a.pem", "Transaction created for certificate /c/a.pem!")
        .on("commit ssl cert /c/a.pem", refused)
        .on("abort", "Transaction aborted for certificate '/c/a.pem'!")
        .takes("b");
    let (told, outcome) = replace(&peer, &two()).await;
    outcome.unwrap();
    let [(0, Progress::Accepted), (0, Progress::Failed(error)), (1, Progress::Accepted), (1, Progress::Committed)] =
        &told[..]
    else {
        panic!("{told:?}")
    };
    assert_eq!(error.rejection(), Some(&Rejection::KeyMismatch));
}

#[tokio::test]
async fn what_could_not_be_ended_because_certificates_were_locked_is_ended_at_last() {
    let locked = "Can't commit the certificate!\nOperations on certificates are currently locked!";
    let other = "The ongoing transaction is about '/c/a.pem' but you are trying to set '/c/b.pem'";
    let peer = Peer::new("3.2.26")
        .on("set ssl cert /c/a.pem", "Transaction created for certificate /c/a.pem!")
        .on("commit ssl cert /c/a.pem", locked)
        .on("abort ssl cert /c/a.pem", locked)
        .on("set ssl cert /c/b.pem", other)
        .on("commit ssl cert /c/b.pem", other)
        .on("abort ssl cert /c/b.pem", other)
        .on("abort ssl cert /c/a.pem", "Transaction aborted for certificate '/c/a.pem'!");
    let (told, outcome) = replace(&peer, &two()).await;
    outcome.unwrap();
    assert!(
        matches!(told[..], [(0, Progress::Accepted), (0, Progress::Failed(_)), (1, Progress::Failed(_))]),
        "{told:?}"
    );
    assert_eq!(peer.commands().last().unwrap(), "abort ssl cert /c/a.pem");
}

#[tokio::test]
async fn a_transaction_that_somebody_else_had_opened_is_told() {
    let peer = Peer::new("3.2.26")
        .on("set ssl cert /c/a.pem", "Transaction updated for certificate /c/a.pem!")
        .on("commit ssl cert /c/a.pem", "Committing /c/a.pem.\nSuccess!")
        .on("abort", "No ongoing transaction!")
        .takes("b");
    let (told, outcome) = replace(&peer, &two()).await;
    outcome.unwrap();
    assert!(matches!(&told[0], (0, Progress::Failed(Error::ForeignTransaction { .. }))), "{told:?}");
    assert!(matches!(told[2], (1, Progress::Committed)), "{told:?}");
}

#[tokio::test]
async fn when_the_connection_ends_in_between_nothing_is_believed() {
    let peer = Peer::new("3.2.26")
        .on("set ssl cert /c/a.pem", "Transaction created for certificate /c/a.pem!")
        .on("commit ssl cert /c/a.pem", CLOSE);
    let (told, outcome) = replace(&peer, &two()).await;
    assert!(matches!(outcome, Err(Error::Closed { command: "commit ssl cert", .. })), "{outcome:?}");
    assert!(matches!(told[..], [(0, Progress::Accepted)]), "{told:?}");
}

#[tokio::test]
async fn below_2_8_each_certificate_is_looked_at_before_its_commit_travels_with_the_next() {
    use Progress::{Accepted, Committed};

    let pair = two();
    let peer = Peer::new("2.6.12")
        .shows(&pair[0])
        .on("commit ssl cert /c/a.pem", "Committing /c/a.pem.\nSuccess!")
        .shows(&pair[1])
        .on("commit ssl cert /c/b.pem", "Committing /c/b.pem.\nSuccess!");
    let (told, outcome) = replace(&peer, &pair).await;
    outcome.unwrap();
    assert!(matches!(told[..], [(0, Accepted), (0, Committed), (1, Accepted), (1, Committed)]), "{told:?}");
    let expected = [
        "set ssl cert /c/a.pem <<",
        "show ssl cert */c/a.pem",
        "commit ssl cert /c/a.pem",
        "set ssl cert /c/b.pem <<",
        "show ssl cert */c/b.pem",
        "commit ssl cert /c/b.pem",
    ];
    assert_eq!(peer.commands(), expected);
}

#[tokio::test]
async fn below_2_8_what_landed_in_a_transaction_that_failed_to_commit_is_taken_back() {
    let pair = two();
    let peer = Peer::new("2.6.12")
        .shows(&pair[0])
        .on("commit ssl cert /c/a.pem", "unable to load certificate\nCan't commit /c/a.pem!")
        .on("set ssl cert /c/b.pem", "Transaction updated for certificate /c/a.pem!")
        .on("show ssl cert */c/b.pem", "Can't display the certificate: Not found or the certificate is a bundle!")
        .on("abort ssl cert /c/a.pem", "Transaction aborted for certificate '/c/a.pem'!")
        .on("abort ssl cert /c/a.pem", "No ongoing transaction!");
    let (told, outcome) = replace(&peer, &pair).await;
    outcome.unwrap();
    let [(0, Progress::Accepted), (0, Progress::Failed(_)), (1, Progress::Failed(second))] = &told[..] else {
        panic!("{told:?}")
    };
    assert!(matches!(second, Error::ForeignTransaction { slot } if *slot == pair[1].0), "{second}");
    assert_eq!(peer.commands().iter().filter(|command| command.starts_with("commit")).count(), 1);
}

#[tokio::test]
async fn below_2_8_what_another_program_has_changed_is_aborted_instead_of_committed() {
    let pair = two();
    let peer = Peer::new("2.6.12")
        .on("set ssl cert /c/a.pem", "Transaction created for certificate /c/a.pem!")
        .on("show ssl cert */c/a.pem", &described("*/c/a.pem", "Unused", &bundle("a.test", 0)))
        .on("abort ssl cert /c/a.pem", "Transaction aborted for certificate '/c/a.pem'!")
        .shows(&pair[1])
        .on("commit ssl cert /c/b.pem", "Committing /c/b.pem.\nSuccess!");
    let (told, outcome) = replace(&peer, &pair).await;
    outcome.unwrap();
    assert!(matches!(&told[0], (0, Progress::Failed(Error::ForeignTransaction { .. }))), "{told:?}");
    assert!(matches!(told[2], (1, Progress::Committed)), "{told:?}");
}

#[tokio::test]
async fn below_2_8_a_connection_that_ends_leaves_nothing_believed() {
    let pair = two();
    let peer = Peer::new("2.6.12").shows(&pair[0]).on("commit ssl cert /c/a.pem", CLOSE);
    let (told, outcome) = replace(&peer, &pair).await;
    assert!(matches!(outcome, Err(Error::Closed { command: "commit ssl cert", .. })), "{outcome:?}");
    assert!(matches!(told[..], [(0, Progress::Accepted)]), "{told:?}");
}
