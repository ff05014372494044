//! Grants that a person gives at the server itself.

use super::{Grant, Renewal, TokenRequest};
use crate::token_endpoint::Parameters;

/// What a [login](crate::login) gives: a source of it starts with the tokens of a login, refreshes them for as long
/// as the server lets it, and then needs a person again.
///
/// An [`AuthorizationRequest`](crate::login::AuthorizationRequest) or a [`DeviceRequest`](crate::login::DeviceRequest)
/// can be given to [`Client::source`](crate::Client::source) as they are; this is for programs that have only tokens. In a
/// store that keeps the tokens of several users, say whose they are with [`subject`](TokenRequest::subject).
#[must_use]
pub fn login() -> TokenRequest {
    TokenRequest::new(Login)
}

#[derive(Debug)]
struct Login;

impl Grant for Login {
    fn grant_type(&self) -> &str {
        "authorization_code"
    }

    fn parameters(&self, _: &mut Parameters) {}

    fn renewal(&self) -> Renewal {
        Renewal::Login
    }
}

/// The code that a browser brought back (RFC 6749 section 4.1.3), with the proof that it is ours (RFC 7636 section
/// 4.5). It is good for one request, so it never becomes a source.
#[derive(Debug)]
pub(crate) struct AuthorizationCode {
    pub(crate) code: crate::token::Secret,
    pub(crate) redirect_uri: String,
    pub(crate) verifier: crate::token::Secret,
}

impl Grant for AuthorizationCode {
    fn grant_type(&self) -> &str {
        "authorization_code"
    }

    fn parameters(&self, parameters: &mut Parameters) {
        parameters.set_secret("code", self.code.clone());
        parameters.set("redirect_uri", self.redirect_uri.clone());
        parameters.set_secret("code_verifier", self.verifier.clone());
    }

    fn renewal(&self) -> Renewal {
        Renewal::Person
    }
}
