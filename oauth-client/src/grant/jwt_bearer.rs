//! RFC 7523 section 2.1.

use std::fmt;

use super::{Grant, Renewal, TokenRequest};
use crate::error::BoxError;
use crate::exchange::{Maker, Parameters, Sending, file, maker};
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
