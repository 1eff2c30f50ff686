use std::os::unix::fs::PermissionsExt;

use proptest::prelude::*;

use super::*;

const FILE: &str = "/etc/haproxy/crt-list.txt";

fn slot() -> Slot {
    "/etc/haproxy/certs/new.pem".parse().unwrap()
}

fn add(before: &[u8], options: Option<&str>, filters: &[&str]) -> Result<Option<Vec<u8>>, Error> {
    let filters: Vec<_> = filters.iter().map(|&filter| filter.to_owned()).collect();
    added(Path::new(FILE), before, &slot(), options, &filters)
}

fn remove(before: &[u8]) -> Option<Vec<u8>> {
    removed(Path::new(FILE), before, &slot()).unwrap()
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
    assert_eq!(remove(&after).unwrap(), before);
    assert_eq!(remove(before), None);
}

#[test]
fn a_last_line_without_its_end_gets_one() {
    assert_eq!(add(b"/a.pem", None, &[]).unwrap().unwrap(), b"/a.pem\n/etc/haproxy/certs/new.pem\n");
    assert_eq!(remove(b"/a.pem\n/etc/haproxy/certs/new.pem").unwrap(), b"/a.pem\n");
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
    assert!(added(Path::new(FILE), b"", &odd, None, &[]).is_err());
}

#[test]
fn the_file_keeps_its_mode_and_a_link_to_it_stays_a_link() {
    let dir = tempfile::tempdir().unwrap();
    let (real, link) = (dir.path().join("real"), dir.path().join("link"));
    fs::write(&real, "/a.pem\n").unwrap();
    fs::set_permissions(&real, fs::Permissions::from_mode(0o664)).unwrap();
    std::os::unix::fs::symlink("real", &link).unwrap();

    assert!(add_entry(&link, &slot(), None, &[]).unwrap());
    assert!(!add_entry(&link, &slot(), None, &[]).unwrap());
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(fs::metadata(&real).unwrap().mode() & PERMISSIONS, 0o664);
    assert_eq!(entries(&link).unwrap().len(), 2);
    assert!(remove_entry(&link, &slot()).unwrap());
    assert!(!remove_entry(&link, &slot()).unwrap());
    assert_eq!(fs::read(&real).unwrap(), b"/a.pem\n");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
}

#[test]
fn a_missing_crt_list_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    assert!(matches!(add_entry(&dir.path().join("none"), &slot(), None, &[]), Err(Error::Io { .. })));
}

fn any_line() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        Just(Vec::new()),
        "#[ -~]{0,20}".prop_map(String::into_bytes),
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
    fn adding_and_then_removing_an_entry_changes_no_byte(lines in proptest::collection::vec(any_line(), 0..12)) {
        let before: Vec<u8> = lines.into_iter().flat_map(|line| [line, b"\n".to_vec()].concat()).collect();
        let after = add(&before, Some("[alpn h2]"), &["a.test"]).unwrap().unwrap();
        prop_assert_eq!(add(&after, Some("[alpn h2]"), &["a.test"]).unwrap(), None);
        prop_assert_eq!(remove(&after).unwrap(), before);
    }

    #[test]
    fn no_bytes_make_the_parser_panic(noise in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = add(&noise, None, &[]);
        let _ = removed(Path::new(FILE), &noise, &slot());
    }
}
