//! A body of one's own for refusals.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{
    CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER, TE, TRAILER, TRANSFER_ENCODING,
    UPGRADE, WWW_AUTHENTICATE,
};
use http::{HeaderMap, HeaderName, HeaderValue, Response};
use http_body_util::Full;

use super::Refusal;

/// What a refusal says beside its status and its challenge, see
/// [`GuardBuilder::answer`](crate::GuardBuilder::answer).
///
/// ```
/// use oauth_guard::{AnswerBody, Refusal};
///
/// fn problem(refusal: &Refusal) -> AnswerBody {
///     AnswerBody::new(
///         http::HeaderValue::from_static("application/problem+json"),
///         format!(r#"{{"title":"{}"}}"#, refusal.code()),
///     )
/// }
/// # problem(&Refusal::MissingToken);
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct AnswerBody {
    content_type: HeaderValue,
    body: Bytes,
    headers: HeaderMap,
}

impl AnswerBody {
    /// A body of any kind.
    pub fn new(content_type: HeaderValue, body: impl Into<Bytes>) -> Self {
        Self { content_type, body: body.into(), headers: HeaderMap::new() }
    }

    /// A body of JSON text.
    pub fn json(body: impl Into<Bytes>) -> Self {
        Self::new(HeaderValue::from_static("application/json"), body)
    }

    /// A body of plain text.
    pub fn text(body: impl Into<Bytes>) -> Self {
        Self::new(HeaderValue::from_static("text/plain; charset=utf-8"), body)
    }

    /// What is said where nothing else is: `{"error":"invalid_token"}`, with the refusal's own code.
    pub fn standard(refusal: &Refusal) -> Self {
        Self::json(format!("{{\"error\":\"{}\"}}", refusal.code()))
    }

    /// One more header. Those that the guard decides about, and those that frame the message, are passed over:
    /// `www-authenticate`, `retry-after`, `cache-control`, all of `grpc-`, `content-length` and its like.
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.append(name, value);
        self
    }
}

/// The user's say in it.
#[derive(Clone)]
pub(crate) struct Hook(Arc<dyn Fn(&Refusal) -> AnswerBody + Send + Sync>);

impl Hook {
    pub(crate) fn new(answer: impl Fn(&Refusal) -> AnswerBody + Send + Sync + 'static) -> Self {
        Self(Arc::new(answer))
    }

    /// Changes what may be changed: over HTTP body and headers, over gRPC, which has no body here, headers.
    pub(crate) fn apply(&self, refusal: &Refusal, response: &mut Response<Full<Bytes>>, is_grpc: bool) {
        let AnswerBody { content_type, body, headers } = (self.0)(refusal);
        if !is_grpc {
            *response.body_mut() = Full::new(body);
            response.headers_mut().insert(CONTENT_TYPE, content_type);
        }
        let ours = response.headers_mut();
        for (name, value) in headers.iter().filter(|(name, _)| !is_reserved(name)) {
            ours.append(name.clone(), value.clone());
        }
    }
}

fn is_reserved(name: &HeaderName) -> bool {
    const RESERVED: [HeaderName; 10] = [
        WWW_AUTHENTICATE,
        RETRY_AFTER,
        CACHE_CONTROL,
        CONTENT_TYPE,
        CONTENT_LENGTH,
        TRANSFER_ENCODING,
        CONNECTION,
        TRAILER,
        UPGRADE,
        TE,
    ];
    RESERVED.contains(name) || name.as_str().starts_with("grpc-") || name.as_str() == "keep-alive"
}

impl fmt::Debug for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hook")
    }
}
