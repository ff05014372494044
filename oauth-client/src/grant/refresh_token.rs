//! RFC 6749 section 6.

use super::{Grant, Renewal, TokenRequest};
use crate::token::Secret;
use crate::token_endpoint::Parameters;

/// Starts from a refresh token that was obtained elsewhere (RFC 6749 section 6).
///
/// When the server rotates it, the newer one is used from then on; with a [store](crate::store) it outlives the
/// process, and what the store holds wins over the one given here. A store finds it by the user that
/// [`subject`](TokenRequest::subject) names.
#[must_use]
pub fn refresh_token(token: impl Into<Secret>) -> TokenRequest {
    TokenRequest::new(RefreshToken(token.into()))
}

#[derive(Debug)]
pub(crate) struct RefreshToken(pub(crate) Secret);

impl Grant for RefreshToken {
    fn grant_type(&self) -> &str {
        "refresh_token"
    }

    fn parameters(&self, parameters: &mut Parameters) {
        parameters.set_secret("refresh_token", self.0.clone());
    }

    fn renewal(&self) -> Renewal {
        Renewal::Person
    }

    fn refresh_token(&self) -> Option<&Secret> {
        Some(&self.0)
    }
}
