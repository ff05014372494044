//! Making revocations known to every source that takes them.

use std::sync::Arc;

use tokio::runtime::Handle;

use super::entry::Revocation;
use super::feed::{FeedError, SharedFeed};
use super::handle::{NotPublished, RevocationError};
use crate::defaults::REVOCATION_PUBLISH_TIMEOUT;

/// Gives revocations to all feeds at the same time. One that fails keeps no other from them, and neither does a caller that
/// does not wait for the end.
pub(super) async fn publish(
    feeds: Vec<SharedFeed>,
    revocations: Vec<Revocation>,
) -> Result<(), RevocationError> {
    let revocations: Arc<[Revocation]> = revocations.into();
    let mut failed = Vec::new();
    match Handle::try_current() {
        Ok(runtime) => {
            let each: Vec<_> = feeds
                .into_iter()
                .map(|feed| {
                    let (to, revocations) = (feed.clone(), Arc::clone(&revocations));
                    let publishing = async move {
                        let publishing = to.publish(&revocations);
                        tokio::time::timeout(REVOCATION_PUBLISH_TIMEOUT, publishing).await
                    };
                    (feed, runtime.spawn(publishing))
                })
                .collect();
            for (feed, task) in each {
                let outcome = match task.await {
                    Ok(Ok(outcome)) => outcome,
                    Ok(Err(_)) => Err(silent()),
                    Err(error) => {
                        Err(FeedError::unavailable("publishing was interrupted").with_source(error))
                    }
                };
                note(&feed, outcome, &mut failed);
            }
        }
        // No feed is followed here either, but each can be given it.
        Err(_) => {
            for feed in feeds {
                note(&feed, feed.publish(&revocations).await, &mut failed);
            }
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(RevocationError::NotPublished(failed)) }
}

fn note(feed: &SharedFeed, outcome: Result<(), FeedError>, failed: &mut Vec<NotPublished>) {
    match outcome {
        Ok(()) => {}
        Err(error) if error.is_read_only() => {}
        Err(error) => failed.push(NotPublished { feed: feed.name(), error }),
    }
}

fn silent() -> FeedError {
    let seconds = REVOCATION_PUBLISH_TIMEOUT.as_secs();
    FeedError::unavailable(format!("it was not stored within {seconds} seconds, or is not known to be"))
}
