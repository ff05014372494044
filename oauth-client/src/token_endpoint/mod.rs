//! The round trip to an endpoint that authenticates the client: encode the request, send it, decode the response.

mod asked;
mod deferred;
mod error_response;
mod lost;
mod possession;
mod request;
mod response;
mod round_trip;

pub(crate) use self::asked::Asked;
pub use self::deferred::RequestContext;
pub(crate) use self::deferred::{Deferred, deferred};
pub(crate) use self::error_response::{ErrorBody, Responder, error_response};
pub use self::request::Parameters;
pub(crate) use self::response::TokenRequestError;
#[cfg(test)]
pub(crate) use self::response::decode;
pub(crate) use self::round_trip::{BeforeSend, TimeLimit};
