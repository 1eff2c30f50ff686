//! The certificate signing request (RFC 8555, section 7.4).

use rcgen::{CertificateParams, DistinguishedName, KeyPair, SanType};

use super::Error;
use crate::bundle::PrivateKey;
use crate::model::Identifier;

/// A request in DER for these names, as subject alternative names only: common names are on their way out, and have no room for
/// long names.
pub(super) fn request(identifiers: &[Identifier], key: &PrivateKey) -> Result<Vec<u8>, Error> {
    let failed = |error: rcgen::Error| Error::Csr(error.into());
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.subject_alt_names = identifiers
        .iter()
        .map(|identifier| match identifier {
            Identifier::Dns(name) => name.as_str().try_into().map(SanType::DnsName),
            Identifier::Ip(address) => Ok(SanType::IpAddress(*address)),
        })
        .collect::<Result<_, _>>()
        .map_err(failed)?;
    let pair = KeyPair::from_pem(key.pem()).map_err(failed)?;
    Ok(params.serialize_request(&pair).map_err(failed)?.der().to_vec())
}

#[cfg(test)]
mod tests {
    use x509_parser::certification_request::X509CertificationRequest;
    use x509_parser::extensions::{GeneralName, ParsedExtension};
    use x509_parser::prelude::FromDer;

    use super::*;
    use crate::model::KeyType;

    #[test]
    fn a_request_is_signed_by_its_key_and_names_everything_but_no_subject() {
        let names = ["a.test", "*.a.test", "192.0.2.1", "2001:db8::1"].map(|name| name.parse().unwrap());
        for kind in [KeyType::EcdsaP256, KeyType::EcdsaP384, KeyType::Rsa2048] {
            let der = request(&names, &PrivateKey::generate(kind).unwrap()).unwrap();
            let (_, csr) = X509CertificationRequest::from_der(&der).unwrap();
            csr.verify_signature().unwrap();
            assert_eq!(csr.certification_request_info.subject.iter().count(), 0);
            let found: Vec<String> = csr
                .requested_extensions()
                .unwrap()
                .filter_map(|extension| match extension {
                    ParsedExtension::SubjectAlternativeName(names) => Some(&names.general_names),
                    _ => None,
                })
                .flatten()
                .map(|name| match name {
                    GeneralName::DNSName(name) => (*name).to_owned(),
                    GeneralName::IPAddress(bytes) => format!("{} bytes", bytes.len()),
                    other => panic!("{other}"),
                })
                .collect();
            assert_eq!(found, ["a.test", "*.a.test", "4 bytes", "16 bytes"]);
        }
    }
}
