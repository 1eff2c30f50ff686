//! An order is interrupted after each durable step in turn, and run again until it comes through.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tracing_subscriber::Layer;
use tracing_subscriber::layer::{Context, SubscriberExt};

use super::*;

/// Panics at the step that brings the count to zero.
struct Interrupt(Arc<AtomicUsize>);

impl<S: tracing::Subscriber> Layer<S> for Interrupt {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        if event.metadata().target() == "hotcert::step" && self.0.fetch_sub(1, Ordering::SeqCst) == 1 {
            std::panic::resume_unwind(Box::new("interrupted"));
        }
    }
}

/// Knows each order by its key, and issues one certificate for it.
#[derive(Default)]
struct Authority(BTreeMap<String, Bundle>);

impl Authority {
    fn order(&mut self, key: &PrivateKey) -> Bundle {
        self.0.entry(key.pem().to_owned()).or_insert_with(|| bundle_for(key)).clone()
    }
}

/// What `renew` does, without the network.
fn issue(store: &Store, authority: &mut Authority) {
    let lock = store.try_lock_certificate(&name()).unwrap().expect("a dead holder has no lock");
    let journal = store.read_journal(&lock).unwrap();
    if journal.is_none() && store.current(&name()).unwrap().is_some() {
        return;
    }
    let journal = journal.unwrap_or_else(|| {
        let key = PrivateKey::generate(KeyType::EcdsaP256).unwrap();
        store.begin_journal(&lock, &key, &small::entry()).unwrap();
        Journal { key, entry: small::entry() }
    });
    let bundle = authority.order(&journal.key);
    if journal.entry.order_url.is_none() {
        store.set_order_url(&lock, "https://acme.example/order/1").unwrap();
    }
    store.add(&lock, &bundle, &meta()).unwrap();
    store.drop_journal(&lock).unwrap();
}

#[test]
fn an_order_that_is_interrupted_anywhere_is_resumed_and_never_placed_twice() {
    for step in 1.. {
        let fix = Fixture::new();
        let mut authority = Authority::default();
        let left = Arc::new(AtomicUsize::new(step));
        let subscriber = tracing_subscriber::registry().with(Interrupt(Arc::clone(&left)));
        let outcome = tracing::subscriber::with_default(subscriber, || {
            catch_unwind(AssertUnwindSafe(|| issue(&fix.store, &mut authority)))
        });
        let interrupted = outcome.is_err();

        // A certificate is there as a whole, or not at all.
        let seen = fix.store.current(&name()).unwrap().map(|generation| generation.number);
        assert!(matches!(seen, None | Some(1)));

        issue(&fix.store, &mut authority);
        assert_eq!(authority.0.len(), 1, "one order, interrupted after step {step}");
        let current = fix.store.current(&name()).unwrap().unwrap();
        let bundle = fix.store.bundle(&name(), &current).unwrap();
        assert_eq!(bundle.key().pem(), authority.0.keys().next().unwrap());
        assert_eq!(fix.store.generations(&name()).unwrap(), [1]);
        assert!(!fix.store.has_journal(&name()).unwrap());
        let leftovers: Vec<_> = tree(&fix.path("certs"))
            .into_iter()
            .filter(|entry| entry.contains("/.") || entry.contains("journal/"))
            .collect();
        assert!(leftovers.is_empty(), "after step {step}: {leftovers:?}");
        if !interrupted {
            assert!(step > 8, "only {step} steps were seen");
            break;
        }
    }
}

#[test]
fn what_a_kill_leaves_half_written_is_cleared_away() {
    let fix = Fixture::new();
    let lock = fix.lock();
    fix.store.add(&lock, &bundle(), &meta()).unwrap();
    let place = fix.path("certs/example.org");
    for half in [".new-2", ".old-1"] {
        fs::create_dir(place.join("generations").join(half)).unwrap();
        fs::write(place.join("generations").join(half).join("privkey.pem"), "half").unwrap();
    }
    std::os::unix::fs::symlink("generations/9", place.join(".current")).unwrap();
    fs::write(place.join(".settings.json.hotcert-1-0"), "half").unwrap();

    assert_eq!(fix.store.generations(&name()).unwrap(), [1]);
    fix.store.add(&lock, &bundle(), &meta()).unwrap();
    fix.store.remember(&lock, &1).unwrap();
    assert_eq!(fix.store.current(&name()).unwrap().unwrap().number, 2);
    assert!(tree(&fix.store.root).iter().all(|entry| !entry.contains("/.")), "{:?}", tree(&fix.store.root));
}
