//! Keys that are fetched, and when. The rules, in short:
//!
//! - one fetch at a time, in a task of its own, shared by all who wait;
//! - a set is fetched anew at 80 % of its age, while it goes on serving;
//! - a token with an unknown key id causes a fetch, but no two within the cool-down;
//! - after a failure the old keys stay, and the next try waits, longer each time;
//! - where the set is, the metadata is asked again every hour, and when the set lacks a key or cannot be had;
//! - an answer that is no key set changes nothing; one that is, is obeyed, even if it is empty.

mod fetch;

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use oauth_client::clock::{Clock, Now};
use oauth_client::jose::SkippedKey;
use oauth_client::transport::{HttpClient, Limits};
use url::Url;

use self::fetch::{Download, Failure};
use super::flight::Flight;
use super::{KeyPolicy, KeySet, Standing, log_skipped};
use crate::algorithm::Algorithm;
use crate::defaults::KEY_FIRST_BACKOFF;

/// One issuer's fetched keys.
pub(crate) struct Remote {
    issuer: Box<str>,
    place: Where,
    algorithms: Box<[Algorithm]>,
    policy: KeyPolicy,
    limits: Limits,
    http: HttpClient,
    clock: Arc<dyn Clock>,
    keys: ArcSwap<KeySet>,
    /// Until when nothing is to be done, on both clocks, in milliseconds: what the fast path compares with.
    quiet_until_wall: AtomicU64,
    quiet_until_monotonic: AtomicU64,
    state: Mutex<State>,
}

/// Where the key set is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Where {
    Discovery,
    Uri(Url),
}

#[derive(Default)]
struct State {
    flight: Option<Flight>,
    /// Counts flights, so that one that was given up cannot land over a later one.
    sequence: u64,
    /// Where the metadata said that the set is.
    found: Option<Found>,
    /// The keys that the operator knows to be broken.
    told: Vec<SkippedKey>,
    /// The set in hand as it was served.
    document: Bytes,
    fetched: Option<Now>,
    /// How long the set in hand is good: the policy's `max_age` or less.
    good_for: Duration,
    last_unknown: Option<Duration>,
    failures: u32,
    last_error: Option<String>,
    not_before: Duration,
}

#[derive(Clone)]
struct Found {
    url: Url,
    /// From when on, on the monotonic clock, the metadata is asked again before the set is fetched.
    doubted_from: Duration,
}

/// What to do about a token whose key id is in no set.
pub(crate) enum Unknown {
    /// A fetch is on its way that may bring it.
    Wait(Flight),
    /// The issuer has been asked, and does not have it.
    Refuse,
    /// The issuer could not be asked.
    Unavailable(Duration),
}

/// What health reports of an issuer's keys.
pub(crate) struct Report {
    pub(crate) age: Option<Duration>,
    pub(crate) stale: bool,
    /// Young enough to judge with.
    pub(crate) usable: bool,
    pub(crate) failures: u32,
    pub(crate) last_error: Option<String>,
}

impl Remote {
    pub(crate) fn new(
        issuer: &str,
        place: Where,
        algorithms: &[Algorithm],
        policy: &KeyPolicy,
        allow_http: bool,
        http: HttpClient,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let limits = Limits { timeout: policy.timeout, max_body: policy.max_bytes, allow_http };
        Self {
            issuer: issuer.into(),
            place,
            algorithms: algorithms.into(),
            policy: policy.clone(),
            limits,
            http,
            clock,
            keys: ArcSwap::default(),
            quiet_until_wall: AtomicU64::new(0),
            quiet_until_monotonic: AtomicU64::new(0),
            state: Mutex::default(),
        }
    }

    pub(crate) fn current(&self) -> arc_swap::Guard<Arc<KeySet>> {
        self.keys.load()
    }

    pub(crate) fn standing(self: &Arc<Self>, now: Now) -> Standing {
        let quiet = millis(now.monotonic) < self.quiet_until_monotonic.load(Ordering::Acquire)
            && millis(now.wall) < self.quiet_until_wall.load(Ordering::Acquire);
        if quiet { Standing::Good } else { self.tend(now) }
    }

    /// A refresh is due, or there is nothing yet.
    fn tend(self: &Arc<Self>, now: Now) -> Standing {
        let mut state = self.state();
        let Some(fetched) = state.fetched else { return Standing::Missing };
        let age = age(fetched, now);
        if age >= self.policy.max_stale {
            return Standing::Missing;
        }
        let overdue = age >= state.good_for && state.failures == 0;
        if age >= self.refresh_at(&state) && !overdue {
            self.launch(&mut state, now);
            // Nothing more to do for a moment; the landing says when next.
            let moment = Duration::from_secs(1).min(self.policy.max_stale.saturating_sub(age));
            self.quiet_until_monotonic.store(millis(now.monotonic.saturating_add(moment)), Ordering::Release);
            self.quiet_until_wall.store(millis(now.wall.saturating_add(moment)), Ordering::Release);
        }
        // Waiting for newer keys is right once; while the server fails, it would stall everybody again and again.
        if overdue { Standing::Overdue } else { Standing::Good }
    }

    /// A fetch for want of any usable keys: the one under way, or a new one. An error says how long to wait.
    pub(crate) fn fetch(self: &Arc<Self>, now: Now) -> Result<Flight, Duration> {
        let mut state = self.state();
        self.launch(&mut state, now).ok_or_else(|| self.wait(&state, now))
    }

    /// Does what a request would have to wait for, for somebody who does not wait. `None` if there is nothing to do,
    /// or not yet.
    pub(crate) fn fetch_if_due(self: &Arc<Self>, now: Now) -> Option<Flight> {
        match self.standing(now) {
            Standing::Good => None,
            Standing::Overdue | Standing::Missing => self.fetch(now).ok(),
        }
    }

    /// A token names a key that is not there.
    pub(crate) fn unknown_key(self: &Arc<Self>, now: Now) -> Unknown {
        let mut state = self.state();
        if let Some(flight) = state.flight.as_ref().filter(|flight| !flight.is_over()) {
            return Unknown::Wait(flight.clone());
        }
        let cooling =
            state.last_unknown.is_some_and(|at| now.monotonic.saturating_sub(at) < self.policy.cooldown);
        if cooling || now.monotonic < state.not_before {
            return if state.failures == 0 {
                Unknown::Refuse
            } else {
                Unknown::Unavailable(self.wait(&state, now))
            };
        }
        state.last_unknown = Some(now.monotonic);
        state.doubt();
        match self.launch(&mut state, now) {
            Some(flight) => Unknown::Wait(flight),
            None => Unknown::Unavailable(self.wait(&state, now)),
        }
    }

    /// Whether the last fetch failed, and then how long until the next one may start.
    pub(crate) fn outage(&self, now: Now) -> Option<Duration> {
        let state = self.state();
        (state.failures > 0 || state.fetched.is_none()).then(|| self.wait(&state, now))
    }

    pub(crate) fn report(&self, now: Now) -> Report {
        let state = self.state();
        let age = state.fetched.map(|fetched| age(fetched, now));
        Report {
            age,
            usable: age.is_some_and(|age| age < self.policy.max_stale),
            stale: age.is_none_or(|age| age >= state.good_for),
            failures: state.failures,
            last_error: state.last_error.clone(),
        }
    }

    /// The set in hand as it was served, and when (Unix time in seconds).
    pub(crate) fn exported(&self) -> Option<(u64, Bytes)> {
        let state = self.state();
        Some((state.fetched?.wall.as_secs(), state.document.clone()))
    }

    /// Takes a set that another process fetched at `fetched_at`, unless it is of no use or a newer one is here.
    pub(crate) fn preload(&self, fetched_at: u64, document: Bytes) -> bool {
        let now = self.clock.now();
        let fetched_wall = Duration::from_secs(fetched_at);
        let Some(old) = now.wall.checked_sub(fetched_wall) else { return false };
        let mut state = self.state();
        let has_newer = state.fetched.is_some_and(|fetched| fetched.wall >= fetched_wall);
        if old >= self.policy.max_stale || has_newer || document.len() > self.policy.max_bytes {
            return false;
        }
        let Ok(set) = KeySet::parse(&document, &self.algorithms, self.policy.max_keys) else { return false };
        // Its age is known on the wall clock only; the monotonic one counts from now, and either may end it.
        self.install(&mut state, set, document, Now { wall: fetched_wall, monotonic: now.monotonic });
        state.good_for = self.policy.max_age;
        self.be_quiet(&state, now);
        true
    }

    /// Whether the other fetches the same keys in the same way.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.is_from_the_same_place_as(other)
            && self.algorithms == other.algorithms
            && self.policy == other.policy
            && self.limits.allow_http == other.limits.allow_http
    }

    fn is_from_the_same_place_as(&self, other: &Self) -> bool {
        self.issuer == other.issuer && self.place == other.place
    }

    /// Starts with what another has fetched, if it is from the same place. Failures are not taken over: what is new
    /// about this one may be what mends them.
    pub(crate) fn take_over(&self, other: &Self) {
        if !self.is_from_the_same_place_as(other) {
            return;
        }
        let (found, document, fetched, good_for, last_unknown, told) = {
            let theirs = other.state();
            let document = theirs.document.clone();
            let (found, told) = (theirs.found.clone(), theirs.told.clone());
            (found, document, theirs.fetched, theirs.good_for, theirs.last_unknown, told)
        };
        let Some(fetched) = fetched else { return };
        let Ok(set) = KeySet::parse(&document, &self.algorithms, self.policy.max_keys) else { return };
        let mut state = self.state();
        state.told = told;
        self.install(&mut state, set, document, fetched);
        state.found = found;
        state.good_for = good_for.min(self.policy.max_age);
        state.last_unknown = last_unknown;
        self.be_quiet(&state, self.clock.now());
    }

    fn install(&self, state: &mut State, mut set: KeySet, document: Bytes, fetched: Now) {
        log_skipped(&set, &self.issuer, &mut state.told);
        set.succeed(&self.keys.load());
        tracing::debug!(target: "oauth_guard", issuer = &*self.issuer, keys = set.len(), "keys taken");
        self.keys.store(Arc::new(set));
        state.document = document;
        state.fetched = Some(fetched);
    }

    /// The flight under way, or a new one. `None` while it is too soon after a failure, or without a runtime.
    fn launch(self: &Arc<Self>, state: &mut State, now: Now) -> Option<Flight> {
        if let Some(flight) = state.flight.as_ref().filter(|flight| !flight.is_over()) {
            return Some(flight.clone());
        }
        if now.monotonic < state.not_before {
            return None;
        }
        state.sequence += 1;
        let (this, sequence) = (Arc::clone(self), state.sequence);
        let flight = Flight::start(async move {
            let outcome = match tokio::time::timeout(this.policy.timeout, this.download(sequence)).await {
                Ok(outcome) => outcome,
                Err(_) => Err(Failure::timeout()),
            };
            this.land(sequence, outcome);
        })?;
        state.flight = Some(flight.clone());
        Some(flight)
    }

    fn land(&self, sequence: u64, outcome: Result<Download, Failure>) {
        let now = self.clock.now();
        let mut state = self.state();
        if state.sequence != sequence {
            return;
        }
        match outcome {
            Ok(Download { set, max_age, document }) => {
                self.install(&mut state, set, document, now);
                let longest = self.policy.max_age;
                let shortest = self.policy.cooldown.min(longest);
                state.good_for = max_age.map_or(longest, |age| age.clamp(shortest, longest));
                state.failures = 0;
                state.last_error = None;
                state.not_before = Duration::ZERO;
            }
            Err(failure) => {
                tracing::warn!(
                    target: "oauth_guard",
                    issuer = &*self.issuer,
                    code = failure.code,
                    detail = failure.detail,
                    keys = self.keys.load().len(),
                    "keys could not be fetched"
                );
                state.doubt();
                let backoff =
                    KEY_FIRST_BACKOFF.saturating_mul(1 << state.failures.min(10)).min(self.policy.cooldown);
                let wait =
                    failure.retry_after.unwrap_or_default().min(self.policy.max_age).max(stretched(backoff));
                state.not_before = now.monotonic.saturating_add(wait);
                state.failures = state.failures.saturating_add(1);
                state.last_error = Some(failure.code);
            }
        }
        self.be_quiet(&state, now);
    }

    /// Tells the fast path when to look up again.
    fn be_quiet(&self, state: &State, now: Now) {
        let Some(fetched) = state.fetched else { return };
        let due = self.refresh_at(state).saturating_sub(age(fetched, now));
        let too_old = self.policy.max_stale.saturating_sub(age(fetched, now));
        let quiet = due.max(state.not_before.saturating_sub(now.monotonic)).min(too_old);
        self.quiet_until_monotonic.store(millis(now.monotonic.saturating_add(quiet)), Ordering::Release);
        self.quiet_until_wall.store(millis(now.wall.saturating_add(quiet)), Ordering::Release);
    }

    fn refresh_at(&self, state: &State) -> Duration {
        // In this order, since the product may be more than there is.
        state.good_for.min(self.policy.max_stale) / 5 * 4
    }

    fn wait(&self, state: &State, now: Now) -> Duration {
        state.not_before.saturating_sub(now.monotonic).max(KEY_FIRST_BACKOFF)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The keys may have moved: the next fetch asks the metadata again.
    fn doubt(&mut self) {
        if let Some(found) = &mut self.found {
            found.doubted_from = Duration::ZERO;
        }
    }
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remote")
            .field("issuer", &self.issuer)
            .field("place", &self.place)
            .finish_non_exhaustive()
    }
}

/// Either clock counts: the wall clock can be stepped, and the monotonic one stands still while the machine sleeps.
fn age(since: Now, now: Now) -> Duration {
    now.monotonic.saturating_sub(since.monotonic).max(now.wall.saturating_sub(since.wall))
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Up to a quarter longer, so that many processes do not come back in step; never shorter, since it bounds how often
/// the server is asked.
fn stretched(wait: Duration) -> Duration {
    let share = getrandom::u32().unwrap_or(0) % 256;
    wait.saturating_add(wait / (4 * 255) * share)
}
