//! The clients a server knows: how they authenticate, what they may ask for and what their tokens look like. They
//! are configured, register themselves, or are described by a document at their URL.

pub(crate) mod documents;
mod kinds;
pub(crate) mod registration;

use std::fmt;
use std::time::Duration;

use serde_json::Value;

pub use self::kinds::{AuthMethod, CertificateSubject, GrantType};
use crate::keys::{Alg, TestKey, keys_of};

/// The scope that makes a request one of OpenID Connect (Core section 3.1.2.1).
pub(crate) const OPENID: &str = "openid";

/// A client registered at the server.
///
/// By default it may use client_credentials and refresh_token, has the scopes `read` and `write`, and gets
/// JWT access tokens that live five minutes. Without a secret it is a public client.
///
/// ```
/// use std::time::Duration;
/// use oauth_mock::{GrantType, MockClient, MockServer};
///
/// let client = MockClient::new("reports")
///     .secret("s3cr3t")
///     .grants([GrantType::ClientCredentials])
///     .scopes(["reports:read"])
///     .token_lifetime(Duration::from_secs(60));
/// let server = MockServer::builder().client(client).in_process();
/// # let _ = server;
/// ```
#[derive(Clone)]
pub struct MockClient {
    pub(crate) id: String,
    pub(crate) secret: Option<String>,
    /// Its public keys, as JWKs.
    pub(crate) jwks: Vec<Value>,
    pub(crate) certificate_subject: Option<CertificateSubject>,
    pub(crate) certificate_bound: bool,
    pub(crate) methods: Vec<AuthMethod>,
    /// The algorithms of its assertions; `None`: any that fits its keys.
    pub(crate) assertion_algs: Option<Vec<Alg>>,
    pub(crate) grants: Vec<GrantType>,
    pub(crate) scopes: Vec<String>,
    pub(crate) redirect_uris: Vec<String>,
    /// `None`: what the server's kind of provider gives.
    pub(crate) token_lifetime: Option<Duration>,
    pub(crate) refresh_lifetime: Duration,
    pub(crate) format: TokenFormat,
    pub(crate) rotate_refresh_tokens: bool,
    pub(crate) refresh_with_every_grant: bool,
    pub(crate) announce_lifetime: bool,
    pub(crate) needs_pkce: bool,
    pub(crate) dpop_bound: bool,
    pub(crate) needs_par: bool,
    /// The types of authorization details it may use; `None`: all of the server's.
    pub(crate) details_types: Option<Vec<String>>,
    pub(crate) post_logout_redirect_uris: Vec<String>,
    /// Where it is told of logouts.
    pub(crate) backchannel_logout_uri: Option<String>,
    /// The audiences for which it may exchange tokens that are for other APIs.
    pub(crate) exchange_audiences: Vec<String>,
}

/// What an access token is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TokenFormat {
    /// RFC 9068, with the issuer's current key or the one for this algorithm.
    Jwt(Option<Alg>),
    /// Random text that only introspection explains.
    Opaque,
}

impl MockClient {
    /// A public client until [`secret`](Self::secret) is called.
    #[must_use]
    pub fn new(id: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            secret: None,
            jwks: Vec::new(),
            certificate_subject: None,
            certificate_bound: false,
            methods: vec![AuthMethod::None],
            assertion_algs: None,
            grants: vec![GrantType::ClientCredentials, GrantType::RefreshToken],
            scopes: vec!["read".to_owned(), "write".to_owned()],
            redirect_uris: Vec::new(),
            token_lifetime: None,
            refresh_lifetime: Duration::from_secs(24 * 3600),
            format: TokenFormat::Jwt(None),
            rotate_refresh_tokens: true,
            refresh_with_every_grant: false,
            announce_lifetime: true,
            needs_pkce: true,
            dpop_bound: false,
            needs_par: false,
            details_types: None,
            post_logout_redirect_uris: Vec::new(),
            backchannel_logout_uri: None,
            exchange_audiences: Vec::new(),
        }
    }

    /// Makes it a confidential client, which authenticates with `client_secret_basic` or `client_secret_post`.
    #[must_use]
    pub fn secret(mut self, secret: impl Into<String>) -> Self {
        self.secret = Some(secret.into());
        self.methods = vec![AuthMethod::Basic, AuthMethod::Post];
        self
    }

    /// Adds a public key and makes it a client that authenticates with `private_key_jwt`.
    ///
    /// ```
    /// use oauth_mock::{Alg, MockClient, MockServer, TestKey};
    ///
    /// let key = TestKey::generate(Alg::Es256);
    /// let server = MockServer::builder().client(MockClient::new("svc").key(&key)).in_process();
    /// let assertion = server
    ///     .mint()
    ///     .typ("JWT")
    ///     .signed_with(&key)
    ///     .issuer("svc")
    ///     .subject("svc")
    ///     .audience(server.issuer())
    ///     .expires_in(60)
    ///     .build();
    /// # let _ = assertion;
    /// ```
    #[must_use]
    pub fn key(mut self, key: &TestKey) -> Self {
        self.jwks.push(key.public_jwk());
        self.methods = vec![AuthMethod::PrivateKeyJwt];
        self
    }

    /// Adds the keys of a JWK set (RFC 7517 section 5), as [`key`](Self::key) adds one.
    ///
    /// # Panics
    /// If it has no list `keys`.
    #[must_use]
    pub fn jwks(mut self, jwks: &Value) -> Self {
        self.jwks.extend_from_slice(keys_of(jwks));
        self.methods = vec![AuthMethod::PrivateKeyJwt];
        self
    }

    /// Makes it a client that authenticates with `tls_client_auth`: with a certificate by the server's authority for
    /// this subject, and for no other (RFC 8705 section 2.1). See [`ClientCertificate`](crate::ClientCertificate).
    #[must_use]
    pub fn certificate_subject(mut self, subject: impl Into<CertificateSubject>) -> Self {
        self.certificate_subject = Some(subject.into());
        self.methods = vec![AuthMethod::TlsClientAuth];
        self
    }

    /// Makes it a client that authenticates with `self_signed_tls_client_auth`, with this very certificate
    /// (RFC 8705 section 2.2). Several may be added; [`jwks`](Self::jwks) with `x5c` does the same.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn self_signed_certificate(mut self, certificate: &crate::ClientCertificate) -> Self {
        self.jwks.push(certificate.public_jwk());
        self.methods = vec![AuthMethod::SelfSignedTlsClientAuth];
        self
    }

    /// Binds its tokens to the certificate they are asked for with, and gives it none without one
    /// (`tls_client_certificate_bound_access_tokens`, RFC 8705 section 3.4).
    #[must_use]
    pub fn certificate_bound_tokens(mut self) -> Self {
        self.certificate_bound = true;
        self
    }

    /// The only algorithms its assertions may have; by default any that fits its keys or its secret.
    #[must_use]
    pub fn assertion_algs(mut self, algs: impl IntoIterator<Item = Alg>) -> Self {
        self.assertion_algs = Some(algs.into_iter().collect());
        self
    }

    /// The only ways this client may authenticate. Call it after [`secret`](Self::secret) and [`key`](Self::key).
    #[must_use]
    pub fn auth_methods(mut self, methods: impl IntoIterator<Item = AuthMethod>) -> Self {
        self.methods = methods.into_iter().collect();
        self
    }

    /// The only grants this client may use.
    #[must_use]
    pub fn grants(mut self, grants: impl IntoIterator<Item = GrantType>) -> Self {
        self.grants = grants.into_iter().collect();
        self
    }

    /// The scopes it may ask for. When it asks for none, it gets all of them but `openid`, which makes the request one of
    /// OpenID Connect (Core section 3.1.2.1) and has to be asked for.
    #[must_use]
    pub fn scopes(mut self, scopes: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.scopes = scopes.into_iter().map(Into::into).collect();
        self
    }

    /// Adds a redirect URI; requests must name one exactly (RFC 9700 section 4.1.3).
    #[must_use]
    pub fn redirect_uri(mut self, uri: impl Into<String>) -> Self {
        self.redirect_uris.push(uri.into());
        self
    }

    /// How long its access tokens live (whole seconds; by default five minutes, or what the page of a
    /// [provider](crate::Provider) prints).
    #[must_use]
    pub fn token_lifetime(mut self, lifetime: Duration) -> Self {
        self.token_lifetime = Some(lifetime);
        self
    }

    /// How long its refresh tokens live (whole seconds; a day by default).
    #[must_use]
    pub fn refresh_lifetime(mut self, lifetime: Duration) -> Self {
        self.refresh_lifetime = lifetime;
        self
    }

    /// Sends a refresh token beside client_credentials too, which RFC 6749 section 4.4.3 advises against and servers
    /// do.
    #[must_use]
    pub fn with_refresh_token(mut self) -> Self {
        self.refresh_with_every_grant = true;
        self
    }

    /// Refresh tokens stay valid when used, and the response to a refresh names no new one (RFC 6749 section 6 allows
    /// both).
    #[must_use]
    pub fn without_rotation(mut self) -> Self {
        self.rotate_refresh_tokens = false;
        self
    }

    /// Lets authorization requests come without PKCE, which RFC 9700 section 2.1.1 does not.
    #[must_use]
    pub fn without_pkce(mut self) -> Self {
        self.needs_pkce = false;
        self
    }

    /// Takes authorization requests of this client only when they were pushed (`require_pushed_authorization_requests`,
    /// RFC 9126 section 6).
    #[must_use]
    pub fn require_pushed_authorization_requests(mut self) -> Self {
        self.needs_par = true;
        self
    }

    /// The only types of `authorization_details` it may use (RFC 9396 section 10); by default all that the server
    /// knows.
    #[must_use]
    pub fn authorization_details_types(mut self, types: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.details_types = Some(types.into_iter().map(Into::into).collect());
        self
    }

    /// An address on this machine to which a logout token is posted when a session ends in which the client got tokens
    /// (OpenID Connect Back-Channel Logout 1.0 section 2.2).
    #[must_use]
    pub fn backchannel_logout_uri(mut self, uri: impl Into<String>) -> Self {
        self.backchannel_logout_uri = Some(uri.into());
        self
    }

    /// Adds an address that users may be sent to after they logged out; requests must name one exactly
    /// (OpenID Connect RP-Initiated Logout section 3).
    #[must_use]
    pub fn post_logout_redirect_uri(mut self, uri: impl Into<String>) -> Self {
        self.post_logout_redirect_uris.push(uri.into());
        self
    }

    /// Lets it exchange tokens that are for other APIs for tokens for these audiences (RFC 8693). By default it gets none
    /// that is for another API than the token it exchanges.
    #[must_use]
    pub fn exchange_audiences(mut self, audiences: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.exchange_audiences = audiences.into_iter().map(Into::into).collect();
        self
    }

    /// Gives it tokens only with a DPoP proof (`dpop_bound_access_tokens`, RFC 9449 section 5.2).
    #[must_use]
    pub fn dpop_bound_tokens(mut self) -> Self {
        self.dpop_bound = true;
        self
    }

    /// Responses carry no `expires_in` (RFC 6749 section 5.1 only recommends it).
    #[must_use]
    pub fn without_expires_in(mut self) -> Self {
        self.announce_lifetime = false;
        self
    }

    /// Gives it opaque access tokens.
    #[must_use]
    pub fn opaque_tokens(mut self) -> Self {
        self.format = TokenFormat::Opaque;
        self
    }

    /// Signs its access tokens with the issuer's key for `alg`, which is made and published if there is none.
    ///
    /// # Panics
    /// For `none` and the HMAC algorithms: no authorization server signs with them.
    #[must_use]
    pub fn token_alg(mut self, alg: Alg) -> Self {
        assert!(alg.is_asymmetric(), "{alg} is no algorithm of an authorization server");
        self.format = TokenFormat::Jwt(Some(alg));
        self
    }
}

impl MockClient {
    /// Whether its access tokens are JWTs.
    pub(crate) fn gets_jwts(&self) -> bool {
        matches!(self.format, TokenFormat::Jwt(_))
    }

    /// Whether it is a public client (RFC 6749 section 2.1).
    pub(crate) fn is_public(&self) -> bool {
        self.methods.iter().all(|method| *method == AuthMethod::None)
    }
}

impl Default for MockClient {
    /// `svc` with the secret `s3cr3t`: the client of a server that is configured without clients.
    ///
    /// It may use every grant and has the scopes `read`, `write` and `openid`. Its redirect URIs are
    /// `http://127.0.0.1:8080/callback` and `http://localhost:8080/callback`; the port of the first one is free in a request
    /// (RFC 8252 section 7.3).
    fn default() -> Self {
        Self::new("svc")
            .secret("s3cr3t")
            .grants(GrantType::ALL)
            .scopes(["read", "write", OPENID])
            .redirect_uri("http://127.0.0.1:8080/callback")
            .redirect_uri("http://localhost:8080/callback")
    }
}

impl fmt::Debug for MockClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MockClient")
            .field("id", &self.id)
            .field("methods", &self.methods)
            .field("grants", &self.grants)
            .field("scopes", &self.scopes)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_no_secret() {
        assert!(!format!("{:?}", MockClient::default()).contains("s3cr3t"));
    }
}
