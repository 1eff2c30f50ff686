//! What the root signs: short-lived certificates for servers.

use jiff::{SignedDuration, Timestamp};
use rcgen::{CertificateParams, DistinguishedName, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, SanType};

use super::{Error, Root, stamp};
use crate::bundle::{PrivateKey, pem};
use crate::model::{Identifier, KeyKind, KeyType};

/// How long a leaf is valid: short enough that nobody has to revoke it, and long enough to survive a weekend without hotcert.
pub const LIFETIME: SignedDuration = SignedDuration::from_hours(7 * 24);

impl Root {
    /// Signs a certificate for these names, wildcards and addresses among them, and a new key; returns its PEM with the key. It ends
    /// no later than the root.
    pub fn issue(
        &self,
        names: &[Identifier],
        key_type: KeyType,
        now: Timestamp,
    ) -> Result<(String, PrivateKey), Error> {
        let (issuer, root_ends) = self.issuer(now)?;
        let key = PrivateKey::generate(key_type)?;
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.subject_alt_names = names
            .iter()
            .map(|name| match name {
                Identifier::Dns(name) => name.as_str().try_into().map(SanType::DnsName),
                Identifier::Ip(address) => Ok(SanType::IpAddress(*address)),
            })
            .collect::<Result<_, _>>()?;
        // Says that it is no authority, and which key it has.
        params.is_ca = IsCa::ExplicitNoCa;
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        if key_type.kind() == KeyKind::Rsa {
            // For the key exchange of TLS 1.2 without forward secrecy, which some old devices have alone (RFC 5246, section 7.4.2).
            params.key_usages.push(KeyUsagePurpose::KeyEncipherment);
        }
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        stamp(&mut params, now, LIFETIME.min(root_ends.duration_since(now)));
        let leaf = params.signed_by(&KeyPair::from_pem(key.pem())?, &issuer)?;
        Ok((pem::certificate(leaf.der()), key))
    }
}
