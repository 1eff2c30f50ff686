//! Every way in which programs write files.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::symlink;

use super::place::Place;

#[test]
fn a_file_written_in_steps_is_taken_when_it_is_whole() {
    let mut place = Place::watched();
    let leaf = place.leaf("a.test", 5);
    let text = leaf.fullchain_and_key();
    let mut file = fs::File::create(place.dir().join("a.pem")).unwrap();
    for (index, piece) in text.as_bytes().chunks(500).enumerate() {
        file.write_all(piece).unwrap();
        file.flush().unwrap();
        if index % 2 == 0 {
            place.settle();
        }
    }
    place.expect("a", &leaf);
    assert_eq!(place.store.generations(&"a".parse().unwrap()).unwrap(), [1], "half of it was taken");
    place.expect_announced("a");
    place.expect_no_problem();
}

#[test]
fn a_key_may_come_before_its_certificate_or_after() {
    let place = Place::watched();
    let (first, second) = (place.leaf("a.test", 5), place.leaf("b.test", 5));
    place.write("a.key", first.key_pem());
    place.write("b.crt", second.fullchain());
    place.settle();
    assert_eq!((place.stored("a"), place.stored("b")), (None, None));
    place.write("a.crt", first.fullchain());
    place.write("b.key", second.key_pem());
    place.expect("a", &first);
    place.expect("b", &second);

    // A renewal of both: for a moment the halves do not belong together.
    let (first, second) = (place.leaf("a.test", 2), place.leaf("b.test", 2));
    place.write("a.key", first.key_pem());
    place.write("b.crt", second.fullchain());
    place.settle();
    place.write("a.crt", first.fullchain());
    place.write("b.key", second.key_pem());
    place.expect("a", &first);
    place.expect("b", &second);
    place.expect_no_problem();
}

#[test]
fn a_certificate_whose_key_does_not_come_is_reported() {
    let place = Place::watched();
    let leaf = place.leaf("a.test", 5);
    place.write("a.crt", leaf.fullchain());
    let problem = place.expect_problem("a.crt", "the private key is missing");
    assert_eq!(problem.certificate.unwrap().as_str(), "a");
    assert!(problem.hint.unwrap().contains("NAME.key"));
    place.write("a.key", leaf.key_pem());
    place.expect("a", &leaf);
    place.expect_no_problem();
}

#[test]
fn editors_and_clients_replace_by_rename() {
    let place = Place::watched();
    for hours in [5, 4, 3] {
        let leaf = place.leaf("a.test", hours);
        place.write(".a.pem.swp", leaf.fullchain_and_key());
        fs::rename(place.dir().join(".a.pem.swp"), place.dir().join("a.pem")).unwrap();
        place.expect("a", &leaf);
        // Vim's other way: the old file is moved away, and a new one written.
        let leaf = place.leaf("a.test", hours);
        fs::rename(place.dir().join("a.pem"), place.dir().join("a.pem~")).unwrap();
        place.write("a.pem", leaf.fullchain_and_key());
        place.expect("a", &leaf);
    }
    place.expect_no_problem();
}

#[test]
fn the_same_length_in_the_same_moment_is_still_a_change() {
    let place = Place::watched();
    // Padded to one length, so that only the contents differ.
    for hours in [9, 8, 7, 6, 5, 4] {
        let start = jiff::Timestamp::now() - jiff::SignedDuration::from_hours(hours);
        let leaf = place.pki.leaf("a.test").not_before(start).pem_size(4000).issue();
        place.write("a.pem", leaf.fullchain_and_key());
        place.expect("a", &leaf);
    }
}

#[test]
fn a_write_through_a_link_is_seen() {
    let place = Place::watched();
    let (first, second) = (place.leaf("a.test", 5), place.leaf("a.test", 4));
    let far = place.scratch.write("far/away/real.pem", first.fullchain_and_key());
    symlink("../far/middle", place.dir().join("a.pem")).unwrap();
    symlink("away/real.pem", place.scratch.join("far/middle")).unwrap();
    place.expect("a", &first);
    fs::write(&far, second.fullchain_and_key()).unwrap();
    place.expect("a", &second);
    // The link in the middle leads elsewhere.
    let third = place.leaf("a.test", 3);
    place.scratch.write("far/other.pem", third.fullchain_and_key());
    fs::remove_file(place.scratch.join("far/middle")).unwrap();
    symlink("other.pem", place.scratch.join("far/middle")).unwrap();
    place.expect("a", &third);
    place.expect_no_problem();
}

#[test]
fn a_root_that_is_removed_and_made_again_is_watched_again() {
    let place = Place::watched();
    let first = place.leaf("a.test", 5);
    place.write("a.pem", first.fullchain_and_key());
    place.expect("a", &first);
    for hours in [4, 3] {
        fs::remove_dir_all(place.dir()).unwrap();
        place.expect_problem("", "the watched directory is not there");
        let leaf = place.leaf("a.test", hours);
        place.write("a.pem", leaf.fullchain_and_key());
        place.expect("a", &leaf);
        place.expect_no_problem();
    }
    // Another directory takes its place at once.
    let leaf = place.leaf("a.test", 2);
    place.scratch.write("new/a.pem", leaf.fullchain_and_key());
    fs::rename(place.dir(), place.scratch.join("old")).unwrap();
    fs::rename(place.scratch.join("new"), place.dir()).unwrap();
    place.expect("a", &leaf);
    place.settle();
    place.expect_no_problem();
}

#[test]
fn a_root_may_be_missing_at_the_start() {
    let mut place = Place::new();
    fs::remove_dir(place.dir()).unwrap();
    place.start();
    place.expect_problem("", "the watched directory is not there");
    let leaf = place.leaf("a.test", 2);
    place.write("a.pem", leaf.fullchain_and_key());
    place.expect("a", &leaf);
    place.expect_no_problem();
}

#[test]
fn a_new_subdirectory_is_watched() {
    let place = Place::watched();
    let (first, second) = (place.leaf("a.test", 5), place.leaf("a.test", 4));
    for leaf in [&first, &second] {
        place.write("one/a.test/fullchain.pem", leaf.fullchain());
        place.write("one/a.test/privkey.pem", leaf.key_pem());
        place.expect("a.test", leaf);
    }
    // Moved in as a whole.
    let third = place.leaf("b.test", 4);
    place.scratch.write("b.test/fullchain.pem", third.fullchain());
    place.scratch.write("b.test/privkey.pem", third.key_pem());
    fs::rename(place.scratch.join("b.test"), place.dir().join("b.test")).unwrap();
    place.expect("b.test", &third);
    place.expect_no_problem();
}

#[test]
fn without_events_directories_are_polled() {
    let mut place = Place::new().without_events();
    place.start();
    for hours in [5, 4] {
        let leaf = place.leaf("a.test", hours);
        place.write("a.pem", leaf.fullchain_and_key());
        place.expect("a", &leaf);
        let leaf = place.leaf("b.test", hours);
        place.write("b.test/fullchain.pem", leaf.fullchain());
        place.write("b.test/privkey.pem", leaf.key_pem());
        place.expect("b.test", &leaf);
    }
    fs::remove_file(place.dir().join("a.pem")).unwrap();
    place.expect_problem("a.pem", "it was removed");
}
