//! What can be wrong with a configuration, and what with a token. Any step may name a fault of the token; only `reject`
//! answers the caller.

mod build;
mod token;

pub(crate) use self::build::Problems;
pub use self::build::{BuildError, Problem};
pub use self::token::InvalidToken;
pub(crate) use self::token::TokenError;
