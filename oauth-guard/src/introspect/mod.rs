//! Step 4 for opaque tokens: ask the authorization server (RFC 7662).
//!
//! One question for each token, however many requests carry it; the response is validated here like the claims of a JWT,
//! and cached as an identity.

mod breaker;
mod counts;
mod flight;
mod inactive;
mod introspector;
mod response;
mod signed;

use std::time::Duration;

use oauth_client::ClientAuth;
use oauth_client::transport::HttpClient;

pub use self::counts::IntrospectionHealth;
pub(crate) use self::introspector::{Introspector, Settled};
pub(crate) use self::response::contradicts;
use crate::address::Address;
use crate::defaults;

/// How a guard asks an authorization server about tokens (RFC 7662): as which client, about which tokens, and how long a
/// response is used. Given to [`Issuer::introspection`](crate::Issuer::introspection), or `[issuer.introspection]` in a
/// [configuration](crate::config).
///
/// The response is validated by the guard, whatever the server checked: `active` is `true`, `exp`, `nbf` and `iat` hold with
/// the issuer's leeway, `iss` is the issuer if present, and `aud` names this API. A server that cannot be asked, or whose
/// response is malformed, is 503 with `Retry-After`, never 401.
///
/// ```
/// use std::time::Duration;
/// use oauth_guard::{ClientAuth, Guard, Introspection, Issuer};
///
/// let introspection = Introspection::new(ClientAuth::basic("orders-api", "s3cr3t")).cache(Duration::from_secs(30));
/// let guard = Guard::builder()
///     .issuer(Issuer::new("https://auth.example.com").audience("orders-api").introspection(introspection))
///     .build()?;
/// # Ok::<(), oauth_guard::BuildError>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Introspection {
    pub(crate) auth: ClientAuth,
    pub(crate) endpoint: Option<Address>,
    pub(crate) tokens: IntrospectedTokens,
    pub(crate) cache: Duration,
    pub(crate) negative_cache: Duration,
    pub(crate) timeout: Duration,
    pub(crate) max_concurrent: usize,
    pub(crate) http: Option<HttpClient>,
    pub(crate) signed: bool,
}

/// Which tokens the authorization server is asked about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum IntrospectedTokens {
    /// Opaque tokens: what is not a compact JWS. JWTs are validated with the issuer's keys. Not for a resolved issuer, since
    /// an opaque token names none.
    #[default]
    Opaque,
    /// Opaque tokens, and JWTs that are valid by the issuer's keys: a revoked one is rejected, and the claims of the JWT
    /// count.
    Both,
    /// All tokens; the issuer's keys are not used.
    Any,
}

impl Introspection {
    /// Asks as this client. The guard knows every method of authentication that `oauth-client` has, and a secret from a
    /// file is read again when it is replaced.
    pub fn new(auth: ClientAuth) -> Self {
        Self {
            auth,
            endpoint: None,
            tokens: IntrospectedTokens::default(),
            cache: defaults::INTROSPECTION_CACHE,
            negative_cache: defaults::INTROSPECTION_NEGATIVE_CACHE,
            timeout: defaults::INTROSPECTION_TIMEOUT,
            max_concurrent: defaults::INTROSPECTION_CONCURRENCY,
            http: None,
            signed: false,
        }
    }

    /// The introspection endpoint. By default the `introspection_endpoint` of the issuer's metadata.
    pub fn endpoint(mut self, url: impl Into<String>) -> Self {
        self.endpoint = Some(Address::new(url));
        self
    }

    /// Which tokens to ask about. By default opaque ones.
    pub fn tokens(mut self, tokens: IntrospectedTokens) -> Self {
        self.tokens = tokens;
        self
    }

    /// How long the response about an active token is used, at most until its `exp`. Zero asks with every request. By
    /// default 60 seconds.
    ///
    /// A revoked token is accepted for this time at most.
    pub fn cache(mut self, time: Duration) -> Self {
        self.cache = time;
        self
    }

    /// How long a token counts as inactive without asking again. Zero asks every time. By default 10 seconds.
    pub fn negative_cache(mut self, time: Duration) -> Self {
        self.negative_cache = time;
        self
    }

    /// The time limit of one question, waiting for its turn included. By default 5 seconds.
    pub fn timeout(mut self, time: Duration) -> Self {
        self.timeout = time;
        self
    }

    /// How many questions are under way at a time. Further ones wait within the time limit. By default 64.
    pub fn max_concurrent(mut self, questions: usize) -> Self {
        self.max_concurrent = questions;
        self
    }

    /// Asks for signed responses (RFC 9701) and accepts no others. Such a response is a JWT of the type
    /// `token-introspection+jwt`, by a key of the issuer, with its `iss` and this client as `aud`; what it says of the
    /// token is validated as in a plain response. Any other response counts as none: 503. The keys are the issuer's, so
    /// that they are fetched even where [all tokens](IntrospectedTokens::Any) are asked about.
    pub fn jwt_response(mut self) -> Self {
        self.signed = true;
        self
    }

    /// A transport for the questions alone, such as one that shows a client certificate. By default the guard's own.
    pub fn http(mut self, http: HttpClient) -> Self {
        self.http = Some(http);
        self
    }
}
