//! The rules a token source keeps, each with a test that fails when it is broken: paused time, no sockets.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on must fail")]

#[path = "../common/fixture.rs"]
mod fixture;
mod support;
#[path = "../common/time.rs"]
mod time;

mod clock;
mod derive;
mod doubt;
mod ended;
mod ending;
mod failure;
mod family;
mod fence;
mod fetch;
mod flight;
mod grants;
mod lasting;
mod late;
mod manners;
#[cfg(feature = "metrics")]
mod metrics;
mod pool;
mod rotation;
mod schedule;
mod store;
mod table;
mod users;
mod warm;
