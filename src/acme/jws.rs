//! Account keys (RFC 8555, section 6.2).

use std::fmt;
use std::sync::Arc;

use rustls_pki_types::PrivatePkcs8KeyDer;
use rustls_pki_types::pem::PemObject;
use zeroize::Zeroizing;

use super::Error;
use super::signing::SigningKey;
use crate::bundle::PrivateKey;
use crate::model::KeyType;

/// The key of an account: ECDSA on P-256 (`ES256`). Never printed; its PEM is wiped when dropped.
#[derive(Clone)]
pub struct AccountKey {
    pem: PrivateKey,
    signing: Arc<SigningKey>,
}

impl AccountKey {
    /// Makes a new key. It is to be saved before an authority hears of it.
    pub fn generate() -> Result<Self, Error> {
        let pem = PrivateKey::generate(KeyType::EcdsaP256).map_err(|error| Error::AccountKey(Some(error.into())))?;
        Self::from_pem(pem.pem())
    }

    /// Reads a key that [`AccountKey::pem`] wrote: PKCS#8.
    pub fn from_pem(text: &str) -> Result<Self, Error> {
        let pem = PrivateKey::from_pem(text).map_err(|error| Error::AccountKey(Some(error.into())))?;
        pkcs8(&pem)?;
        // instant-acme, which shares the key, knows this kind only.
        let signing = SigningKey::of(&pem).filter(|key| key.algorithm() == "ES256").ok_or(Error::AccountKey(None))?;
        Ok(Self { pem, signing: Arc::new(signing) })
    }

    /// The key as one PEM block. Whoever asks is responsible for where it goes.
    #[must_use]
    pub fn pem(&self) -> &str {
        self.pem.pem()
    }

    /// The thumbprint (RFC 7638), which is public: the second half of every key authorization.
    #[must_use]
    pub fn thumbprint(&self) -> &str {
        self.signing.thumbprint()
    }

    /// The contents of the PEM block.
    pub(super) fn pkcs8(&self) -> Result<Zeroizing<Vec<u8>>, Error> {
        pkcs8(&self.pem)
    }

    pub(super) fn signing(&self) -> &Arc<SigningKey> {
        &self.signing
    }
}

impl fmt::Debug for AccountKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AccountKey({}, redacted)", self.thumbprint())
    }
}

fn pkcs8(pem: &PrivateKey) -> Result<Zeroizing<Vec<u8>>, Error> {
    let der = PrivatePkcs8KeyDer::from_pem_slice(pem.pem().as_bytes())
        .map_err(|error| Error::AccountKey(Some(error.into())))?;
    Ok(Zeroizing::new(der.secret_pkcs8_der().to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_reads_back_what_it_writes_and_never_shows_itself() {
        let key = AccountKey::generate().unwrap();
        let again = AccountKey::from_pem(key.pem()).unwrap();
        assert_eq!(again.thumbprint(), key.thumbprint());
        assert_eq!(format!("{key:?}"), format!("AccountKey({}, redacted)", key.thumbprint()));
        let rsa = PrivateKey::generate(KeyType::Rsa2048).unwrap();
        assert!(matches!(AccountKey::from_pem(rsa.pem()), Err(Error::AccountKey(_))));
    }
}
