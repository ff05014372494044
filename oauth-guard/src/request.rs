//! The parts of a request that the guard reads.

use http::request::Parts;
use http::{Extensions, HeaderMap, Method, Request, Uri};

/// The parts of a request that the guard reads: method, URI, headers and, with the feature `axum`, the original URI
/// that axum's router keeps in the extensions.
///
/// Made from a reference to an [`http::Request`] with any body, or to its [`Parts`].
#[derive(Clone, Copy, Debug)]
pub struct RequestHead<'a> {
    pub(crate) method: &'a Method,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) uri: &'a Uri,
    #[cfg_attr(
        not(feature = "axum"),
        expect(dead_code, reason = "only axum's routers store something there")
    )]
    extensions: &'a Extensions,
}

impl<'a> RequestHead<'a> {
    /// The path as received. A nested axum router strips its prefix and keeps the original URI in an extension.
    pub(crate) fn path(self) -> &'a str {
        #[cfg(feature = "axum")]
        if let Some(original) = self.extensions.get::<::axum::extract::OriginalUri>() {
            return original.0.path();
        }
        self.uri.path()
    }
}

impl<'a, B> From<&'a Request<B>> for RequestHead<'a> {
    fn from(request: &'a Request<B>) -> Self {
        Self {
            method: request.method(),
            headers: request.headers(),
            uri: request.uri(),
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
            extensions: &parts.extensions,
        }
    }
}
