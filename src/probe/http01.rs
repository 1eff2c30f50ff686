//! Asks for a challenge as an authority would (RFC 8555, section 8.3), so that a wrong route costs no failed validation.

use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use http::Request;
use http::header::{HOST, LOCATION, USER_AGENT};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::{Error, Target};
use crate::model::{Identifier, Token};

/// The port that authorities ask on.
const PORT: u16 = 80;

/// How much of an answer is read, in bytes; a key authorization has fewer than 200.
const BODY_LIMIT: usize = 8 * 1024;

/// What was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Who answered.
    pub address: SocketAddr,
    /// HTTP status.
    pub status: u16,
    /// Where a redirect points. It is not followed; authorities do follow redirects to ports 80 and 443.
    pub location: Option<String>,
    /// The body, up to 8 KiB of it.
    pub body: Vec<u8>,
}

/// Asks for a token. Of several addresses the first that can be connected to is asked, IPv6 before IPv4 as Let's Encrypt does.
pub async fn http01(target: &Target, host: &Identifier, token: &Token) -> Result<Answer, Error> {
    let ask = async {
        let (address, stream) = target.connect(host, PORT).await?;
        let protocol = |source: hyper::Error| Error::Protocol { address, protocol: "HTTP", source: source.into() };
        get(stream, address, host, token).await.map_err(protocol)
    };
    target.within(host, ask).await
}

async fn get(stream: TcpStream, address: SocketAddr, host: &Identifier, token: &Token) -> Result<Answer, hyper::Error> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let host = match host {
        Identifier::Ip(IpAddr::V6(address)) => format!("[{address}]"),
        other => other.to_string(),
    };
    let request = Request::get(token.path())
        .header(HOST, host)
        .header(USER_AGENT, concat!("hotcert/", env!("CARGO_PKG_VERSION")))
        .body(Empty::<Bytes>::new())
        .expect("tokens and identifiers are valid in a path and a header");
    let exchange = async {
        let response = sender.send_request(request).await?;
        let status = response.status().as_u16();
        let location =
            response.headers().get(LOCATION).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
        Ok(Answer { address, status, location, body: beginning(response.into_body()).await? })
    };
    tokio::pin!(exchange);
    // The connection is driven here rather than by a task, so that the deadline ends both.
    tokio::select! {
        answer = &mut exchange => answer,
        ended = connection => {
            ended?;
            exchange.await
        }
    }
}

async fn beginning(mut body: Incoming) -> Result<Vec<u8>, hyper::Error> {
    let mut read = Vec::new();
    while read.len() < BODY_LIMIT
        && let Some(frame) = body.frame().await.transpose()?
    {
        if let Ok(data) = frame.into_data() {
            read.extend_from_slice(&data);
        }
    }
    read.truncate(BODY_LIMIT);
    Ok(read)
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    /// Answers one request with these bytes, and returns the request.
    async fn server(answer: Vec<u8>) -> (SocketAddr, tokio::task::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(async move {
            let mut stream = listener.accept().await.unwrap().0;
            let mut request = vec![0; 4096];
            let length = stream.read(&mut request).await.unwrap();
            // The client hangs up early on an endless body.
            let _ = stream.write_all(&answer).await;
            String::from_utf8_lossy(&request[..length]).to_lowercase()
        });
        (address, task)
    }

    async fn look(address: SocketAddr) -> Result<Answer, Error> {
        http01(&Target::Address(address), &"a.test".parse().unwrap(), &"tok".parse().unwrap()).await
    }

    #[tokio::test]
    async fn the_question_is_that_of_an_authority() {
        let (address, request) = server(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\ntok.x".to_vec()).await;
        assert_eq!(
            look(address).await.unwrap(),
            Answer { address, status: 200, location: None, body: b"tok.x".to_vec() }
        );
        let request = request.await.unwrap();
        assert!(request.starts_with("get /.well-known/acme-challenge/tok http/1.1\r\n"), "{request}");
        assert!(request.contains("\r\nhost: a.test\r\n"), "{request}");
    }

    #[tokio::test]
    async fn a_redirect_is_shown_and_not_followed() {
        let answer = b"HTTP/1.1 301 Moved\r\nLocation: https://a.test/x\r\nContent-Length: 0\r\n\r\n";
        let (address, _) = server(answer.to_vec()).await;
        let answer = look(address).await.unwrap();
        assert_eq!((answer.status, answer.location.as_deref()), (301, Some("https://a.test/x")));
    }

    #[tokio::test]
    async fn a_long_answer_is_cut() {
        let mut answer = b"HTTP/1.1 200 OK\r\n\r\n".to_vec();
        answer.resize(1_000_000, b'x');
        let (address, _) = server(answer).await;
        assert_eq!(look(address).await.unwrap().body.len(), BODY_LIMIT);
    }

    #[tokio::test]
    async fn every_failure_has_its_own_error() {
        let (address, _) = server(b"SSH-2.0-OpenSSH\r\n".to_vec()).await;
        assert!(matches!(look(address).await, Err(Error::Protocol { .. })));
        assert!(matches!(look(address).await, Err(Error::Unreachable { .. })));
        let name = "nowhere.invalid".parse().unwrap();
        let error = http01(&Target::Resolved, &name, &"tok".parse().unwrap()).await.unwrap_err();
        assert!(matches!(error, Error::Unresolvable { .. }), "{error:?}");

        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        assert!(matches!(look(silent.local_addr().unwrap()).await, Err(Error::TimedOut { .. })));
    }
}
