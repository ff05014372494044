//! An OAuth 2.0 authorization server for tests: it truly validates, and fails on purpose.
//!
//! A test starts a server, points the code under test at it, and reads afterwards what arrived:
//!
//! ```
//! use oauth_mock::{Endpoint, Fault, MockServer};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! let server = MockServer::start().await; // a free port, keys of its own, the client `svc` with secret `s3cr3t`
//! server.expect(Endpoint::Token).at_most(1); // checked when the server is dropped
//! server.fault(Endpoint::Token, Fault::status(503).retry_after_secs(2)).times(1);
//!
//! let good = server.mint().subject("alice").scope("read").build();
//! let expired = server.mint().expires_in(-120).build();
//! server.keys().rotate();
//! # let _ = (good, expired);
//! # }
//! ```
//!
//! It shares no code with `oauth-client` and `oauth-guard`, so that an error they have in common cannot hide.
//!
//! | topic | start at |
//! |---|---|
//! | [a server](#a-server) on a socket or in process, with clients, users and issuers | [`MockServer`], [`MockServerBuilder`], [`MockClient`], [`User`] |
//! | [tokens](#tokens), good and bad | [`TokenBuilder`], [`TestKey`], [`IssuedTokens`] |
//! | [logins](#logins) without a browser | [`MockServer::log_in`], [`MockServer::approve_device`] |
//! | [faults](#faults) of the network and of the server | [`Fault`], [`FaultScript`], [`Gate`] |
//! | [tampered responses](#tampered-responses), which a client must notice | [`Tamper`], [`TamperScript`] |
//! | [keys and time](#keys-and-time) | [`Keys`], [`MockClock`] |
//! | [what arrived](#what-arrived) | [`Journal`], [`Expect`] |
//! | [proof of possession](#proof-of-possession): DPoP and certificates | [`Dpop`], `ClientCertificate` (feature `tls`) |
//! | [providers](#providers) that deviate from the standards | [`Provider`] |
//! | [attacks](#attacks) on a guarded API | [`attack`], [`suite`] |
//! | [a control port](#a-control-port) over HTTP, and a configuration file | [`Control`], [`Config`] |
//!
//! # A server
//!
//! [`MockServer::start`] listens on a socket. [`MockServerBuilder::in_process`] does without one: the client under test
//! gets [`MockServer::transport`], and with tokio's time paused `tokio::time::advance` lets an hour of token lifetimes pass
//! at once.
//!
//! ```
//! use {bytes::Bytes, http::Request, http_body_util::Full, tower::ServiceExt};
//! use oauth_mock::{Endpoint, MockClient, MockServer};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! let orders = MockClient::new("orders").secret("s3cr3t").scopes(["read"]);
//! let server = MockServer::builder().client(orders).audience("billing-api").in_process();
//! let form = "grant_type=client_credentials&client_id=orders&client_secret=guess";
//! let request = Request::post(server.endpoint(Endpoint::Token))
//!     .header("content-type", "application/x-www-form-urlencoded")
//!     .body(Full::<Bytes>::from(form))
//!     .unwrap();
//! assert_eq!(server.transport().oneshot(request).await.unwrap().status(), 401);
//! # }
//! ```
//!
//! # Tokens
//!
//! [`MockServer::mint`] makes any JWT, for an API under test. [`MockServer::issue`] makes tokens that the server knows:
//! they can be introspected, refreshed and revoked.
//!
//! ```
//! use oauth_mock::{Alg, MockServer, TestKey};
//!
//! let server = MockServer::builder().in_process();
//! let good = server.mint().subject("alice").scope("read").claim("roles", vec!["admin"]).build();
//! let forged = server.mint().signed_with(&TestKey::generate(Alg::Rs256)).build();
//! let issued = server.issue("svc", "alice", "read").unwrap();
//! server.revoke_token(&issued.access_token);
//! # let _ = (good, forged);
//! ```
//!
//! # Logins
//!
//! The authorization endpoint shows a page for name and password. A test logs a user in without it:
//!
//! ```
//! use oauth_mock::{Endpoint, GrantType, MockClient, MockServer, User};
//!
//! let web = MockClient::new("web")
//!     .grants([GrantType::AuthorizationCode])
//!     .redirect_uri("https://app.test/callback")
//!     .without_pkce();
//! let server = MockServer::builder().client(web).user(User::new("alice", "wonderland")).in_process();
//! let url = format!(
//!     "{}?response_type=code&client_id=web&redirect_uri=https://app.test/callback&state=x",
//!     server.endpoint(Endpoint::Authorize)
//! );
//! let location = server.log_in(&url, "alice").unwrap();
//! assert!(location.starts_with("https://app.test/callback?code="));
//! ```
//!
//! # Faults
//!
//! [`MockServer::fault`] makes an endpoint fail: for the next requests, for one of them, or for all.
//!
//! ```
//! use std::time::Duration;
//! use oauth_mock::{Endpoint, Fault, MockServer};
//!
//! let server = MockServer::builder().in_process();
//! server.fault(Endpoint::Token, Fault::lost_response()).on_call(2); // the work is done, the response is lost
//! server.fault(Endpoint::Jwks, Fault::delay(Duration::from_secs(3))).always();
//! server.clear_faults();
//! ```
//!
//! # Tampered responses
//!
//! [`MockServer::tamper`] changes one thing in an authorization response, an ID token or userinfo.
//!
//! ```
//! use oauth_mock::{MockServer, Tamper};
//!
//! let server = MockServer::builder().in_process();
//! server.tamper(Tamper::IdTokenNonce).times(1); // the next ID token has another `nonce`
//! ```
//!
//! # Keys and time
//!
//! ```
//! use oauth_mock::MockServer;
//!
//! let server = MockServer::builder().in_process();
//! server.keys().rotate(); // the old key stays published
//! server.keys().retire(); // now it is gone
//! let token = server.mint().expires_in(300).build();
//! server.clock().advance(std::time::Duration::from_secs(301)); // the token has expired, for this server
//! # let _ = token;
//! ```
//!
//! This moves the clock of the server alone: its endpoints refuse the token, and new ones are issued at the new time. An API
//! that validates tokens itself goes by its own clock. It still accepts the old token, and may refuse a new one as issued in
//! the future. To test expiry there, mint with a negative lifetime, or give the API a clock that moves with tokio's, as this
//! one does, and advance that:
//!
//! ```
//! # use oauth_mock::MockServer;
//! # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
//! # let server = MockServer::builder().in_process();
//! let expired = server.mint().expires_in(-120).build(); // by any clock
//! let token = server.mint().expires_in(300).build();
//! tokio::time::advance(std::time::Duration::from_secs(301)).await; // the token has expired, by each clock of this test
//! # let _ = (expired, token);
//! # }
//! ```
//!
//! # What arrived
//!
//! The journal keeps every request, without its secrets. Expectations fail the test when the server is dropped.
//!
//! ```
//! use oauth_mock::{Endpoint, MockServer};
//!
//! let server = MockServer::builder().in_process();
//! server.expect(Endpoint::Revoke).exactly(0);
//! assert_eq!(server.journal().count(Endpoint::Token), 0);
//! ```
//!
//! # Proof of possession
//!
//! ```
//! use oauth_mock::{Alg, MockServer, TestKey};
//!
//! let server = MockServer::builder().in_process();
//! let key = TestKey::generate(Alg::Es256);
//! let token = server.mint().bound_to(&key).build();
//! let proof = server.dpop_proof(&key, "GET", "https://api.test/orders").access_token_hash(&token).build();
//! # let _ = proof;
//! ```
//!
//! # Providers
//!
//! A server can play a real provider instead, from the provider's documentation:
//!
//! ```
//! use oauth_mock::{Endpoint, MockServer, Provider};
//!
//! let server = MockServer::builder().personality(Provider::InfoLink).in_process();
//! assert!(server.endpoint(Endpoint::Token).ends_with("/api/v1/oauth2/token"));
//! server.provider_failure("expired_access_token").times(1);
//! ```
//!
//! # Attacks
//!
//! [`attack::all`] is a table of requests that a guarded API must reject, with the clause of the standard;
//! [`suite::Suite`] sends them to an API over its address.
//!
//! ```
//! use oauth_mock::MockServer;
//! use oauth_mock::attack::{self, AttackContext};
//!
//! let server = MockServer::builder().algorithms(attack::ALGORITHMS).in_process();
//! let context = AttackContext::new(&server).scope("read");
//! let unsigned = attack::find("alg-none").unwrap();
//! for request in unsigned.requests(&context) {
//!     assert_eq!(request.expected().status, 401);
//! }
//! ```
//!
//! # A control port
//!
//! [`MockServer::control`] opens a port with a REST interface and a web page; the program `oauth-mock serve` does so by
//! default. [`Config`] reads the program's configuration file.
//!
//! ```
//! use oauth_mock::{Config, MockServer};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! let config = Config::from_json(r#"{"audiences": ["orders-api"]}"#).unwrap();
//! let server = config.into_builder().start().await;
//! let control = server.control(([127, 0, 0, 1], 0).into(), &[]).await.unwrap();
//! println!("open {} in a browser", control.url());
//! # }
//! ```
//!
//! # Features
//!
//! | feature | adds |
//! |---|---|
//! | `cli` (default) | the program `oauth-mock` with `serve` and `attack`, configurations in TOML, and `tls`; a test suite in Rust does without |
//! | `tls` | HTTPS with an authority of the server's own, and clients that authenticate with a certificate (RFC 8705) |

#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod attack;
mod builder;
mod clients;
mod clock;
mod control;
mod dpop;
mod encode;
mod endpoint;
mod journal;
mod json;
mod jws;
mod keys;
mod mint;
mod page;
mod providers;
mod routes;
mod rules;
mod server;
mod settings;
mod shared;
mod state;
pub mod statements;
pub mod suite;
mod tls;
mod wire;

pub use self::{
    builder::{MockServerBuilder, StartError},
    clients::{AuthMethod, CertificateSubject, GrantType, MockClient, registration::Registration},
    clock::{MockClock, START_OF_IN_PROCESS_TIME},
    control::Control,
    dpop::{Dpop, DpopNonce},
    endpoint::Endpoint,
    journal::{Journal, RecordedRequest},
    keys::{Alg, KeyError, Keys, TestKey},
    mint::TokenBuilder,
    providers::{Provider, ProviderFailure},
    rules::{
        expect::Expect,
        faults::{Fault, FaultScript, Gate},
        matching::Match,
        tampers::{Tamper, TamperScript},
        token_rules::TokenRule,
    },
    server::{IssuerHandle, MockServer},
    settings::{Config, ConfigError},
    state::{details::AuthorizationDetailsType, tokens::IssuedTokens, trust::TrustedIssuer, users::User},
    wire::{
        body::MockBody,
        transport::{MockTransport, TransportError},
    },
};

#[cfg(feature = "tls")]
pub use self::tls::ClientCertificate;

#[cfg(all(doctest, feature = "tls"))]
#[doc = include_str!("../README.md")]
struct Readme;
