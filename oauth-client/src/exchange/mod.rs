//! The one round trip to the token endpoint: encode the request, decode the answer, sort the refusals.

mod refusal;
mod request;
mod response;

pub(crate) use self::refusal::{ErrorBody, Refuser, refusal};
pub use self::request::Parameters;
pub(crate) use self::request::{Encoded, encode};
pub(crate) use self::response::decode;
