//! RFC 6749 section 4.4.

use super::{Grant, Renewal, TokenRequest};
use crate::token_endpoint::Parameters;

/// The client acts on its own behalf (RFC 6749 section 4.4).
#[must_use]
pub fn client_credentials() -> TokenRequest {
    TokenRequest::new(ClientCredentials)
}

#[derive(Debug)]
struct ClientCredentials;

impl Grant for ClientCredentials {
    fn grant_type(&self) -> &str {
        "client_credentials"
    }

    fn parameters(&self, _: &mut Parameters) {}

    fn renewal(&self) -> Renewal {
        Renewal::Anew
    }
}
