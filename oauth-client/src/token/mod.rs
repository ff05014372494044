//! What is held: access tokens ready to send, the token sets they come from, and secrets.
//!
//! [`TokenSet`] is a token endpoint's answer (RFC 6749 section 5.1) with its expiry worked out. [`AccessToken`] is one
//! ready for use: its header value is made once and shared by all requests that carry it.

mod access;
mod secret;
mod set;

pub use self::access::AccessToken;
pub(crate) use self::access::{Freshness, Held};
pub use self::secret::Secret;
pub use self::set::TokenSet;
