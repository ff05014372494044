//! The parts of a request that the guard reads.

use std::fmt;

use http::header::{ACCESS_CONTROL_REQUEST_METHOD, AUTHORIZATION, ORIGIN};
use http::request::Parts;
use http::{Extensions, HeaderMap, Method, Request, Uri, Version};

/// The parts of a request that the guard reads: method, version, URI, headers and, of the extensions, what is known of
/// the connection ([`PeerAddr`](crate::PeerAddr), [`TlsPeer`](crate::TlsPeer)) and, with the feature `axum`, the original
/// URI that axum's router keeps there.
///
/// Made from a reference to an [`http::Request`] with any body, or to its [`Parts`]. Its `Debug` shows method, version
/// and path: headers and query may hold the token.
#[derive(Clone, Copy)]
pub struct RequestHead<'a> {
    pub(crate) method: &'a Method,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) uri: &'a Uri,
    pub(crate) version: Version,
    pub(crate) extensions: &'a Extensions,
}

impl<'a> RequestHead<'a> {
    /// The path as received.
    pub(crate) fn path(self) -> &'a str {
        self.original_uri().path()
    }

    /// The URI as received. A nested axum router strips its prefix and keeps the original URI in an extension.
    pub(crate) fn original_uri(self) -> &'a Uri {
        #[cfg(feature = "axum")]
        if let Some(original) = self.extensions.get::<::axum::extract::OriginalUri>() {
            return &original.0;
        }
        self.uri
    }

    /// Whether frameworks route it to the handler for `GET`: `HEAD` (RFC 9110 section 9.3.2), and, in some of them,
    /// `CONNECT` with `:protocol` (RFC 8441 section 4), which only HTTP/2 and later have and which has a path, unlike a
    /// plain one.
    pub(crate) fn is_routed_as_get(self) -> bool {
        match *self.method {
            Method::HEAD => true,
            Method::CONNECT => self.version >= Version::HTTP_2 && self.uri.path().starts_with('/'),
            _ => false,
        }
    }
}

/// The request that a browser sends ahead of a cross-origin one (Fetch standard, CORS-preflight). It never has
/// credentials.
pub(crate) fn is_preflight(method: &Method, headers: &HeaderMap) -> bool {
    *method == Method::OPTIONS
        && headers.contains_key(ORIGIN)
        && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
        && !headers.contains_key(AUTHORIZATION)
}

impl fmt::Debug for RequestHead<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestHead")
            .field("method", self.method)
            .field("version", &self.version)
            .field("path", &self.path())
            .finish_non_exhaustive()
    }
}

impl<'a, B> From<&'a Request<B>> for RequestHead<'a> {
    fn from(request: &'a Request<B>) -> Self {
        Self {
            method: request.method(),
            headers: request.headers(),
            uri: request.uri(),
            version: request.version(),
            extensions: request.extensions(),
        }
    }
}

impl<'a> From<&'a Parts> for RequestHead<'a> {
    fn from(parts: &'a Parts) -> Self {
        Self {
            method: &parts.method,
            headers: &parts.headers,
            uri: &parts.uri,
            version: parts.version,
            extensions: &parts.extensions,
        }
    }
}
