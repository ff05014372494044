//! One contract for every store, and what a file must not do to its neighbours.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

mod contract;
#[cfg(unix)]
mod crowd;
#[path = "../../../examples/custom_store.rs"]
#[expect(dead_code, reason = "the example's own main does not run here")]
mod custom_store;
mod directory;
#[cfg(unix)]
mod file;
#[cfg(unix)]
mod file_lease;
mod shutdown;
