//! oidc-provider as the authorization server: what it issues and sends is judged by the guard and the client.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod ciba;
#[path = "../support/installed.rs"]
mod installed;
mod introspection;
mod logout;
#[path = "../support/provider.rs"]
mod provider;
