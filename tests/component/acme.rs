//! Orders against a real authority, Pebble, of each version; our own listener answers its challenges.

use std::time::{Duration, Instant};

use crate::support::{Pebble, PebbleVersion};
use hotcert::acme::{Account, AccountKey, Challenge, Deadlines, Error, Http, Order, Proof, Status};
use hotcert::bundle::PrivateKey;
use hotcert::model::{ChallengeKind, DirectoryUrl, Facts, Identifier, KeyType, Token};
use hotcert::schedule::Retry;
use hotcert::solver::Listener;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

const DEADLINE: Duration = Duration::from_secs(30);

/// The choice of whoever answers http-01 alone.
fn http01(_: &Identifier, offered: &[ChallengeKind]) -> Option<ChallengeKind> {
    offered.contains(&ChallengeKind::Http01).then_some(ChallengeKind::Http01)
}

/// What is to be shown for a challenge.
fn shown(challenge: &Challenge) -> (&Token, &str) {
    match &challenge.proof {
        Proof::Token { token, key_authorization } => (token, key_authorization),
        other @ Proof::Persistent { .. } => panic!("{other:?}"),
    }
}

/// Makes one test for each version of Pebble of each function named.
macro_rules! each_pebble {
    ($($test:ident),+ $(,)?) => {
        mod v2_4 { $(#[tokio::test] async fn $test() { super::$test(super::PebbleVersion::V2_4).await; })+ }
        mod v2_10 { $(#[tokio::test] async fn $test() { super::$test(super::PebbleVersion::V2_10).await; })+ }
    };
}

each_pebble! {
    an_order_becomes_a_certificate,
    half_of_all_nonces_may_be_refused,
    a_validated_name_is_not_validated_again,
    an_order_is_resumed_after_each_step,
    a_lost_order_is_found_by_its_names,
    registering_a_key_again_gives_the_same_account,
    a_failed_validation_tells_why_by_name,
    a_refused_name_is_told,
    an_unknown_order_is_gone,
    an_unknown_account_is_gone,
    an_authority_of_an_unknown_issuer_is_not_trusted,
    terms_must_be_agreed_to,
    an_external_account_is_asked_for,
    a_wildcard_cannot_be_validated_by_http,
}

/// An authority that validates against our listener.
struct Setup {
    pebble: Pebble,
    listener: Listener,
}

impl Setup {
    async fn new(version: PebbleVersion) -> Self {
        Self::with(version, |pebble| pebble).await
    }

    async fn with(
        version: PebbleVersion,
        describe: impl FnOnce(crate::support::pebble::Builder) -> crate::support::pebble::Builder,
    ) -> Self {
        let listener = Listener::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let pebble = describe(Pebble::new(version).http01(listener.local_addr())).start();
        Self { pebble, listener }
    }

    fn http(&self) -> Http {
        let root = std::fs::read_to_string(self.pebble.root_ca()).unwrap();
        Http::new(Some(&root), Deadlines::default()).unwrap()
    }

    fn directory(&self) -> DirectoryUrl {
        self.pebble.directory().parse().unwrap()
    }

    async fn register(&self, key: &AccountKey) -> Result<Account, Error> {
        let contacts = ["admin@example.org".to_owned()];
        Account::register(&self.http(), &self.directory(), key, &contacts, true, None).await
    }

    async fn account(&self) -> Account {
        self.register(&AccountKey::generate().unwrap()).await.unwrap()
    }

    /// Answers the challenges of an order; returns how many.
    async fn answer(&self, order: &mut Order) -> Result<usize, Error> {
        let challenges = order.challenges(http01).await?;
        for challenge in &challenges {
            let (token, key_authorization) = shown(challenge);
            self.listener.add(token, key_authorization);
        }
        for challenge in &challenges {
            order.ready(challenge).await?;
        }
        Ok(challenges.len())
    }

    /// All steps of an order.
    async fn issue(&self, order: &mut Order, key: &PrivateKey) -> Result<String, Error> {
        self.answer(order).await?;
        order.await_ready(DEADLINE).await?;
        order.finalize(key).await?;
        order.certificate(DEADLINE).await
    }
}

fn names<const N: usize>(names: [&str; N]) -> [Identifier; N] {
    names.map(|name| name.parse().unwrap())
}

fn key() -> PrivateKey {
    PrivateKey::generate(KeyType::EcdsaP256).unwrap()
}

fn covers(pem: &str, names: &[Identifier]) -> bool {
    let leaf = CertificateDer::pem_slice_iter(pem.as_bytes()).next().unwrap().unwrap();
    Facts::read(&leaf, 1).unwrap().names.iter().eq(names)
}

async fn an_order_becomes_a_certificate(version: PebbleVersion) {
    let setup = Setup::new(version).await;
    // On a task of its own, as in the daemon: every step must be able to change threads.
    tokio::spawn(async move {
        let account = setup.account().await;
        for kind in [KeyType::EcdsaP256, KeyType::EcdsaP384, KeyType::Rsa2048] {
            let names = names(["a.test", "b.test", "127.0.0.1"]);
            let key = PrivateKey::generate(kind).unwrap();
            let mut order = account.new_order(&names, None, None).await.unwrap();
            assert!(order.expires().is_some());
            assert!(order.identifiers().iter().all(|name| names.contains(name)));
            let chain = setup.issue(&mut order, &key).await.unwrap();
            assert!(covers(&chain, &names), "{chain}");
            assert_eq!(chain.matches("BEGIN CERTIFICATE").count(), 2);
            assert_eq!(order.status(), Status::Valid);
        }
        assert_eq!(setup.pebble.certificates(), 3);
    })
    .await
    .unwrap();
}

async fn half_of_all_nonces_may_be_refused(version: PebbleVersion) {
    let setup = Setup::with(version, |pebble| pebble.reject_nonces(50)).await;
    let account = setup.account().await;
    for _ in 0..3 {
        let names = names(["a.test", "b.test", "c.test"]);
        let mut order = account.new_order(&names, None, None).await.unwrap();
        assert!(covers(&setup.issue(&mut order, &key()).await.unwrap(), &names));
    }
    let open = account.new_order(&names(["d.test"]), None, None).await.unwrap();
    assert_eq!(account.open_order(&names(["d.test"])).await.unwrap().url(), open.url());
    assert_eq!((setup.pebble.accounts(), setup.pebble.orders(), setup.pebble.certificates()), (1, 4, 3));
}

async fn a_validated_name_is_not_validated_again(version: PebbleVersion) {
    let setup = Setup::with(version, |pebble| pebble.reuse_authz(100)).await;
    let account = setup.account().await;
    let mut first = account.new_order(&names(["a.test"]), None, None).await.unwrap();
    setup.issue(&mut first, &key()).await.unwrap();

    let mut second = account.new_order(&names(["a.test", "b.test"]), None, None).await.unwrap();
    assert_eq!(setup.answer(&mut second).await.unwrap(), 1);
    second.await_ready(DEADLINE).await.unwrap();

    let mut third = account.new_order(&names(["a.test", "b.test"]), None, None).await.unwrap();
    assert_eq!(third.status(), Status::Ready);
    let chain = setup.issue(&mut third, &key()).await.unwrap();
    assert!(covers(&chain, &names(["a.test", "b.test"])));
}

async fn an_order_is_resumed_after_each_step(version: PebbleVersion) {
    let setup = Setup::new(version).await;
    let (account_key, key) = (AccountKey::generate().unwrap(), key());
    let pem = account_key.pem().to_owned();
    let account = setup.register(&account_key).await.unwrap();
    let url = account.new_order(&names(["a.test"]), None, None).await.unwrap().url().to_owned();
    // As after a crash: nothing is left but the account's key, its URL and the order's URL.
    let resume = async || {
        let key = AccountKey::from_pem(&pem).unwrap();
        let restored = Account::restore(&setup.http(), &setup.directory(), &key, account.url()).await.unwrap();
        restored.resume(&url, &names(["a.test"])).await.unwrap()
    };

    let mut order = resume().await;
    assert_eq!((order.url(), order.status()), (url.as_str(), Status::Pending));
    assert_eq!(setup.answer(&mut order).await.unwrap(), 1);

    let mut order = resume().await;
    setup.answer(&mut order).await.unwrap();
    order.await_ready(DEADLINE).await.unwrap();

    let mut order = resume().await;
    assert_eq!(order.status(), Status::Ready);
    assert_eq!(order.challenges(http01).await.unwrap(), []);
    order.finalize(&key).await.unwrap();

    let mut order = resume().await;
    assert!(matches!(order.status(), Status::Processing | Status::Valid));
    setup.issue(&mut order, &key).await.unwrap();

    let mut order = resume().await;
    assert_eq!(order.status(), Status::Valid);
    assert!(covers(&setup.issue(&mut order, &key).await.unwrap(), &names(["a.test"])));
    assert_eq!((setup.pebble.orders(), setup.pebble.certificates(), setup.pebble.accounts()), (1, 1, 1));
}

async fn a_lost_order_is_found_by_its_names(version: PebbleVersion) {
    let setup = Setup::new(version).await;
    let account = setup.account().await;
    let wanted = names(["a.test", "b.test"]);
    assert!(account.open_order(&wanted).await.is_none());
    for other in ["c.test", "d.test", "a.test", "b.test", "e.test"] {
        account.new_order(&names([other]), None, None).await.unwrap();
    }
    let mut done = account.new_order(&wanted, None, None).await.unwrap();
    setup.issue(&mut done, &key()).await.unwrap();
    let lost = account.new_order(&wanted, None, None).await.unwrap();
    let mut found = account.open_order(&names(["b.test", "a.test"])).await.unwrap();
    assert_eq!((found.url(), found.status()), (lost.url(), Status::Pending));
    setup.issue(&mut found, &key()).await.unwrap();
    assert!(account.open_order(&names(["nobody.test"])).await.is_none());
}

async fn registering_a_key_again_gives_the_same_account(version: PebbleVersion) {
    let setup = Setup::new(version).await;
    let key = AccountKey::generate().unwrap();
    let again = AccountKey::from_pem(key.pem()).unwrap();
    let first = setup.register(&key).await.unwrap();
    let second = setup.register(&again).await.unwrap();
    assert_eq!((first.url(), first.thumbprint()), (second.url(), second.thumbprint()));
    assert_eq!(setup.pebble.accounts(), 1);
}

async fn a_failed_validation_tells_why_by_name(version: PebbleVersion) {
    let setup = Setup::with(version, |pebble| pebble.reuse_authz(100)).await;
    let account = setup.account().await;
    let mut good = account.new_order(&names(["good.test"]), None, None).await.unwrap();
    setup.issue(&mut good, &key()).await.unwrap();

    let mut order = account.new_order(&names(["good.test", "bad.test"]), None, None).await.unwrap();
    for challenge in order.challenges(http01).await.unwrap() {
        // Nobody answers.
        order.ready(&challenge).await.unwrap();
    }
    let error = order.await_ready(DEADLINE).await.unwrap_err();
    let Error::AuthorizationFailed { failures } = &error else { panic!("{error:?}") };
    assert_eq!(failures.len(), 1, "{error}");
    assert_eq!(failures[0].0, names(["bad.test"])[0]);
    assert!(failures[0].1.contains("404") && failures[0].1.contains("(unauthorized)"), "{error}");
    assert_eq!(error.retry(), Retry::Backoff);

    let mut order = account.resume(order.url(), &names(["good.test", "bad.test"])).await.unwrap();
    assert_eq!(order.status(), Status::Invalid);
    let again = order.challenges(http01).await.unwrap_err();
    assert_eq!(again.to_string(), error.to_string());
}

async fn a_refused_name_is_told(version: PebbleVersion) {
    let setup = Setup::new(version).await;
    let account = setup.account().await;
    // It is a name in DNS, but none of a host (RFC 952), and authorities refuse it.
    let error = account.new_order(&names(["under_score.test"]), None, None).await.unwrap_err();
    let Error::Refused(problem) = &error else { panic!("{error:?}") };
    assert!(["rejectedIdentifier", "malformed"].contains(&problem.kind.as_str()), "{error}");
    assert_eq!(error.retry(), Retry::Never);
    assert_eq!(setup.pebble.orders(), 0);
}

async fn an_unknown_order_is_gone(version: PebbleVersion) {
    let setup = Setup::new(version).await;
    let account = setup.account().await;
    let others = setup.account().await.new_order(&names(["a.test"]), None, None).await.unwrap();
    let unknown = setup.pebble.directory().replace("/dir", "/my-order/nothing");
    for url in [unknown.as_str(), others.url()] {
        let error = account.resume(url, &names(["a.test"])).await.unwrap_err();
        assert!(matches!(error, Error::OrderGone { .. }), "{url}: {error:?}");
        assert_eq!(error.retry(), Retry::Now);
    }
}

async fn an_unknown_account_is_gone(version: PebbleVersion) {
    let setup = Setup::new(version).await;
    let url = setup.pebble.directory().replace("/dir", "/my-account/nobody");
    let account =
        Account::restore(&setup.http(), &setup.directory(), &AccountKey::generate().unwrap(), &url).await.unwrap();
    let error = account.new_order(&names(["a.test"]), None, None).await.unwrap_err();
    assert!(matches!(error, Error::AccountGone { .. }), "{error:?}");
    assert!(account.open_order(&names(["a.test"])).await.is_none());
}

async fn an_authority_of_an_unknown_issuer_is_not_trusted(version: PebbleVersion) {
    let setup = Setup::new(version).await;
    let wrong = crate::support::Pki::new();
    let http = Http::new(Some(wrong.root_pem()), Deadlines::default()).unwrap();
    let key = AccountKey::generate().unwrap();
    let error = Account::register(&http, &setup.directory(), &key, &[], true, None).await.unwrap_err();
    assert!(matches!(error, Error::Untrusted { .. }), "{error:?}");
    assert!(error.hint().unwrap().contains("root_ca"));
    assert_eq!(error.retry(), Retry::Never);
}

async fn terms_must_be_agreed_to(version: PebbleVersion) {
    let setup = Setup::new(version).await;
    let key = AccountKey::generate().unwrap();
    let error = Account::register(&setup.http(), &setup.directory(), &key, &[], false, None).await.unwrap_err();
    let Error::TermsNotAgreed { url } = error else { panic!("{error:?}") };
    assert!(!url.is_empty());
    assert_eq!(setup.pebble.accounts(), 0);
}

async fn an_external_account_is_asked_for(version: PebbleVersion) {
    let setup = Setup::with(version, |pebble| {
        pebble.eab("kid-1", "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W")
    })
    .await;
    let error = setup.register(&AccountKey::generate().unwrap()).await.unwrap_err();
    assert!(matches!(error, Error::ExternalAccountRequired), "{error:?}");
}

async fn a_wildcard_cannot_be_validated_by_http(version: PebbleVersion) {
    let setup = Setup::new(version).await;
    let mut order = setup.account().await.new_order(&names(["*.a.test"]), None, None).await.unwrap();
    let error = order.challenges(http01).await.unwrap_err();
    let Error::NoChallenge { identifier, offered, .. } = &error else { panic!("{error:?}") };
    assert_eq!(*identifier, names(["*.a.test"])[0]);
    assert!(offered.contains(&"dns-01".to_owned()), "{error}");
}

#[tokio::test]
async fn a_profile_is_asked_for_only_where_it_is_offered() {
    let day = Duration::from_hours(24);
    let setup = Setup::with(PebbleVersion::V2_10, |pebble| pebble.profile("short", day)).await;
    let account = setup.account().await;
    let mut order = account.new_order(&names(["a.test"]), Some("short"), None).await.unwrap();
    let chain = setup.issue(&mut order, &key()).await.unwrap();
    let leaf = CertificateDer::pem_slice_iter(chain.as_bytes()).next().unwrap().unwrap();
    let facts = Facts::read(&leaf, 1).unwrap();
    assert!(facts.not_after.duration_since(facts.not_before).as_hours() <= 24);
    let error = account.new_order(&names(["a.test"]), Some("long"), None).await.unwrap_err();
    assert!(
        matches!(&error, Error::UnknownProfile { offered, .. } if offered.contains(&"short".to_owned())),
        "{error}"
    );

    let setup = Setup::new(PebbleVersion::V2_4).await;
    let error = setup.account().await.new_order(&names(["a.test"]), Some("short"), None).await.unwrap_err();
    assert!(matches!(error, Error::UnknownProfile { .. }), "{error:?}");
}

#[tokio::test]
async fn an_authority_that_is_down_is_unreachable() {
    let mut setup = Setup::new(PebbleVersion::V2_10).await;
    let account = setup.account().await;
    setup.pebble.stop();
    let begun = Instant::now();
    let error = account.new_order(&names(["a.test"]), None, None).await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
    assert_eq!(error.retry(), Retry::Backoff);
    assert!(begun.elapsed() < Duration::from_secs(5));
}
