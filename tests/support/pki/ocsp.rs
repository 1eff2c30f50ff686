//! OCSP responses of the test authority (RFC 6960, section 4.2.1), signed by whoever issued the leaf.

use jiff::Timestamp;
use rcgen::SigningKey as _;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::{DAY, Leaf, Pki};

/// Object identifiers, in DER.
const SHA1: &[u8] = &[0x2b, 0x0e, 0x03, 0x02, 0x1a];
const ECDSA_WITH_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];
const BASIC_RESPONSE: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, 0x01, 0x01];

/// A response to be made.
#[derive(Debug)]
pub struct OcspBuilder<'a> {
    pki: &'a Pki,
    leaf: &'a Leaf,
    this_update: i64,
    next_update: i64,
    revoked: bool,
}

impl Pki {
    /// Begins a response that says that a leaf is good, from yesterday to three days from now.
    pub fn ocsp<'a>(&'a self, leaf: &'a Leaf) -> OcspBuilder<'a> {
        let now = Timestamp::now().as_second();
        OcspBuilder { pki: self, leaf, this_update: now - DAY, next_update: now + 3 * DAY, revoked: false }
    }

    /// The certificate that signs leaves.
    pub fn issuer_pem(&self) -> String {
        self.intermediates.first().unwrap_or(&self.root_pem).replace("\r\n", "\n")
    }
}

impl OcspBuilder<'_> {
    /// Sets how long it is valid, in seconds from now; both may be negative.
    pub fn valid_seconds(mut self, from: i64, to: i64) -> Self {
        let now = Timestamp::now().as_second();
        (self.this_update, self.next_update) = (now + from, now + to);
        self
    }

    /// Says that the leaf is revoked.
    pub fn revoked(mut self) -> Self {
        self.revoked = true;
        self
    }

    /// The response in DER.
    pub fn der(self) -> Vec<u8> {
        let pem = self.pki.issuer_pem();
        let issuer = pem::parse(pem).expect("the issuer is PEM");
        let (_, issuer) = X509Certificate::from_der(issuer.contents()).expect("the issuer is a certificate");
        let (_, leaf) = X509Certificate::from_der(self.leaf.der()).expect("a leaf is a certificate");
        let key_hash = value(0x04, &[&sha1(&issuer.public_key().subject_public_key.data)]);
        let id = sequence(&[
            &sequence(&[&value(0x06, &[SHA1]), &value(0x05, &[])]),
            &value(0x04, &[&sha1(issuer.subject().as_raw())]),
            &key_hash,
            &value(0x02, &[leaf.raw_serial()]),
        ]);
        let status = if self.revoked { value(0xa1, &[&time(self.this_update)]) } else { value(0x80, &[]) };
        let next = value(0xa0, &[&time(self.next_update)]);
        let single = sequence(&[&id, &status, &time(self.this_update), &next]);
        let produced = time(Timestamp::now().as_second());
        let data = sequence(&[&value(0xa2, &[&key_hash]), &produced, &sequence(&[&single])]);
        let signature = self.pki.issuer.key().sign(&data).expect("the key can sign");
        let algorithm = sequence(&[&value(0x06, &[ECDSA_WITH_SHA256])]);
        let basic = sequence(&[&data, &algorithm, &value(0x03, &[&[0], &signature])]);
        let bytes = sequence(&[&value(0x06, &[BASIC_RESPONSE]), &value(0x04, &[&basic])]);
        sequence(&[&value(0x0a, &[&[0]]), &value(0xa0, &[&bytes])])
    }
}

/// One value in DER.
fn value(tag: u8, contents: &[&[u8]]) -> Vec<u8> {
    let contents = contents.concat();
    let length = u16::try_from(contents.len()).expect("a response is short").to_be_bytes();
    let head = match length {
        [0, short] if short < 128 => vec![tag, short],
        [0, longer] => vec![tag, 0x81, longer],
        [high, low] => vec![tag, 0x82, high, low],
    };
    [head, contents].concat()
}

fn sequence(contents: &[&[u8]]) -> Vec<u8> {
    value(0x30, contents)
}

fn time(seconds: i64) -> Vec<u8> {
    let instant = Timestamp::from_second(seconds).expect("tests stay within the range of a timestamp");
    value(0x18, &[instant.strftime("%Y%m%d%H%M%SZ").to_string().as_bytes()])
}

fn sha1(bytes: &[u8]) -> Vec<u8> {
    aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY, bytes).as_ref().to_vec()
}
