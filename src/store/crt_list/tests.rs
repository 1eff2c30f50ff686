use std::os::unix::fs::PermissionsExt;

use proptest::prelude::*;

use super::*;

const FILE: &str = "/etc/haproxy/crt-list.txt";

fn slot() -> Slot {
    "/etc/haproxy/certs/new.pem".parse().unwrap()
}

fn entry(list: &Path, options: Option<&str>, filters: &[&str]) -> Attachment {
    Attachment {
        list: list.display().to_string(),
        directory: false,
        options: options.map(str::to_owned),
        filters: filters.iter().map(|&filter| filter.to_owned()).collect(),
    }
}

fn add(before: &[u8], options: Option<&str>, filters: &[&str]) -> Result<Option<Vec<u8>>, Error> {
    let file = Path::new(FILE);
    added(file, before, &slot(), &entry(file, options, filters), &Names::default())
}

fn remove(before: &[u8], options: Option<&str>, filters: &[&str]) -> Option<Vec<u8>> {
    let file = Path::new(FILE);
    removed(file, before, &slot(), &entry(file, options, filters), &Names::default()).unwrap()
}

#[test]
fn a_line_is_read_as_haproxy_reads_it() {
    let text =
        b"# comment\n\n/a.pem\r\n  /b.pem[alpn h2,http/1.1]*.b.test !x.b.test\n \t\n/c.pem c.test\n #d\n/e.pem [x\n";
    let found = parse(Path::new(FILE), text).unwrap();
    let short: Vec<_> = found
        .iter()
        .map(|entry| (entry.line, entry.certificate.as_str(), entry.options.join(" "), entry.filters.join(" ")))
        .collect();
    assert_eq!(
        short,
        [
            (3, "/a.pem", String::new(), String::new()),
            (4, "/b.pem", "alpn h2,http/1.1".to_owned(), "*.b.test !x.b.test".to_owned()),
            (6, "/c.pem", String::new(), "c.test".to_owned()),
            (7, "#d", String::new(), String::new()),
            (8, "/e.pem", String::new(), "x".to_owned()),
        ]
    );
}

#[test]
fn a_file_that_breaks_the_syntax_is_not_edited() {
    for bad in [&b"/a [x] [y]\n"[..], b"/a ]\n", b"[alpn h2]\n", b"/a\0\n"] {
        assert!(matches!(add(bad, None, &[]), Err(Error::CrtListUnreadable { line: 1, .. })), "{bad:?}");
    }
}

#[test]
fn an_entry_is_one_line_after_all_others_which_stay_as_they_are() {
    let before = b"# \xff latin\n\n/a.pem   [alpn  h2]  a.test\r\n";
    let after = add(before, Some("[alpn h2,http/1.1]"), &["www.a.test", "!b.a.test"]).unwrap().unwrap();
    assert!(after.starts_with(before));
    assert_eq!(&after[before.len()..], b"/etc/haproxy/certs/new.pem [alpn h2,http/1.1] www.a.test !b.a.test\n");
    assert_eq!(add(&after, Some("[ alpn  h2,http/1.1 ]"), &["www.a.test", "!b.a.test"]).unwrap(), None);
    let remove = |before: &[u8]| remove(before, Some("[alpn h2,http/1.1]"), &["www.a.test", "!b.a.test"]);
    assert_eq!(remove(&after).unwrap(), before);
    assert_eq!(remove(before), None);
}

#[test]
fn of_several_lines_for_one_certificate_only_ours_is_touched() {
    let name = slot();
    let before = format!("{name} [ssl-min-ver TLSv1.3] a.test\n{name} [alpn h2]\n{name} b.test\r\n{name} [alpn h2]\n");
    let expected = format!("{name} [ssl-min-ver TLSv1.3] a.test\n{name} [alpn h2]\n{name} b.test\r\n");
    assert_eq!(remove(before.as_bytes(), Some("[alpn h2]"), &[]).unwrap(), expected.as_bytes());
    assert_eq!(remove(before.as_bytes(), None, &[]), None);
    assert_eq!(remove(before.as_bytes(), None, &["a.test"]), None);
}

#[test]
fn an_entry_takes_the_place_of_another_one() {
    let (file, name) = (Path::new(FILE), slot());
    let replace = |before: &str, old: &Attachment, new: &Attachment| {
        let after = replaced(file, before.as_bytes(), &name, old, new, &Names::default()).unwrap();
        after.map(|bytes| String::from_utf8(bytes).unwrap())
    };
    let (old, new) = (entry(file, Some("[alpn h2]"), &[]), entry(file, None, &["a.test"]));
    let before = format!("{name} [alpn h2]\r\n/b.pem\n{name} b.test\n");
    let after = format!("{name} a.test\r\n/b.pem\n{name} b.test\n");
    assert_eq!(replace(&before, &old, &new).unwrap(), after);
    assert_eq!(replace(&after, &new, &old).unwrap(), before);
    // Without the old one it is added, and with the new one the old one goes.
    assert_eq!(replace(&after, &old, &new), None);
    assert_eq!(replace("/b.pem\n", &old, &new).unwrap(), format!("/b.pem\n{name} a.test\n"));
    let both = format!("{name} a.test\n/b.pem\n{name} [alpn h2]");
    assert_eq!(replace(&both, &old, &new).unwrap(), format!("{name} a.test\n/b.pem\n"));
}

#[test]
fn a_last_line_without_its_end_gets_one() {
    assert_eq!(add(b"/a.pem", None, &[]).unwrap().unwrap(), b"/a.pem\n/etc/haproxy/certs/new.pem\n");
    assert_eq!(remove(b"/a.pem\n/etc/haproxy/certs/new.pem", None, &[]).unwrap(), b"/a.pem\n");
}

#[test]
fn nothing_can_be_smuggled_into_another_line_or_option() {
    for options in ["alpn h2", "[a] [b]", "[a\n/evil.pem]", "[a", "[a]]"] {
        assert!(matches!(add(b"", Some(options), &[]), Err(Error::CrtListEntry { .. })), "{options:?}");
    }
    for filter in ["", "a b", "a\nb", "[x]"] {
        assert!(matches!(add(b"", None, &[filter]), Err(Error::CrtListEntry { .. })), "{filter:?}");
    }
    let odd = "/certs/[a].pem".parse().unwrap();
    let file = Path::new(FILE);
    assert!(added(file, b"", &odd, &entry(file, None, &[]), &Names::default()).is_err());
}

#[test]
fn the_file_keeps_its_mode_and_a_link_to_it_stays_a_link() {
    let dir = tempfile::tempdir().unwrap();
    let (real, link) = (dir.path().join("real"), dir.path().join("link"));
    fs::write(&real, "/a.pem\n").unwrap();
    fs::set_permissions(&real, fs::Permissions::from_mode(0o664)).unwrap();
    std::os::unix::fs::symlink("real", &link).unwrap();

    let (to, names) = (entry(&link, None, &[]), Names::default());
    check(&link).unwrap();
    assert!(add_entry(&slot(), &to, &names).unwrap());
    assert!(!add_entry(&slot(), &to, &names).unwrap());
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(fs::metadata(&real).unwrap().mode() & PERMISSIONS, 0o664);
    assert_eq!(entries(&link).unwrap().len(), 2);
    assert!(remove_entry(&slot(), &to, &names).unwrap());
    assert!(!remove_entry(&slot(), &to, &names).unwrap());
    assert_eq!(fs::read(&real).unwrap(), b"/a.pem\n");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
}

#[test]
fn a_missing_crt_list_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let none = entry(&dir.path().join("none"), None, &[]);
    assert!(matches!(add_entry(&slot(), &none, &Names::default()), Err(Error::Io { .. })));
}

fn any_line() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        Just(Vec::new()),
        "#[ -~]{0,20}".prop_map(String::into_bytes),
        // Lines of the same certificate, which are not ours.
        "/etc/haproxy/certs/new\\.pem( \\[[a-z]{1,5}\\])?( [b-z.]{1,9}){0,2} ?\r?".prop_map(String::into_bytes),
        "[ \t]{0,2}/[a-z./]{1,9}( ?\\[[a-z ,]{0,9}\\])?( !?[*]?[.a-z]{1,9}){0,3} {0,2}\r?".prop_map(String::into_bytes),
        proptest::collection::vec(any::<u8>(), 0..9).prop_map(|mut noise| {
            noise.retain(|byte| !b"\n\0[]".contains(byte));
            noise.insert(0, b'#');
            noise
        }),
    ]
}

proptest! {
    #[test]
    fn adding_and_then_removing_an_entry_changes_no_byte(
        lines in proptest::collection::vec(any_line(), 0..12),
        options in proptest::option::of(Just("[alpn h2,http/1.1 ssl-min-ver TLSv1.2]")),
        filters in proptest::sample::subsequence(vec!["a.test", "*.a.test", "!x.a.test"], 1..4),
    ) {
        let before: Vec<u8> = lines.into_iter().flat_map(|line| [line, b"\n".to_vec()].concat()).collect();
        let after = add(&before, options, &filters).unwrap().unwrap();
        prop_assert!(after.starts_with(&before));
        prop_assert_eq!(super::lines(&after[before.len()..]).count(), 1);
        prop_assert_eq!(add(&after, options, &filters).unwrap(), None);
        prop_assert_eq!(remove(&after, options, &filters).unwrap(), before.clone());
        // And the same with a change between.
        let (file, names) = (Path::new(FILE), Names::default());
        let (old, new) = (entry(file, options, &filters), entry(file, Some("[alpn h2]"), &["changed.test"]));
        let changed = replaced(file, &after, &slot(), &old, &new, &names).unwrap().unwrap();
        prop_assert_eq!(removed(file, &changed, &slot(), &new, &names).unwrap().unwrap(), before);
    }

    #[test]
    fn no_bytes_make_the_parser_panic(noise in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = add(&noise, None, &[]);
        let file = Path::new(FILE);
        let _ = removed(file, &noise, &slot(), &entry(file, None, &[]), &Names::default());
    }
}
