//! RFC 6749 section 4.3.

use super::{Grant, Renewal, TokenRequest};
use crate::token::Secret;
use crate::token_endpoint::Parameters;

/// The resource owner's own password (RFC 6749 section 4.3). OAuth 2.1 drops this grant; it is here for servers that
/// offer nothing else.
///
/// A password that is refused is not sent again for a quarter of an hour or longer, so that no account gets locked.
#[must_use]
pub fn password(username: impl Into<String>, password: impl Into<Secret>) -> TokenRequest {
    TokenRequest::new(Password { username: username.into(), password: password.into() })
}

#[derive(Debug)]
struct Password {
    username: String,
    password: Secret,
}

impl Grant for Password {
    fn grant_type(&self) -> &str {
        "password"
    }

    fn parameters(&self, parameters: &mut Parameters) {
        parameters.set("username", self.username.clone());
        parameters.set_secret("password", self.password.clone());
    }

    fn renewal(&self) -> Renewal {
        Renewal::AnewWithCare
    }

    fn subject(&self) -> Option<&str> {
        Some(&self.username)
    }
}
