//! Single flight: one fetch at a time, shared by all that wait for it.

use std::future::Future;

use tokio::sync::watch;

/// A fetch in flight. It runs in its own task: a waiter that is dropped does not cancel it.
#[derive(Clone, Debug)]
pub(crate) struct Flight(watch::Receiver<bool>);

/// The task ended without landing: its runtime was shut down, or it panicked.
#[derive(Debug)]
pub(crate) struct Lost;

impl Flight {
    /// Starts the task. `None` outside of a tokio runtime.
    pub(crate) fn start(task: impl Future<Output = ()> + Send + 'static) -> Option<Self> {
        let runtime = tokio::runtime::Handle::try_current().ok()?;
        let (landed, flight) = watch::channel(false);
        runtime.spawn(async move {
            task.await;
            landed.send_replace(true);
        });
        Some(Self(flight))
    }

    pub(crate) fn is_over(&self) -> bool {
        *self.0.borrow() || self.0.has_changed().is_err()
    }

    pub(crate) async fn landed(mut self) -> Result<(), Lost> {
        self.0.wait_for(|landed| *landed).await.map(|_| ()).map_err(|_| Lost)
    }
}
