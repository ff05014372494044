//! The one round trip to the token endpoint: encode the request, decode the answer, sort the refusals.

mod made;
mod refusal;
mod request;
mod response;

pub use self::made::Sending;
pub(crate) use self::made::{Maker, maker};
pub(crate) use self::refusal::{ErrorBody, Refuser, refusal};
pub use self::request::Parameters;
pub(crate) use self::request::{Encoded, encode};
pub(crate) use self::response::decode;
