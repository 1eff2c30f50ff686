//! Answers challenges itself: a small HTTP server to which `HAProxy` forwards.
//!
//! It knows one path, and keeps its answers in memory. It stops when the [`Listener`] is dropped.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;

use super::Error;
use super::server::Server;
use crate::model::Token;

/// How long a client may take to send its headers, which is also how long an idle connection stays.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);

/// Answers by token.
type Table = Arc<RwLock<BTreeMap<Token, String>>>;

/// A running server.
#[derive(Debug)]
pub struct Listener {
    table: Table,
    server: Server,
}

impl Listener {
    /// Listens; port 0 lets the system choose one.
    pub async fn bind(address: SocketAddr) -> Result<Self, Error> {
        let table = Table::default();
        let shared = Arc::clone(&table);
        let server = Server::bind(address, move |stream| serve(stream, Arc::clone(&shared))).await?;
        Ok(Self { table, server })
    }

    /// The address in use.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.server.local_addr()
    }

    /// From now on, answers for a token.
    pub fn add(&self, token: &Token, key_authorization: &str) {
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        table.insert(token.clone(), key_authorization.to_owned());
    }

    /// Stops answering for a token.
    pub fn remove(&self, token: &Token) {
        self.table.write().unwrap_or_else(PoisonError::into_inner).remove(token);
    }
}

/// Serves one connection.
async fn serve(stream: TcpStream, table: Table) {
    let service = service_fn(|request: Request<Incoming>| {
        let answer = answer(&table, request.method(), request.uri().path());
        async { Ok::<_, Infallible>(answer) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service);
    // How a stranger's connection ends is of no interest.
    let _ = connection.await;
}

fn answer(table: &Table, method: &Method, path: &str) -> Response<Full<Bytes>> {
    let found = path.strip_prefix(Token::PATH).and_then(|text| text.parse::<Token>().ok()).and_then(|token| {
        let table = table.read().unwrap_or_else(PoisonError::into_inner);
        table.get(&token).cloned()
    });
    let (status, kind, body) = match found {
        _ if method != Method::GET && method != Method::HEAD => {
            (StatusCode::METHOD_NOT_ALLOWED, "text/plain", "only GET is answered\n".to_owned())
        }
        Some(body) => (StatusCode::OK, "application/octet-stream", body),
        None => (StatusCode::NOT_FOUND, "text/plain", "hotcert knows no such challenge\n".to_owned()),
    };
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::super::server::CONNECTIONS;
    use super::*;

    async fn ask(address: SocketAddr, request: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    fn get(path: &str) -> String {
        format!("GET {path} HTTP/1.1\r\nHost: any.test\r\nConnection: close\r\n\r\n")
    }

    #[tokio::test]
    async fn a_token_is_answered_while_it_is_there() {
        let listener = Listener::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let token: Token = "abc-_9".parse().unwrap();
        listener.add(&token, "abc-_9.thumb");
        let answer = ask(listener.local_addr(), &get(&token.path())).await;
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("\r\n\r\nabc-_9.thumb"), "{answer}");
        for path in
            ["/", "/.well-known/acme-challenge/", "/.well-known/acme-challenge/../x", "/.well-known/acme-challenge/abc"]
        {
            assert!(ask(listener.local_addr(), &get(path)).await.starts_with("HTTP/1.1 404 "), "{path}");
        }
        let post = get(&token.path()).replace("GET", "POST");
        assert!(ask(listener.local_addr(), &post).await.starts_with("HTTP/1.1 405 "));
        listener.remove(&token);
        assert!(ask(listener.local_addr(), &get(&token.path())).await.starts_with("HTTP/1.1 404 "));
    }

    #[tokio::test]
    async fn a_used_port_is_told_with_a_hint() {
        let first = Listener::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let error = Listener::bind(first.local_addr()).await.unwrap_err();
        assert!(error.hint().unwrap().contains("ss -ltnp"), "{error}");
    }

    #[tokio::test]
    async fn a_dropped_listener_frees_its_port_and_closes_its_connections() {
        let listener = Listener::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = listener.local_addr();
        let mut idle = TcpStream::connect(address).await.unwrap();
        drop(listener);
        assert!(!matches!(idle.read(&mut [0]).await, Ok(1..)));
        while TcpStream::connect(address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn silent_clients_do_not_lock_others_out() {
        let listener = Listener::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let mut silent = Vec::new();
        for _ in 0..CONNECTIONS {
            silent.push(TcpStream::connect(listener.local_addr()).await.unwrap());
        }
        let answer = tokio::time::timeout(HEADER_TIMEOUT * 2, ask(listener.local_addr(), &get("/"))).await;
        assert!(answer.unwrap().starts_with("HTTP/1.1 404 "));
    }
}
