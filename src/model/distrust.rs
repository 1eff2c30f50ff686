//! Why a server's certificate is not trusted, in words.

use jiff::Timestamp;
use rustls::CertificateError;
use rustls_pki_types::UnixTime;

/// Why a certificate is not trusted, to go on after "it" or "its certificate". The words stay the same from look to look: those of the
/// library tell the present time.
#[must_use]
pub fn distrust(reason: &CertificateError) -> String {
    use CertificateError as E;
    let at = |time: &UnixTime| {
        let instant = i64::try_from(time.as_secs()).ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
        instant.map_or_else(|| "an unknown time".to_owned(), |instant| instant.to_string())
    };
    match reason {
        E::UnknownIssuer => "is signed by an authority that is not trusted (UnknownIssuer)".to_owned(),
        E::Expired => "has expired".to_owned(),
        E::ExpiredContext { not_after, .. } => format!("expired at {}", at(not_after)),
        E::NotValidYet => "is not valid yet".to_owned(),
        E::NotValidYetContext { not_before, .. } => format!("is not valid before {}", at(not_before)),
        E::NotValidForNameContext { expected, presented } => {
            let presented: Vec<_> = presented.iter().map(|name| bare(name)).collect();
            let of = if presented.is_empty() { "no name".to_owned() } else { presented.join(", ") };
            format!("is for {of}, not for {}", expected.to_str())
        }
        E::NotValidForName => "is for another name".to_owned(),
        E::Revoked => "is revoked".to_owned(),
        other => format!("is refused: {other}"),
    }
}

/// A name as it stands in the certificate: the library writes `DnsName("a.test")`.
fn bare(presented: &str) -> &str {
    presented
        .split_once('(')
        .and_then(|(_, rest)| rest.strip_suffix(')'))
        .map_or(presented, |name| name.trim_matches('"'))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rustls_pki_types::ServerName;

    use super::*;

    #[test]
    fn what_is_wrong_is_told_in_words_that_stay() {
        let at = |seconds| UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        for time in [2_000_000_000, 2_000_000_001] {
            let expired = CertificateError::ExpiredContext { time: at(time), not_after: at(1_706_745_600) };
            assert_eq!(distrust(&expired), "expired at 2024-02-01T00:00:00Z");
        }
        let expected = ServerName::try_from("localhost").unwrap();
        let presented = vec!["DnsName(\"a.test\")".to_owned(), "IpAddress(127.0.0.1)".to_owned()];
        let other = CertificateError::NotValidForNameContext { expected, presented };
        assert_eq!(distrust(&other), "is for a.test, 127.0.0.1, not for localhost");
        assert!(distrust(&CertificateError::BadEncoding).starts_with("is refused: "));
    }
}
