//! As much of HTTP/1.1 as tests need: one request, one response.

use std::fmt;
use std::io::{self, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// How long one step of a client may take.
const DEADLINE: Duration = Duration::from_secs(10);

/// The answer to an HTTP request.
#[derive(Clone, PartialEq, Eq)]
pub struct Response {
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Response {
    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The first header of a name, given in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?} {:?}", self.status, self.headers, self.text())
    }
}

/// One request without TLS.
pub fn http_get(addr: SocketAddr, host: &str, path: &str) -> io::Result<Response> {
    let mut stream = connect(addr)?;
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").as_bytes())?;
    read_response(&mut stream)
}

/// One `POST` without TLS.
pub fn http_post(addr: SocketAddr, path: &str, body: &str) -> io::Result<Response> {
    let mut stream = connect(addr)?;
    let length = body.len();
    let request =
        format!("POST {path} HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}");
    stream.write_all(request.as_bytes())?;
    read_response(&mut stream)
}

/// Whether anything accepts connections there.
pub fn listens(addr: SocketAddr) -> bool {
    connect(addr).is_ok()
}

/// A connection whose every step has a deadline.
pub fn connect(addr: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&addr, DEADLINE)?;
    stream.set_read_timeout(Some(DEADLINE))?;
    stream.set_write_timeout(Some(DEADLINE))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Reads one response: to the end of its `Content-Length`, of its last chunk, or of the connection.
pub fn read_response(stream: &mut impl io::Read) -> io::Result<Response> {
    let invalid = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
    let mut bytes = Vec::new();
    let head = loop {
        if let Some(end) = find(&bytes, b"\r\n\r\n") {
            break end;
        }
        if read_some(stream, &mut bytes)? == 0 {
            return Err(invalid("the connection ended before the response's head"));
        }
    };
    let text = String::from_utf8_lossy(bytes.get(..head).unwrap_or_default()).into_owned();
    let mut body = bytes.split_off(head + 4);
    let mut lines = text.split("\r\n");
    let status =
        lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok()).ok_or_else(|| invalid("no status"))?;
    let headers = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let response = Response { status, headers, body: Vec::new() };
    let chunked = response.header("transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked"));
    let length = response.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(usize::MAX);
    while (chunked && unchunk(&body).is_none()) || (!chunked && body.len() < length) {
        match read_some(stream, &mut body) {
            Ok(0) if chunked || length != usize::MAX => return Err(invalid("the connection ended within the body")),
            Ok(0) => break,
            Ok(_) => {}
            // A server that just drops a TLS connection ends its body that way too.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof && length == usize::MAX => break,
            Err(error) => return Err(error),
        }
    }
    let body = if chunked { unchunk(&body).ok_or_else(|| invalid("a broken chunk"))? } else { body };
    Ok(Response { body, ..response })
}

/// Joins the chunks of a body (RFC 9112, section 7.1).
fn unchunk(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line = find(rest, b"\r\n")?;
        let size = std::str::from_utf8(rest.get(..line)?).ok()?.split(';').next()?;
        let size = usize::from_str_radix(size.trim(), 16).ok()?;
        if size == 0 {
            return Some(body);
        }
        body.extend_from_slice(rest.get(line + 2..line + 2 + size)?);
        rest = rest.get(line + 2 + size + 2..)?;
    }
}

fn read_some(stream: &mut impl io::Read, into: &mut Vec<u8>) -> io::Result<usize> {
    let mut buffer = [0; 1 << 14];
    let length = stream.read(&mut buffer)?;
    into.extend_from_slice(buffer.get(..length).unwrap_or_default());
    Ok(length)
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}
