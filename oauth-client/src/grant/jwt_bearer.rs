//! RFC 7523 section 2.1.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};

use super::{Grant, Renewal, TokenRequest};
use crate::error::{BoxError, Error};
use crate::secret::SecretSource;
use crate::sign::{Algorithm, KeySource, unique_id};
use crate::token::{Secret, digest};
use crate::token_endpoint::{Deferred, Parameters, RequestContext, deferred};

pub(crate) const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/// A JWT signed by an issuer that the server trusts is the grant (RFC 7523 section 2.1).
///
/// ```
/// use oauth_client::grant::{self, Assertion};
/// use oauth_client::secret;
///
/// let given = grant::jwt_bearer("eyJ…");
/// let mounted = grant::jwt_bearer(secret::from_file("/var/run/secrets/assertion.jwt"));
/// let made = grant::jwt_bearer(Assertion::from_fn(|sending| async move {
///     sign_elsewhere(&sending.audience).await // for one request, at the moment it is sent
/// }));
/// # async fn sign_elsewhere(_: &str) -> Result<oauth_client::Secret, std::io::Error> { Ok("eyJ…".into()) }
/// assert!(!format!("{given:?} {mounted:?} {made:?}").contains("eyJ"));
/// ```
///
/// An assertion that is signed, made or read for each request is a new one each time, retries included, so that none is
/// used twice. A fixed assertion is sent until the server refuses it; then
/// [`is_reauthorization_required`](crate::Error::is_reauthorization_required) holds, with the server's own
/// [code](crate::Error::code) and text.
///
/// In a [store](crate::store) each assertion that is given has an entry of its own, and so has each file, variable,
/// [`TokenSource`](crate::TokenSource) and signed subject. Where a function makes the assertion, or a login brings it
/// whose request names no subject, say whose it is with [`subject`](TokenRequest::subject).
#[must_use]
pub fn jwt_bearer(assertion: impl Into<Assertion>) -> TokenRequest {
    let assertion = assertion.into();
    let identity = match &assertion.0 {
        Origin::From(source) => {
            source.fixed().map(|token| digest(&[token.expose()])).or_else(|| source.place())
        }
        Origin::Made { identity, .. } => identity.clone(),
    };
    TokenRequest::on_behalf(JwtBearer { assertion, identity })
}

/// An assertion: a JWT about a subject, signed by an issuer that the server trusts (RFC 7523 section 3).
#[derive(Clone)]
pub struct Assertion(Origin);

#[derive(Clone)]
enum Origin {
    From(SecretSource),
    Made { deferred: Deferred, subject: Option<String>, identity: Option<String> },
}

impl Assertion {
    /// One that is signed for each request, by an issuer whose public key the server knows. See [`SignedAssertion`] for
    /// what can be set on it.
    pub fn signed(key: impl Into<KeySource>, issuer: impl Into<String>) -> SignedAssertion {
        SignedAssertion {
            key: key.into(),
            issuer: issuer.into(),
            subject: None,
            audience: None,
            lifetime: LIFETIME,
            claims: Map::new(),
            algorithm: None,
            key_id: None,
        }
    }

    /// One that is made for each request. What it returns as an error becomes the cause of an error with the code
    /// `secret`.
    #[must_use]
    pub fn from_fn<F, E>(make: impl Fn(RequestContext) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<Secret, E>> + Send + 'static,
        E: Into<BoxError>,
    {
        Self(Origin::Made { deferred: deferred(make), subject: None, identity: None })
    }
}

/// How long a signed assertion is good: for the way to the server and clocks that differ a little.
const LIFETIME: Duration = Duration::from_secs(60);

/// What a signed assertion says (RFC 7523 section 3). Its key may come from a file that is
/// [rotated](crate::secret). Its `jti`, `iat` and `exp` are new for each request.
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
    key: KeySource,
    issuer: String,
    subject: Option<String>,
    audience: Option<String>,
    lifetime: Duration,
    claims: Map<String, Value>,
    algorithm: Option<Algorithm>,
    key_id: Option<String>,
}

impl SignedAssertion {
    /// The subject of the token (`sub`). When not set, the issuer itself.
    pub fn subject(mut self, subject: impl Into<String>) -> Self {
        self.subject = Some(subject.into());
        self
    }

    /// The audience (`aud`). When not set, the server's issuer, or its token endpoint where no issuer is configured.
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

    /// The algorithm, where it is not the usual one of the key.
    pub fn algorithm(mut self, algorithm: Algorithm) -> Self {
        self.algorithm = Some(algorithm);
        self
    }

    /// The name (`kid`) of the key; it counts before the one that the key itself has.
    pub fn key_id(mut self, key_id: impl Into<String>) -> Self {
        self.key_id = Some(key_id.into());
        self
    }

    async fn sign(&self, sending: &RequestContext) -> Result<Secret, Error> {
        let (key, _) = self.key.get(sending.at).await?;
        let key = KeySource::adjusted(key, self.algorithm, self.key_id.as_deref())?;
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
        key.sign(header, &claims)
    }
}

impl From<SignedAssertion> for Assertion {
    fn from(signed: SignedAssertion) -> Self {
        let subject = signed.subject.clone().unwrap_or_else(|| signed.issuer.clone());
        // Two issuers may know a subject by one name, and claims such as a scope change what the token is good for.
        let claims = serde_json::to_string(&signed.claims).unwrap_or_default();
        let identity = Some(digest(&["signed", &signed.issuer, &subject, &claims]));
        let signed = Arc::new(signed);
        let deferred = deferred(move |sending: RequestContext| {
            let signed = Arc::clone(&signed);
            async move { signed.sign(&sending).await }
        });
        Self(Origin::Made { deferred, subject: Some(subject), identity })
    }
}

impl<T: Into<SecretSource>> From<T> for Assertion {
    fn from(assertion: T) -> Self {
        Self(Origin::From(assertion.into()))
    }
}

impl fmt::Debug for Assertion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Origin::From(source) => f.debug_tuple("Assertion").field(source).finish(),
            Origin::Made { subject, .. } => f.debug_tuple("Assertion").field(&"made").field(subject).finish(),
        }
    }
}

#[derive(Debug)]
struct JwtBearer {
    assertion: Assertion,
    /// The identity of whom it is about, without a secret in it, where that is known.
    identity: Option<String>,
}

impl Grant for JwtBearer {
    fn grant_type(&self) -> &str {
        JWT_BEARER
    }

    fn parameters(&self, parameters: &mut Parameters) {
        match &self.assertion.0 {
            Origin::From(source) => parameters.set_from("assertion", source),
            Origin::Made { deferred, .. } => parameters.set_deferred_value("assertion", deferred.clone()),
        }
    }

    fn renewal(&self) -> Renewal {
        match &self.assertion.0 {
            Origin::From(source) if source.fixed().is_some() => Renewal::AnewUntilRefused,
            _ => Renewal::Anew,
        }
    }

    fn subject(&self) -> Option<&str> {
        self.identity.as_deref()
    }
}
