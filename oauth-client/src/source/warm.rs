//! Refreshes in the background, ahead of use, for as long as a source has a holder.

use std::convert::Infallible;
use std::sync::{Arc, PoisonError, Weak};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::engine::Engine;
use super::wait::no_runtime;
use crate::error::Error;

/// How often is looked, at most: a clock that was set, or a machine that was suspended, is noticed within it.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);

/// How soon is looked again after a refresh that brought nothing to wait for.
const SHORTEST_SLEEP: Duration = Duration::from_secs(1);

/// How soon, of tokens that hardly live: some servers say `expires_in` 0 of those that never expire, and no caller may want
/// one.
const SHORT_LIVED_SLEEP: Duration = Duration::from_secs(30);

/// Held by the engine: it goes with the last handle.
pub(super) type Warm = oneshot::Sender<Infallible>;

impl Engine {
    /// Starts the task, once: again only when its runtime has ended, and it with that.
    pub(super) fn keep_warm(self: &Arc<Self>) -> Result<(), Error> {
        let runtime = Handle::try_current().map_err(|_| no_runtime())?;
        let mut warm = self.warm.lock().unwrap_or_else(PoisonError::into_inner);
        if warm.as_ref().is_none_or(Warm::is_closed) {
            let (new, ended) = oneshot::channel();
            *warm = Some(new);
            runtime.spawn(run(Arc::downgrade(self), ended));
        }
        Ok(())
    }
}

async fn run(engine: Weak<Engine>, mut ended: oneshot::Receiver<Infallible>) {
    loop {
        let Some(strong) = engine.upgrade() else { return };
        let mut wait = strong.until_refresh();
        if wait.is_zero() {
            // What goes wrong is reported by the refresh itself, and says when to try again.
            let refreshed = strong.refresh_now().await;
            let is_good = refreshed.as_ref().is_ok_and(|token| strong.lives_on(token, SHORTEST_SLEEP));
            let shortest = if refreshed.is_err() || is_good { SHORTEST_SLEEP } else { SHORT_LIVED_SLEEP };
            wait = strong.until_refresh().max(shortest);
        }
        drop(strong);
        tokio::select! {
            biased;
            _ = &mut ended => return,
            () = tokio::time::sleep(wait.min(LONGEST_SLEEP)) => {}
        }
    }
}
