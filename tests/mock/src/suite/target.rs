//! The API under attack: its address, and one request and response on a connection of its own.
//!
//! Written on the bare socket, because much of what has to be sent is no HTTP that a client would send.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use http::{Method, Uri};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::Instant;

use super::SuiteError;
use super::options::Sending;
use super::pace::Pace;
use super::secure::{Connector, Stream};
use crate::attack::AttackRequest;

/// How much of a response is read.
const MOST: usize = 64 * 1024;

#[derive(Clone, Debug)]
pub(super) struct Target {
    url: String,
    host: String,
    path: String,
    addresses: Vec<SocketAddr>,
    secure: Option<Connector>,
    sending: Sending,
    pace: Pace,
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
    /// The target asked for pauses (429) until the end.
    Throttled,
}

pub(super) type Outcome = Result<TargetResponse, NoResponse>;

impl Target {
    /// Resolves the address once: what is checked here is what is attacked.
    pub(super) async fn find(url: &str, allow_remote: bool, sending: &Sending) -> Result<Self, SuiteError> {
        let wrong = |problem: &str| SuiteError::Target { url: url.to_owned(), problem: problem.to_owned() };
        let uri: Uri = url.parse().map_err(|_| wrong("it is no URL"))?;
        let (https, usual_port) = match uri.scheme_str() {
            Some("http") => (false, 80),
            Some("https") => (true, 443),
            _ => return Err(wrong("it must begin with http:// or https://")),
        };
        let authority = uri.authority().ok_or_else(|| wrong("it names no host"))?;
        let host = authority.host().trim_matches(['[', ']']);
        let found = tokio::net::lookup_host((host, authority.port_u16().unwrap_or(usual_port))).await;
        let addresses: Vec<_> = found.map_err(|_| wrong("its host has no address"))?.collect();
        if addresses.is_empty() {
            return Err(wrong("its host has no address"));
        }
        let remote = addresses.iter().any(|address| !address.ip().is_loopback());
        if !allow_remote && remote {
            return Err(SuiteError::Remote { url: url.to_owned() });
        }
        if https && remote && sending.ca.is_none() {
            return Err(wrong(
                "on another machine its certificate needs --ca, the authority that vouches for it",
            ));
        }
        let secure = if https {
            Some(Connector::new(host, sending.ca.as_deref()).map_err(|problem| wrong(&problem))?)
        } else {
            None
        };
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        Ok(Self {
            url: url.to_owned(),
            host: authority.as_str().to_owned(),
            path: path.to_owned(),
            addresses,
            secure,
            sending: sending.clone(),
            pace: Pace::new(sending.rate),
        })
    }

    /// The target that a redirect to https at the same host leads to; `None` for a redirect to anything else.
    pub(super) async fn moved_to_https(
        &self,
        response: &TargetResponse,
        allow_remote: bool,
    ) -> Option<Result<Self, SuiteError>> {
        let location = response.location()?;
        let (from, to): (Uri, Uri) = (self.url.parse().ok()?, location.parse().ok()?);
        if self.secure.is_some() || to.scheme_str() != Some("https") || from.host() != to.host() {
            return None;
        }
        Some(Self::find(location, allow_remote, &self.sending).await)
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// How long a response may take, unless a case says otherwise.
    pub(super) fn patience(&self) -> Duration {
        self.sending.patience
    }

    pub(super) fn pace(&self) -> &Pace {
        &self.pace
    }

    /// Sends a request of the table; again, later, as often as the target asks for a pause.
    pub(super) async fn send(&self, request: &AttackRequest, patience: Duration) -> Outcome {
        let wire = request.to_wire_with(&self.host, &self.path, &self.sending.method, &self.sending.headers);
        let usual = || &self.sending.method;
        let headless = request.method().unwrap_or_else(usual) == Method::HEAD;
        let first = Instant::now();
        for attempt in 0.. {
            self.pace.turn().await;
            let started = Instant::now();
            let exchange = self.exchange(&wire, headless, request.source());
            let mut outcome =
                tokio::time::timeout(patience, exchange).await.unwrap_or(Err(NoResponse::TimedOut))?;
            if outcome.status != 429 {
                self.pace.let_in();
                outcome.took = started.elapsed();
                return Ok(outcome);
            }
            if !self.pace.heed(&outcome, attempt, first) {
                break;
            }
        }
        Err(NoResponse::Throttled)
    }

    /// Sends a token.
    pub(super) async fn show(&self, token: &str) -> Outcome {
        self.send(&AttackRequest::bearer("", token), self.patience()).await
    }

    async fn exchange(&self, wire: &[u8], headless: bool, source: Option<IpAddr>) -> Outcome {
        let stream = match source {
            None => TcpStream::connect(self.addresses.as_slice()).await,
            Some(source) => self.connect_from(source).await,
        };
        let stream = stream.map_err(|_| NoResponse::Unreachable)?;
        let stream: Box<dyn Stream> = match &self.secure {
            None => Box::new(stream),
            Some(secure) => Box::new(secure.connect(stream).await.map_err(|_| NoResponse::Closed)?),
        };
        let (mut reader, mut writer) = tokio::io::split(stream);
        let mut bytes = Vec::new();
        let write = async {
            // A target that refuses early does not read on; its response counts, not this error.
            let _ = writer.write_all(wire).await;
            let _ = writer.flush().await;
            std::future::pending::<()>().await;
        };
        let read = async {
            let mut chunk = [0; 8192];
            // A reset after the response is no matter: what came before it is a response or is none.
            while let Ok(length @ 1..) = reader.read(&mut chunk).await {
                bytes.extend_from_slice(&chunk[..length]);
                if bytes.len() > MOST || is_whole(&bytes, headless) {
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

impl Target {
    /// A connection from this address of this machine.
    async fn connect_from(&self, source: IpAddr) -> io::Result<TcpStream> {
        let to = self.addresses.iter().find(|to| to.is_ipv4() == source.is_ipv4());
        let to = *to.ok_or(io::ErrorKind::AddrNotAvailable)?;
        let socket = if source.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        socket.bind(SocketAddr::new(source, 0))?;
        socket.connect(to).await
    }
}

impl TargetResponse {
    /// Whether the request was accepted.
    pub(super) fn accepted(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The first header of this name, which is in lower case.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Where a redirect leads.
    pub(super) fn location(&self) -> Option<&str> {
        self.header("location").filter(|_| matches!(self.status, 301 | 302 | 303 | 307 | 308))
    }

    /// Whether this text is in what the caller sees.
    pub(super) fn mentions(&self, text: &str) -> bool {
        self.body.contains(text) || self.headers.iter().any(|(_, value)| value.contains(text))
    }

    /// The parameters of the `Bearer` challenge; `None` when there is none (RFC 9110 section 11.6.1).
    pub(super) fn challenge(&self) -> Option<&str> {
        self.challenge_of("bearer")
    }

    /// The parameters of the `DPoP` challenge (RFC 9449 section 7.1).
    pub(super) fn dpop_challenge(&self) -> Option<&str> {
        self.challenge_of("dpop")
    }

    fn challenge_of(&self, scheme: &str) -> Option<&str> {
        let values = self.headers.iter().filter(|(name, _)| name == "www-authenticate");
        values.map(|(_, value)| value.as_str()).find_map(|value| challenge(value, scheme))
    }

    /// The `error` of the challenge (RFC 6750 section 3), whichever of the two schemes has one.
    pub(super) fn error(&self) -> Option<&str> {
        let of_bearer = self.challenge().and_then(|challenge| parameter(challenge, "error"));
        of_bearer.or_else(|| parameter(self.dpop_challenge()?, "error"))
    }

    /// The `algs` of the `DPoP` challenge (RFC 9449 section 7.1).
    pub(super) fn dpop_algorithms(&self) -> Vec<String> {
        let named = self.dpop_challenge().and_then(|challenge| parameter(challenge, "algs"));
        named.unwrap_or_default().split_whitespace().map(str::to_owned).collect()
    }

    /// Whether a part of the token is in what any caller may see of a rejection.
    pub(super) fn repeats(&self, token: &str) -> bool {
        token.split('.').filter(|part| part.len() > 16).any(|part| self.mentions(part))
    }
}

impl NoResponse {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::Closed => "closed",
            Self::TimedOut => "no answer",
            Self::Garbled => "no HTTP",
            Self::Throttled => "429 for too long",
        }
    }
}

/// What follows the scheme (in lower case), where a challenge of it begins.
fn challenge<'a>(value: &'a str, scheme: &str) -> Option<&'a str> {
    let lower = value.to_ascii_lowercase();
    lower.match_indices(scheme).find_map(|(at, _)| {
        let before = value[..at].trim_end();
        let rest = &value[at + scheme.len()..];
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
fn is_whole(bytes: &[u8], headless: bool) -> bool {
    let Some(end) = head_end(bytes) else { return false };
    let Some(response) = parse(bytes) else { return false };
    if headless {
        return true;
    }
    match (
        response.header("transfer-encoding"),
        response.header("content-length").and_then(|length| length.parse::<usize>().ok()),
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
    fn the_dpop_challenge_says_what_proofs_may_be() {
        let of = |value: &str| response(&format!("WWW-Authenticate: {value}"));
        let both = of("Bearer realm=\"x\", DPoP algs=\"ES256 EdDSA\", error=\"invalid_dpop_proof\"");
        assert_eq!(both.dpop_algorithms(), ["ES256", "EdDSA"]);
        assert_eq!(both.error(), Some("invalid_dpop_proof"));
        assert_eq!(of("DPoP error=\"use_dpop_nonce\"").error(), Some("use_dpop_nonce"));
        assert!(of("Bearer").dpop_challenge().is_none() && of("Bearer").dpop_algorithms().is_empty());
    }

    #[test]
    fn a_response_ends_where_its_headers_say() {
        let whole = |text: &str| is_whole(text.as_bytes(), false);
        assert!(whole("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"));
        assert!(!whole("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok"));
        assert!(whole("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"));
        assert!(whole("HTTP/1.1 204 No Content\r\n\r\n") && !whole("HTTP/1.1 200 OK\r\n\r\n"));
        assert!(is_whole(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", true), "to a HEAD");
        assert!(parse(b"SSH-2.0-OpenSSH\r\n\r\n").is_none());
    }

    async fn found(url: &str, remote: bool) -> Result<Target, SuiteError> {
        Target::find(url, remote, &Sending::default()).await
    }

    #[tokio::test]
    async fn only_this_machine_is_a_target() {
        assert!(found("http://127.0.0.1:1/x?y=z", false).await.is_ok());
        assert!(found("http://[::1]:1/", false).await.is_ok());
        let remote = found("http://192.0.2.1/", false).await.unwrap_err();
        assert!(matches!(remote, SuiteError::Remote { .. }), "{remote}");
        assert!(found("http://192.0.2.1/", true).await.is_ok());
        for wrong in ["ftp://127.0.0.1/", "/path", "not a url"] {
            assert!(matches!(found(wrong, false).await, Err(SuiteError::Target { .. })), "{wrong}");
        }
    }

    #[cfg(feature = "tls")]
    #[tokio::test]
    async fn https_needs_an_authority_on_another_machine() {
        assert!(found("https://127.0.0.1:1/", false).await.is_ok());
        let error = found("https://192.0.2.1/", true).await.unwrap_err();
        assert!(error.to_string().contains("--ca"), "{error}");
        let sending = Sending { ca: Some(b"no PEM".to_vec()), ..Sending::default() };
        let error = Target::find("https://127.0.0.1:1/", false, &sending).await.unwrap_err();
        assert!(error.to_string().contains("no certificate in it"), "{error}");
    }

    #[tokio::test]
    async fn only_https_at_the_same_host_is_followed() {
        let target = found("http://127.0.0.1:1/x", false).await.unwrap();
        let redirect = |to: &str| response(&format!("Location: {to}"));
        let of = |status, to: &str| TargetResponse { status, ..redirect(to) };
        for other in ["http://127.0.0.1:2/x", "https://localhost/x", "/login", "nonsense"] {
            assert!(target.moved_to_https(&of(308, other), false).await.is_none(), "{other}");
        }
        assert!(target.moved_to_https(&of(200, "https://127.0.0.1/x"), false).await.is_none());
        let https = target.moved_to_https(&of(308, "https://127.0.0.1:2/x"), false).await.unwrap();
        assert_eq!(https.is_ok(), cfg!(feature = "tls"));
    }
}
