//! Used proofs.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use oauth_client_redis::link::{Fault, Link};
use oauth_guard::replay::{Insertion, ProofId, ReplayError, ReplayHealth, ReplayStore};

/// The store of used proofs in Redis: `SET … NX PX`, so that a proof is good once at all guards. Clones share one
/// connection.
#[derive(Clone)]
pub struct RedisReplayStore(Arc<Inner>);

struct Inner {
    link: Link,
    prefix: String,
    health: Mutex<ReplayHealth>,
}

impl RedisReplayStore {
    pub(crate) fn new(link: Link, prefix: &str) -> Self {
        let prefix = format!("{prefix}proof:");
        Self(Arc::new(Inner { link, prefix, health: Mutex::default() }))
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

impl ReplayStore for RedisReplayStore {
    async fn insert(&self, proof: ProofId<'_>, keep: Duration) -> Result<Insertion, ReplayError> {
        let set = self.set(proof, keep).await;
        let mut health = self.0.health.lock().unwrap_or_else(PoisonError::into_inner);
        match set {
            Ok(insertion) => {
                if !health.ok {
                    health.ok = true;
                    health.last_error = None;
                }
                Ok(insertion)
            }
            Err(fault) if fault.full => {
                health.full += 1;
                Err(ReplayError::Full)
            }
            Err(fault) => {
                health.ok = false;
                health.last_error = Some(fault.to_string());
                Err(ReplayError::away(fault))
            }
        }
    }

    fn health(&self) -> ReplayHealth {
        self.0.health.lock().unwrap_or_else(PoisonError::into_inner).clone()
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
