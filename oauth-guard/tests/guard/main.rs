//! The guard as its users see it: requests through the real layer, against a mock server, on a paused clock.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod attacks;
#[cfg(feature = "axum")]
mod axum;
mod cache;
mod client_audience;
mod contract;
mod dry_run;
mod explain;
mod health;
mod jwks_moves;
mod key_requests;
mod keys;
mod log;
mod logs;
mod metadata_places;
mod null_members;
mod pem;
#[cfg(all(feature = "toml", feature = "reqwest"))]
mod recipes;
mod rejections;
mod reload;
mod rules;
mod site;
mod support;
mod tenant_issuers;
mod tenants;
mod token_locations;
