use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::event::{AccessKind, AccessMode, CreateKind, DataChange, Flag, ModifyKind};
use notify::{Event, EventKind};
use tokio::time::timeout;

use super::events::{Events, Inbox, Places};
use super::units::{Changes, Units};
use super::*;
use crate::config::{Layout, Watch};

const OPENED: EventKind = EventKind::Access(AccessKind::Open(AccessMode::Any));
const CREATED: EventKind = EventKind::Create(CreateKind::File);
const WRITTEN: EventKind = EventKind::Modify(ModifyKind::Data(DataChange::Any));
const CLOSED: EventKind = EventKind::Access(AccessKind::Close(AccessMode::Write));

fn event(inbox: &Inbox, kind: EventKind, path: &str) {
    inbox.take(Ok(Event::new(kind).add_path(path.into())));
}

fn places(paths: &[&str]) -> Places {
    Places::Some(paths.iter().map(PathBuf::from).collect())
}

#[tokio::test]
async fn events_become_places_once_it_is_quiet() {
    let inbox = Inbox::default();
    event(&inbox, CREATED, "/a/x.pem");
    event(&inbox, WRITTEN, "/a/x.pem");
    event(&inbox, CLOSED, "/a/x.pem");
    event(&inbox, CREATED, "/b/y.pem");
    assert_eq!(inbox.next().await, places(&["/a", "/b"]));
    // To read a file is no change, or looks would never end.
    event(&inbox, OPENED, "/a/x.pem");
    event(&inbox, EventKind::Access(AccessKind::Close(AccessMode::Read)), "/a/x.pem");
    assert!(timeout(Duration::from_millis(200), inbox.next()).await.is_err());
}

#[tokio::test]
async fn a_file_that_is_open_for_writing_is_waited_for_but_not_for_ever() {
    let inbox = Inbox::default();
    event(&inbox, WRITTEN, "/a/x.pem");
    let began = Instant::now();
    assert!(timeout(Duration::from_millis(60), inbox.next()).await.is_err(), "it was not waited for");
    event(&inbox, CLOSED, "/a/x.pem");
    inbox.next().await;
    assert!(began.elapsed() < Duration::from_secs(5));
    event(&inbox, WRITTEN, "/a/x.pem");
    inbox.next().await;
}

#[tokio::test]
async fn lost_events_and_too_many_of_them_lead_to_a_look_at_everything() {
    let inbox = Inbox::default();
    event(&inbox, CREATED, "/a/x.pem");
    inbox.take(Ok(Event::new(EventKind::Other).set_flag(Flag::Rescan)));
    assert_eq!(inbox.next().await, Places::Anywhere);
    inbox.take(Err(notify::Error::generic("the queue broke")));
    assert_eq!(inbox.next().await, Places::Anywhere);
    for number in 0..5000 {
        event(&inbox, CREATED, &format!("/{number}/x.pem"));
    }
    assert_eq!(inbox.next().await, Places::Anywhere);
    event(&inbox, CREATED, "/a/x.pem");
    assert_eq!(inbox.next().await, places(&["/a"]));
}

/// What a look finds: files that were touched, and files that are gone, below the root.
fn look(units: &mut Units, at: impl FnOnce(&mut Units, &mut Changes), root: &Path) -> (Vec<String>, Vec<String>) {
    let mut changes = Changes::default();
    at(units, &mut changes);
    let show = |path: &PathBuf| path.strip_prefix(root).unwrap().display().to_string();
    (changes.touched.keys().map(show).collect(), changes.gone.iter().map(show).collect())
}

#[test]
fn after_lost_events_everything_that_changed_is_found() {
    let scratch = tempfile::tempdir().unwrap();
    let root = scratch.path();
    let inbox = Arc::default();
    let roots = vec![Watch { dir: root.to_owned(), layout: Layout::Auto }];
    let mut units = Units::new(roots, Events::new(&inbox));
    fs::create_dir_all(root.join("live/a.test")).unwrap();
    fs::write(root.join("live/a.test/fullchain.pem"), "1").unwrap();
    fs::write(root.join("b.pem"), "1").unwrap();
    let everything = |units: &mut Units, changes: &mut Changes| units.everything(changes);
    let found = look(&mut units, everything, root);
    assert_eq!(found, (vec!["b.pem".to_owned(), "live/a.test/fullchain.pem".to_owned()], vec![]));
    assert_eq!(look(&mut units, everything, root), (vec![], vec![]), "a second look finds nothing new");

    // Nobody listens to what happens now.
    fs::remove_dir_all(root.join("live")).unwrap();
    fs::write(root.join("b.pem"), "22").unwrap();
    fs::create_dir_all(root.join("new/c.test")).unwrap();
    fs::write(root.join("new/c.test/tls.crt"), "1").unwrap();
    units.events.review(true);
    let (touched, gone) = look(&mut units, everything, root);
    assert_eq!(
        (touched, gone),
        (vec!["b.pem".to_owned(), "new/c.test/tls.crt".to_owned()], vec!["live/a.test/fullchain.pem".to_owned()],)
    );
}
