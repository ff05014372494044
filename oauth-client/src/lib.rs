//! Get a token, keep it fresh, put it on requests.
//!
//! ```text
//! who + where ── grant ──▶ exchange ──▶ TokenSet ──▶ TokenSource ──▶ attach ──▶ your API
//! ```
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
//! # Every way to get a token
//!
//! | what you have | what you write |
//! |---|---|
//! | a client's own credentials | [`grant::client_credentials`] |
//! | a user and a web app | [`Client::authorize`], a redirect, [`Client::finish`]: see [`login`] |
//! | a user at this machine's browser | `Client::login(..).open(..)`, with the feature `loopback` |
//! | a user, and a device without a browser | [`Client::device`], then [`wait`](login::DeviceLogin::wait) |
//! | the token of whoever calls your API | [`Client::exchanger`] with [`grant::token_exchange`] |
//! | a key that the server trusts, or a JWT by somebody it trusts | [`grant::jwt_bearer`] |
//! | a refresh token from elsewhere | [`grant::refresh_token`] |
//! | a user's name and password, and no other way | [`grant::password`] |
//! | nothing but an API's URL | [`discover::follow`], then [`manage::register`] |
//! | a grant that is not here | a type of your own: see [`grant`] |
//! | a file or the environment | [`config::ClientConfig`] |
//!
//! Each becomes a [`TokenSource`]. How the client proves itself is up to [`ClientAuth`], where its secrets come from to
//! [`secret`], and [`dpop`] binds whatever token it gets to a key.
//!
//! The modules, in the order a token passes through them:

#![forbid(unsafe_code)]

// 1 where: the server's endpoints
pub mod discover;
// 2 who am I
mod authenticate;
pub mod secret;
pub mod sign;
// 2' tokens bound to a key
pub mod dpop;
// 3 what I ask
pub mod grant;
// 3' a person gives it
pub mod id_token;
pub mod login;
// 4 how a provider deviates from the RFC
pub mod dialect;
// 5 the one round trip
pub mod exchange;
// 6 what I hold
pub mod token;
// 7 keep it fresh
pub mod source;
// 7' where tokens outlive the process
pub mod store;
// 8 use it
pub mod attach;
// beside the flow: APIs of authorization servers
pub mod manage;

// all of it as data
pub mod config;

// what all of them stand on
mod client;
pub mod clock;
mod error;
// signed tokens, for ID tokens here and for the guard
#[doc(hidden)]
pub mod jose;
mod retry;
pub mod transport;

pub use self::authenticate::ClientAuth;
pub use self::client::{Client, ClientBuilder};
pub use self::dialect::Dialect;
pub use self::error::{Error, Problem};
// Strict JSON is read all over the crate.
use self::jose::json;
pub use self::source::TokenSource;
pub use self::token::{AccessToken, Secret, TokenSet};
