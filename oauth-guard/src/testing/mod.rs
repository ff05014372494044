//! For tests only, with the feature `testing`: claims and tokens made up by a test, without an authorization server.
//!
//! Without the feature none of this exists, so enable it among the dev-dependencies and nowhere else:
//! `tower-oauth-guard = { version = "0.1", features = ["testing"] }`. Tokens that [`token`] makes are signed with a secret
//! that is drawn at random in each process and never leaves it: no guard of another process accepts them, and a guard of
//! this process only if it has the [`issuer`] of this module.
//!
//! | what is tested | with |
//! |---|---|
//! | a handler | [`Claims::for_tests`], as an argument or put into a request by [`TestClaimsLayer`] |
//! | routes and their requirements | [`Guard::for_tests`] and [`token`] |
//! | rules, a claims type, a configuration of your own | [`issuer`] in your own [`GuardBuilder`], and [`token`] |
//! | discovery, keys, outages | the mock authorization server, `tower-oauth-mock` |
//!
//! # A handler of axum
//!
#![cfg_attr(feature = "axum", doc = "```")]
#![cfg_attr(not(feature = "axum"), doc = "```ignore (needs the feature axum)")]
//! use axum::{Router, body::Body, routing::get};
//! use http::{Request, StatusCode};
//! use oauth_guard::testing::TestClaimsLayer;
//! use oauth_guard::{Claims, Scoped, Scopes};
//! use serde_json::json;
//! use tower::ServiceExt;
//!
//! struct ReadOrders;
//!
//! impl Scopes for ReadOrders {
//!     const SCOPES: &[&str] = &["orders:read"];
//! }
//!
//! async fn orders(claims: Scoped<ReadOrders>) -> String {
//!     format!("orders of {}", claims.subject().unwrap_or("a client"))
//! }
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let status = async |scope| {
//!     let claims = Claims::for_tests(json!({ "sub": "ada", "scope": scope }))?;
//!     let app = Router::new().route("/orders", get(orders)).layer(TestClaimsLayer::new(claims));
//!     let response = app.oneshot(Request::get("/orders").body(Body::empty())?).await?;
//!     Ok::<_, Box<dyn std::error::Error>>(response.status())
//! };
//! assert_eq!(status("orders:read").await?, StatusCode::OK);
//! assert_eq!(status("profile").await?, StatusCode::FORBIDDEN);
//! # Ok(()) }
//! ```
//!
//! # A method of tonic
//!
//! ```
//! use oauth_guard::Claims;
//! use serde_json::json;
//! use tonic::{Code, Request, Response, Status};
//!
//! async fn greet(request: Request<String>) -> Result<Response<String>, Status> {
//!     let claims = request.extensions().get::<Claims>().ok_or_else(|| Status::unauthenticated("no token"))?;
//!     Ok(Response::new(format!("{}, {}", request.get_ref(), claims.subject().unwrap_or("stranger"))))
//! }
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut request = Request::new("hello".to_owned());
//! request.extensions_mut().insert(Claims::for_tests(json!({ "sub": "ada" }))?);
//! assert_eq!(greet(request).await?.into_inner(), "hello, ada");
//!
//! let without = greet(Request::new("hello".to_owned())).await;
//! assert_eq!(without.unwrap_err().code(), Code::Unauthenticated);
//! # Ok(()) }
//! ```
//!
//! A whole service takes the layer: `Server::builder().layer(TestClaimsLayer::new(claims)).add_service(…)`.

mod layer;

use std::fmt;
use std::sync::OnceLock;

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::Request;
use http::header::AUTHORIZATION;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

pub use self::layer::{TestClaims, TestClaimsLayer};
use crate::check::Check;
use crate::claims::Claims;
use crate::error::BuildError;
use crate::explain::Outcome;
use crate::guard::{Guard, GuardBuilder};
use crate::issuer::{Issuer, Profile};
use crate::jose::Algorithm;

/// The `iss` of tokens for tests, unless the test names another.
pub const ISSUER: &str = "https://issuer.test";
/// The `aud` of tokens for tests, unless the test names another.
pub const AUDIENCE: &str = "api";
/// 2100-01-01, in Unix time: the `exp` of tokens for tests, unless the test names another.
const FAR: u64 = 4_102_444_800;

/// Why there are no claims or no token for a test. The text says what to change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestClaimsError(String);

impl fmt::Display for TestClaimsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "claims for a test: {}", self.0)
    }
}

impl std::error::Error for TestClaimsError {}

impl From<BuildError> for TestClaimsError {
    fn from(error: BuildError) -> Self {
        Self(error.to_string())
    }
}

/// For tests only: the issuer of the tokens that [`token`] makes in this process, [`ISSUER`] for [`AUDIENCE`].
///
/// ```
/// use oauth_guard::{Guard, Requirement, Rule, testing};
/// use serde_json::json;
///
/// let guard = Guard::builder()
///     .issuer(testing::issuer()?) // in production: Issuer::new("https://auth.example.com")…
///     .rule(Rule::new("/orders").require(Requirement::scope("orders:read")))
///     .build()?;
/// let explained = guard.explain(&testing::token(json!({ "scope": "orders:read" }))?);
/// assert!(explained.verified);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// The system has no random numbers for the secret.
pub fn issuer() -> Result<Issuer, TestClaimsError> {
    Ok(issuer_named(ISSUER, AUDIENCE, secret()?))
}

fn issuer_named(name: &str, audience: &str, secret: &[u8]) -> Issuer {
    Issuer::new(name).audience(audience).profile(Profile::Jwt).hmac_secret(Algorithm::Hs256, secret)
}

/// For tests only: a token with these claims, a JSON object, that the [`issuer`] of this module has signed.
///
/// `iss`, `aud` and `exp` are added where they are absent: [`ISSUER`], [`AUDIENCE`] and the year 2100.
///
/// # Errors
/// The claims are no JSON object.
pub fn token(claims: impl Serialize) -> Result<String, TestClaimsError> {
    sign(&completed(claims)?, secret()?)
}

fn completed(claims: impl Serialize) -> Result<Map<String, Value>, TestClaimsError> {
    let Ok(Value::Object(mut claims)) = serde_json::to_value(claims) else {
        return Err(TestClaimsError(r#"expected a JSON object, such as {"sub": "ada"}"#.to_owned()));
    };
    for (name, value) in [("iss", Value::from(ISSUER)), ("aud", AUDIENCE.into()), ("exp", FAR.into())] {
        claims.entry(name).or_insert(value);
    }
    Ok(claims)
}

fn sign(claims: &Map<String, Value>, secret: &[u8]) -> Result<String, TestClaimsError> {
    let payload = serde_json::to_vec(claims).map_err(|error| TestClaimsError(error.to_string()))?;
    let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256","typ":"JWT"}"#);
    let signed = format!("{header}.{}", URL_SAFE_NO_PAD.encode(payload));
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(hmac::sign(&key, signed.as_bytes()))))
}

/// Drawn once for each process.
fn secret() -> Result<&'static [u8; 32], TestClaimsError> {
    static SECRET: OnceLock<[u8; 32]> = OnceLock::new();
    if let Some(secret) = SECRET.get() {
        return Ok(secret);
    }
    let mut drawn = [0; 32];
    getrandom::fill(&mut drawn)
        .map_err(|error| TestClaimsError(format!("no random numbers for the secret ({error})")))?;
    Ok(SECRET.get_or_init(|| drawn))
}

impl Guard {
    /// For tests only, with the feature `testing`: a guard that accepts the tokens of [`testing::token`](token), and none
    /// of another process.
    ///
    /// ```
    /// use http::{Request, Response, header::AUTHORIZATION};
    /// use oauth_guard::{Claims, Guard, Requirement, testing};
    /// use serde_json::json;
    /// use tower::{Layer, ServiceExt, service_fn};
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let guard = Guard::for_tests()?;
    /// let service = guard.layer().require(Requirement::scope("read")).layer(service_fn(|request: Request<()>| async move {
    ///     assert_eq!(request.extensions().get::<Claims>().unwrap().subject(), Some("ada"));
    ///     Ok::<_, std::convert::Infallible>(Response::new(http_body_util::Empty::<bytes::Bytes>::new()))
    /// }));
    /// let token = testing::token(json!({ "sub": "ada", "scope": "read" }))?;
    /// let request = Request::get("/").header(AUTHORIZATION, format!("Bearer {token}")).body(())?;
    /// assert_eq!(service.clone().oneshot(request).await?.status(), 200);
    /// assert_eq!(service.oneshot(Request::get("/").body(())?).await?.status(), 401);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// The system has no random numbers for the secret.
    pub fn for_tests() -> Result<Self, TestClaimsError> {
        Ok(Self::builder().issuer(issuer()?).build()?)
    }
}

impl Claims {
    /// For tests only, with the feature `testing`: claims as a guard would hand them to a handler, from a JSON object.
    ///
    /// They are validated as those of any token: a claim of the wrong type, or an `exp` in the past, is an error here. `iss`,
    /// `aud` and `exp` are added where they are absent. For a type of your own there is
    /// [`custom_for_tests`](Self::custom_for_tests).
    ///
    /// ```
    /// use oauth_guard::Claims;
    ///
    /// let claims = Claims::for_tests(serde_json::json!({ "sub": "ada", "scope": "read write", "roles": ["editor"] }))?;
    /// assert!(claims.has_scope("write") && claims.has_role("editor"));
    /// # Ok::<(), oauth_guard::testing::TestClaimsError>(())
    /// ```
    ///
    /// # Errors
    /// A guard would reject a token with these claims; the error says why.
    pub fn for_tests(claims: impl Serialize) -> Result<Self, TestClaimsError> {
        validated(Guard::builder(), claims)
    }
}

impl<T: DeserializeOwned + Send + Sync + 'static> Claims<T> {
    /// For tests only, as [`for_tests`](Claims::for_tests): with claims of a type of your own.
    ///
    /// ```
    /// use oauth_guard::Claims;
    ///
    /// #[derive(serde::Deserialize)]
    /// struct Mine {
    ///     tenant: String,
    /// }
    ///
    /// let claims = Claims::<Mine>::custom_for_tests(serde_json::json!({ "sub": "ada", "tenant": "acme" }))?;
    /// assert_eq!(claims.custom().tenant, "acme");
    /// # Ok::<(), oauth_guard::testing::TestClaimsError>(())
    /// ```
    ///
    /// # Errors
    /// As [`for_tests`](Claims::for_tests), and when they do not fit the type.
    pub fn custom_for_tests(claims: impl Serialize) -> Result<Self, TestClaimsError> {
        validated(Guard::builder().claims::<T>(), claims)
    }
}

/// A whole guard does it, so that claims for tests are never what no token could bring.
fn validated<T: DeserializeOwned + Send + Sync + 'static>(
    builder: GuardBuilder<T>,
    claims: impl Serialize,
) -> Result<Claims<T>, TestClaimsError> {
    let claims = completed(claims)?;
    let name = claims.get("iss").and_then(Value::as_str).unwrap_or(ISSUER);
    let audience = match claims.get("aud") {
        Some(Value::Array(several)) => several.first().and_then(Value::as_str),
        other => other.and_then(Value::as_str),
    };
    let secret = secret()?;
    let guard = builder.issuer(issuer_named(name, audience.unwrap_or(AUDIENCE), secret)).build()?;
    let token = sign(&claims, secret)?;
    let request = Request::builder()
        .header(AUTHORIZATION, format!("Bearer {token}"))
        .body(())
        .map_err(|error| TestClaimsError(error.to_string()))?;
    match guard.check(&request) {
        Check::Ready(Ok(Some(claims))) => Ok(claims),
        Check::Ready(Err(rejection)) => {
            Err(TestClaimsError(format!("{rejection}{}", failed(&guard, &token))))
        }
        Check::Ready(Ok(None)) | Check::Pending(_) => {
            Err(TestClaimsError("they were not validated at once".to_owned()))
        }
    }
}

/// The checks that failed, by their names.
fn failed<T: DeserializeOwned + Send + Sync + 'static>(guard: &Guard<T>, token: &str) -> String {
    let checks = guard.explain(token).checks.into_iter();
    let failed =
        checks.filter(|check| matches!(check.outcome, Outcome::Failed)).map(|check| match check.detail {
            Some(detail) => format!("; {}: {detail}", check.check),
            None => format!("; {}", check.check),
        });
    failed.collect()
}
