//! The API under attack: its address, and one request and response on a connection of its own.
//!
//! Written on the bare socket, because much of what has to be sent is no HTTP that a client would send.

use std::net::SocketAddr;
use std::time::Duration;

use http::Uri;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::SuiteError;
use crate::attack::AttackRequest;

/// How long a response may take, unless a case says otherwise.
pub(super) const PATIENCE: Duration = Duration::from_secs(15);
/// How much of a response is read.
const MOST: usize = 64 * 1024;

#[derive(Clone, Debug)]
pub(super) struct Target {
    url: String,
    host: String,
    path: String,
    addresses: Vec<SocketAddr>,
}

/// What came back.
#[derive(Clone, Debug, Default)]
pub(super) struct TargetResponse {
    pub(super) status: u16,
    /// Names in lower case.
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: String,
    pub(super) took: Duration,
}

/// Why nothing came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoResponse {
    /// The connection was refused.
    Unreachable,
    /// The connection ended without a response.
    Closed,
    /// Nothing came in time.
    TimedOut,
    /// What came is no HTTP.
    Garbled,
}

pub(super) type Outcome = Result<TargetResponse, NoResponse>;

impl Target {
    /// Resolves the address once: what is checked here is what is attacked.
    pub(super) async fn find(url: &str, allow_remote: bool) -> Result<Self, SuiteError> {
        let wrong = |problem: &str| SuiteError::Target { url: url.to_owned(), problem: problem.to_owned() };
        let uri: Uri = url.parse().map_err(|_| wrong("it is no URL"))?;
        if uri.scheme_str() != Some("http") {
            return Err(wrong("it must begin with http:// (attack the port behind the TLS proxy)"));
        }
        let authority = uri.authority().ok_or_else(|| wrong("it names no host"))?;
        let host = authority.host().trim_matches(['[', ']']);
        let found = tokio::net::lookup_host((host, authority.port_u16().unwrap_or(80))).await;
        let addresses: Vec<_> = found.map_err(|_| wrong("its host has no address"))?.collect();
        if addresses.is_empty() {
            return Err(wrong("its host has no address"));
        }
        if !allow_remote && addresses.iter().any(|address| !address.ip().is_loopback()) {
            return Err(SuiteError::Remote { url: url.to_owned() });
        }
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        Ok(Self {
            url: url.to_owned(),
            host: authority.as_str().to_owned(),
            path: path.to_owned(),
            addresses,
        })
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// Sends a request of the table.
    pub(super) async fn send(&self, request: &AttackRequest, patience: Duration) -> Outcome {
        let wire = request.to_wire(&self.host, &self.path);
        let started = Instant::now();
        let mut outcome = tokio::time::timeout(patience, self.exchange(&wire))
            .await
            .unwrap_or(Err(NoResponse::TimedOut))?;
        outcome.took = started.elapsed();
        Ok(outcome)
    }

    /// Sends a token.
    pub(super) async fn show(&self, token: &str) -> Outcome {
        self.send(&AttackRequest::bearer("", token), PATIENCE).await
    }

    async fn exchange(&self, wire: &[u8]) -> Outcome {
        let stream = TcpStream::connect(self.addresses.as_slice()).await;
        let (mut reader, mut writer) = stream.map_err(|_| NoResponse::Unreachable)?.into_split();
        let mut bytes = Vec::new();
        let write = async {
            // A target that refuses early does not read on; its response counts, not this error.
            let _ = writer.write_all(wire).await;
            std::future::pending::<()>().await;
        };
        let read = async {
            let mut chunk = [0; 8192];
            // A reset after the response is no matter: what came before it is a response or is none.
            while let Ok(length @ 1..) = reader.read(&mut chunk).await {
                bytes.extend_from_slice(&chunk[..length]);
                if bytes.len() > MOST || is_whole(&bytes) {
                    break;
                }
            }
        };
        tokio::select! {
            () = write => {}
            () = read => {}
        }
        if bytes.is_empty() { Err(NoResponse::Closed) } else { parse(&bytes).ok_or(NoResponse::Garbled) }
    }
}

impl TargetResponse {
    /// Whether the request was accepted.
    pub(super) fn accepted(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The parameters of the `Bearer` challenge; `None` when there is none (RFC 9110 section 11.6.1).
    pub(super) fn challenge(&self) -> Option<&str> {
        let values = self.headers.iter().filter(|(name, _)| name == "www-authenticate");
        values.map(|(_, value)| value.as_str()).find_map(bearer_challenge)
    }

    /// The `error` of the challenge (RFC 6750 section 3).
    pub(super) fn error(&self) -> Option<&str> {
        parameter(self.challenge()?, "error")
    }

    /// Whether a part of the token is in what any caller may see of a rejection.
    pub(super) fn repeats(&self, token: &str) -> bool {
        let text = |part: &str| {
            self.body.contains(part) || self.headers.iter().any(|(_, value)| value.contains(part))
        };
        token.split('.').filter(|part| part.len() > 16).any(text)
    }
}

impl NoResponse {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::Closed => "closed",
            Self::TimedOut => "no answer",
            Self::Garbled => "no HTTP",
        }
    }
}

/// What follows the scheme, where a challenge of it begins.
fn bearer_challenge(value: &str) -> Option<&str> {
    const SCHEME: &str = "bearer";
    let lower = value.to_ascii_lowercase();
    lower.match_indices(SCHEME).find_map(|(at, _)| {
        let before = value[..at].trim_end();
        let rest = &value[at + SCHEME.len()..];
        let begins = before.is_empty() || before.ends_with(',');
        (begins && (rest.is_empty() || rest.starts_with([' ', ',']))).then_some(rest)
    })
}

/// The value of a parameter, quoted or not; escapes inside are not expected in an error code.
fn parameter<'a>(parameters: &'a str, name: &str) -> Option<&'a str> {
    parameters.split(',').find_map(|one| {
        let (key, value) = one.split_once('=')?;
        let key = key.split_whitespace().next_back()?;
        key.eq_ignore_ascii_case(name).then(|| value.trim().trim_matches('"'))
    })
}

/// Whether nothing more will come (RFC 9112 section 6.3), so that a server that keeps the connection costs no time.
fn is_whole(bytes: &[u8]) -> bool {
    let Some(end) = head_end(bytes) else { return false };
    let Some(response) = parse(bytes) else { return false };
    let header =
        |name: &str| response.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    match (
        header("transfer-encoding"),
        header("content-length").and_then(|length| length.parse::<usize>().ok()),
    ) {
        (Some(_), _) => bytes.ends_with(b"0\r\n\r\n"),
        (None, Some(length)) => bytes.len() - end >= length,
        (None, None) => matches!(response.status, 204 | 304),
    }
}

fn head_end(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4)
}

fn parse(bytes: &[u8]) -> Option<TargetResponse> {
    let end = head_end(bytes)?;
    let head = String::from_utf8_lossy(&bytes[..end]);
    let mut lines = head.lines();
    let status = lines.next()?.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse().ok()?;
    let headers = lines.filter_map(|line| {
        let (name, value) = line.split_once(':')?;
        Some((name.to_ascii_lowercase(), value.trim().to_owned()))
    });
    let body = String::from_utf8_lossy(&bytes[end..]).into_owned();
    Some(TargetResponse { status, headers: headers.collect(), body, took: Duration::ZERO })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(head: &str) -> TargetResponse {
        parse(format!("HTTP/1.1 401 Unauthorized\r\n{head}\r\n\r\nbody").as_bytes()).unwrap()
    }

    #[test]
    fn the_bearer_challenge_is_found_among_others() {
        let error = |value: &str| response(&format!("WWW-Authenticate: {value}")).error().map(str::to_owned);
        assert_eq!(error("Bearer error=\"invalid_token\", scope=\"a b\"").as_deref(), Some("invalid_token"));
        assert_eq!(error("bearer realm=\"x\", error=invalid_token").as_deref(), Some("invalid_token"));
        assert_eq!(error("Basic realm=\"bearer error\", Bearer error=\"e\"").as_deref(), Some("e"));
        assert_eq!(response("WWW-Authenticate: Bearer").challenge(), Some(""));
        for none in ["WWW-Authenticate: Basic", "WWW-Authenticate: Bearers error=\"e\"", "X: Bearer"] {
            assert_eq!(response(none).challenge(), None, "{none}");
        }
    }

    #[test]
    fn a_response_ends_where_its_headers_say() {
        let whole = |text: &str| is_whole(text.as_bytes());
        assert!(whole("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"));
        assert!(!whole("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok"));
        assert!(whole("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"));
        assert!(whole("HTTP/1.1 204 No Content\r\n\r\n") && !whole("HTTP/1.1 200 OK\r\n\r\n"));
        assert!(parse(b"SSH-2.0-OpenSSH\r\n\r\n").is_none());
    }

    #[tokio::test]
    async fn only_this_machine_is_a_target() {
        assert!(Target::find("http://127.0.0.1:1/x?y=z", false).await.is_ok());
        assert!(Target::find("http://[::1]:1/", false).await.is_ok());
        let remote = Target::find("http://192.0.2.1/", false).await.unwrap_err();
        assert!(matches!(remote, SuiteError::Remote { .. }), "{remote}");
        assert!(Target::find("http://192.0.2.1/", true).await.is_ok());
        for wrong in ["https://127.0.0.1/", "/path", "not a url"] {
            assert!(matches!(Target::find(wrong, false).await, Err(SuiteError::Target { .. })), "{wrong}");
        }
    }
}
