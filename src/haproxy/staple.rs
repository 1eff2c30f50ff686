//! What is stapled to certificates: reading it, and whether a part of a certificate can be sent at all.

use super::command::{Command, Part};
use super::error::Error;
use super::info::Info;
use super::limit::TooLarge;
use super::listing::date;
use super::session::Session;
use crate::model::{Slot, Staple};

impl Session {
    /// What is stapled to each of several certificates, in the order asked; `None` where there is nothing, or no such slot
    /// (management guide, `show ssl cert`). See [`Capabilities::shows_staples`](super::Capabilities::shows_staples).
    pub async fn staples(&mut self, slots: &[Slot]) -> Result<Vec<Option<Staple>>, Error> {
        let commands: Vec<_> = slots.iter().map(Command::ShowStaple).collect();
        self.ask_all(&commands, |_, reply| parse(reply)).await
    }
}

impl Info {
    /// Whether the worker would take a part of a certificate; asks nobody.
    pub fn fits_part(&self, slot: &Slot, part: Part<'_>) -> Result<(), TooLarge> {
        Command::SetPart(slot, part).text(self.capabilities(), self.payload_limit).map(drop)
    }
}

/// Reads the reply as OpenSSL prints a response. A long one is cut, long after what matters.
fn parse(reply: &str) -> Option<Staple> {
    let field = |name: &str| {
        let mut fields = reply.lines().filter_map(|line| line.trim().split_once(": "));
        fields.find(|(key, _)| *key == name).and_then(|(_, value)| date(value))
    };
    Some(Staple { this_update: field("This Update")?, next_update: field("Next Update")? })
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Peer, bundle, described, slot};
    use super::*;
    use crate::bundle::OcspIssuer;

    #[tokio::test]
    async fn a_part_goes_into_the_open_transaction_and_one_that_is_refused_is_left_out() {
        let bundle = bundle("a.test", 0);
        let issuer = OcspIssuer::read(bundle.leaf_pem().as_bytes(), bundle.facts()).unwrap();
        let shown = described("*/c/a.pem", "Unused", &bundle);
        let peer = Peer::new("3.2.26")
            .on("set ssl cert /c/a.pem <<", "Transaction created for certificate /c/a.pem!")
            .on("show ssl cert *", &shown)
            .on("set ssl cert /c/a.pem.issuer <<", "Transaction updated for certificate /c/a.pem!")
            .on("set ssl cert /c/a.pem.issuer <<", "Can't load the payload\nCan't update /c/a.pem.issuer!")
            .on("show ssl cert *", &shown)
            .on("commit ssl cert /c/a.pem", "Committing /c/a.pem.\nSuccess!");
        let session = peer.open().await.unwrap();
        let mut staged = session.stage(&slot("/c/a.pem"), &bundle).await.unwrap();
        staged.add(Part::Issuer(&issuer)).await.unwrap();
        let sent = peer.seen.lock().unwrap().last().unwrap().clone();
        assert_eq!(sent, format!("set ssl cert /c/a.pem.issuer <<\n{}\n", bundle.leaf_pem()));
        let refused = staged.add(Part::Issuer(&issuer)).await.unwrap_err();
        assert!(refused.to_string().contains("/c/a.pem.issuer"), "{refused}");
        staged.commit().await.unwrap();
    }

    #[tokio::test]
    async fn a_part_that_lands_in_another_transaction_is_told() {
        let bundle = bundle("a.test", 0);
        let issuer = OcspIssuer::read(bundle.leaf_pem().as_bytes(), bundle.facts()).unwrap();
        let peer = Peer::new("3.2.26")
            .on("set ssl cert /c/a.pem <<", "Transaction created for certificate /c/a.pem!")
            .on("show ssl cert *", &described("*/c/a.pem", "Unused", &bundle))
            .on("set ssl cert /c/a.pem.issuer <<", "Transaction created for certificate /c/a.pem!");
        let session = peer.open().await.unwrap();
        let mut staged = session.stage(&slot("/c/a.pem"), &bundle).await.unwrap();
        let error = staged.add(Part::Issuer(&issuer)).await.unwrap_err();
        assert!(matches!(error, Error::ForeignTransaction { .. }), "{error}");
    }

    #[test]
    fn what_is_stapled_is_read_from_the_text_of_a_response() {
        // As 2.6.12 to 3.2.26 print it.
        let reply = "OCSP Response Data:\n    OCSP Response Status: successful (0x0)\n    Produced At: Nov 22 23:59:50 2026 GMT\n    \
                     Responses:\n    Certificate ID:\n      Hash Algorithm: sha1\n      Serial Number: 174B63\n    Cert Status: good\n    \
                     This Update: Nov  1 23:59:50 2026 GMT\n    Next Update: Nov 25 23:59:50 2026 GMT\n \n    Signature Algorithm: x";
        let at = |text: &str| text.parse().unwrap();
        let staple = parse(reply).unwrap();
        assert_eq!(staple.this_update, at("2026-11-01T23:59:50Z"));
        assert_eq!(staple.next_update, at("2026-11-25T23:59:50Z"));
        for nothing in
            ["", "Can't display the certificate: Not found or the certificate is a bundle!", "OCSP Response Data:"]
        {
            assert_eq!(parse(nothing), None);
        }
    }
}
