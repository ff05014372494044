//! Paused time.

use std::time::Duration;

/// Advances tokio's clock by so many seconds, and with it the mock's and the client's. Tasks that wake up in between
/// run in order.
pub(crate) async fn advance(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}
