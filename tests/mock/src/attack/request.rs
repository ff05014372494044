//! One request of an attack, and the response it must get.

use std::fmt;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, Method, Request};

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

    /// The bearer token, if the request carries exactly one `Authorization: Bearer` header.
    #[must_use]
    pub fn token(&self) -> Option<&str> {
        match self.authorization.as_slice() {
            [one] => std::str::from_utf8(one).ok()?.strip_prefix("Bearer "),
            _ => None,
        }
    }

    /// How many bytes its credentials have, wherever they stand.
    pub(crate) fn size(&self) -> usize {
        let texts = [&self.query, &self.form].into_iter().flatten().map(String::len);
        self.authorization.iter().map(Vec::len).chain(texts).sum()
    }

    /// Whether only a raw socket can send it: its bytes are no header value that the `http` crate would hold.
    #[must_use]
    pub fn is_wire_only(&self) -> bool {
        self.authorization.iter().any(|value| HeaderValue::from_bytes(value).is_err())
    }

    /// The request as a GET of `url`; `None` if it is [wire only](Self::is_wire_only) or `url` is no URI.
    #[must_use]
    pub fn to_http(&self, url: &str) -> Option<Request<Bytes>> {
        let uri = self.query.as_ref().map_or_else(|| url.to_owned(), |query| format!("{url}?{query}"));
        let mut request = Request::builder().method(Method::GET).uri(uri);
        for value in &self.authorization {
            request = request.header(AUTHORIZATION, HeaderValue::from_bytes(value).ok()?);
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
        let mark = if path.contains('?') { '&' } else { '?' };
        let query = self.query.as_ref().map(|query| format!("{mark}{query}")).unwrap_or_default();
        let mut wire =
            format!("GET {path}{query} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n").into_bytes();
        for value in &self.authorization {
            wire.extend(b"Authorization: ");
            wire.extend(value);
            wire.extend(b"\r\n");
        }
        if let Some(form) = &self.form {
            let length = form.len();
            let headers = format!(
                "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {length}\r\n\r\n{form}"
            );
            wire.extend(headers.into_bytes());
        } else {
            wire.extend(b"\r\n");
        }
        wire
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
