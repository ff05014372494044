//! Revocations that the guards of one process share.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use super::{Batch, FeedError, Position, Revocation, RevocationFeed};

/// Revocations in memory, shared by all clones: several guards in one process, and tests.
///
/// ```
/// use oauth_guard::revocation::{MemoryFeed, Revocation, RevocationFeed};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let feed = MemoryFeed::new();
/// feed.publish(&[Revocation::session("https://auth.example.com", "sid-1")]).await?;
/// let batch = feed.clone().read(None).await?;
/// assert_eq!((batch.revocations.len(), batch.complete), (1, true));
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, Default)]
pub struct MemoryFeed(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    log: Mutex<Log>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Log {
    /// One for each key, by the number of its last change.
    entries: BTreeMap<u64, Revocation>,
    number_of: HashMap<String, u64>,
    next: u64,
}

/// How many revocations one read returns.
const PAGE: usize = 4096;

impl MemoryFeed {
    /// An empty feed.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.0.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RevocationFeed for MemoryFeed {
    async fn read(&self, after: Option<&Position>) -> Result<Batch, FeedError> {
        let from = match after {
            None => 0,
            Some(position) => position.as_str().parse().map_err(|_| FeedError::position_lost())?,
        };
        let waiting = async {
            loop {
                // Registered before the log is read: what is published in between wakes it.
                let changed = self.0.changed.notified();
                let batch = self.log().after(from)?;
                if after.is_none() || !batch.revocations.is_empty() {
                    return Ok(batch);
                }
                changed.await;
            }
        };
        match tokio::time::timeout(Duration::from_millis(500), waiting).await {
            Ok(read) => read,
            Err(_) => self.log().after(from),
        }
    }

    fn identity(&self) -> Option<String> {
        Some(format!("memory at {:p}", Arc::as_ptr(&self.0)))
    }

    async fn publish(&self, revocations: &[Revocation]) -> Result<(), FeedError> {
        let mut log = self.log();
        revocations.iter().for_each(|revocation| log.put(revocation));
        drop(log);
        self.0.changed.notify_waiters();
        Ok(())
    }
}

impl Log {
    fn after(&self, from: u64) -> Result<Batch, FeedError> {
        if from > self.next {
            return Err(FeedError::position_lost());
        }
        let mut page = self.entries.range(from..);
        let revocations: Vec<_> =
            page.by_ref().take(PAGE).map(|(_, revocation)| revocation.clone()).collect();
        Ok(match page.next() {
            Some((number, _)) => Batch::partial(revocations, Position::new(number.to_string())),
            None => Batch::new(revocations, Position::new(self.next.to_string())),
        })
    }

    fn put(&mut self, revocation: &Revocation) {
        let before = self.number_of.insert(revocation.key(), self.next);
        let before = before.and_then(|number| self.entries.remove(&number));
        let merged = before.and_then(|before| before.merge(revocation));
        self.entries.insert(self.next, merged.unwrap_or_else(|| revocation.clone()));
        self.next += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::super::conformance;
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_keeps_the_contract_of_feeds() {
        let shared = MemoryFeed::new();
        conformance::check(async || shared.clone()).await.unwrap();
    }

    /// Loses what is published between two reads, as a channel without a history does.
    #[derive(Debug)]
    struct Forgetful(MemoryFeed);

    impl RevocationFeed for Forgetful {
        async fn read(&self, after: Option<&Position>) -> Result<Batch, FeedError> {
            let mut batch = self.0.read(after).await?;
            if after.is_none() {
                batch.revocations.clear();
            }
            Ok(batch)
        }

        async fn publish(&self, revocations: &[Revocation]) -> Result<(), FeedError> {
            self.0.publish(revocations).await
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_feed_without_a_snapshot_fails_the_suite() {
        let shared = MemoryFeed::new();
        let violation = conformance::check(async || Forgetful(shared.clone())).await.unwrap_err();
        assert_eq!(violation.check(), "every_kind_comes_back_as_published");
    }

    #[tokio::test(start_paused = true)]
    async fn changes_to_the_same_key_take_no_room() {
        let feed = MemoryFeed::new();
        for time in 0..10_000 {
            feed.publish(&[Revocation::issuer("https://as.example", time)]).await.unwrap();
        }
        assert_eq!(feed.log().entries.len(), 1);
        assert_eq!(
            feed.read(None).await.unwrap().revocations,
            [Revocation::issuer("https://as.example", 9_999)]
        );
    }
}
