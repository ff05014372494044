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
#[path = "../support/provider.rs"]
#[expect(dead_code, reason = "nothing is controlled there")]
mod provider;
mod proxies;
mod tokens;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// A folder of `tests/foreign`.
fn foreign(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/foreign").join(folder)
}

/// Whether the judge is there; its absence is an error in CI.
fn is_there(found: bool, name: &str, how: &str) -> bool {
    assert!(found || std::env::var_os("CI").is_none(), "{name} is missing: {how}");
    if !found {
        println!("skipped: {name} is missing: {how}");
    }
    found
}

/// An address without a listener.
fn free_port() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}
