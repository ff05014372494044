//! Get a token, keep it fresh, put it on requests.

pub mod clock;
pub mod discover;
mod error;
pub mod token;
pub mod transport;

pub use self::error::{Error, Problem};
pub use self::token::Secret;
