//! Used proofs.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use oauth_client_redis::link::{Fault, Link};
use oauth_guard::replay::{Insertion, ProofId, ReplayError, ReplayHealth, ReplayStore};
use tokio::runtime::Handle;
use tokio::time::Instant;

/// How often health tries a store that is away.
const PROBE: Duration = Duration::from_secs(1);

/// The store of used proofs in Redis: `SET … NX PX`, so that a proof is good once at all guards. Clones share one
/// connection.
#[derive(Clone)]
pub struct RedisReplayStore(Arc<Inner>);

struct Inner {
    link: Link,
    prefix: String,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    health: ReplayHealth,
    /// When health last tried the store.
    probed: Option<Instant>,
}

impl RedisReplayStore {
    pub(crate) fn new(link: Link, prefix: &str) -> Self {
        let prefix = format!("{prefix}proof:");
        Self(Arc::new(Inner { link, prefix, state: Mutex::default() }))
    }

    async fn set(&self, proof: ProofId<'_>, keep: Duration) -> Result<Insertion, Fault> {
        let key = format!("{}{}", self.0.prefix, BASE64_URL_SAFE_NO_PAD.encode(proof.digest()));
        let own = format!("{:016x}", getrandom::u64().unwrap_or_default());
        let milliseconds = u64::try_from(keep.as_millis()).unwrap_or(u64::MAX).clamp(1, 1 << 52);
        let before = self.0.link.generation();
        let mut command = redis::cmd("SET");
        command.arg(&key).arg(&own).arg("NX").arg("PX").arg(milliseconds);
        let set: Option<String> = self.0.link.ask(&command).await?;
        if set.is_some() {
            return Ok(Insertion::Inserted);
        }
        // A connection that broke in between has had the command sent again: the first may have been done.
        if before != 0 && self.0.link.generation() != before {
            let there: Option<String> = self.0.link.ask(redis::cmd("GET").arg(&key)).await?;
            if there.as_ref() == Some(&own) {
                return Ok(Insertion::Inserted);
            }
        }
        Ok(Insertion::Present)
    }
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes, as an insertion does: a replica and a server without memory respond to a `PING`.
    async fn probe(&self) {
        let mut command = redis::cmd("SET");
        command.arg(format!("{}probe", self.prefix)).arg("").arg("PX").arg(1);
        match self.link.ask::<()>(&command).await {
            // No proof that found no room.
            Err(fault) if fault.full => self.state().health.last_error = Some(fault.to_string()),
            set => self.note(set.as_ref().err()),
        }
    }

    fn note(&self, fault: Option<&Fault>) {
        let health = &mut self.state().health;
        match fault {
            None if health.ok => {}
            None => {
                health.ok = true;
                health.last_error = None;
            }
            Some(fault) if fault.full => health.full += 1,
            Some(fault) => {
                health.ok = false;
                health.last_error = Some(fault.to_string());
            }
        }
    }
}

impl ReplayStore for RedisReplayStore {
    async fn insert(&self, proof: ProofId<'_>, keep: Duration) -> Result<Insertion, ReplayError> {
        let set = self.set(proof, keep).await;
        self.0.note(set.as_ref().err());
        set.map_err(|fault| if fault.full { ReplayError::Full } else { ReplayError::away(fault) })
    }

    /// Where the store is away, it is tried in the background, at most once a second: a service that gets no requests until
    /// it is well again inserts nothing.
    fn health(&self) -> ReplayHealth {
        let mut state = self.0.state();
        let is_due = state.probed.is_none_or(|at| at.elapsed() >= PROBE);
        if !state.health.ok
            && is_due
            && let Ok(runtime) = Handle::try_current()
        {
            state.probed = Some(Instant::now());
            let inner = Arc::clone(&self.0);
            runtime.spawn(async move { inner.probe().await });
        }
        state.health.clone()
    }

    fn identity(&self) -> Option<String> {
        Some(format!("{} {}", self.0.link.identity(), self.0.prefix))
    }
}

impl fmt::Debug for RedisReplayStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisReplayStore").field("place", &self.0.link.place()).finish_non_exhaustive()
    }
}
