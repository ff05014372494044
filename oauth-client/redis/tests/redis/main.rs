//! The store over a real redis-server, on good days and on bad ones. Where redis-server is not installed, each test says
//! so and is skipped.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on must fail")]

mod certificates;
mod contract;
mod counts;
mod log_outs;
mod outages;
mod processes;
#[expect(dead_code, reason = "each of its users needs a part of it")]
mod proxy;
mod rotations;
mod sealed;
mod server;
mod support;
mod tls;
