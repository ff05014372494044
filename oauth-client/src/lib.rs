//! Obtains OAuth 2.0 access tokens, keeps them fresh and puts them on requests.
//!
//! ```text
//! discover ─▶ authenticate ─▶ grant ─▶ token_endpoint ─▶ token ─▶ source ─▶ attach ─▶ your API
//!  where?      which client?   for what?  one round trip   TokenSet  fresh     a header
//! ```
//!
//! # Start here
//!
//! ```no_run
//! use oauth_client::{Client, ClientAuth, grant};
//!
//! # async fn run() -> Result<(), oauth_client::Error> {
//! let client = Client::builder()
//!     .issuer("https://auth.example.com")
//!     .auth(ClientAuth::basic("orders-service", "s3cr3t"))
//!     .build()?;
//! let source = client.source(grant::client_credentials().scope(["read"])).build()?;
//!
//! let token = source.token().await?; // fresh, now and on every later call
//! # let mut request = http::Request::new(());
//! request.headers_mut().insert("authorization", token.authorization().clone());
//! # Ok(()) }
//! ```
//!
//! # Topics
//!
//! | topic | where |
//! |---|---|
//! | [fresh tokens](#fresh-tokens): single flight, refresh ahead of expiry or of use ([`keep_warm`](TokenSource::keep_warm)), events | [`source`], [`TokenSource`] |
//! | [tokens on requests](#tokens-on-requests): a tower layer, a front for reqwest | [`attach`] |
//! | [grants](#grants): how a token is obtained | [`grant`] |
//! | [logging users in](#logging-users-in): browser, loopback, device; ID tokens | [`login`], [`id_token`] |
//! | [client authentication](#client-authentication): secrets, keys, certificates, platforms | [`ClientAuth`], [`secret`], [`sign`], [`workload`] |
//! | [tokens bound to a key](#tokens-bound-to-a-key): DPoP | [`dpop`] |
//! | [storage](#storage): tokens that outlive the process | [`store`] |
//! | [discovery](#discovery): server and API metadata | [`discover`] |
//! | APIs of which only the URL is known: MCP servers | [`mcp`] |
//! | [providers](#providers): deviations from RFC 6749 as data | [`dialect`] |
//! | [management](#management): introspect, revoke, register, userinfo | [`manage`] |
//! | [configuration](#configuration): TOML, environment, serde | [`config`] |
//! | [errors](#errors): stable codes, and whether a retry helps | [`Error`] |
//! | [watching it](#watching-it): status, events, spans, metrics | [`source`], [`source::Event`] |
//! | [logging out](#logging-out): revocation, logouts by the server | [`TokenSource::revoke`], [`login::BackchannelLogout`] |
//! | [testing](#testing): an injected clock and transport | [`clock`], [`transport`] |
//! | [limits](#limits): what it does not do | |
//! | moving here from `oauth2`, `openidconnect`, `yup-oauth2` or code of your own | `migrating` |
//!
//! ## Fresh tokens
//!
//! ```
//! # use oauth_client::{Client, ClientAuth, clock::TestClock, grant, transport::HttpClient};
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), oauth_client::Error> {
//! # let server = oauth_mock::MockServer::builder().in_process();
//! # let (http, clock) = (HttpClient::from_service(server.transport()), TestClock::new());
//! # let client = Client::builder().issuer(server.issuer()).auth(ClientAuth::basic("svc", "s3cr3t")).http(http).clock(clock).build()?;
//! let source = client.source(grant::client_credentials()).build()?;
//! let (first, second) = (source.token().await?, source.token().await?);
//! assert_eq!(first.secret(), second.secret()); // one token request for all callers
//! assert_eq!(source.status().token_requests, 1);
//! # Ok(()) }
//! ```
//!
//! ## Tokens on requests
//!
//! ```
//! use oauth_client::TokenSource;
//! use oauth_client::attach::{Body, TokenLayer};
//! use tower::{Layer, ServiceExt, service_fn};
//! # use {bytes::Bytes, http::{Request, Response}, http_body_util::Empty};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let api = service_fn(|request: Request<Body<Empty<Bytes>>>| async move {
//!     assert_eq!(request.headers()["authorization"], "Bearer t0ken");
//!     Ok::<_, std::io::Error>(Response::new(Empty::<Bytes>::new()))
//! });
//! let layer = TokenLayer::new(TokenSource::fixed("t0ken")?).allowed_origins(["https://api.example.com"])?;
//! let response = layer.layer(api).oneshot(Request::get("https://api.example.com/orders").body(Empty::new())?).await?;
//! assert!(response.status().is_success());
//! # Ok(()) }
//! ```
//!
//! ## Grants
//!
//! | you have | you write |
//! |---|---|
//! | a client's own credentials | [`grant::client_credentials`] |
//! | a user and a web app | [`Client::authorize`], a redirect, [`Client::finish`]: see [`login`] |
//! | a user at this machine's browser | `Client::login(..).open(..)`, with the feature `loopback` |
//! | a user who confirms on a device of their own | [`Client::backchannel`], then [`wait`](login::BackchannelLogin::wait) |
//! | a user, and a device without a browser | [`Client::device`], then [`wait`](login::DeviceLogin::wait) |
//! | the token of your API's caller | [`Client::exchanger`] with [`grant::token_exchange`] |
//! | a key that the server trusts, or a JWT by an issuer it trusts | [`grant::jwt_bearer`] |
//! | a user of an identity provider that the API's server trusts | [`grant::id_jag`] |
//! | something other than a token endpoint: a cloud's metadata, a vault, a CLI | [`TokenSource::from_fn`] |
//! | a refresh token from elsewhere | [`grant::refresh_token`] |
//! | a user's name and password, and no other way | [`grant::password`] |
//! | only an API's URL | [`mcp::Authorizer`]; or by hand [`discover::follow`], then [`manage::register`] |
//! | another grant | a type of your own: see [`grant`] |
//! | a file or the environment | [`config::ClientConfig`] |
//!
//! Each becomes a [`TokenSource`].
//!
//! ```
//! use oauth_client::grant;
//!
//! let request = grant::token_exchange("the-caller's-token").audience("billing-api").scope(["read"]);
//! assert!(request.grant().grant_type().ends_with("token-exchange"));
//! assert!(!format!("{request:?}").contains("the-caller's-token")); // secrets are redacted
//! ```
//!
//! ## Logging users in
//!
//! ```
//! # use oauth_client::{Client, ClientAuth, clock::TestClock, transport::HttpClient};
//! # use oauth_mock::{GrantType, MockClient, MockServer, User};
//! use oauth_client::login::AuthorizationRequest;
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), oauth_client::Error> {
//! # let app = MockClient::new("web").secret("s3cr3t").grants([GrantType::AuthorizationCode]).scopes(["openid"])
//! #     .redirect_uri("https://app.test/callback");
//! # let server = MockServer::builder().client(app).user(User::new("alice", "wonderland")).in_process();
//! # let (http, clock) = (HttpClient::from_service(server.transport()), TestClock::new());
//! # let client = Client::builder().issuer(server.issuer()).auth(ClientAuth::basic("web", "s3cr3t")).http(http).clock(clock).build()?;
//! let request = AuthorizationRequest::new("https://app.test/callback").scope(["openid"]);
//! let pending = client.authorize(&request).await?; // keep it in the session, send the browser to pending.url()
//! # let callback = server.log_in(pending.url().as_str(), "alice").unwrap();
//! let login = client.finish(pending, callback).await?; // the URL that the browser came back with
//! assert_eq!(login.id_token().unwrap().subject(), "alice");
//! # Ok(()) }
//! ```
//!
//! ## Client authentication
//!
//! ```
//! use oauth_client::sign::{Algorithm, SigningKey};
//! use oauth_client::{ClientAuth, secret};
//!
//! # fn main() -> Result<(), oauth_client::Error> {
//! let rotated = ClientAuth::basic("orders-service", secret::from_file("/run/secrets/client"));
//! let key = SigningKey::generate(Algorithm::Es256)?;
//! let without_a_secret = ClientAuth::private_key_jwt("orders-service", key);
//! assert_eq!(rotated.client_id(), without_a_secret.client_id());
//! # Ok(()) }
//! ```
//!
//! ## Tokens bound to a key
//!
//! ```
//! use oauth_client::dpop::Dpop;
//! use oauth_client::{Client, ClientAuth};
//!
//! # fn main() -> Result<(), oauth_client::Error> {
//! let builder = Client::builder().issuer("https://auth.example.com").auth(ClientAuth::none("mobile-app"));
//! let client = builder.dpop(Dpop::generate()?).build()?; // a stolen token is useless without the key
//! # let _ = client; Ok(()) }
//! ```
//!
//! ## Storage
//!
//! ```
//! use oauth_client::store::FileStore;
//! use oauth_client::{Client, ClientAuth, grant};
//!
//! # fn main() -> Result<(), oauth_client::Error> {
//! let client = Client::builder().issuer("https://auth.example.com").auth(ClientAuth::none("cli")).build()?;
//! let request = grant::refresh_token("r3fresh").subject("alice");
//! let source = client.source(request).store(FileStore::new("/var/lib/cli/tokens.json")).build()?;
//! assert_eq!(source.status().token_requests, 0); // nothing is sent before the first token is requested
//! // … and before the program ends: source.settle().await?, so that no refresh dies half done
//! # Ok(()) }
//! ```
//!
//! ## Discovery
//!
//! ```
//! # use oauth_client::transport::{HttpClient, Limits};
//! use oauth_client::discover::discover;
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), oauth_client::Error> {
//! # let server = oauth_mock::MockServer::builder().in_process();
//! # let http = HttpClient::from_service(server.transport());
//! let metadata = discover(&http, server.issuer(), &Limits::metadata()).await?;
//! assert_eq!(metadata.issuer, server.issuer());
//! # Ok(()) }
//! ```
//!
//! ## Providers
//!
//! ```
//! use oauth_client::dialect::Dialect;
//!
//! let acme = Dialect::new("acme").token_path("/v2/login").json().response_member("access_token", "data.token");
//! assert_eq!(acme.name(), "acme");
//! ```
//!
//! ## Management
//!
//! ```
//! # use oauth_client::{Client, ClientAuth, clock::TestClock, grant, transport::HttpClient};
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), oauth_client::Error> {
//! # let server = oauth_mock::MockServer::builder().in_process();
//! # let (http, clock) = (HttpClient::from_service(server.transport()), TestClock::new());
//! # let client = Client::builder().issuer(server.issuer()).auth(ClientAuth::basic("svc", "s3cr3t")).http(http).clock(clock).build()?;
//! let tokens = client.request(&grant::client_credentials()).await?;
//! client.revoke(tokens.access_token(), None).await?;
//! assert!(client.introspect(tokens.access_token(), None).await?.is_none()); // no longer active
//! # Ok(()) }
//! ```
//!
//! ## Configuration
//!
#![cfg_attr(feature = "toml", doc = "```")]
#![cfg_attr(not(feature = "toml"), doc = "```ignore (needs the feature toml)")]
//! use oauth_client::config::ClientConfig;
//!
//! let error = ClientConfig::from_toml("issuer = \"https://auth.example.com\"").unwrap_err();
//! assert_eq!(error.problems()[0].field, "client_id"); // every problem is reported, by key
//! ```
//!
//! ## Errors
//!
//! ```
//! use oauth_client::Client;
//!
//! let error = Client::builder().issuer("auth.example.com").build().unwrap_err();
//! assert_eq!(error.code(), "config"); // stable, for logs and metrics
//! assert!(!error.is_transient() && !error.is_reauthorization_required());
//! ```
//!
//! ## Watching it
//!
//! A source reports its state and its events. The feature `metrics` counts the same events, and times refreshes: the
//! names are in [`source`]. Each refresh runs in a span of its own, `oauth_client.refresh`, with issuer and client.
//!
//! ```
//! # use oauth_client::{Client, ClientAuth, clock::TestClock, grant, transport::HttpClient};
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), oauth_client::Error> {
//! # let server = oauth_mock::MockServer::builder().in_process();
//! # let (http, clock) = (HttpClient::from_service(server.transport()), TestClock::new());
//! # let client = Client::builder().issuer(server.issuer()).auth(ClientAuth::basic("svc", "s3cr3t")).http(http).clock(clock).build()?;
//! let source = client.source(grant::client_credentials()).on_event(|event| println!("{event:?}")).build()?;
//! source.token().await?;
//! let status = source.status(); // for a health endpoint
//! assert_eq!(status.token_requests, 1);
//! # Ok(()) }
//! ```
//!
//! ## Logging out
//!
//! ```
//! # use oauth_client::{Client, ClientAuth, clock::TestClock, grant, transport::HttpClient};
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), oauth_client::Error> {
//! # let server = oauth_mock::MockServer::builder().in_process();
//! # let (http, clock) = (HttpClient::from_service(server.transport()), TestClock::new());
//! # let client = Client::builder().issuer(server.issuer()).auth(ClientAuth::basic("svc", "s3cr3t")).http(http).clock(clock).build()?;
//! let source = client.source(grant::client_credentials()).build()?;
//! source.token().await?;
//! source.revoke().await?; // at the server, and in the store
//! assert!(source.current().is_none());
//! # Ok(()) }
//! ```
//!
//! ## Testing
//!
//! ```
//! use std::time::Duration;
//!
//! use oauth_client::clock::{Clock, TestClock};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
//! let clock = TestClock::new(); // give it to ClientBuilder::clock, and a service to HttpClient::from_service
//! let before = clock.now().wall;
//! tokio::time::advance(Duration::from_secs(3600)).await;
//! assert_eq!(clock.now().wall - before, Duration::from_secs(3600));
//! # }
//! ```
//!
//! # Limits
//!
//! - **Tokens are in memory**, and gone with the process, unless there is a [store](#storage). A [`FileStore`](store::FileStore)
//!   is for the processes of one machine and needs a file system with working locks; `tower-oauth-client-redis` is for many.
//! - **A tokio runtime is needed**, and there is no blocking API.
//! - **A token is opaque here.** What it grants is for the API to judge. Only ID tokens are read, and not encrypted
//!   ones.
//! - **Logins are authorization code with PKCE, device code and CIBA (poll).** The implicit and hybrid flows are left
//!   out on purpose (RFC 9700). Signed request objects (RFC 9101) are not supported; pushed requests are.
//! - **Bodies are sent twice only if they are small**, 64 KiB by default, and can be read whole: a stream that the API rejects
//!   with 401 is not repeated ([`attach::ReplayPolicy`]).
//! - **Secrets are zeroized where this crate owns the memory**; copies that the HTTP stack makes are not.
//! - No one outside of the project has audited it yet.
//!
//! # Features
//!
//! | feature | default | adds |
//! |---|---|---|
//! | `keyring` | no | [`KeyringStore`](store), which keeps tokens in the keychain of the operating system |
//! | `reqwest` | yes | the bundled transport, `transport::Tls`, and the front `attach::reqwest` |
//! | `reqwest-middleware` | no | the front `attach::reqwest_middleware` |
//! | `loopback` | yes | logins by this machine's browser: `Client::login` |
//! | `toml` | no | configuration from TOML text and files |
//! | `metrics` | no | counters and a histogram through the `metrics` facade |

#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

// The flow, in the order a token takes:

// 1 where: metadata of servers and APIs
pub mod discover;
// the challenges of APIs that reject a request
mod www_authenticate;
// 2 which client: how it authenticates
mod authenticate;
// secrets from files, the environment and callbacks
pub mod secret;
// identities that platforms give
pub mod workload;
// private keys, and what they sign
pub mod sign;
// proofs of possession, for tokens bound to a key
pub mod dpop;
// 3 for what: grants and token requests
pub mod grant;
// a user gives the grant: browser, loopback, device
pub mod login;
// who logged in
pub mod id_token;
// 4 deviations of providers from RFC 6749, as data
pub mod dialect;
// 5 the round trip: encode, send, decode
pub mod token_endpoint;
// 6 the result: token sets, expiry, secrets
pub mod token;
// 7 keep it fresh: single flight, events, pools
pub mod source;
// tokens that outlive the process
pub mod store;
// 8 use it: the tower layer and the reqwest front
pub mod attach;

// Beside the flow:

// all of it for an API of which only the URL is known
pub mod mcp;
// APIs of authorization servers: introspect, revoke, register, userinfo
pub mod manage;
// all of it as data
pub mod config;

// from other libraries to this one: before and after
#[cfg(all(feature = "reqwest", feature = "loopback"))]
#[doc = include_str!("../MIGRATING.md")]
pub mod migrating {}

// What all of them stand on:

// one authorization server, its endpoints, and our identity there
mod client;
// time, read in one place
pub mod clock;
// errors, with stable codes
mod error;
// signed tokens, for ID tokens here and for the guard
#[doc(hidden)]
pub mod jose;
// the mark that some put in front of UTF-8
mod byte_order_mark;

#[cfg(test)]
mod logged;
// backoff and jitter
mod retry;

mod sync;
// dates as JSON APIs write them
mod timestamp;
// HTTP as a tower service, with limits
pub mod transport;

pub use self::authenticate::ClientAuth;
pub use self::client::{Client, ClientBuilder};
pub use self::dialect::Dialect;
pub use self::error::{Error, Problem};
#[doc(hidden)]
pub use self::retry::seed_jitter;
// Strict JSON is read all over the crate.
use self::jose::json;
pub use self::source::TokenSource;
pub use self::token::{AccessToken, Secret, TokenSet};

/// The README's sample is compiled with the docs.
#[cfg(all(doctest, feature = "reqwest"))]
#[doc = include_str!("../README.md")]
#[expect(dead_code, reason = "it carries the docs of the README")]
struct Readme;
