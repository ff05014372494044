//! Single flight: one fetch at a time, shared by all that wait for it.

use std::future::Future;
use std::time::Duration;

use tokio::sync::watch;

use crate::sync::{Handle, within};

/// How much longer than its own time limit a flight is waited for. One whose runtime is driven has ended by then.
const GRACE: Duration = Duration::from_millis(500);

/// A fetch in flight. It runs in its own task: a waiter that is dropped does not cancel it.
#[derive(Clone, Debug)]
pub(crate) struct Flight {
    landed: watch::Receiver<bool>,
    /// When it started, on the monotonic clock.
    started: Duration,
    limit: Duration,
}

/// Why a flight did not land.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lost {
    /// The task ended: its runtime was shut down, or it panicked.
    Ended,
    /// It takes longer than it is waited for. Beyond its time limit its runtime is no longer driven, and the task would
    /// stay as it is for good.
    Late,
}

impl Flight {
    /// Starts the task, which limits its own time. `None` outside of a tokio runtime.
    pub(crate) fn start(
        now: Duration,
        limit: Duration,
        task: impl Future<Output = ()> + Send + 'static,
    ) -> Option<Self> {
        let runtime = Handle::try_current().ok()?;
        let (landing, landed) = watch::channel(false);
        runtime.spawn(async move {
            task.await;
            landing.send_replace(true);
        });
        Some(Self { landed, started: now, limit })
    }

    /// One that has landed already: what it would bring is there.
    pub(crate) fn over() -> Self {
        let (_, landed) = watch::channel(true);
        Self { landed, started: Duration::ZERO, limit: Duration::ZERO }
    }

    /// Whether it landed or is lost, so that another may start.
    pub(crate) fn is_over(&self, now: Duration) -> bool {
        *self.landed.borrow()
            || self.landed.has_changed().is_err()
            || self.age(now) > self.limit.saturating_add(GRACE)
    }

    /// When it started, on the monotonic clock.
    pub(crate) fn started(&self) -> Duration {
        self.started
    }

    /// How long ago it started.
    pub(crate) fn age(&self, now: Duration) -> Duration {
        now.saturating_sub(self.started)
    }

    /// Waits until it landed.
    pub(crate) async fn landed(self) -> Result<(), Lost> {
        let patience = self.limit.saturating_add(GRACE);
        self.landed_within(patience).await
    }

    /// Waits until it landed, but no longer than that.
    pub(crate) async fn landed_within(mut self, patience: Duration) -> Result<(), Lost> {
        let landed = self.landed.wait_for(|landed| *landed);
        // A flight outside of its runtime is rare enough to go without a limit.
        let landed = within(patience, landed).await.ok_or(Lost::Late)?;
        landed.map(|_| ()).map_err(|_| Lost::Ended)
    }
}
