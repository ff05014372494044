//! The whole response of a rejection, in the caller's protocol.

use bytes::Bytes;
use http::Response;

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
