use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};

use super::*;
use crate::store::publish::{Ownership, check_directory, prepare, publish, published, sweep};

const FILE: &str = "example.org.pem";

fn owned(mode: Option<u32>) -> Ownership {
    Ownership { mode, ..Ownership::default() }
}

#[test]
fn the_same_file_is_published_once() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(published(&dir.path().join(FILE)).unwrap(), None);
    assert!(publish(dir.path(), FILE, "one", &Ownership::default()).unwrap());
    assert_eq!(mode(&dir.path().join(FILE)), 0o600);
    assert!(!publish(dir.path(), FILE, "one", &Ownership::default()).unwrap());
    assert!(publish(dir.path(), FILE, "one", &owned(Some(0o640))).unwrap());
    assert_eq!(mode(&dir.path().join(FILE)), 0o640);
    assert!(publish(dir.path(), FILE, "two", &Ownership::default()).unwrap());
    assert_eq!(published(&dir.path().join(FILE)).unwrap().unwrap().as_slice(), b"two");
    assert_eq!(mode(&dir.path().join(FILE)), 0o640);
    assert_eq!(tree(dir.path()), [FILE]);
}

#[test]
fn until_it_is_in_its_place_haproxy_sees_the_old_file_only() {
    let dir = tempfile::tempdir().unwrap();
    publish(dir.path(), FILE, "old", &Ownership::default()).unwrap();
    let prepared = prepare(dir.path(), FILE, "new", &Ownership::default()).unwrap().unwrap();
    let visible: Vec<_> = tree(dir.path()).into_iter().filter(|entry| !entry.starts_with('.')).collect();
    assert_eq!(visible, [FILE]);
    assert_eq!(tree(dir.path()).len(), 2);
    assert_eq!(sweep(dir.path()).unwrap(), 0, "what is being written is left alone");
    prepared.discard();
    assert_eq!(tree(dir.path()), [FILE]);
    assert_eq!(fs::read_to_string(dir.path().join(FILE)).unwrap(), "old");

    prepare(dir.path(), FILE, "new", &Ownership::default()).unwrap().unwrap().publish().unwrap();
    assert_eq!(fs::read_to_string(dir.path().join(FILE)).unwrap(), "new");
}

#[test]
fn only_our_own_leftovers_are_swept() {
    let dir = tempfile::tempdir().unwrap();
    for file in [".a.pem.hotcert-1-1", ".a.pem.hotcert-1-x", ".other", "a.hotcert-1-1", ".b.pem.hotcert-999-77"] {
        fs::write(dir.path().join(file), "half a k").unwrap();
    }
    assert_eq!(sweep(dir.path()).unwrap(), 2);
    assert_eq!(tree(dir.path()), [".a.pem.hotcert-1-x", ".other", "a.hotcert-1-1"]);
}

#[test]
fn a_new_file_belongs_to_whoever_has_the_directory() {
    let dir = tempfile::tempdir().unwrap();
    if rustix::process::geteuid().is_root() {
        chown(dir.path(), Some(65534), None).unwrap();
    }
    let owner = fs::metadata(dir.path()).unwrap().uid();
    assert!(publish(dir.path(), FILE, "one", &Ownership::default()).unwrap());
    assert_eq!(fs::metadata(dir.path().join(FILE)).unwrap().uid(), owner);
    assert!(!publish(dir.path(), FILE, "one", &Ownership::default()).unwrap());
}

#[test]
fn a_key_is_never_published_for_everybody() {
    let dir = tempfile::tempdir().unwrap();
    for wide in [0o644, 0o660, 0o1640, 0o604] {
        let refused = publish(dir.path(), FILE, "x", &owned(Some(wide)));
        assert!(matches!(refused, Err(Error::ModeTooWide { .. })), "{wide:o}");
    }
    fs::write(dir.path().join(FILE), "x").unwrap();
    fs::set_permissions(dir.path().join(FILE), fs::Permissions::from_mode(0o664)).unwrap();
    assert!(publish(dir.path(), FILE, "x", &Ownership::default()).unwrap());
    assert_eq!(mode(&dir.path().join(FILE)), 0o640);
}

#[test]
fn owner_and_group_are_kept_unless_they_are_configured() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(FILE);
    fs::write(&path, "x").unwrap();
    chown(&path, Some(1234), Some(4321)).unwrap();
    publish(dir.path(), FILE, "y", &Ownership::default()).unwrap();
    let found = fs::metadata(&path).unwrap();
    assert_eq!((found.uid(), found.gid()), (1234, 4321));

    let named = Ownership { mode: None, owner: Some("root".to_owned()), group: Some("77".to_owned()) };
    assert!(publish(dir.path(), FILE, "y", &named).unwrap());
    assert!(!publish(dir.path(), FILE, "y", &named).unwrap());
    let found = fs::metadata(&path).unwrap();
    assert_eq!((found.uid(), found.gid()), (0, 77));

    let unknown = Ownership { owner: Some("nobody-of-this-name".to_owned()), ..Ownership::default() };
    assert!(matches!(publish(dir.path(), FILE, "z", &unknown), Err(Error::UnknownOwner { what: "user", .. })));
}

#[test]
fn a_link_is_replaced_and_what_it_leads_to_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let other = dir.path().join("other");
    fs::write(&other, "certbot").unwrap();
    std::os::unix::fs::symlink("other", dir.path().join(FILE)).unwrap();
    assert!(publish(dir.path(), FILE, "ours", &Ownership::default()).unwrap());
    assert_eq!(fs::read_to_string(&other).unwrap(), "certbot");
    assert!(!dir.path().join(FILE).is_symlink());
}

#[test]
fn a_file_name_stays_in_its_directory_and_in_sight() {
    let dir = tempfile::tempdir().unwrap();
    for bad in ["", "..", ".hidden", "a/b", "/etc/passwd", "a\0"] {
        let refused = publish(dir.path(), bad, "x", &Ownership::default());
        assert!(matches!(refused, Err(Error::FileName { .. })), "{bad:?}");
    }
    fs::create_dir(dir.path().join(FILE)).unwrap();
    assert!(matches!(publish(dir.path(), FILE, "x", &Ownership::default()), Err(Error::NotAFile { .. })));
}

#[test]
fn a_directory_that_everybody_can_write_to_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    check_directory(dir.path()).unwrap();
    for wide in [0o777, 0o1777] {
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(wide)).unwrap();
        assert!(matches!(check_directory(dir.path()), Err(Error::WorldWritable { .. })));
    }
    let missing = check_directory(&dir.path().join("none")).unwrap_err();
    assert!(matches!(missing, Error::Io { .. }));
    assert!(matches!(check_directory(Path::new("/etc/passwd")), Err(Error::NotADirectory { .. })));
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o500)).unwrap();
    if !rustix::process::geteuid().is_root() {
        assert!(matches!(check_directory(dir.path()), Err(Error::Denied { .. })));
    }
}
