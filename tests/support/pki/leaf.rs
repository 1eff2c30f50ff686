//! Leaves of the test authority, in every form in which files hold them.

use std::io::Write as _;
use std::process::{Command, Stdio};

use jiff::Timestamp;
use rcgen::{Certificate, CertificateParams, CustomExtension, KeyPair, KeyUsagePurpose, PublicKeyData, SerialNumber};

use super::super::hex;
use super::{DAY, KeyType, Pki, params};

/// An extension that no program knows, and that is not critical: the place for padding.
const PADDING_OID: [u64; 9] = [1, 3, 6, 1, 4, 1, 32473, 1, 1];

/// Serial numbers are below 20 octets (RFC 5280, section 4.1.2.2), with the first bit clear and the first octet not zero.
const SERIAL_LENGTH: usize = 16;

/// A leaf to be issued.
#[derive(Debug)]
pub struct LeafBuilder<'a> {
    pki: Option<&'a Pki>,
    names: Vec<String>,
    not_before: Timestamp,
    not_after: Timestamp,
    key: KeyType,
    serial: Option<Vec<u8>>,
    pem_size: Option<usize>,
}

impl<'a> LeafBuilder<'a> {
    pub(super) fn new(pki: Option<&'a Pki>, name: &str) -> Self {
        let now = Timestamp::now().as_second();
        Self {
            pki,
            names: vec![name.to_owned()],
            not_before: instant(now - DAY),
            not_after: instant(now + 90 * DAY),
            key: KeyType::EcdsaP256,
            serial: None,
            pem_size: None,
        }
    }

    /// Sets all names, DNS names and IP addresses; the first is also the subject.
    pub fn names(mut self, names: &[&str]) -> Self {
        self.names = names.iter().map(|&name| name.to_owned()).collect();
        self
    }

    /// Sets from when it is valid, in whole seconds.
    pub fn not_before(mut self, instant: Timestamp) -> Self {
        self.not_before = instant;
        self
    }

    /// Sets until when it is valid, in whole seconds.
    pub fn not_after(mut self, instant: Timestamp) -> Self {
        self.not_after = instant;
        self
    }

    /// Sets the validity in days from now; both may be negative.
    pub fn valid_days(self, from: i64, to: i64) -> Self {
        let now = Timestamp::now().as_second();
        self.not_before(instant(now + from * DAY)).not_after(instant(now + to * DAY))
    }

    /// Sets the kind of its key.
    pub fn key(mut self, key: KeyType) -> Self {
        self.key = key;
        self
    }

    /// Sets the serial number, big-endian; random by default.
    pub fn serial(mut self, serial: &[u8]) -> Self {
        self.serial = Some(serial.to_vec());
        self
    }

    /// Pads the leaf until [`Leaf::fullchain_and_key`] has exactly `bytes` bytes, or, as base64 comes in groups of four,
    /// the one to four fewer that can be reached.
    pub fn pem_size(mut self, bytes: usize) -> Self {
        self.pem_size = Some(bytes);
        self
    }

    /// Issues it, with a new key.
    pub fn issue(self) -> Leaf {
        self.issue_with(&self.key.generate())
    }

    /// Issues it with the key of another leaf.
    pub fn issue_with_key_of(self, other: &Leaf) -> Leaf {
        let key = KeyPair::from_pem(&other.key_pem).expect("a leaf's key is one that was generated");
        self.issue_with(&key)
    }

    /// Issues it for the key of somebody else; the chain as a server sends it, without key.
    pub fn issue_for(self, key: &impl PublicKeyData) -> String {
        let pki = self.pki.expect("a stranger's key is signed by an authority");
        let params = self.params(&self.serial_number(), 0);
        let certificate = params.signed_by(key, &pki.issuer).expect("the parameters are complete");
        lf(&(certificate.pem() + &pki.intermediates.concat()))
    }

    fn issue_with(&self, key: &KeyPair) -> Leaf {
        let Some(wanted) = self.pem_size else { return self.sign(key, 0) };
        let smallest = self.sign(key, 1).fullchain_and_key().len();
        assert!(smallest <= wanted, "a PEM of {wanted} bytes is too small for this leaf: it takes {smallest}");
        // A line of 64 characters and its line feed carry 48 bytes. A signature's own length varies by a few bytes, so the
        // estimate is tried around until one fits.
        let estimate = (wanted - smallest) * 48 / 65;
        for round in 0..400_usize {
            let leaf = self.sign(key, 1 + (estimate + 8).saturating_sub(round % 40));
            let size = leaf.fullchain_and_key().len();
            if size <= wanted && size + 4 >= wanted {
                return leaf;
            }
        }
        unreachable!("some padding gives each size up to the granularity of base64");
    }

    fn serial_number(&self) -> Vec<u8> {
        self.serial.clone().unwrap_or_else(|| {
            let mut serial = rand::random::<[u8; SERIAL_LENGTH]>();
            serial[0] = serial[0] & 0x7f | 0x40;
            serial.to_vec()
        })
    }

    fn params(&self, serial: &[u8], padding: usize) -> CertificateParams {
        let (not_before, not_after) = (self.not_before.as_second(), self.not_after.as_second());
        let first = self.names.first().expect("a leaf has a name");
        let mut params = params(first, not_before, not_after);
        params.subject_alt_names =
            CertificateParams::new(self.names.clone()).expect("names are DNS names or addresses").subject_alt_names;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.serial_number = Some(SerialNumber::from_slice(serial));
        if padding > 0 {
            params.custom_extensions = vec![CustomExtension::from_oid_content(&PADDING_OID, vec![0x30; padding])];
        }
        params
    }

    fn sign(&self, key: &KeyPair, padding: usize) -> Leaf {
        let serial = self.serial_number();
        let params = self.params(&serial, padding);
        let certificate: Certificate = match self.pki {
            Some(pki) => params.signed_by(key, &pki.issuer),
            None => params.self_signed(key),
        }
        .expect("the parameters are complete");
        Leaf {
            serial: hex(&serial),
            sha256: hex(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, certificate.der()).as_ref()),
            names: self.names.clone(),
            not_before: self.not_before,
            not_after: self.not_after,
            der: certificate.der().to_vec(),
            cert_pem: certificate.pem(),
            key_pem: key.serialize_pem(),
            intermediates: self.pki.map(|pki| pki.intermediates.clone()).unwrap_or_default(),
        }
    }
}

/// An issued leaf with its key and its intermediates. PEM texts have LF line ends and end with one.
#[derive(Debug, Clone)]
pub struct Leaf {
    serial: String,
    sha256: String,
    names: Vec<String>,
    not_before: Timestamp,
    not_after: Timestamp,
    der: Vec<u8>,
    cert_pem: String,
    key_pem: String,
    intermediates: Vec<String>,
}

impl Leaf {
    /// The serial number, lower-case hexadecimal without separators.
    pub fn serial(&self) -> &str {
        &self.serial
    }

    /// The SHA-256 of the DER, lower-case hexadecimal without separators.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// The names it covers.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// From when it is valid.
    pub fn not_before(&self) -> Timestamp {
        self.not_before
    }

    /// Until when it is valid.
    pub fn not_after(&self) -> Timestamp {
        self.not_after
    }

    /// The DER of the leaf.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The leaf alone.
    pub fn cert_pem(&self) -> String {
        lf(&self.cert_pem)
    }

    /// The intermediates, without leaf and root.
    pub fn chain_pem(&self) -> String {
        lf(&self.intermediates.concat())
    }

    /// Leaf, then intermediates.
    pub fn fullchain(&self) -> String {
        self.cert_pem() + &self.chain_pem()
    }

    /// Leaf, intermediates and PKCS#8 key: what HAProxy reads.
    pub fn fullchain_and_key(&self) -> String {
        self.fullchain() + &self.key_pem()
    }

    /// Leaf and PKCS#8 key, the chain forgotten.
    pub fn leaf_and_key(&self) -> String {
        self.cert_pem() + &self.key_pem()
    }

    /// The key as PKCS#8, `PRIVATE KEY`.
    pub fn key_pem(&self) -> String {
        lf(&self.key_pem)
    }

    /// The key as SEC1, `EC PRIVATE KEY`; for ECDSA.
    pub fn key_sec1(&self) -> String {
        openssl(&["pkey", "-traditional"], &self.key_pem)
    }

    /// The key as PKCS#1, `RSA PRIVATE KEY`; for RSA.
    pub fn key_pkcs1(&self) -> String {
        openssl(&["pkey", "-traditional"], &self.key_pem)
    }

    /// The key as encrypted PKCS#8, `ENCRYPTED PRIVATE KEY`.
    pub fn key_encrypted(&self, passphrase: &str) -> String {
        openssl(&["pkcs8", "-topk8", "-v2", "aes-256-cbc", "-passout", &format!("pass:{passphrase}")], &self.key_pem)
    }
}

fn instant(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).expect("tests stay within the range of a timestamp")
}

fn lf(pem: &str) -> String {
    pem.replace("\r\n", "\n")
}

fn openssl(arguments: &[&str], input: &str) -> String {
    let mut child = Command::new("openssl")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the openssl command line tool is installed");
    child.stdin.take().expect("standard input is a pipe").write_all(input.as_bytes()).expect("openssl reads its input");
    let output = child.wait_with_output().expect("openssl ends");
    assert!(output.status.success(), "openssl {arguments:?}: {}", output.status);
    String::from_utf8(output.stdout).expect("PEM is text")
}
