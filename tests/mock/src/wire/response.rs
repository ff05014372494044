//! One response before the wire: status, headers, bytes.

use bytes::Bytes;
use http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, LOCATION, PRAGMA,
    REFERRER_POLICY, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::{Value, json};

use crate::page;

#[derive(Clone, Debug)]
pub(crate) struct MockResponse {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// An error of the OAuth family: RFC 6749 section 5.2 and the same shape elsewhere.
#[derive(Clone, Debug)]
pub(crate) struct OAuthError {
    status: StatusCode,
    code: &'static str,
    description: String,
    challenge: Option<&'static str>,
    /// Boxed, because errors are results, and few have one.
    header: Option<Box<(HeaderName, String)>>,
}

impl MockResponse {
    pub(crate) fn new(status: StatusCode, content_type: &str, body: impl Into<Bytes>) -> Self {
        let response = Self { status, headers: HeaderMap::new(), body: body.into() };
        if content_type.is_empty() { response } else { response.with(CONTENT_TYPE, content_type) }
    }

    pub(crate) fn json(status: StatusCode, body: &Value) -> Self {
        Self::new(status, "application/json", body.to_string())
    }

    pub(crate) fn empty(status: StatusCode) -> Self {
        Self::new(status, "", Bytes::new())
    }

    pub(crate) fn html(status: StatusCode, page: String) -> Self {
        // RFC 9700 section 4.16: a page that could be framed could be clicked on unseen. The referrer policy keeps codes
        // and states to this server, and lets browsers send `Origin` with its own forms.
        Self::new(status, "text/html; charset=utf-8", page)
            .never_stored()
            .with(CONTENT_SECURITY_POLICY, page::POLICY)
            .with(X_FRAME_OPTIONS, "DENY")
            .with(X_CONTENT_TYPE_OPTIONS, "nosniff")
            .with(REFERRER_POLICY, "same-origin")
    }

    pub(crate) fn redirect(to: &str) -> Self {
        Self::empty(StatusCode::FOUND).with(LOCATION, to)
    }

    /// Makes a redirect one that is followed by `GET`, whatever was posted (RFC 9110 section 15.4.4).
    pub(crate) fn followed_by_get(mut self) -> Self {
        if self.status == StatusCode::FOUND {
            self.status = StatusCode::SEE_OTHER;
        }
        self
    }

    pub(crate) fn not_allowed(allow: &str) -> Self {
        Self::empty(StatusCode::METHOD_NOT_ALLOWED).with(ALLOW, allow)
    }

    /// The same status and headers with this body.
    pub(crate) fn into_http<B>(self, body: B) -> http::Response<B> {
        let mut response = http::Response::new(body);
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers;
        response
    }

    /// Sets a header; a value that HTTP does not allow is left out.
    pub(crate) fn with(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.insert(name, value);
        }
        self
    }

    /// RFC 6749 section 5.1: responses that carry tokens are not stored.
    pub(crate) fn never_stored(self) -> Self {
        self.with(CACHE_CONTROL, "no-store").with(PRAGMA, "no-cache")
    }
}

impl OAuthError {
    pub(crate) fn bad_request(code: &'static str, description: impl Into<String>) -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            code,
            description: description.into(),
            challenge: None,
            header: None,
        }
    }

    pub(crate) fn invalid_request(description: impl Into<String>) -> Self {
        Self::bad_request("invalid_request", description)
    }

    pub(crate) fn invalid_grant(description: impl Into<String>) -> Self {
        Self::bad_request("invalid_grant", description)
    }

    /// RFC 6749 section 5.2: 401. A 401 has a challenge (RFC 9110 section 15.5.2), which names the one scheme there is;
    /// for a client that has no secret it would be a wrong one.
    pub(crate) fn invalid_client(description: impl Into<String>, could_try_header: bool) -> Self {
        let challenge = could_try_header.then_some(r#"Basic realm="oauth-mock""#);
        Self {
            status: StatusCode::UNAUTHORIZED,
            code: "invalid_client",
            description: description.into(),
            challenge,
            header: None,
        }
    }

    /// Sends this header with it.
    pub(crate) fn with_header(mut self, name: HeaderName, value: String) -> Self {
        self.header = Some(Box::new((name, value)));
        self
    }

    pub(crate) fn code(&self) -> &'static str {
        self.code
    }

    pub(crate) fn description(&self) -> &str {
        &self.description
    }
}

impl From<OAuthError> for MockResponse {
    fn from(error: OAuthError) -> Self {
        let body = json!({"error": error.code, "error_description": error.description});
        let mut response = Self::json(error.status, &body).never_stored();
        if let Some(header) = error.header {
            response = response.with(header.0, &header.1);
        }
        match error.challenge {
            Some(challenge) => response.with(WWW_AUTHENTICATE, challenge),
            None => response,
        }
    }
}
