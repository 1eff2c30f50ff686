//! Keys of dynamic updates: what `tsig-keygen` prints, or a secret alone.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hickory_proto::rr::rdata::tsig::TsigAlgorithm as Algorithm;
use hickory_proto::rr::{Name, TSigner};
use zeroize::Zeroizing;

use super::{Error, secret};
use crate::model::{DnsName, TsigAlgorithm, TsigKey};

/// By how much clocks may differ, in seconds (RFC 8945, section 10: recommended).
const FUDGE: u16 = 300;

/// A key that signs; it does not show itself.
pub(super) struct Key {
    pub(super) name: DnsName,
    pub(super) algorithm: TsigAlgorithm,
    pub(super) signer: TSigner,
}

impl Key {
    /// Reads a key from its file.
    pub(super) fn read(settings: &TsigKey) -> Result<Self, Error> {
        let failed = |reason| Error::Key { path: settings.key_file.clone(), reason };
        let text = secret::read(&settings.key_file)?;
        let parts = Parts::of(&text).map_err(failed)?;
        let name = match parts.name {
            Some(name) => Some(name.parse().map_err(|_| failed("the name of the key is no DNS name"))?),
            None => settings.name.clone(),
        };
        let name: DnsName = name.ok_or_else(|| failed("it has the secret alone, and `name` is not set"))?;
        let algorithm = match parts.algorithm {
            Some(algorithm) => algorithm
                .parse()
                .map_err(|_| failed("its algorithm is none of hmac-sha256, hmac-sha384 and hmac-sha512"))?,
            None => settings.algorithm.unwrap_or(TsigAlgorithm::HmacSha256),
        };
        let secret =
            Zeroizing::new(BASE64_STANDARD.decode(parts.secret).map_err(|_| failed("the secret in it is not base64"))?);
        if secret.is_empty() {
            return Err(failed("the secret in it is empty"));
        }
        let owner = Name::from_ascii(name.as_str()).map_err(|_| failed("the name of the key is no DNS name"))?;
        let kind = match algorithm {
            TsigAlgorithm::HmacSha256 => Algorithm::HmacSha256,
            TsigAlgorithm::HmacSha384 => Algorithm::HmacSha384,
            TsigAlgorithm::HmacSha512 => Algorithm::HmacSha512,
        };
        // The library keeps a copy for as long as the signer lives, which is one exchange.
        let signer = TSigner::new(secret.to_vec(), kind, owner, FUDGE).map_err(|_| failed("it cannot sign"))?;
        Ok(Self { name, algorithm, signer })
    }
}

/// What stands in a file.
#[derive(PartialEq, Eq)]
struct Parts<'a> {
    name: Option<&'a str>,
    algorithm: Option<&'a str>,
    secret: &'a str,
}

impl<'a> Parts<'a> {
    /// The statement `key "name" { algorithm …; secret "…"; };` of BIND, or one word, which is the secret.
    fn of(text: &'a str) -> Result<Self, &'static str> {
        let words = words(text);
        let [key, name, open, rest @ ..] = words.as_slice() else {
            return match words.as_slice() {
                [secret] => Ok(Self { name: None, algorithm: None, secret }),
                _ => Err(FORM),
            };
        };
        if (*key, *open) != ("key", "{") {
            return Err(FORM);
        }
        let (mut algorithm, mut secret) = (None, None);
        let mut rest = rest;
        loop {
            rest = match rest {
                ["algorithm", value, ";", rest @ ..] => {
                    algorithm = Some(*value);
                    rest
                }
                ["secret", value, ";", rest @ ..] => {
                    secret = Some(*value);
                    rest
                }
                ["}"] | ["}", ";"] => break,
                ["}", ";", "key", ..] => return Err("it has several keys"),
                _ => return Err(FORM),
            };
        }
        Ok(Self { name: Some(*name), algorithm, secret: secret.ok_or("it has no `secret`")? })
    }
}

const FORM: &str = "it is neither what `tsig-keygen` prints nor a secret in base64";

/// Words and punctuation; comments and quotes are left out.
fn words(text: &str) -> Vec<&str> {
    let mut words = Vec::new();
    for line in text.lines() {
        let mut rest = line.trim_start();
        while let Some(first) = rest.chars().next() {
            let end = match first {
                '#' => break,
                '/' if rest.starts_with("//") && !words.is_empty() => break,
                '{' | '}' | ';' => 1,
                '"' => {
                    let inner = &rest[1..];
                    let end = inner.find('"').unwrap_or(inner.len());
                    words.push(&inner[..end]);
                    rest = inner.get(end + 1..).unwrap_or_default().trim_start();
                    continue;
                }
                _ => rest.find(|char: char| char.is_whitespace() || "{};\"".contains(char)).unwrap_or(rest.len()),
            };
            words.push(&rest[..end]);
            rest = rest[end..].trim_start();
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str, name: Option<&str>) -> Result<(String, TsigAlgorithm, Vec<u8>), Error> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let settings = TsigKey {
            key_file: file.path().to_owned(),
            name: name.map(|name| name.parse().unwrap()),
            algorithm: Some(TsigAlgorithm::HmacSha384),
        };
        Key::read(&settings).map(|key| (key.name.to_string(), key.algorithm, key.signer.key().to_vec()))
    }

    #[test]
    fn a_key_is_what_tsig_keygen_prints_or_a_secret_alone() {
        let printed = "key \"Update.Key\" {\n\talgorithm hmac-sha512;\n\tsecret \"c2VjcmV0\"; // ours\n};\n";
        let expected = ("update.key".to_owned(), TsigAlgorithm::HmacSha512, b"secret".to_vec());
        assert_eq!(key(printed, None).unwrap(), expected);
        assert_eq!(
            key("# of the primary\nkey update.key{secret c2VjcmV0;algorithm hmac-sha512;};", None).unwrap(),
            expected
        );
        let plain = ("other".to_owned(), TsigAlgorithm::HmacSha384, b"secret".to_vec());
        assert_eq!(key("c2VjcmV0\n", Some("other")).unwrap(), plain);
        // Base64 may begin like a comment.
        assert_eq!(key("//8=\n", Some("other")).unwrap().2, [255, 255]);
    }

    #[test]
    fn what_is_no_key_is_refused_and_not_repeated() {
        for (text, word) in [
            ("", "empty"),
            ("c2VjcmV0", "`name` is not set"),
            ("key a { algorithm hmac-sha256; };", "no `secret`"),
            ("key a { algorithm hmac-md5; secret c2VjcmV0; };", "algorithm"),
            ("key a { secret \"c2VjcmV0!\"; };", "base64"),
            ("key a { secret c2VjcmV0; }; key b { secret c2VjcmV0; };", "several"),
            ("key a { secret c2VjcmV0", "tsig-keygen"),
            ("two words", "tsig-keygen"),
            ("key ../a { secret c2VjcmV0; };", "no DNS name"),
        ] {
            let error = key(text, None).unwrap_err();
            let told = format!("{error}: {:?}", std::error::Error::source(&error));
            assert!(told.contains(word) && !told.contains("c2VjcmV0"), "{text}: {told}");
        }
    }
}
