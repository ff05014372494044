//! Access tokens ready to send, the token sets they come from, and secrets.
//!
//! [`TokenSet`] is a token endpoint's response (RFC 6749 section 5.1) with its expiry worked out. [`AccessToken`] is one
//! ready for use: its header value is made once and shared by all requests that carry it.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

mod access;
pub(crate) mod plaintext_serde;
mod raw_response;
mod secret;
mod set;
mod token_type;

pub use self::access::AccessToken;
pub(crate) use self::access::Freshness;
pub use self::secret::Secret;
pub(crate) use self::set::family_of;
pub use self::set::{Scheme, TokenSet};
pub(crate) use self::token_type::NOT_APPLICABLE;
pub use self::token_type::TokenType;

/// A digest that identifies secrets without disclosing them: over the parts, whose lengths count.
pub(crate) fn digest(parts: &[&str]) -> String {
    let mut hash = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
    for part in parts {
        hash.update(&(part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    BASE64_URL_SAFE_NO_PAD.encode(hash.finish())
}
