//! Many sources, one for each tenant, subject or other key.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, Weak};
use std::time::Duration;

use super::engine::Engine;
use super::{Kind, TokenSource};
use crate::clock::{Clock, SystemClock};
use crate::error::Error;

/// So many tokens take about a few megabytes, and few services speak for more people at a time.
const MAX_SOURCES: usize = 10_000;
/// Longer than most access tokens live, so that a source that is dropped rarely has one left that is good.
const MAX_IDLE: Duration = Duration::from_secs(3600);
/// The most bytes that they and what they hold take, roughly.
const MAX_BYTES: usize = 64 * 1024 * 1024;
/// How long a source whose grant has ended may stay, in milliseconds, while others are asked for.
const MAX_SWEEP_INTERVAL: u64 = 60_000;

/// Sources by key, made when they are first asked for. Cheap to clone; clones are the same pool.
///
/// The key is whatever distinguishes one token from another: a tenant, a subject, a set of scopes, a resource, or a tuple of
/// them. All callers that ask for one key share one source, and so its one refresh; two keys never share a source.
///
/// The pool is bounded: beyond [`max_sources`](Self::max_sources) those that were used longest ago are dropped, and
/// so are those that were not used for [`idle_after`](Self::idle_after), and those whose grant has
/// [ended](crate::grant::Grant::good_until). A dropped source that a caller still
/// holds, or that is in the middle of a refresh or of writing to its store, is taken back when its key is asked for
/// again. When its last handle is dropped, what only that source knew is lost: grants with a refresh token that rotates
/// need a [store](super::SourceBuilder::store), and the request needs a
/// [`subject`](crate::grant::TokenRequest::subject) to be distinguished in it.
///
/// ```
/// # use oauth_client::{Client, ClientAuth, grant};
/// use oauth_client::source::Pool;
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), oauth_client::Error> {
/// # let server = oauth_mock::MockServer::start().await;
/// # let client = Client::builder().issuer(server.issuer()).auth(ClientAuth::basic("svc", "s3cr3t")).build()?;
/// let pool = Pool::new(move |scope: &&str| client.source(grant::client_credentials().scope([*scope])).build());
///
/// let reader = pool.get(&"read")?.token().await?;
/// let writer = pool.get(&"write")?.token().await?;
/// assert_ne!(reader.secret(), writer.secret());
/// assert_eq!(pool.get(&"read")?.token().await?.secret(), reader.secret());
/// # Ok(()) }
/// ```
pub struct Pool<K>(Arc<Inner<K>>);

struct Inner<K> {
    make: Make<K>,
    most: usize,
    most_bytes: usize,
    idle: Duration,
    clock: Arc<dyn Clock>,
    sources: RwLock<Sources<K>>,
    /// When idle sources are looked for next, in milliseconds on the monotonic clock.
    next_sweep: AtomicU64,
}

type Make<K> = Arc<dyn Fn(&K) -> Result<TokenSource, Error> + Send + Sync>;

struct Sources<K> {
    sources: HashMap<K, Entry>,
    /// Those that were dropped and that a caller still holds. A second source beside one of them could use its
    /// refresh token twice.
    dropped: HashMap<K, Weak<Engine>>,
    /// What the sources take, as last counted, and what came since.
    bytes: usize,
    /// How many came since.
    uncounted: usize,
}

struct Entry {
    source: TokenSource,
    /// In milliseconds on the monotonic clock.
    used: AtomicU64,
    /// When its grant ends, as Unix time.
    good_until: Option<Duration>,
    /// What its request holds, in bytes.
    bytes: usize,
}

impl Entry {
    /// What it takes in memory by now, in bytes, roughly.
    fn weight(&self) -> usize {
        self.bytes.saturating_add(self.source.bytes())
    }

    fn has_ended(&self, now: Moment) -> bool {
        self.good_until.is_some_and(|end| end <= now.wall)
    }
}

#[derive(Clone, Copy)]
struct Moment {
    wall: Duration,
    /// In milliseconds.
    monotonic: u64,
}

impl<K: Eq + Hash + Clone + Send + Sync + 'static> Pool<K> {
    /// A pool that makes its sources with this function. It is called when a key is asked for that has no source, and
    /// should send nothing: two callers at once may both call it, and then one of the two sources is used.
    pub fn new(make: impl Fn(&K) -> Result<TokenSource, Error> + Send + Sync + 'static) -> Self {
        Self::with(Arc::new(make), (MAX_SOURCES, MAX_BYTES), MAX_IDLE, Arc::new(SystemClock))
    }

    /// How many sources are kept at most: 10,000 when not set, and at least one. Beyond it, those that were used
    /// longest ago go, one in sixteen at a time.
    #[must_use]
    pub fn max_sources(self, most: usize) -> Self {
        let most = (most.max(1), self.0.most_bytes);
        Self::with(Arc::clone(&self.0.make), most, self.0.idle, Arc::clone(&self.0.clock))
    }

    /// How many bytes the sources may take, with the tokens they hold, roughly: 64 MiB when not set. Beyond it, those that
    /// were used longest ago go; one source always stays.
    #[must_use]
    pub fn max_bytes(self, most: usize) -> Self {
        let most = (self.0.most, most);
        Self::with(Arc::clone(&self.0.make), most, self.0.idle, Arc::clone(&self.0.clock))
    }

    /// How long an unused source is kept: an hour when not set. Idle ones are removed when others are asked
    /// for.
    #[must_use]
    pub fn idle_after(self, idle: Duration) -> Self {
        let most = (self.0.most, self.0.most_bytes);
        Self::with(Arc::clone(&self.0.make), most, idle, Arc::clone(&self.0.clock))
    }

    /// Another clock than the machine's.
    #[must_use]
    pub fn clock(self, clock: impl Clock) -> Self {
        let most = (self.0.most, self.0.most_bytes);
        Self::with(Arc::clone(&self.0.make), most, self.0.idle, Arc::new(clock))
    }

    /// The source for this key.
    ///
    /// # Errors
    /// Whatever the function that makes sources returns. Nothing is kept then.
    pub fn get(&self, key: &K) -> Result<TokenSource, Error> {
        self.get_or_make(key, 0, || (self.0.make)(key))
    }

    /// The same, with another function for a source that is not there, whose request holds so many bytes.
    pub(super) fn get_or_make(
        &self,
        key: &K,
        bytes: usize,
        make: impl FnOnce() -> Result<TokenSource, Error>,
    ) -> Result<TokenSource, Error> {
        let pool = &*self.0;
        let now = pool.now();
        if now.monotonic >= pool.next_sweep.load(Ordering::Relaxed) {
            pool.sweep(now);
        }
        if let Some(source) = pool.read().find(key, now) {
            return Ok(source);
        }
        let elsewhere = pool.read().held_elsewhere(key);
        // Without the lock: it is foreign code, which may take its time or ask for another key.
        let source = elsewhere.map_or_else(make, Ok)?;
        Ok(pool.keep(key, source, bytes, now))
    }

    /// Drops the source for this key, say because its grant was revoked. Callers that hold it keep it; the next caller
    /// that asks gets a new one.
    pub fn remove(&self, key: &K) {
        let mut sources = self.0.write();
        sources.sources.remove(key);
        sources.dropped.remove(key);
    }

    /// Waits for what is under way in any of its sources, as [`TokenSource::settle`] does: call it before the program
    /// ends.
    ///
    /// # Errors
    /// As there, of the first source that fails; the others are waited for all the same.
    pub async fn settle(&self) -> Result<(), Error> {
        let kept: Vec<_> = self.0.read().sources.values().map(|entry| entry.source.clone()).collect();
        let dropped: Vec<_> = self.0.read().dropped.values().filter_map(Weak::upgrade).collect();
        let mut outcome = Ok(());
        for source in kept.into_iter().chain(dropped.into_iter().map(TokenSource::live)) {
            outcome = outcome.and(source.settle().await);
        }
        outcome
    }

    /// How many sources there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.read().sources.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn with(
        make: Make<K>,
        (most, most_bytes): (usize, usize),
        idle: Duration,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let sources = Sources { sources: HashMap::new(), dropped: HashMap::new(), bytes: 0, uncounted: 0 };
        let (sources, next_sweep) = (RwLock::new(sources), AtomicU64::new(0));
        Self(Arc::new(Inner { make, most, most_bytes, idle, clock, sources, next_sweep }))
    }
}

impl<K: Eq + Hash + Clone> Inner<K> {
    /// Keeps a source, unless another caller was faster: then theirs counts.
    fn keep(&self, key: &K, source: TokenSource, bytes: usize, now: Moment) -> TokenSource {
        let mut sources = self.write();
        if let Some(source) = sources.find(key, now).or_else(|| sources.held_elsewhere(key)) {
            if !sources.sources.contains_key(key) {
                sources.insert(key, (source.clone(), bytes), now, (self.most, self.most_bytes));
            }
            return source;
        }
        sources.insert(key, (source.clone(), bytes), now, (self.most, self.most_bytes));
        source
    }

    /// Drops sources that are idle, and those that can get no token any more. A caller that finds the lock taken leaves it
    /// to the next one.
    fn sweep(&self, now: Moment) {
        let idle = milliseconds(self.idle);
        let pause = (idle / 4).clamp(1, MAX_SWEEP_INTERVAL);
        self.next_sweep.store(now.monotonic.saturating_add(pause), Ordering::Relaxed);
        if let Ok(mut sources) = self.sources.try_write() {
            sources.drop_those(|entry| {
                now.monotonic.saturating_sub(entry.used.load(Ordering::Relaxed)) >= idle
                    || entry.has_ended(now)
            });
        }
    }

    fn now(&self) -> Moment {
        let now = self.clock.now();
        Moment { wall: now.wall, monotonic: milliseconds(now.monotonic) }
    }

    fn read(&self) -> RwLockReadGuard<'_, Sources<K>> {
        // Every change is complete in itself, but for a panic in the key's own code, which leaves whole entries too.
        self.sources.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Sources<K>> {
        self.sources.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Eq + Hash + Clone> Sources<K> {
    fn find(&self, key: &K, now: Moment) -> Option<TokenSource> {
        let entry = self.sources.get(key)?;
        entry.used.store(now.monotonic, Ordering::Relaxed);
        Some(entry.source.clone())
    }

    fn held_elsewhere(&self, key: &K) -> Option<TokenSource> {
        self.dropped.get(key)?.upgrade().map(TokenSource::live)
    }

    fn insert(
        &mut self,
        key: &K,
        (source, bytes): (TokenSource, usize),
        now: Moment,
        (most, most_bytes): (usize, usize),
    ) {
        if self.sources.len() >= most {
            self.drop_oldest(self.sources.len() + 1 - most, most);
        }
        self.dropped.remove(key);
        let good_until = match &source.0 {
            Kind::Live(engine) => engine.request.grant().good_until(),
            Kind::Fixed(_) => None,
        };
        let used = AtomicU64::new(now.monotonic);
        let entry = Entry { source, used, good_until, bytes };
        (self.bytes, self.uncounted) = (self.bytes.saturating_add(entry.weight()), self.uncounted + 1);
        self.sources.insert(key.clone(), entry);
        // What they hold has grown since: it is counted again after some more.
        if self.uncounted > self.sources.len() / 16 || self.bytes > most_bytes {
            self.count();
        }
        while self.bytes > most_bytes && self.sources.len() > 1 {
            self.drop_oldest(1, self.sources.len() - 1);
            self.count();
        }
    }

    fn count(&mut self) {
        let weights = self.sources.values().map(Entry::weight);
        (self.bytes, self.uncounted) = (weights.fold(0, usize::saturating_add), 0);
    }

    /// Drops so many at least of those that were used longest ago. Some more than need be, so that a pool that is always full
    /// does not search all of it each time.
    fn drop_oldest(&mut self, least: usize, most: usize) {
        let surplus = least.max(most / 16).min(self.sources.len());
        if surplus == 0 {
            return;
        }
        let mut used: Vec<_> =
            self.sources.values().map(|entry| entry.used.load(Ordering::Relaxed)).collect();
        let (.., last, _) = used.select_nth_unstable(surplus - 1);
        let last = *last;
        let mut left = surplus;
        self.drop_those(|entry| {
            let goes = left > 0 && entry.used.load(Ordering::Relaxed) <= last;
            left -= usize::from(goes);
            goes
        });
    }

    fn drop_those(&mut self, mut goes: impl FnMut(&Entry) -> bool) {
        let dropped = &mut self.dropped;
        self.sources.retain(|key, entry| {
            let goes = goes(entry);
            if goes && let Kind::Live(engine) = &entry.source.0 {
                dropped.insert(key.clone(), Arc::downgrade(engine));
            }
            !goes
        });
        dropped.retain(|_, engine| engine.strong_count() > 0);
    }
}

impl<K> Clone for Pool<K> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<K> fmt::Debug for Pool<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The keys are the user's, and may be names of people.
        let sources = self.0.sources.read().unwrap_or_else(PoisonError::into_inner);
        f.debug_struct("Pool")
            .field("sources", &sources.sources.len())
            .field("max_sources", &self.0.most)
            .field("idle_after", &self.0.idle)
            .finish_non_exhaustive()
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
