//! An OAuth 2.0 authorization server for tests: it truly validates, and fails on purpose.
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
//! It shares no code with `oauth-client` and `oauth-guard`: it speaks the wire by itself, so that an error they have in
//! common cannot hide. [`MockServer::start`] listens on a socket; [`MockServerBuilder::in_process`] does without one and
//! lets a test with paused time run in no time at all.

#![forbid(unsafe_code)]

pub mod attack;
mod body;
mod builder;
mod clients;
mod clock;
mod codes;
mod control;
mod details;
mod devices;
mod dpop;
mod encode;
mod endpoint;
mod expect;
mod faults;
mod journal;
mod json;
mod jws;
mod keys;
mod mint;
mod page;
mod peer;
mod providers;
mod pushed;
mod registration;
mod replays;
mod response;
mod routes;
mod server;
mod sessions;
mod settings;
mod shared;
pub mod suite;
mod tampers;
mod tls;
mod tokens;
mod transport;
mod trust;
mod users;
mod wire;

pub use self::{
    body::MockBody,
    builder::{MockServerBuilder, StartError},
    clients::{AuthMethod, CertificateSubject, GrantType, MockClient},
    clock::{MockClock, START_OF_IN_PROCESS_TIME},
    control::Control,
    details::AuthorizationDetailsType,
    dpop::{Dpop, DpopNonce},
    endpoint::Endpoint,
    expect::Expect,
    faults::{Fault, FaultScript, Gate},
    journal::{Journal, Recorded},
    keys::{Alg, KeyError, Keys, TestKey},
    mint::TokenBuilder,
    providers::{Provider, ProviderFailure},
    registration::Registration,
    server::{IssuerHandle, MockServer},
    settings::{Config, ConfigError},
    tampers::{Tamper, TamperScript},
    tokens::IssuedTokens,
    transport::{MockTransport, TransportError},
    trust::TrustedIssuer,
    users::User,
};

#[cfg(feature = "tls")]
pub use self::tls::ClientCertificate;

#[cfg(all(doctest, feature = "tls"))]
#[doc = include_str!("../README.md")]
struct Readme;
