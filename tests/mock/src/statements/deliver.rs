//! Sends one request and reads its response, on a connection of its own: to this machine, over plain http.

use std::net::SocketAddr;
use std::time::Duration;

use http::Uri;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::Parcel;

/// How long an endpoint may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// How much of a response is read.
const MOST: u64 = 64 * 1024;

/// What an endpoint responds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// Names in lower case, with their values.
    pub headers: Vec<(String, String)>,
    /// The body as text.
    pub body: String,
}

impl Answer {
    /// An answer, from a transport of your own.
    #[must_use]
    pub fn new(status: u16, headers: Vec<(String, String)>, body: String) -> Self {
        Self { status, headers, body }
    }

    /// The value of a header, by its name in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// Why there is no response.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{url}: {problem}")]
pub struct DeliveryError {
    url: String,
    problem: String,
}

impl DeliveryError {
    pub(super) fn new(url: &str, problem: impl Into<String>) -> Self {
        Self { url: url.to_owned(), problem: problem.into() }
    }
}

pub(super) async fn send(url: &str, parcel: &Parcel, bearer: Option<&str>) -> Result<Answer, DeliveryError> {
    let failed = |problem: &str| DeliveryError::new(url, problem);
    match tokio::time::timeout(PATIENCE, exchange(url, parcel, bearer)).await {
        Ok(outcome) => outcome.map_err(failed),
        Err(_) => Err(failed("no response within ten seconds")),
    }
}

async fn exchange(url: &str, parcel: &Parcel, bearer: Option<&str>) -> Result<Answer, &'static str> {
    let uri: Uri = url.parse().map_err(|_| "it is no URL")?;
    if uri.scheme_str() != Some("http") {
        return Err("it must begin with http://: what is sent over https needs a client of its own");
    }
    let authority = uri.authority().ok_or("it names no host")?;
    let host = authority.host().trim_matches(['[', ']']);
    let found = tokio::net::lookup_host((host, authority.port_u16().unwrap_or(80))).await;
    let addresses: Vec<SocketAddr> = found.map_err(|_| "its host has no address")?.collect();
    if addresses.is_empty() || !addresses.iter().all(|address| address.ip().is_loopback()) {
        return Err("it is not on this machine");
    }
    let mut stream = TcpStream::connect(&*addresses).await.map_err(|_| "nothing listens there")?;
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let mut head = format!("{} {path} HTTP/1.1\r\nhost: {authority}\r\nconnection: close\r\n", parcel.method);
    if let Some(kind) = &parcel.content_type {
        head.push_str(&format!("content-type: {kind}\r\n"));
    }
    if let Some(token) = bearer {
        head.push_str(&format!("authorization: Bearer {token}\r\n"));
    }
    head.push_str(&format!("content-length: {}\r\n\r\n", parcel.body.len()));
    let mut request = head.into_bytes();
    request.extend_from_slice(&parcel.body);
    // One that refuses a long body early may close before it has read it.
    let _ = stream.write_all(&request).await;
    let mut bytes = Vec::new();
    let _ = stream.take(MOST).read_to_end(&mut bytes).await;
    read(&bytes).ok_or("what came back is no HTTP response")
}

fn read(bytes: &[u8]) -> Option<Answer> {
    let at = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = std::str::from_utf8(bytes.get(..at)?).ok()?;
    let mut lines = head.split("\r\n");
    let status = lines.next()?.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
    let header = |line: &str| {
        let (name, value) = line.split_once(':')?;
        Some((name.to_ascii_lowercase(), value.trim().to_owned()))
    };
    let headers = lines.filter_map(header).collect();
    let body = String::from_utf8_lossy(bytes.get(at + 4..)?).into_owned();
    Some(Answer { status, headers, body })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_is_read_and_anything_else_is_none() {
        let answer = read(b"HTTP/1.1 400 Bad\r\nCache-Control:  no-store\r\n\r\n{}").unwrap();
        assert_eq!(
            (answer.status, answer.header("cache-control"), &*answer.body),
            (400, Some("no-store"), "{}")
        );
        for other in [&b""[..], b"HTTP/1.1 x", b"SSH-2.0\r\n\r\n", b"HTTP/1.1 200 OK\r\n"] {
            assert_eq!(read(other), None);
        }
    }
}
