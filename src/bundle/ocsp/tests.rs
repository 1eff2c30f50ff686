use proptest::prelude::*;

use super::*;

/// One value in DER.
fn value(tag: u8, contents: &[&[u8]]) -> Vec<u8> {
    let contents = contents.concat();
    let length = u16::try_from(contents.len()).unwrap().to_be_bytes();
    [&[tag, 0x82], length.as_slice(), &contents].concat()
}

fn sequence(contents: &[&[u8]]) -> Vec<u8> {
    value(0x30, contents)
}

fn time(text: &str) -> Vec<u8> {
    value(0x18, &[text.as_bytes()])
}

/// The tags of `certStatus`.
const GOOD: u8 = 0x80;
const REVOKED: u8 = 0xa1;
const UNKNOWN: u8 = 0x82;

fn single(digest: &[u8], status: u8, next_update: Option<&str>) -> Vec<u8> {
    let hash = value(0x04, &[&[7; 20]]);
    let id = sequence(&[&sequence(&[&value(0x06, &[digest])]), &hash, &hash, &value(0x02, &[&[0, 0xab, 0xcd]])]);
    let status = match status {
        REVOKED => value(REVOKED, &[&time("20261101000000Z")]),
        other => value(other, &[]),
    };
    let next = next_update.map(|text| value(0xa0, &[&time(text)])).unwrap_or_default();
    sequence(&[&id, &status, &time("20261120000000Z"), &next])
}

fn response(singles: &[&[u8]]) -> Vec<u8> {
    let data = sequence(&[&value(0xa2, &[&value(0x04, &[&[7; 20]])]), &time("20261120000000Z"), &sequence(singles)]);
    let basic = sequence(&[&data, &sequence(&[&value(0x06, &[SHA1])]), &value(0x03, &[&[0]])]);
    let bytes = sequence(&[&value(0x06, &[SHA1]), &value(0x04, &[&basic])]);
    sequence(&[&value(0x0a, &[&[0]]), &value(0xa0, &[&bytes])])
}

fn good() -> Vec<u8> {
    response(&[&single(SHA1, GOOD, Some("20261127000000Z"))])
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn now() -> Timestamp {
    at("2026-11-23T00:00:00Z")
}

#[test]
fn a_response_says_which_certificate_it_is_about_and_for_how_long() {
    let response = OcspResponse::read(&good()).unwrap();
    assert!(response.is_about(&"abcd".parse().unwrap()));
    assert!(!response.is_about(&"abce".parse().unwrap()));
    let staple = response.usable(now()).unwrap();
    assert_eq!(staple.this_update, at("2026-11-20T00:00:00Z"));
    assert_eq!(staple.next_update, at("2026-11-27T00:00:00Z"));
    assert_eq!(response.der(), good());
}

#[test]
fn what_haproxy_or_a_client_would_not_take_is_refused_with_the_reason() {
    let flaw = |single: &[u8], now| OcspResponse::read(&response(&[single])).unwrap().usable(now).unwrap_err();
    let end = Some("20261127000000Z");
    assert_eq!(flaw(&single(SHA1, REVOKED, end), now()), OcspFlaw::Revoked);
    assert_eq!(flaw(&single(SHA1, UNKNOWN, end), now()), OcspFlaw::Unknown);
    assert_eq!(flaw(&single(b"other", GOOD, end), now()), OcspFlaw::Digest);
    assert_eq!(flaw(&single(SHA1, GOOD, None), now()), OcspFlaw::NoEnd);
    let good = single(SHA1, GOOD, end);
    let (first, last) = (at("2026-11-20T00:00:00Z"), at("2026-11-27T00:00:00Z"));
    assert_eq!(flaw(&good, at("2026-11-19T23:00:00Z")), OcspFlaw::NotYetValid(first));
    assert_eq!(flaw(&good, last), OcspFlaw::Expired(last));

    assert_eq!(OcspResponse::read(&response(&[])), Err(OcspFlaw::Several { found: 0 }));
    assert_eq!(OcspResponse::read(&response(&[&good, &good])), Err(OcspFlaw::Several { found: 2 }));
    let try_later = sequence(&[&value(0x0a, &[&[3]])]);
    assert_eq!(OcspResponse::read(&try_later), Err(OcspFlaw::Unsuccessful("it asks to try later")));
    for bad in [&b""[..], b"garbage", b"-----BEGIN CERTIFICATE-----", &sequence(&[&value(0x0a, &[&[0]])])] {
        assert_eq!(OcspResponse::read(bad), Err(OcspFlaw::Malformed), "{bad:?}");
    }
}

proptest! {
    #[test]
    fn reading_survives_any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..300), at in 0..300_usize, to in any::<u8>()) {
        let _ = OcspResponse::read(&bytes);
        let mut bent = good();
        let at = at % bent.len();
        bent[at] = to;
        let _ = OcspResponse::read(&bent).map(|response| response.usable(now()));
        let _ = OcspResponse::read(&bent[..at]);
    }
}
