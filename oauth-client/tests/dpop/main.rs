//! Tokens that are bound to a key (RFC 9449), with the mock server's token endpoint and its userinfo as the API. All but
//! what is reqwest's own runs in process, with time that stands still unless a test moves it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

#[path = "../common/fixture.rs"]
mod fixture;
mod support;

mod api;
#[cfg(feature = "reqwest")]
mod reqwest_front;
mod server;
mod store;
