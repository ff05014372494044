//! The whole response of a rejection, in the caller's protocol.

use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::{HeaderValue, Response};

use super::challenge::Challenge;
use super::rejection::Rejection;
use super::{grpc, http as over_http};

/// `dpop`: the caller uses the scheme `DPoP`.
#[cold]
pub(crate) fn respond(
    rejection: &Rejection,
    challenge: &Challenge,
    is_grpc: bool,
    dpop: bool,
) -> Response<Bytes> {
    let is_grpc = is_grpc && !challenge.never_grpc;
    let mut response = if is_grpc {
        grpc::response(rejection, challenge, dpop)
    } else {
        over_http::response(rejection, challenge, dpop)
    };
    if let Some(hook) = &challenge.hook {
        hook.apply(rejection, &mut response, is_grpc);
    }
    response
}

/// The response to `HEAD`: the headers of a `GET`, and no content (RFC 9110 section 9.3.2). A server over HTTP/1 drops a body
/// by itself; hyper over HTTP/2 sends it, and the client then ends the stream as malformed and sees no status.
#[cold]
pub(crate) fn without_content(mut response: Response<Bytes>) -> Response<Bytes> {
    let length = std::mem::take(response.body_mut()).len();
    if length > 0 {
        response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    response
}
