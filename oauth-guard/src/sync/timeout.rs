//! A time limit, where there are timers.

use std::future::Future;
use std::time::Duration;

use super::Handle;

/// Waits for it, so long at most. `None`: not in time. Any executor may poll a request; where it is not tokio's, there are
/// no timers, and no limit either.
pub(crate) async fn within<F: Future>(limit: Duration, future: F) -> Option<F::Output> {
    match Handle::try_current() {
        Ok(_) => tokio::time::timeout(limit, future).await.ok(),
        Err(_) => Some(future.await),
    }
}
