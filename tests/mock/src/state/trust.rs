//! Other issuers whose signed statements this server trusts.

use serde_json::Value;

use crate::jws::Jws;
use crate::keys::{TestKey, keys_of};

/// An issuer of assertions (RFC 7523 section 2.1), of tokens to exchange (RFC 8693 section 2.1) and of software
/// statements (RFC 7591 section 2.3), with the keys it signs with.
///
/// ```
/// use oauth_mock::{Alg, GrantType, MockClient, MockServer, TestKey, TrustedIssuer};
///
/// let key = TestKey::generate(Alg::Es256);
/// let server = MockServer::builder()
///     .client(MockClient::default().grants([GrantType::JwtBearer]))
///     .trusted_issuer(TrustedIssuer::new("https://idp.test").key(&key))
///     .in_process();
/// let assertion = server.mint().typ("JWT").signed_with(&key).issuer("https://idp.test").subject("alice");
/// let assertion = assertion.audience(server.issuer()).build();
/// # let _ = assertion;
/// ```
#[derive(Clone, Debug)]
pub struct TrustedIssuer {
    pub(crate) issuer: String,
    jwks: Vec<Value>,
}

impl TrustedIssuer {
    /// An issuer with this `iss`, and no key yet.
    #[must_use]
    pub fn new(issuer: impl Into<String>) -> Self {
        Self { issuer: issuer.into(), jwks: Vec::new() }
    }

    /// Adds a public key.
    #[must_use]
    pub fn key(mut self, key: &TestKey) -> Self {
        self.jwks.push(key.public_jwk());
        self
    }

    /// Adds the keys of a JWK set (RFC 7517 section 5).
    ///
    /// # Panics
    /// If it has no list `keys`.
    #[must_use]
    pub fn jwks(mut self, jwks: &Value) -> Self {
        self.jwks.extend_from_slice(keys_of(jwks));
        self
    }

    /// Whether it signed this.
    pub(crate) fn signed(&self, jws: &Jws<'_>) -> bool {
        jws.verifies_with_any(&self.jwks)
    }
}
