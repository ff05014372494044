//! Bound tokens, judged by what others wrote: nginx and Envoy in front of the guard, openid-client and dpop as its
//! clients, oidc-provider as the server that issues the tokens.
//!
//! Each is skipped, with a printed reason, where its package is missing; with `CI` set that is an error.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod api;
mod clients;
#[path = "../support/example.rs"]
mod example;
#[path = "../support/file.rs"]
mod file;
#[path = "../support/foreign.rs"]
mod foreign;
#[path = "../support/installed.rs"]
mod installed;
#[path = "../support/provider.rs"]
#[expect(dead_code, reason = "nothing is controlled there")]
mod provider;
mod proxies;
mod tokens;

use self::foreign::{foreign, free_port};
use self::installed::is_there;
