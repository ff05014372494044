//! What a careless client, a hostile page and a curious test can do to the server, and what it says to that.

#![expect(clippy::unwrap_used, reason = "a helper that fails must fail its test")]

#[path = "../support/mod.rs"]
mod support;

mod aids;
mod api;
mod browser;
mod configuration;
mod exchange;
mod names;
mod posted;
mod preflights;
mod requests;
mod wire;
