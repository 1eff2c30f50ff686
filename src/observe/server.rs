//! A small HTTP server for people, browsers and programs that watch: it answers GET, and changes nothing.
//!
//! Connections and time are bounded. A request is answered in a thread of its own, so that a long answer holds up no task; streams
//! are few. A browser is made to keep foreign pages out: a name that leads here by the DNS of a stranger is refused (DNS rebinding),
//! and nothing of an answer may be embedded or run elsewhere.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, HeaderName, HeaderValue, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};
use http::request::Parts;
use http::uri::Authority;
use http::{Method, Request, Response, StatusCode, Version};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::Error;
use super::routes::ROUTES;
use super::snapshot::Feed;
use crate::config::Observe;

/// Connections at once. A Prometheus asks once in a while, and closes.
const CONNECTIONS: usize = 32;
/// How many of them may be streams, so that pages that somebody left open keep no Prometheus out.
const STREAMS: usize = 16;
/// How long a client may take to send its headers.
const HEADER_DEADLINE: Duration = Duration::from_secs(5);
/// How long an answer may take, on its slow way to the client as well.
const ANSWER_DEADLINE: Duration = Duration::from_secs(30);
/// How long a stream may go on; browsers ask anew by themselves.
const STREAM_DEADLINE: Duration = Duration::from_mins(10);
/// How long answers that are on their way may take at the end.
const STOP_DEADLINE: Duration = Duration::from_millis(500);
/// How long accepting pauses after an error, such as too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// The largest head of a request, in bytes.
const HEAD: usize = 16 * 1024;

/// What every answer has, unless it says something else.
const HEADERS: [(HeaderName, &str); 5] = [
    (CACHE_CONTROL, "no-store"),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (REFERRER_POLICY, "no-referrer"),
    (CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

type Body = UnsyncBoxBody<Bytes, Infallible>;

/// An answer.
pub(super) enum Answer {
    /// One that is there.
    Whole(Response<Full<Bytes>>),
    /// One that comes bit by bit: it is ended with the server, and after a while.
    Stream(Response<Pin<Box<dyn Stream<Item = Bytes> + Send>>>),
}

/// What is answered at a path. It is called in a thread in which it may take its time.
pub(super) struct Route {
    pub(super) path: &'static str,
    pub(super) answer: fn(&Feed, &Parts) -> Answer,
}

/// An answer of one piece.
pub(super) fn whole(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Answer {
    Answer::Whole(of_one_piece(status, kind, body.into()))
}

/// What listens.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    office: Arc<Office>,
}

/// What all connections share.
#[derive(Debug)]
struct Office {
    feed: Feed,
    /// Whether the server may be called by any name.
    any_name: bool,
    streams: Arc<Semaphore>,
    stop: CancellationToken,
}

impl Server {
    /// Listens; `stop` ends [`Server::run`].
    pub async fn bind(observe: Observe, feed: Feed, stop: CancellationToken) -> Result<Self, Error> {
        let address = observe.listen;
        let listener = TcpListener::bind(address).await.map_err(|source| Error::Listen { address, source })?;
        let streams = Arc::new(Semaphore::new(STREAMS));
        Ok(Self { listener, office: Arc::new(Office { feed, any_name: observe.insecure, streams, stop }) })
    }

    /// The address in use.
    pub fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Answers until it is told to stop, and lets answers that are on their way arrive.
    pub async fn run(self) {
        let slots = Arc::new(Semaphore::new(CONNECTIONS));
        let mut connections = JoinSet::new();
        loop {
            let accepted = async {
                let slot = Arc::clone(&slots).acquire_owned().await.expect("the semaphore is never closed");
                (self.listener.accept().await, slot)
            };
            let (accepted, slot) = tokio::select! {
                () = self.office.stop.cancelled() => break,
                accepted = accepted => accepted,
            };
            while connections.try_join_next().is_some() {}
            match accepted {
                Ok((stream, _)) => {
                    let office = Arc::clone(&self.office);
                    connections.spawn(async move {
                        office.serve(stream).await;
                        drop(slot);
                    });
                }
                Err(error) => {
                    tracing::debug!(%error, "accepting a connection failed");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        drop(self.listener);
        let _ = timeout(STOP_DEADLINE, async { while connections.join_next().await.is_some() {} }).await;
    }
}

impl Office {
    /// Serves one connection, which is for one request.
    async fn serve(self: Arc<Self>, stream: TcpStream) {
        let is_stream = Arc::new(OnceLock::new());
        let service = service_fn(|request: Request<Incoming>| {
            let (office, is_stream) = (Arc::clone(&self), Arc::clone(&is_stream));
            async move { Ok::<_, Infallible>(office.respond(request.into_parts().0, &is_stream).await) }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_DEADLINE)
            .keep_alive(false)
            .max_buf_size(HEAD)
            .serve_connection(TokioIo::new(stream), service);
        tokio::pin!(connection);
        // How a connection ends is the client's business.
        if timeout(ANSWER_DEADLINE, &mut connection).await.is_err() && is_stream.get().is_some() {
            let _ = timeout(STREAM_DEADLINE, connection).await;
        }
    }

    async fn respond(&self, parts: Parts, is_stream: &OnceLock<()>) -> Response<Body> {
        let answer = match self.route(&parts) {
            Err(refusal) => Answer::Whole(*refusal),
            Ok(route) => {
                let (feed, answer) = (self.feed.clone(), route.answer);
                let answered = tokio::task::spawn_blocking(move || answer(&feed, &parts)).await;
                let failed = |_| refuse(StatusCode::INTERNAL_SERVER_ERROR, "this failed; the logs say how");
                answered.unwrap_or_else(|error| Answer::Whole(failed(error)))
            }
        };
        let mut response = match answer {
            Answer::Whole(response) => response.map(BodyExt::boxed_unsync),
            Answer::Stream(response) => {
                if let Ok(permit) = Arc::clone(&self.streams).try_acquire_owned() {
                    let _ = is_stream.set(());
                    let stop = self.stop.clone().cancelled_owned();
                    response.map(|stream| {
                        let frames = stream.take_until(stop).map(move |bytes| {
                            let _held = &permit;
                            Ok(Frame::data(bytes))
                        });
                        StreamBody::new(frames).boxed_unsync()
                    })
                } else {
                    let text = "too many of these are open: close one";
                    refuse(StatusCode::SERVICE_UNAVAILABLE, text).map(BodyExt::boxed_unsync)
                }
            }
        };
        for (name, value) in HEADERS {
            response.headers_mut().entry(name).or_insert(HeaderValue::from_static(value));
        }
        response
    }

    fn route(&self, parts: &Parts) -> Result<&'static Route, Box<Response<Full<Bytes>>>> {
        if !self.is_called_rightly(parts) {
            let text = "call this server by its IP address or as localhost, or set insecure = true under [observe]";
            return Err(Box::new(refuse(StatusCode::MISDIRECTED_REQUEST, text)));
        }
        let path = parts.uri.path();
        let route = ROUTES.iter().find(|route| route.path == path);
        let route = route.ok_or_else(|| Box::new(refuse(StatusCode::NOT_FOUND, "there is nothing here")))?;
        if parts.method != Method::GET && parts.method != Method::HEAD {
            let mut refusal = refuse(StatusCode::METHOD_NOT_ALLOWED, "only GET is answered");
            refusal.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return Err(Box::new(refusal));
        }
        Ok(route)
    }

    /// Whether the client means us: a page of the web, whose name its owner lets lead to this machine, is called by that name.
    fn is_called_rightly(&self, parts: &Parts) -> bool {
        let mut hosts = parts.headers.get_all(HOST).iter();
        let host = match (hosts.next(), hosts.next()) {
            (None, _) => return parts.version == Version::HTTP_10,
            (Some(_), Some(_)) => return false,
            (Some(host), None) => host.to_str().ok().and_then(|host| host.parse::<Authority>().ok()),
        };
        let is_ours = |authority: &Authority| {
            let host = authority.host().trim_start_matches('[').trim_end_matches(']');
            self.any_name || host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok()
        };
        host.as_ref().is_some_and(is_ours) && parts.uri.authority().is_none_or(is_ours)
    }
}

fn refuse(status: StatusCode, text: &'static str) -> Response<Full<Bytes>> {
    of_one_piece(status, "text/plain; charset=utf-8", format!("{text}\n").into())
}

fn of_one_piece(status: StatusCode, kind: &'static str, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

#[cfg(test)]
mod tests;
