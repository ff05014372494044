//! What threads share, and what each has for itself so that requests of one do not wait for another's.
//!
//! The parts that models of concurrency run take the types of std, arc-swap and tokio from here. Unit tests get some of
//! them with a second form, which a model puts under the control of its scheduler; `tests/models` puts loom's in the place
//! of those of std.

mod spread;
#[cfg(test)]
mod spread_tests;
pub(crate) mod thread;
mod timeout;

pub(crate) use std::sync::atomic::{AtomicU64, AtomicUsize};
pub(crate) use std::sync::{Arc, OnceLock};
#[cfg(not(test))]
pub(crate) use std::sync::{Mutex, MutexGuard};

pub(crate) use arc_swap::ArcSwap;
#[cfg(not(test))]
pub(crate) use tokio::runtime::Handle;

#[cfg(test)]
pub(crate) use self::modelled::{Handle, Mutex, MutexGuard};
pub(crate) use self::spread::Spread;
pub(crate) use self::timeout::within;

#[cfg(test)]
#[expect(dead_code, reason = "the client uses more of it")]
#[path = "../../../oauth-client/src/sync/modelled.rs"]
pub(crate) mod modelled;

/// Runs a test of a file that is modelled elsewhere as well.
#[cfg(test)]
pub(crate) fn model(run: impl Fn()) {
    run();
}
