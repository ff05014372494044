//! Clients that know nothing but an API's URL: an API with its metadata, one or two mock servers, and a person's browser,
//! all in process.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

mod discovery;
mod flow;
mod identity;
mod machine;
#[cfg(feature = "reqwest")]
mod reqwest_front;
mod scopes;
mod shared_store;
mod support;
