//! Shakes hands as an authority does for tls-alpn-01 (RFC 8737, section 3), so that a wrong route costs no failed validation.

use std::net::SocketAddr;
use std::sync::Arc;

use rustls_pki_types::ServerName;

use super::handshake::{self, Served};
use super::{Error, Offer, Target};
use crate::model::{ALPN_PROTOCOL, Identifier};

/// The port that authorities ask on.
const PORT: u16 = 443;

/// Shakes hands for the challenge of a name; returns what was shown, and by whom. Whether that answers the challenge is for the caller to
/// see: the server may have chosen no protocol, and shown whatever it has.
pub async fn tls_alpn(target: &Target, host: &Identifier) -> Result<(SocketAddr, Served), Error> {
    let look = async {
        let (address, stream) = target.connect(host, PORT).await?;
        // By name also for an address, whose name is that of its reverse mapping.
        let name = ServerName::try_from(host.handshake_name()).map_err(|error| handshake::no_tls(address, error))?;
        let (mut client, _) = Offer::default().client(false);
        client.alpn_protocols = vec![ALPN_PROTOCOL.to_vec()];
        let stream = handshake::shake(address, stream, name, Arc::new(client)).await?;
        Ok((address, handshake::served(address, &stream)?))
    };
    target.within(host, look).await
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn who_hangs_up_or_speaks_something_else_is_told_apart_from_who_is_not_there() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = Target::Address(listener.local_addr().unwrap());
        let server = tokio::spawn(async move {
            for answer in [b"".as_slice(), b"SSH-2.0-OpenSSH\r\n"] {
                let mut stream = listener.accept().await.unwrap().0;
                // A greeting that is left unread would be answered by a reset.
                let _ = stream.read(&mut [0; 4096]).await;
                stream.write_all(answer).await.unwrap();
            }
        });
        let host = "a.test".parse().unwrap();
        let silent = tls_alpn(&target, &host).await.unwrap_err();
        assert!(matches!(silent, Error::Protocol { .. }) && silent.is_hang_up(), "{silent:?}");
        let other = tls_alpn(&target, &host).await.unwrap_err();
        assert!(matches!(other, Error::Protocol { .. }) && !other.is_hang_up(), "{other:?}");
        server.await.unwrap();
        assert!(matches!(tls_alpn(&target, &host).await, Err(Error::Unreachable { .. })));
    }
}
