//! Revocations that the guards of one process share.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use oauth_client::clock::Clock;
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
///
/// Without a clock it keeps every revocation for as long as it lives, one for each target. A process that runs for long
/// gives it one: [`with_clock`](Self::with_clock).
#[derive(Clone, Debug, Default)]
pub struct MemoryFeed(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    log: Mutex<Log>,
    changed: Notify,
    clock: Option<Box<dyn Clock>>,
}

#[derive(Debug, Default)]
struct Log {
    /// One for each key, by the number of its last change.
    entries: BTreeMap<u64, Revocation>,
    number_of: HashMap<String, u64>,
    next: u64,
    /// How many entries there are when those that ended are dropped.
    sweep_at: usize,
}

/// How many revocations one read returns.
const PAGE: usize = 4096;
/// With fewer entries than these nothing is dropped.
const FEW: usize = 1024;

impl MemoryFeed {
    /// An empty feed.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty feed that drops revocations that have [ended](Revocation::until) by this clock, which is that of its guards. It
    /// holds at most about twice as many as are in force. Guards say when a
    /// revocation that they publish ends; one without an end stays.
    ///
    /// ```
    /// use oauth_guard::clock::SystemClock;
    /// use oauth_guard::revocation::{MemoryFeed, RevocationSettings};
    ///
    /// let feed = MemoryFeed::with_clock(SystemClock);
    /// let settings = [RevocationSettings::new().feed(feed.clone()), RevocationSettings::new().feed(feed)];
    /// ```
    #[must_use]
    pub fn with_clock(clock: impl Clock) -> Self {
        Self(Arc::new(Shared { clock: Some(Box::new(clock)), ..Shared::default() }))
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
        if let Some(clock) = &self.0.clock {
            log.drop_ended(clock.now().wall.as_secs());
        }
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

    /// Drops what has ended when the entries have doubled since the last time, so that each publication pays for a few.
    fn drop_ended(&mut self, now: u64) {
        if self.entries.len() < self.sweep_at {
            return;
        }
        let Self { entries, number_of, .. } = self;
        entries.retain(|_, revocation| revocation.ends_at().is_none_or(|end| end > now));
        number_of.retain(|_, number| entries.contains_key(number));
        self.sweep_at = (2 * entries.len()).max(FEW);
    }
}

#[cfg(test)]
mod tests {
    use oauth_client::clock::TestClock;
    use tokio::time::advance;

    use super::super::conformance;
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_keeps_the_contract_of_feeds() {
        for shared in [MemoryFeed::new(), MemoryFeed::with_clock(TestClock::new())] {
            let report = conformance::check(async || shared.clone()).await.unwrap();
            assert_eq!((report.passed().len(), report.skipped().len()), (11, 0), "{report:?}");
        }
        // An `Arc` of a feed is a feed, with all that it says of itself.
        let shared = Arc::new(MemoryFeed::new());
        conformance::check(async || Arc::clone(&shared)).await.unwrap();
        let (one, other) = (&*shared, &shared);
        assert_eq!(
            (one.interval(), one.identity(), one.name()),
            (other.interval(), other.identity(), other.name())
        );
    }

    #[tokio::test(start_paused = true)]
    async fn with_a_clock_it_holds_twice_what_is_in_force_at_most() {
        let clock = TestClock::new();
        let feed = MemoryFeed::with_clock(clock.clone());
        let lasting = Revocation::issuer("https://as.example", 1);
        feed.publish(std::slice::from_ref(&lasting)).await.unwrap();
        for number in 0..20_000 {
            let end = clock.now().wall.as_secs() + 2_000;
            feed.publish(&[Revocation::token("https://as.example", number.to_string()).until(end)])
                .await
                .unwrap();
            advance(Duration::from_secs(1)).await;
            let log = feed.log();
            assert!(log.entries.len() <= 4_001 && log.entries.len() == log.number_of.len(), "{number}");
        }
        let batch = feed.read(None).await.unwrap();
        assert!(batch.complete && batch.revocations.len() >= 2_000, "{}", batch.revocations.len());
        assert_eq!(batch.revocations[0], lasting);
        // A reader goes on where it was, whatever was dropped.
        let later = Revocation::token("https://as.example", "later");
        feed.publish(std::slice::from_ref(&later)).await.unwrap();
        assert_eq!(feed.read(Some(&batch.position)).await.unwrap().revocations, [later]);
        let of_the_first = Position::new("1");
        assert!(!feed.read(Some(&of_the_first)).await.unwrap().revocations.is_empty());
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
        assert_eq!(violation.rule(), "every kind comes back as published");
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
