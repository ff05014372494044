//! The whole response of a rejection, in the caller's protocol.

use bytes::Bytes;
use http::Response;
use http_body_util::Full;

use super::challenge::Challenge;
use super::rejection::Rejection;
use super::{grpc, http as over_http};

#[cold]
pub(crate) fn respond(rejection: &Rejection, challenge: &Challenge, is_grpc: bool) -> Response<Full<Bytes>> {
    let is_grpc = is_grpc && !challenge.never_grpc;
    let mut response = if is_grpc {
        grpc::response(rejection, challenge)
    } else {
        over_http::response(rejection, challenge)
    };
    if let Some(hook) = &challenge.hook {
        hook.apply(rejection, &mut response, is_grpc);
    }
    response
}
