//! The body and headers of a rejection, and the user's hook that replaces them.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{
    CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER, TE, TRAILER, TRANSFER_ENCODING,
    UPGRADE, WWW_AUTHENTICATE,
};
use http::{HeaderMap, HeaderName, HeaderValue, Response};

use super::rejection::Rejection;
use crate::possession::dpop::DPOP_NONCE;

/// The body of a rejection and additional headers, see
/// [`GuardBuilder::on_rejection`](crate::GuardBuilder::on_rejection).
///
/// ```
/// use oauth_guard::{RejectionBody, Rejection};
///
/// fn problem(rejection: &Rejection) -> RejectionBody {
///     RejectionBody::new(
///         http::HeaderValue::from_static("application/problem+json"),
///         format!(r#"{{"title":"{}"}}"#, rejection.code()),
///     )
/// }
/// # problem(&Rejection::MissingToken);
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct RejectionBody {
    content_type: HeaderValue,
    body: Bytes,
    headers: HeaderMap,
}

impl RejectionBody {
    /// A body of any content type.
    pub fn new(content_type: HeaderValue, body: impl Into<Bytes>) -> Self {
        Self { content_type, body: body.into(), headers: HeaderMap::new() }
    }

    /// A JSON body.
    pub fn json(body: impl Into<Bytes>) -> Self {
        Self::new(HeaderValue::from_static("application/json"), body)
    }

    /// A plain text body.
    pub fn text(body: impl Into<Bytes>) -> Self {
        Self::new(HeaderValue::from_static("text/plain; charset=utf-8"), body)
    }

    /// The default, with the rejection's [code](Rejection::code) and the text that is
    /// [safe for callers](Rejection::public_message):
    /// `{"error":"invalid_token","error_description":"the access token is not valid"}`.
    pub fn standard(rejection: &Rejection) -> Self {
        Self::json(standard(rejection))
    }

    /// Adds a header. Headers that the guard sets, and those that frame the message, are ignored: `www-authenticate`,
    /// `retry-after`, `cache-control`, `content-type`, `dpop-nonce`, all of `grpc-`, `content-length` and other connection headers.
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.append(name, value);
        self
    }
}

/// The default body. No code and no public message has a character that JSON escapes.
pub(super) fn standard(rejection: &Rejection) -> Bytes {
    match rejection {
        Rejection::InvalidToken(_) => Bytes::from_static(INVALID_TOKEN),
        _ => Bytes::from(format!(
            r#"{{"error":"{}","error_description":"{}"}}"#,
            rejection.code(),
            rejection.public_message()
        )),
    }
}

/// The most frequent one by far, which costs no allocation.
const INVALID_TOKEN: &[u8] =
    br#"{"error":"invalid_token","error_description":"the access token is not valid"}"#;

/// The user's function from a rejection to its body and headers.
#[derive(Clone)]
pub(crate) struct Hook(Arc<dyn Fn(&Rejection) -> RejectionBody + Send + Sync>);

impl Hook {
    pub(crate) fn new(hook: impl Fn(&Rejection) -> RejectionBody + Send + Sync + 'static) -> Self {
        Self(Arc::new(hook))
    }

    /// Over HTTP, sets body and headers; over gRPC, where a rejection has no body, headers only.
    pub(crate) fn apply(&self, rejection: &Rejection, response: &mut Response<Bytes>, is_grpc: bool) {
        let RejectionBody { content_type, body, headers } = (self.0)(rejection);
        if !is_grpc {
            *response.body_mut() = body;
            response.headers_mut().insert(CONTENT_TYPE, content_type);
        }
        let target = response.headers_mut();
        for (name, value) in headers.iter().filter(|(name, _)| !is_reserved(name)) {
            target.append(name.clone(), value.clone());
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
    RESERVED.contains(name)
        || *name == DPOP_NONCE
        || name.as_str().starts_with("grpc-")
        || name.as_str() == "keep-alive"
}

impl fmt::Debug for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hook")
    }
}
