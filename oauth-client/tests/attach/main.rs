//! The attach layer as its users see it: in front of an API, behind a token source, against the mock server.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod choice;
mod contract;
#[cfg(feature = "reqwest-middleware")]
mod middleware;
mod replay;
#[cfg(feature = "reqwest")]
mod reqwest_front;
mod support;
