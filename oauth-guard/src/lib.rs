//! Check a token, let the claims through.
//!
//! [`GuardLayer`] goes in front of any tower service over HTTP: hyper, axum, tonic. It takes the bearer token out
//! of the request, finds it true or not, and puts its [`Claims`] into the request's extensions.
//!
//! ```
//! use http::{Request, Response, StatusCode, header};
//! use http_body_util::Full;
//! use oauth_guard::{Algorithm, Claims, Guard, Issuer, Profile};
//! use tower::{Layer, ServiceExt, service_fn};
//! # use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as B64};
//! # use bytes::Bytes;
//! # fn token() -> String {
//! #     let signed = format!("{}.{}", B64.encode(r#"{"alg":"HS256"}"#),
//! #         B64.encode(r#"{"iss":"https://auth.example.com","aud":"orders-api","sub":"ada","exp":9000000000}"#));
//! #     let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &[7; 32]);
//! #     format!("{signed}.{}", B64.encode(aws_lc_rs::hmac::sign(&key, signed.as_bytes())))
//! # }
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let secret = [7; 32];
//! let issuer = Issuer::new("https://auth.example.com").audience("orders-api");
//! # let issuer = issuer.profile(Profile::Jwt).hmac_secret(Algorithm::Hs256, secret);
//! let guard = Guard::builder().issuer(issuer).build()?;
//! let service = guard.layer().layer(service_fn(|request: Request<Full<Bytes>>| async move {
//!     let who = request.extensions().get::<Claims>().and_then(|claims| claims.subject()).unwrap_or("nobody");
//!     Ok::<_, std::convert::Infallible>(Response::new(Full::new(Bytes::from(format!("hello {who}")))))
//! }));
//!
//! let request = Request::get("/").header(header::AUTHORIZATION, format!("Bearer {}", token()));
//! let answer = service.clone().oneshot(request.body(Full::default())?).await?;
//! assert_eq!(answer.status(), StatusCode::OK);
//!
//! let refused = service.oneshot(Request::get("/").body(Full::default())?).await?;
//! assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
//! assert_eq!(refused.headers()[header::WWW_AUTHENTICATE], "Bearer");
//! # Ok(()) }
//! ```
//!
//! The modules below are the path of one request, in order.

#![forbid(unsafe_code)]

// How to describe a guard.
mod algorithm;
mod assemble;
mod builder;
pub mod config;
pub mod defaults;
mod error;
mod issuer;
mod tenants;

// The middleware, and the judge it asks.
mod body;
mod future;
mod guard;
mod judge;
mod layer;
mod reload;
mod service;

// The path of one request.
mod bearer; // 1 take the token out of the request
mod cache; // 2 seen before?
mod claims; // 6 what it says
mod jose; // 3 its form and its header, 5 its signature
mod keys; // 4 whose signature could it be?
mod policy; // 7 is it enough?
mod refuse; // 8 or say no
mod verify; // 5 is it true: what the claims say

// Beside it.
#[cfg(feature = "axum")]
mod axum;
mod explain; // the same path, told step by step
mod health;
mod metadata; // RFC 9728: where to get tokens for this API

#[cfg(feature = "axum")]
pub use self::axum::{Scoped, ScopedRejection, Scopes};
pub use oauth_client::clock::{self, Clock};
pub use oauth_client::transport::HttpClient;

#[doc(inline)]
pub use self::algorithm::Algorithm;
pub use self::body::GuardBody;
pub use self::builder::GuardBuilder;
pub use self::claims::{Claims, Untyped};
pub use self::error::{BuildError, Problem};
pub use self::explain::{Explained, ExplainedCheck, Explanation, Outcome};
pub use self::future::ResponseFuture;
pub use self::guard::{Check, CheckFuture, Guard, RequestHead};
pub use self::health::{CacheHealth, Health, IssuerHealth};
pub use self::issuer::{Issuer, Profile};
pub use self::keys::{KeyExport, KeyPolicy};
pub use self::layer::GuardLayer;
pub use self::metadata::ResourceMetadata;
pub use self::policy::{ClaimValue, Requirement, Rule};
pub use self::refuse::{AnswerBody, InvalidToken, Refusal};
pub use self::service::GuardService;
// Strict JSON is read all over the crate.
use self::jose::json;

/// The README's samples are compiled with the docs.
#[cfg(all(doctest, feature = "axum", feature = "reqwest"))]
#[doc = include_str!("../../README.md")]
#[expect(dead_code, reason = "it is there for its docs")]
struct Readme;
