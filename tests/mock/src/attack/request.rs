//! One request of an attack, and the response it must get.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Uri};

use super::RequirementLevel;

/// The response of a correct API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Expected {
    /// The HTTP status.
    pub status: u16,
    /// The `error` of the `WWW-Authenticate` challenge (RFC 6750 section 3); `None`: there must be none.
    pub error: Option<&'static str>,
    /// Other statuses that are a matter of choice and no fault.
    pub tolerated: &'static [u16],
}

impl Expected {
    /// Let in.
    pub const ACCEPTED: Self = Self::new(200, None);
    /// Refused for its token.
    pub const INVALID_TOKEN: Self = Self::new(401, Some("invalid_token"));
    /// Refused for want of a token: a challenge without an error (RFC 6750 section 3.1).
    pub const NO_TOKEN: Self = Self::new(401, None);
    /// Refused as a malformed request.
    pub const INVALID_REQUEST: Self = Self::new(400, Some("invalid_request"));
    /// A good token that may too little.
    pub const INSUFFICIENT_SCOPE: Self = Self::new(403, Some("insufficient_scope"));

    pub(crate) const fn new(status: u16, error: Option<&'static str>) -> Self {
        Self { status, error, tolerated: &[] }
    }

    /// The same, where these statuses are no fault either.
    pub(crate) const fn or(mut self, tolerated: &'static [u16]) -> Self {
        self.tolerated = tolerated;
        self
    }

    /// Whether it is the response to a request that shows no token: a challenge without an error.
    pub(crate) fn asks_for_a_token(&self) -> bool {
        self.status == Self::NO_TOKEN.status && self.error.is_none()
    }

    /// Whether a response with this status is what was expected or tolerated.
    #[must_use]
    pub fn allows(&self, status: u16) -> bool {
        self.status == status || self.tolerated.contains(&status)
    }
}

/// One request of an attack, independent of the API it is sent to.
#[derive(Clone)]
pub struct AttackRequest {
    variant: String,
    authorization: Vec<Vec<u8>>,
    query: Option<String>,
    form: Option<String>,
    method: Option<Method>,
    respell: Option<fn(&str) -> String>,
    headers: Vec<(&'static str, String)>,
    wait: Duration,
    unmentionable: Vec<String>,
    any_refusal: bool,
    from: Option<IpAddr>,
    expected: Option<Expected>,
    level: Option<RequirementLevel>,
}

impl AttackRequest {
    /// A request without any credentials.
    pub(crate) fn plain(variant: impl Into<String>) -> Self {
        Self {
            variant: variant.into(),
            authorization: Vec::new(),
            query: None,
            form: None,
            method: None,
            respell: None,
            headers: Vec::new(),
            wait: Duration::ZERO,
            unmentionable: Vec::new(),
            any_refusal: false,
            from: None,
            expected: None,
            level: None,
        }
    }

    /// `Authorization: Bearer <token>`.
    pub(crate) fn bearer(variant: impl Into<String>, token: &str) -> Self {
        Self::plain(variant).authorization(format!("Bearer {token}"))
    }

    /// Adds an `Authorization` header of exactly these bytes.
    pub(crate) fn authorization(mut self, value: impl Into<Vec<u8>>) -> Self {
        self.authorization.push(value.into());
        self
    }

    pub(crate) fn query(mut self, query: String) -> Self {
        self.query = Some(query);
        self
    }

    pub(crate) fn form(mut self, form: String) -> Self {
        self.form = Some(form);
        self
    }

    /// Another method than the usual one.
    pub(crate) fn with_method(mut self, method: Method) -> Self {
        self.method = Some(method);
        self
    }

    /// Another spelling of the target's path.
    pub(crate) fn at(mut self, respell: fn(&str) -> String) -> Self {
        self.respell = Some(respell);
        self
    }

    pub(crate) fn with_header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// To be sent only so long after the request before it.
    pub(crate) fn after(mut self, wait: Duration) -> Self {
        self.wait = wait;
        self
    }

    /// Text that is only in the request, and must not be in the response.
    pub(crate) fn never_mentioning(mut self, text: impl Into<String>) -> Self {
        self.unmentionable.push(text.into());
        self
    }

    /// Whatever does not let the request in is right: the path or method may not exist.
    pub(crate) fn refused_in_any_way(mut self) -> Self {
        self.any_refusal = true;
        self
    }

    /// To be sent from this address of the attacker's machine.
    pub(crate) fn from(mut self, address: IpAddr) -> Self {
        self.from = Some(address);
        self
    }

    pub(crate) fn expecting(mut self, expected: Expected) -> Self {
        self.expected = Some(expected);
        self
    }

    pub(crate) fn with_level(mut self, level: RequirementLevel) -> Self {
        self.level = Some(level);
        self
    }

    /// With what its row says, where it says nothing itself.
    pub(crate) fn or(mut self, expected: Expected, level: RequirementLevel) -> Self {
        self.expected.get_or_insert(expected);
        self.level.get_or_insert(level);
        self
    }

    /// Which of the attack's requests it is, in a few words.
    #[must_use]
    pub fn variant(&self) -> &str {
        &self.variant
    }

    /// The response a correct API sends.
    #[must_use]
    pub fn expected(&self) -> Expected {
        self.expected.unwrap_or(Expected::INVALID_TOKEN)
    }

    /// How firmly the standards ask for that response.
    #[must_use]
    pub fn level(&self) -> RequirementLevel {
        self.level.unwrap_or(RequirementLevel::Must)
    }

    /// The token, if the request carries exactly one `Authorization` header, whose scheme is `Bearer` or `DPoP`.
    #[must_use]
    pub fn token(&self) -> Option<&str> {
        match self.authorization.as_slice() {
            [one] => {
                let text = std::str::from_utf8(one).ok()?;
                text.strip_prefix("Bearer ").or_else(|| text.strip_prefix("DPoP "))
            }
            _ => None,
        }
    }

    /// The address of the attacker's machine that it has to come from, where that matters.
    #[must_use]
    pub fn source(&self) -> Option<IpAddr> {
        self.from
    }

    /// How long after the request before it this one is to be sent; usually at once.
    #[must_use]
    pub fn wait(&self) -> Duration {
        self.wait
    }

    /// What must not be in the response: text that only this request holds, such as the user an identity header names.
    #[must_use]
    pub fn unmentionable(&self) -> &[String] {
        &self.unmentionable
    }

    /// Whether every refusal is right (404, 405 …), because path or method may not exist at the API.
    #[must_use]
    pub fn takes_any_refusal(&self) -> bool {
        self.any_refusal
    }

    /// The method, where the attack is about another than the API's usual one.
    pub(crate) fn method(&self) -> Option<&Method> {
        self.method.as_ref()
    }

    /// Whether it is sent to another spelling of the target's path.
    pub(crate) fn is_elsewhere(&self) -> bool {
        self.respell.is_some()
    }

    /// The value of one of its further headers.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
    }

    /// Whether it must be sent after those before it, and not beside them.
    pub(crate) fn is_perishable(&self) -> bool {
        !self.wait.is_zero()
    }

    /// How many bytes its credentials have, wherever they stand.
    pub(crate) fn size(&self) -> usize {
        let texts = [&self.query, &self.form].into_iter().flatten().map(String::len);
        let headers = self.headers.iter().map(|(_, value)| value.len());
        self.authorization.iter().map(Vec::len).chain(texts).chain(headers).sum()
    }

    /// Whether only a raw socket can send it: its bytes are no header value that the `http` crate would hold.
    #[must_use]
    pub fn is_wire_only(&self) -> bool {
        self.authorization.iter().any(|value| HeaderValue::from_bytes(value).is_err())
    }

    /// The request to `url`, a GET unless the attack is about another method; `None` if it is [wire
    /// only](Self::is_wire_only) or `url` is no URI.
    #[must_use]
    pub fn to_http(&self, url: &str) -> Option<Request<Bytes>> {
        let uri: Uri = url.parse().ok()?;
        let (scheme, host) = (uri.scheme_str()?, uri.authority()?);
        let path = self.target_of(uri.path_and_query().map_or("/", |path| path.as_str()));
        let method = self.method.clone().unwrap_or(Method::GET);
        let mut request = Request::builder().method(method).uri(format!("{scheme}://{host}{path}"));
        for value in &self.authorization {
            request = request.header(AUTHORIZATION, HeaderValue::from_bytes(value).ok()?);
        }
        for (name, value) in &self.headers {
            request = request.header(*name, value);
        }
        let body = self.form.clone().unwrap_or_default();
        if self.form.is_some() {
            request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        }
        request.body(Bytes::from(body)).ok()
    }

    /// The request as the bytes of HTTP/1.1, for a GET of `path` at `host`; the connection is to be closed after it.
    #[must_use]
    pub fn to_wire(&self, host: &str, path: &str) -> Vec<u8> {
        self.to_wire_with(host, path, &Method::GET, &[])
    }

    /// The same with the API's usual method, and headers that all requests carry.
    pub(crate) fn to_wire_with(
        &self,
        host: &str,
        path: &str,
        usual: &Method,
        headers: &[(String, String)],
    ) -> Vec<u8> {
        let (method, path) = (self.method.as_ref().unwrap_or(usual), self.target_of(path));
        let mut wire =
            format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n").into_bytes();
        for value in &self.authorization {
            wire.extend(b"Authorization: ");
            wire.extend(value);
            wire.extend(b"\r\n");
        }
        let own = self.headers.iter().map(|(name, value)| (*name, value.as_str()));
        let given = headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        for (name, value) in given.chain(own) {
            wire.extend(format!("{name}: {value}\r\n").into_bytes());
        }
        // RFC 9110 section 8.6: a method that gives a body a meaning says that there is none.
        let says_length = [Method::POST, Method::PUT, Method::PATCH].contains(method);
        if let Some(form) = &self.form {
            let length = form.len();
            let headers = format!(
                "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {length}\r\n\r\n{form}"
            );
            wire.extend(headers.into_bytes());
        } else if says_length {
            wire.extend(b"Content-Length: 0\r\n\r\n");
        } else {
            wire.extend(b"\r\n");
        }
        wire
    }

    /// The path it is sent to, with the query, for a target of this path and query.
    fn target_of(&self, path_and_query: &str) -> String {
        let (path, query) = match path_and_query.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (path_and_query, None),
        };
        let path = self.respell.map_or_else(|| path.to_owned(), |respell| respell(path));
        let queries: Vec<_> = query.into_iter().chain(self.query.as_deref()).collect();
        if queries.is_empty() { path } else { format!("{path}?{}", queries.join("&")) }
    }
}

impl fmt::Debug for AttackRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AttackRequest")
            .field("variant", &self.variant)
            .field("expected", &self.expected)
            .finish_non_exhaustive()
    }
}

/// Requests that differ in their bearer token only.
pub(crate) fn bearers<V: Into<String>>(tokens: impl IntoIterator<Item = (V, String)>) -> Vec<AttackRequest> {
    tokens.into_iter().map(|(variant, token)| AttackRequest::bearer(variant, &token)).collect()
}

/// Those whose value is another than the real one: what changes most names leaves some as they are, such as a change of
/// case one that is in that case.
pub(super) fn others<V>(
    real: &str,
    variants: impl IntoIterator<Item = (V, String)>,
) -> impl Iterator<Item = (V, String)> {
    variants.into_iter().filter(move |(_, value)| value != real)
}

/// The one request of an attack that needs no more than a token.
pub(crate) fn bearer(token: &str) -> Vec<AttackRequest> {
    vec![AttackRequest::bearer("", token)]
}

/// The same requests, where those of these variants are demanded otherwise.
pub(crate) fn with_level(
    level: RequirementLevel,
    variants: &[&str],
    requests: Vec<AttackRequest>,
) -> Vec<AttackRequest> {
    let change = |request: AttackRequest| {
        if variants.contains(&request.variant()) { request.with_level(level) } else { request }
    };
    requests.into_iter().map(change).collect()
}
