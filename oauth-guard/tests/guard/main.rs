//! The guard as its users see it: requests through the real layer, against a mock server, on a paused clock.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod access;
mod attacks;
#[cfg(feature = "axum")]
mod axum;
mod cache;
mod claims_fuzz;
mod client_audience;
#[cfg(feature = "toml")]
mod configured;
mod contract;
mod dry_run;
mod explain;
mod health;
mod introspection;
mod introspection_health;
mod introspection_issuers;
mod introspection_limits;
mod introspection_signed;
mod jwks_moves;
mod key_requests;
mod key_rules;
mod keys;
mod log;
mod logs;
mod mcp;
mod mcp_fuzz;
mod mcp_uris;
mod metadata_places;
#[cfg(feature = "metrics")]
mod metrics;
mod null_members;
mod on_behalf;
mod openapi;
mod pem;
mod possession;
#[cfg(all(feature = "toml", feature = "reqwest"))]
mod recipes;
mod rejections;
mod reload;
mod revocation_endpoints;
mod revocation_feeds;
mod revocations;
mod roles;
#[cfg(feature = "axum")]
mod routing_fuzz;
mod rule_edges;
mod rules;
mod site;
mod support;
mod tenant_data;
mod tenant_issuers;
mod tenant_life;
mod tenant_model;
mod tenant_probation;
mod tenants;
#[cfg(feature = "testing")]
mod testing;
mod threads;
mod token_locations;
mod unknown_keys;
