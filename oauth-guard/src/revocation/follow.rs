//! The sources of revocations, followed in the background for as long as the guard lives.

use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

use moka::sync::Cache;
use oauth_client::clock::Clock;
use oauth_client::transport::HttpClient;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::entry::Revocation;
use super::feed::{Batch, FeedError, FileFeed, Position, SharedFeed};
use super::handle::RevocationError;
use super::list::{Full, List};
use super::marks::Mark;
use super::poll::PollFeed;
use super::publish::publish;
use super::receive::Judge;
use super::settings::{OnOutage, Poll, RevocationSettings};
use super::statement::Statement;
use crate::defaults::{
    REVOCATION_FIRST_READ, REVOCATION_LONGEST_PAUSE, REVOCATION_SHORT_OUTAGE, STATEMENTS_REMEMBERED,
};

/// How many revocations are taken over at a time: requests are served in between. A quarter of a millisecond, in which a
/// request on the same thread waits.
const CHUNK: usize = 64;
/// The first pause after a failed read; it doubles with each failure.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// How much longer than its interval a read may take.
const GRACE: Duration = Duration::from_secs(5);

/// What all snapshots of a guard share: the list, and what fills it.
pub(crate) struct Feeds {
    pub(crate) list: Arc<List>,
    pub(super) clock: Arc<dyn Clock>,
    /// Validates what a poll brings.
    pub(super) judge: OnceLock<Box<dyn Judge>>,
    /// Logout tokens and security events that were received: each has its effect once. An old one may be forgotten, since its
    /// effect is the same the second time.
    seen: Cache<Mark, ()>,
    inner: Mutex<Inner>,
    /// Counts what the sources do.
    changed: watch::Sender<u64>,
}

#[derive(Default)]
struct Inner {
    max_stale: Duration,
    on_outage: OnOutage,
    followed: Vec<Followed>,
}

struct Followed {
    source: Source,
    feed: SharedFeed,
    status: Status,
    task: Option<Task>,
    /// Until when requests wait for its first read. `None` before it is started.
    awaited_until: Option<Instant>,
}

/// Where a source is followed.
struct Task {
    handle: AbortHandle,
    /// Set when it ends, with its runtime for example.
    has_ended: Arc<AtomicBool>,
}

/// A source as the configuration names it.
enum Source {
    Code(SharedFeed),
    File(PathBuf),
    Poll(String),
}

/// The state of a source.
#[derive(Clone, Debug, Default)]
pub(super) struct Status {
    /// When it was last known to be read to its end, on the monotonic clock.
    pub(super) contact: Option<Duration>,
    pub(super) failures: u32,
    pub(super) last_error: Option<String>,
    pub(super) received: u64,
    /// Whether its outage was logged.
    is_reported: bool,
}

impl Feeds {
    pub(crate) fn new(list: Arc<List>, clock: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(Self {
            list,
            clock,
            judge: OnceLock::new(),
            seen: Cache::new(STATEMENTS_REMEMBERED),
            inner: Mutex::default(),
            changed: watch::Sender::new(0),
        })
    }

    /// Puts a configuration in force. Sources that stay are followed on.
    pub(crate) fn configure(
        self: &Arc<Self>,
        settings: &RevocationSettings,
        http: Option<&HttpClient>,
        longest: Duration,
    ) {
        self.list.set_limits(settings.max_entries, longest);
        let mut inner = self.inner();
        (inner.max_stale, inner.on_outage) = (settings.max_stale, settings.on_outage);
        let mut before = std::mem::take(&mut inner.followed);
        let mut followed = Vec::new();
        let mut take = |is_it: &dyn Fn(&Source) -> bool| {
            let at = before.iter().position(|one| is_it(&one.source))?;
            Some(before.swap_remove(at))
        };
        for feed in &settings.feeds {
            let kept = take(&|source| matches!(source, Source::Code(known) if known.is_same(feed)));
            followed.push(kept.unwrap_or_else(|| {
                let place =
                    take(&|source| matches!(source, Source::Code(known) if known.reads_the_same(feed)));
                Followed::new(Source::Code(feed.clone()), feed.clone()).in_place_of(place)
            }));
        }
        if let Some(path) = &settings.file {
            let kept = take(&|source| matches!(source, Source::File(known) if known == path));
            followed.push(kept.unwrap_or_else(|| {
                let feed = SharedFeed::new(FileFeed::new(path.clone()));
                Followed::new(Source::File(path.clone()), feed)
            }));
        }
        if let (Some(poll), Some(http)) = (&settings.poll, http) {
            let kept = take(&|source| matches!(source, Source::Poll(known) if **known == *poll.endpoint));
            followed.extend(self.polling(poll, http, kept));
        }
        before.into_iter().for_each(Followed::stop);
        inner.followed = followed;
        self.list.set_starting(inner.is_starting());
        self.list.set_feeds_to_start(false);
        // After that: one that ends meanwhile sets it again.
        if inner.followed.iter().any(|one| !one.is_followed()) {
            self.list.set_feeds_to_start(true);
        }
        self.update_deadline(&inner);
        // Requests do not wait for what was known before, so it is read on at once.
        let is_known = |one: &Followed| !one.is_followed() && one.status.contact.is_some();
        let has_to_go_on = inner.followed.iter().any(is_known);
        drop(inner);
        // Those who wait look at what is there now.
        self.changed.send_modify(|count| *count = count.wrapping_add(1));
        if has_to_go_on {
            self.start();
        }
    }

    /// A poll begins again, since its token or its pace may be another.
    fn polling(self: &Arc<Self>, poll: &Poll, http: &HttpClient, kept: Option<Followed>) -> Option<Followed> {
        let feed = SharedFeed::new(PollFeed::new(poll, http, Arc::downgrade(self))?);
        Some(Followed::new(Source::Poll(poll.endpoint.to_string()), feed).in_place_of(kept))
    }

    /// Starts what is not followed yet. Needs a tokio runtime; without one, a later call does it.
    #[cold]
    pub(crate) fn start(self: &Arc<Self>) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let mut inner = self.inner();
        self.list.set_feeds_to_start(false);
        for followed in inner.followed.iter_mut().filter(|one| !one.is_followed()) {
            let has_ended = Arc::<AtomicBool>::default();
            let ended = Ended { feeds: Arc::downgrade(self), has_ended: Arc::clone(&has_ended) };
            // A runtime that shuts down drops the task at once.
            let task = runtime.spawn(follow(followed.feed.clone(), Arc::downgrade(self), ended));
            followed.task = Some(Task { handle: task.abort_handle(), has_ended });
            // Not longer for one that panics and is started again.
            followed.awaited_until.get_or_insert_with(|| Instant::now() + REVOCATION_FIRST_READ);
        }
        self.list.set_starting(inner.is_starting());
    }

    /// Waits until every source was read to its end or failed, for some seconds at most.
    pub(crate) async fn started(self: &Arc<Self>) {
        if tokio::runtime::Handle::try_current().is_err() {
            return;
        }
        let mut changed = self.changed.subscribe();
        loop {
            // A reload may have added some meanwhile.
            if self.list.has_feeds_to_start() {
                self.start();
            }
            let Some(until) = self.wait_until() else { return };
            let _ = tokio::time::timeout_at(until, changed.changed()).await;
        }
    }

    /// Until when requests wait for the first reads; `None` when they no longer do. A feed that hangs is an outage from then
    /// on.
    fn wait_until(&self) -> Option<Instant> {
        let inner = self.inner();
        if !inner.is_starting() {
            self.list.set_starting(false);
        }
        let awaited = || inner.followed.iter().filter(|one| one.is_awaited()).map(|one| one.awaited_until);
        // One that a reload has just added is not started yet: the caller looks again at once.
        if awaited().any(|until| until.is_none()) { Some(Instant::now()) } else { awaited().flatten().max() }
    }

    /// Revokes here, then makes it known to every source that takes it.
    pub(crate) async fn revoke(&self, revocations: &[Revocation]) -> Result<(), RevocationError> {
        let with_end = self.revoke_here(revocations)?;
        let feeds: Vec<_> = self.inner().followed.iter().map(|one| one.feed.clone()).collect();
        publish(feeds, with_end).await
    }

    /// Revokes at this guard alone. Returns them with their ends.
    pub(crate) fn revoke_here(&self, revocations: &[Revocation]) -> Result<Vec<Revocation>, RevocationError> {
        if let Some(problem) = revocations.iter().find_map(Revocation::problem) {
            return Err(RevocationError::Invalid(problem));
        }
        let now = self.clock.now();
        self.list.add(revocations, now).map_err(|Full| RevocationError::Full)?;
        let end = now.wall.as_secs().saturating_add(self.list.longest());
        let with_end = |one: &Revocation| match one.ends_at() {
            Some(_) => one.clone(),
            None => one.clone().until(end),
        };
        Ok(revocations.iter().map(with_end).collect())
    }

    /// The effect of a valid logout token or security event; of one that came before, none.
    pub(super) async fn receive(&self, statement: &Statement) -> Result<(), RevocationError> {
        let mark = self.list.statement_mark(statement.kind, &statement.issuer, &statement.jti);
        if self.seen.contains_key(&mark) {
            return Ok(());
        }
        if !statement.revocations.is_empty() {
            self.revoke(&statement.revocations).await?;
            tracing::info!(
                target: "oauth_guard",
                issuer = statement.issuer,
                revocations = statement.revocations.len(),
                "a logout token or a security event took effect"
            );
        }
        self.seen.insert(mark, ());
        Ok(())
    }

    /// Each source, whether it is away for too long, and its state.
    pub(super) fn statuses(&self) -> Vec<(String, bool, Status)> {
        let inner = self.inner();
        let now = self.clock.now().monotonic;
        let each = inner.followed.iter().map(|one| {
            let is_late = one.deadline(inner.max_stale).is_some_and(|deadline| now >= deadline);
            (one.feed.name(), is_late, one.status.clone())
        });
        each.collect()
    }

    fn update_deadline(&self, inner: &Inner) {
        let deadline = match inner.on_outage {
            OnOutage::Serve => None,
            OnOutage::Refuse => inner.followed.iter().filter_map(|one| one.deadline(inner.max_stale)).min(),
        };
        self.list.set_deadline(deadline);
    }

    fn note(&self, feed: &SharedFeed, change: impl FnOnce(&mut Status)) {
        let mut inner = self.inner();
        let (max_stale, now) = (inner.max_stale, self.clock.now().monotonic);
        if let Some(followed) = inner.followed.iter_mut().find(|one| one.feed.is_same(feed)) {
            change(&mut followed.status);
            let is_late = followed.deadline(max_stale).is_some_and(|deadline| now >= deadline);
            if is_late && !followed.status.is_reported && followed.status.failures > 0 {
                followed.status.is_reported = true;
                let error = followed.status.last_error.as_deref();
                tracing::error!(
                    target: "oauth_guard", feed = followed.feed.name(), error,
                    "a source of revocations is away for too long; see on_outage"
                );
            } else if followed.status.is_reported && followed.status.failures == 0 {
                followed.status.is_reported = false;
                tracing::info!(target: "oauth_guard", feed = followed.feed.name(), "a source of revocations is back");
            }
        }
        self.update_deadline(&inner);
        if !inner.is_starting() {
            self.list.set_starting(false);
        }
        drop(inner);
        self.changed.send_modify(|count| *count = count.wrapping_add(1));
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn is_starting(&self) -> bool {
        self.followed.iter().any(Followed::is_awaited)
    }
}

impl Followed {
    fn new(source: Source, feed: SharedFeed) -> Self {
        Self { source, feed, status: Status::default(), task: None, awaited_until: None }
    }

    fn is_followed(&self) -> bool {
        self.task.as_ref().is_some_and(|task| !task.has_ended.load(Ordering::Acquire))
    }

    /// Whether requests wait for its first read.
    fn is_awaited(&self) -> bool {
        self.status.is_starting() && self.awaited_until.is_none_or(|until| Instant::now() < until)
    }

    /// What is known of the place stays, and it is read again.
    fn in_place_of(mut self, before: Option<Self>) -> Self {
        if let Some(before) = before {
            // Without a runtime it is read by a later request only, which then has to wait for it.
            if tokio::runtime::Handle::try_current().is_ok() {
                self.status = before.status.clone();
            }
            before.stop();
        }
        self
    }

    /// When it counts as away. `None`: never.
    fn deadline(&self, max_stale: Duration) -> Option<Duration> {
        match (self.status.contact, self.feed.interval()) {
            (None, _) => Some(Duration::ZERO),
            (Some(_), None) => None,
            (Some(contact), Some(interval)) => {
                Some(contact.saturating_add(interval).saturating_add(max_stale))
            }
        }
    }

    fn stop(self) {
        if let Some(task) = self.task {
            // It need not be started again.
            task.has_ended.store(true, Ordering::Release);
            task.handle.abort();
        }
    }
}

impl Status {
    fn is_starting(&self) -> bool {
        self.contact.is_none() && self.failures == 0
    }
}

impl Drop for Feeds {
    fn drop(&mut self) {
        let inner = self.inner.get_mut().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut inner.followed).into_iter().for_each(Followed::stop);
    }
}

impl fmt::Debug for Feeds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Feeds").finish_non_exhaustive()
    }
}

/// A task may end with its runtime; another request starts it again. It takes no lock: it may be dropped while the one that
/// spawns it has it.
struct Ended {
    feeds: Weak<Feeds>,
    has_ended: Arc<AtomicBool>,
}

impl Drop for Ended {
    fn drop(&mut self) {
        if !self.has_ended.swap(true, Ordering::AcqRel)
            && let Some(feeds) = self.feeds.upgrade()
        {
            feeds.list.add_feed_to_start();
        }
    }
}

/// Reads a source until the guard is gone.
async fn follow(feed: SharedFeed, feeds: Weak<Feeds>, _ended: Ended) {
    let mut position: Option<Position> = None;
    let (mut failures, mut lost) = (0_u32, 0_u32);
    let mut failing_since = None;
    loop {
        let started = Instant::now();
        let read = read(&feed, position.as_ref()).await;
        // The first read has nothing to wait for.
        let is_idle = position.is_some()
            && read.as_ref().is_ok_and(|batch| batch.complete && batch.revocations.is_empty());
        let Some(feeds) = feeds.upgrade() else { return };
        if read.as_ref().is_ok_and(|batch| batch.complete) {
            lost = 0;
        }
        let outcome = match read {
            Ok(batch) => take_over(&feeds, &feed, batch).await,
            // What is known stays; the source is read from the beginning.
            Err(error) if error.is_position_lost() && position.is_some() => {
                tracing::warn!(target: "oauth_guard", feed = feed.name(), "a source of revocations is read anew: its position is lost");
                position = None;
                // One that loses each position must not keep a core busy, nor its source.
                lost = lost.saturating_add(1);
                if lost > 1 {
                    drop(feeds);
                    tokio::time::sleep(pause(lost - 1, REVOCATION_LONGEST_PAUSE)).await;
                }
                continue;
            }
            Err(error) => Err(error),
        };
        match outcome {
            Ok(next) => {
                (failures, failing_since) = (0, None);
                position = Some(next);
                drop(feeds);
                // One that does not wait for news must not keep a core busy.
                if is_idle && started.elapsed() < Duration::from_millis(1) {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
            Err(error) => {
                failures = failures.saturating_add(1);
                let message = described(&error);
                if failures == 1 {
                    tracing::warn!(target: "oauth_guard", feed = feed.name(), error = message, "a source of revocations could not be read");
                }
                feeds.note(&feed, |status| {
                    status.failures = failures;
                    status.last_error = Some(message);
                });
                drop(feeds);
                let outage = failing_since.get_or_insert(started).elapsed();
                let pause = pause(failures, longest_pause(feed.interval(), outage));
                // A read that took long before it failed is part of the pause.
                tokio::time::sleep(pause.saturating_sub(started.elapsed()).max(FIRST_PAUSE / 2)).await;
            }
        }
    }
}

async fn read(feed: &SharedFeed, position: Option<&Position>) -> Result<Batch, FeedError> {
    let Some(interval) = feed.interval() else { return feed.read(position).await };
    match tokio::time::timeout(interval.saturating_add(GRACE), feed.read(position)).await {
        Ok(read) => read,
        Err(_) => Err(FeedError::unavailable("a read does not end")),
    }
}

async fn take_over(feeds: &Feeds, feed: &SharedFeed, batch: Batch) -> Result<Position, FeedError> {
    for some in batch.revocations.chunks(CHUNK) {
        // First: the source may have taken its time to make the batch, and to drop the one before.
        tokio::task::yield_now().await;
        feeds.list.add(some, feeds.clock.now()).map_err(|Full| FeedError::unavailable("the list is full"))?;
    }
    let (received, is_complete) = (batch.revocations.len(), batch.complete);
    let now = feeds.clock.now().monotonic;
    feeds.note(feed, |status| {
        status.received = status.received.saturating_add(received.try_into().unwrap_or(u64::MAX));
        status.failures = 0;
        status.last_error = None;
        if is_complete {
            status.contact = Some(now);
        }
    });
    Ok(batch.position)
}

/// The message with its causes.
pub(super) fn described(error: &FeedError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(one) = cause {
        text.push_str(": ");
        text.push_str(&one.to_string());
        cause = one.source();
    }
    text
}

/// A short outage ends for the guard well within the interval of its source; in a long one the source is left in peace, and
/// one that is asked rarely anyway is from the start.
fn longest_pause(interval: Option<Duration>, outage: Duration) -> Duration {
    match interval {
        Some(interval) if outage < REVOCATION_SHORT_OUTAGE => {
            (interval / 2).clamp(FIRST_PAUSE, REVOCATION_LONGEST_PAUSE)
        }
        _ => REVOCATION_LONGEST_PAUSE,
    }
}

/// Grows to its longest, less up to a half, so that a fleet does not come back at once.
fn pause(failures: u32, longest: Duration) -> Duration {
    let doubled = FIRST_PAUSE.saturating_mul(1 << (failures - 1).min(10)).min(longest);
    let random = getrandom::u32().unwrap_or_default() % 256;
    doubled - doubled * random / 512
}
