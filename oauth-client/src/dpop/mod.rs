//! Tokens that are good only together with a key: DPoP (RFC 9449).
//!
//! A bearer token is usable by any party that holds it. With DPoP the server binds each token to a key of the client,
//! and each request that carries it brings a proof that its sender has the key: a JWT signed for that one method and
//! URL. A token that is taken from a log, or by a proxy, is then useless.
//!
//! [`ClientBuilder::dpop`](crate::ClientBuilder::dpop) is the only setting: the client's requests carry proofs, and
//! the [layer](crate::attach) and the reqwest front send `Authorization: DPoP …` and a proof with each request. Nonces
//! are taken from wherever servers put them (sections 8 and 9): one is remembered for each origin, and a server that
//! demands one with `use_dpop_nonce` gets the same request once more, with the nonce. Such a response does not drop the
//! token.
//!
//! ```
//! use bytes::Bytes;
//! use http::{Request, StatusCode};
//! use http_body_util::Empty;
//! use oauth_client::attach::TokenLayer;
//! use oauth_client::dpop::Dpop;
//! use oauth_client::token::Scheme;
//! use oauth_client::{Client, ClientAuth, grant};
//! use oauth_mock::{Endpoint, MockClient, MockServer};
//! use tower::{Layer, ServiceExt};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let server = MockServer::builder().client(MockClient::default().scopes(["openid"])).in_process();
//! # let http = oauth_client::transport::HttpClient::from_service(server.transport());
//! # let clock = oauth_client::clock::TestClock::new(); // the mock's time
//! let source = Client::builder()
//!     .issuer(server.issuer())
//!     .auth(ClientAuth::basic("svc", "s3cr3t"))
//!     .dpop(Dpop::generate()?)
//! #   .http(http).clock(clock)
//!     .build()?
//!     .source(grant::client_credentials().scope(["openid"]))
//!     .build()?;
//! let token = source.token().await?;
//! assert_eq!(token.tokens().scheme(), Scheme::Dpop);
//!
//! let userinfo = server.endpoint(Endpoint::Userinfo); // stands for your API
//! let client = TokenLayer::new(source).layer(server.transport());
//! let response = client.oneshot(Request::get(&userinfo).body(Empty::<Bytes>::new())?).await?;
//! assert_eq!(response.status(), StatusCode::OK); // the server has checked the proof
//!
//! // The token alone is worth nothing.
//! let stolen = Request::get(&userinfo).header("authorization", format!("Bearer {}", token.secret().expose()));
//! let response = server.transport().oneshot(stolen.body(Empty::<Bytes>::new())?).await?;
//! assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
//! # Ok(()) }
//! ```
//!
//! # Which key
//!
//! [`Dpop::generate`] makes one for the life of the process: the best choice for tokens that live as long, because a
//! key that is written nowhere cannot be stolen. Tokens in a [store](crate::store) outlive it: those that are bound to
//! another key are not used. Where a person has logged in, a lost key may mean a lost login: a refresh token of a
//! client without a secret is bound to the key as well (section 5). Keep the key then, too, and give it with
//! [`Dpop::with_key`].
//!
//! # By hand
//!
//! A program that sends requests without the layer, for example to open a WebSocket, puts
//! [`AccessToken::authorization`](crate::AccessToken::authorization) and
//! [`AccessToken::proof`](crate::AccessToken::proof) on it, and hands the response's head to
//! [`AccessToken::wants_another_proof`](crate::AccessToken::wants_another_proof).

mod nonces;
mod proof;
mod prover;

use std::fmt;

pub(crate) use self::proof::Target;
pub(crate) use self::prover::{ProofError, Prover, Verifier, hash, proof_error};
use crate::error::Error;
use crate::sign::{Algorithm, SigningKey};

/// The header that a proof travels in (RFC 9449 section 4.1).
pub(crate) const DPOP: http::HeaderName = http::HeaderName::from_static("dpop");

/// The key that a client's tokens are bound to. See the [module docs](self).
///
/// ```
/// use oauth_client::dpop::Dpop;
///
/// # fn main() -> Result<(), oauth_client::Error> {
/// let dpop = Dpop::generate()?;
/// assert_eq!(dpop.thumbprint().len(), 43); // what the server writes into its tokens as `cnf.jkt`
/// assert!(!format!("{dpop:?}").contains("PRIVATE"));
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Dpop {
    key: SigningKey,
    bearer_is_allowed: bool,
}

impl Dpop {
    /// With a new key for ES256, the algorithm that servers understand most widely, kept in memory only.
    ///
    /// # Errors
    /// `config` when this machine cannot make one.
    pub fn generate() -> Result<Self, Error> {
        SigningKey::generate(Algorithm::Es256).map(Self::with_key)
    }

    /// With a key that is kept elsewhere, so that tokens which outlive the process stay good. Its key identifier is
    /// not sent: a proof carries the public key itself. Each request is signed: an EC or Ed25519 key does that in
    /// microseconds, an RSA key takes a hundred times as long.
    #[must_use]
    pub fn with_key(key: SigningKey) -> Self {
        Self { key, bearer_is_allowed: false }
    }

    /// Accepts bearer tokens, too, and uses them as such. Without this a server that returns `"token_type": "Bearer"`
    /// has its response rejected with the code `unsupported_token_type`: a caller that asked for bound tokens relies on
    /// stolen tokens being useless. Use it while a server is being changed to DPoP.
    #[must_use]
    pub fn allow_bearer(mut self) -> Self {
        self.bearer_is_allowed = true;
        self
    }

    /// The key's thumbprint (RFC 7638, SHA-256), by which the server knows it: `jkt`.
    #[must_use]
    pub fn thumbprint(&self) -> &str {
        self.key.thumbprint()
    }

    /// The algorithm of its proofs, by its name in a JWT.
    pub(crate) fn algorithm_name(&self) -> &'static str {
        self.key.algorithm().name()
    }
}

impl fmt::Debug for Dpop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dpop")
            .field("algorithm", &self.key.algorithm())
            .field("thumbprint", &self.thumbprint())
            .field("bearer_is_allowed", &self.bearer_is_allowed)
            .finish()
    }
}
