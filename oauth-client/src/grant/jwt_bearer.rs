//! RFC 7523 section 2.1.

use std::fmt;
use std::time::Duration;

use serde_json::{Map, Value};

use super::{Grant, Renewal, TokenRequest};
use crate::error::{BoxError, Error};
use crate::exchange::{Maker, Parameters, Sending, file, maker};
use crate::sign::{SigningKey, unique_id};
use crate::token::{Secret, digest};

/// A JWT that somebody the server trusts has signed stands for the grant (RFC 7523 section 2.1).
///
/// ```
/// use oauth_client::grant::{self, Assertion};
///
/// let given = grant::jwt_bearer("eyJ…");
/// let mounted = grant::jwt_bearer(Assertion::from_file("/var/run/secrets/assertion.jwt"));
/// let made = grant::jwt_bearer(Assertion::from_fn(|sending| async move {
///     sign_elsewhere(&sending.audience).await // for one request, at the moment it is sent
/// }));
/// # async fn sign_elsewhere(_: &str) -> Result<oauth_client::Secret, std::io::Error> { Ok("eyJ…".into()) }
/// assert!(!format!("{given:?} {mounted:?} {made:?}").contains("eyJ"));
/// ```
///
/// An assertion that is made or read anew goes with every request, retries included, so that none is used twice. One
/// that was given is sent until the server refuses it, and then
/// [`is_reauthorization_required`](crate::Error::is_reauthorization_required) holds.
#[must_use]
pub fn jwt_bearer(assertion: impl Into<Assertion>) -> TokenRequest {
    TokenRequest::new(JwtBearer(assertion.into()))
}

/// An assertion: a JWT about a subject, signed by an issuer that the server trusts (RFC 7523 section 3).
#[derive(Clone)]
pub struct Assertion(Origin);

#[derive(Clone)]
enum Origin {
    Given { token: Secret, identity: String },
    Made { maker: Maker, subject: Option<String> },
}

impl Assertion {
    /// One that was had elsewhere, and will be sent as long as the server takes it.
    #[must_use]
    pub fn given(assertion: impl Into<Secret>) -> Self {
        let token = assertion.into();
        let identity = digest(&[token.expose()]);
        Self(Origin::Given { token, identity })
    }

    /// The one that is in this file when the request is sent, so that whoever replaces the file is heeded.
    #[must_use]
    pub fn from_file(path: impl Into<String>) -> Self {
        Self(Origin::Made { maker: file(path), subject: None })
    }

    /// One that is signed for each request, by an issuer whose public key the server knows. See [`SignedAssertion`] for
    /// what can be set on it.
    pub fn signed(key: SigningKey, issuer: impl Into<String>) -> SignedAssertion {
        SignedAssertion {
            key,
            issuer: issuer.into(),
            subject: None,
            audience: None,
            lifetime: LIFETIME,
            claims: Map::new(),
        }
    }

    /// One that is made for each request. What it returns as an error becomes the cause of an error with the code
    /// `secret`.
    #[must_use]
    pub fn from_fn<F, E>(make: impl Fn(Sending) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<Secret, E>> + Send + 'static,
        E: Into<BoxError>,
    {
        Self(Origin::Made { maker: maker(make), subject: None })
    }
}

/// How long a signed assertion is good: for the way to the server and clocks that differ a little.
const LIFETIME: Duration = Duration::from_secs(60);

/// What a signed assertion says (RFC 7523 section 3). Its `jti`, `iat` and `exp` are new for each request.
///
/// ```
/// use oauth_client::grant::{self, Assertion};
/// use oauth_client::sign::{Algorithm, SigningKey};
///
/// # fn main() -> Result<(), oauth_client::Error> {
/// let key = SigningKey::generate(Algorithm::Es256)?; // or SigningKey::from_pem(…)
/// let assertion = Assertion::signed(key, "https://idp.example.com").subject("alice");
/// let request = grant::jwt_bearer(assertion).scope(["read"]);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct SignedAssertion {
    key: SigningKey,
    issuer: String,
    subject: Option<String>,
    audience: Option<String>,
    lifetime: Duration,
    claims: Map<String, Value>,
}

impl SignedAssertion {
    /// Whom the token will be about (`sub`). When not set, the issuer itself.
    pub fn subject(mut self, subject: impl Into<String>) -> Self {
        self.subject = Some(subject.into());
        self
    }

    /// Whom it is for (`aud`). When not set, the server's issuer, or its token endpoint where no issuer is configured.
    pub fn audience(mut self, audience: impl Into<String>) -> Self {
        self.audience = Some(audience.into());
        self
    }

    /// How long it is good (`exp`): a minute when not set.
    pub fn lifetime(mut self, lifetime: Duration) -> Self {
        self.lifetime = lifetime;
        self
    }

    /// One more claim. The claims above are not replaced by it.
    pub fn claim(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.claims.insert(name.into(), value.into());
        self
    }

    fn sign(&self, sending: &Sending) -> Result<Secret, Error> {
        let now = sending.now.as_secs();
        let mut claims = self.claims.clone();
        let mut set = |name: &str, value: Value| claims.insert(name.to_owned(), value);
        set("iss", self.issuer.as_str().into());
        set("sub", self.subject.as_deref().unwrap_or(&self.issuer).into());
        set("aud", self.audience.as_deref().unwrap_or(&sending.audience).into());
        set("iat", now.into());
        set("exp", now.saturating_add(self.lifetime.as_secs()).into());
        set("jti", unique_id()?.into());
        let header = Map::from_iter([("typ".to_owned(), Value::from("JWT"))]);
        self.key.sign(header, &claims)
    }
}

impl From<SignedAssertion> for Assertion {
    fn from(signed: SignedAssertion) -> Self {
        let subject = Some(signed.subject.clone().unwrap_or_else(|| signed.issuer.clone()));
        let maker = maker(move |sending: Sending| std::future::ready(signed.sign(&sending)));
        Self(Origin::Made { maker, subject })
    }
}

impl<T: Into<Secret>> From<T> for Assertion {
    fn from(assertion: T) -> Self {
        Self::given(assertion)
    }
}

impl fmt::Debug for Assertion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Origin::Given { .. } => f.write_str("Assertion(given)"),
            Origin::Made { subject, .. } => f.debug_tuple("Assertion").field(&"made").field(subject).finish(),
        }
    }
}

#[derive(Debug)]
struct JwtBearer(Assertion);

impl Grant for JwtBearer {
    fn grant_type(&self) -> &str {
        "urn:ietf:params:oauth:grant-type:jwt-bearer"
    }

    fn parameters(&self, parameters: &mut Parameters) {
        match &self.0.0 {
            Origin::Given { token, .. } => parameters.set_secret("assertion", token.clone()),
            Origin::Made { maker, .. } => parameters.set_maker("assertion", maker.clone()),
        }
    }

    fn renewal(&self) -> Renewal {
        match self.0.0 {
            Origin::Given { .. } => Renewal::AnewUntilRefused,
            Origin::Made { .. } => Renewal::Anew,
        }
    }

    fn subject(&self) -> Option<&str> {
        match &self.0.0 {
            Origin::Given { identity, .. } => Some(identity),
            Origin::Made { subject, .. } => subject.as_deref(),
        }
    }
}
