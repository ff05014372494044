//! What is counted of the questions to one server, and reported as its health.

use std::sync::atomic::{AtomicU64, Ordering};

#[derive(Default)]
pub(super) struct Counts {
    pub(super) questions: AtomicU64,
    pub(super) active: AtomicU64,
    pub(super) inactive: AtomicU64,
    pub(super) failures: AtomicU64,
}

/// How the questions go, for [`Guard::health`](crate::Guard::health).
#[derive(Clone, Debug, serde::Serialize)]
#[non_exhaustive]
pub struct IntrospectionHealth {
    /// Whether questions are asked now. `false` while the server is left alone, after failures or because it asked for that;
    /// and for 30 seconds after it has rejected this guard as a client, while questions are still asked. When that time is
    /// over it is `true` again, and the next question shows whether the server works.
    pub ok: bool,
    /// Questions asked since the guard was built or reloaded.
    pub questions: u64,
    /// Responses about active tokens.
    pub active: u64,
    /// Responses about inactive tokens.
    pub inactive: u64,
    /// Questions without a usable response.
    pub failures: u64,
    /// Why the last question failed, until one succeeds: `credentials` (the server rejects this guard as a client,
    /// or has answered 403), `secret` (this guard cannot read its own, as from a vault), `network`, `server`, `malformed_response`, `keys`
    /// (those of a signed response could not be fetched), or `configuration` (such as metadata without an endpoint).
    pub last_error: Option<String>,
}

impl Counts {
    pub(super) fn health(&self, ok: bool, last_error: Option<String>) -> IntrospectionHealth {
        let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
        IntrospectionHealth {
            ok,
            questions: count(&self.questions),
            active: count(&self.active),
            inactive: count(&self.inactive),
            failures: count(&self.failures),
            last_error,
        }
    }
}
