//! Fetched keys, and when they are fetched. The rules, in short:
//!
//! - one fetch at a time, in its own task, shared by all requests that wait;
//! - a set is refreshed at 80 % of its maximum age, and is used meanwhile;
//! - a token with an unknown key id causes a fetch, within a budget of one per cool-down and two at once;
//! - a security event that was polled has a fetch besides, a sixth of a cool-down after the last one of that kind;
//! - when the keys are beyond their maximum age, a request waits for newer ones, one second at most;
//! - after a failed fetch the old keys stay in use, and the next attempt is delayed, longer each time;
//! - the metadata is fetched again every hour for the JWKS URI, and when a key is missing or the set is unavailable;
//! - a response that is not a key set changes nothing; one that is a key set replaces the old one, even if it is empty.

mod fetch;
#[cfg(test)]
mod models;
#[cfg(test)]
mod tests;
mod transfer;

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use oauth_client::clock::{Clock, Now};
use oauth_client::jose::SkippedKey;
use oauth_client::transport::{HttpClient, Limits};
use url::Url;

pub(crate) use self::fetch::must_be_public;
use self::fetch::{Download, Failure};
use super::flight::Flight;
use super::unknown::UnknownKeyBudget;
use super::{Fetching, Freshness, KeyPolicy, KeySet, Probation, log_skipped};
use crate::defaults::{KEY_FIRST_BACKOFF, KEY_PATIENCE};
use crate::jose::Algorithm;
use crate::sync::{Mutex, MutexGuard};
use crate::telemetry::{self, Owner};

/// One issuer's fetched keys.
pub(crate) struct Remote {
    issuer: Box<str>,
    location: JwksLocation,
    algorithms: Box<[Algorithm]>,
    policy: KeyPolicy,
    limits: Limits,
    http: HttpClient,
    /// What `http` brings and trusts for this issuer.
    fetching: Fetching,
    clock: Arc<dyn Clock>,
    /// Of a tenant.
    probation: Option<Arc<Probation>>,
    /// Whether keys may be fetched from private addresses that the configuration does not name.
    allow_private: bool,
    keys: ArcSwap<KeySet>,
    /// Until when no refresh is due, on both clocks, in milliseconds: what the fast path compares with.
    fresh_until_wall: AtomicU64,
    fresh_until_monotonic: AtomicU64,
    state: Mutex<State>,
}

/// Where the key set is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum JwksLocation {
    Discovery,
    Uri(Url),
}

#[derive(Default)]
struct State {
    flight: Option<Flight>,
    /// Counts flights, so that an abandoned one cannot overwrite the result of a later one.
    sequence: u64,
    /// The JWKS URI of the issuer's metadata.
    discovered: Option<DiscoveredUri>,
    /// The broken keys that were logged already.
    reported: Vec<SkippedKey>,
    /// The current set as it was served.
    document: Bytes,
    fetched: Option<Now>,
    /// When the fetch began that brought it, on the monotonic clock.
    began: Option<Duration>,
    /// How long the current set is fresh: the policy's `max_age` or less.
    fresh_for: Duration,
    unknown_keys: UnknownKeyBudget,
    /// When the last fetch for a polled event started, on the monotonic clock.
    fetched_for_event: Option<Duration>,
    failures: u32,
    last_error: Option<String>,
    not_before: Duration,
}

#[derive(Clone)]
struct DiscoveredUri {
    url: Url,
    /// From when on, on the monotonic clock, the metadata is fetched again before the set.
    recheck_from: Duration,
}

/// How a logout token or a security event came.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival {
    /// When, on the monotonic clock.
    pub(crate) at: Duration,
    /// Whether an unknown key may cause a fetch of its own: the transmitter sent it that this guard asks. Any caller can
    /// send the others, and they share the budget of the access tokens.
    pub(crate) may_fetch: bool,
}

/// What to do about a token whose key is not in the set.
pub(crate) enum UnknownKey {
    /// A fetch is under way that may bring it.
    Fetching(Flight),
    /// The issuer's current set does not have it.
    NotFound,
    /// The issuer's set could not be fetched.
    Unavailable(Duration),
}

/// What [`Health`](crate::Health) reports of an issuer's keys.
pub(crate) struct Status {
    pub(crate) age: Option<Duration>,
    pub(crate) stale: bool,
    /// Not too old to validate with.
    pub(crate) usable: bool,
    pub(crate) failures: u32,
    pub(crate) last_error: Option<String>,
}

impl Remote {
    pub(crate) fn new(
        issuer: &str,
        location: JwksLocation,
        algorithms: &[Algorithm],
        policy: &KeyPolicy,
        allow_http: bool,
        http: HttpClient,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let limits =
            Limits { timeout: policy.timeout, max_body: policy.max_bytes, allow_http, public_only: false };
        Self {
            issuer: issuer.into(),
            location,
            algorithms: algorithms.into(),
            policy: policy.clone(),
            limits,
            http,
            fetching: Fetching::default(),
            clock,
            probation: None,
            allow_private: false,
            keys: ArcSwap::default(),
            fresh_until_wall: AtomicU64::new(0),
            fresh_until_monotonic: AtomicU64::new(0),
            state: Mutex::default(),
        }
    }

    pub(crate) fn on_probation(self, probation: Option<Arc<Probation>>) -> Self {
        Self { probation, ..self }
    }

    pub(crate) fn allow_private(self, allow_private: bool) -> Self {
        Self { allow_private, ..self }
    }

    pub(crate) fn fetching(self, fetching: Fetching) -> Self {
        Self { fetching, ..self }
    }

    pub(crate) fn current(&self) -> arc_swap::Guard<Arc<KeySet>> {
        self.keys.load()
    }

    pub(crate) fn freshness(self: &Arc<Self>, now: Now) -> Freshness {
        let is_fresh = millis(now.monotonic) < self.fresh_until_monotonic.load(Ordering::Acquire)
            && millis(now.wall) < self.fresh_until_wall.load(Ordering::Acquire);
        if is_fresh { Freshness::Fresh } else { self.refresh_if_due(now) }
    }

    /// The slow path: a refresh may be due, or there are no keys yet.
    fn refresh_if_due(self: &Arc<Self>, now: Now) -> Freshness {
        let mut state = self.state();
        let freshness = self.freshness_of(&state, now);
        let age = state.fetched.map_or(Duration::MAX, |fetched| age(fetched, now));
        if freshness == Freshness::Fresh && age >= self.refresh_at(&state) {
            self.launch(&mut state, now);
            // No more checks for a moment; the landing sets the next time.
            let moment = Duration::from_secs(1).min(self.policy.max_stale.saturating_sub(age));
            self.fresh_until_monotonic.store(millis(now.monotonic.saturating_add(moment)), Ordering::Release);
            self.fresh_until_wall.store(millis(now.wall.saturating_add(moment)), Ordering::Release);
        }
        freshness
    }

    /// Whether the keys may be used as they are, whatever is due.
    fn freshness_of(&self, state: &State, now: Now) -> Freshness {
        let age = state.fetched.map(|fetched| age(fetched, now));
        let Some(age) = age.filter(|age| *age < self.policy.max_stale) else { return Freshness::Missing };
        // Waiting for newer keys is right for a moment; while the server fails or hangs, it would delay every request.
        let is_slow = state.under_way(now).is_some_and(|flight| flight.age(now.monotonic) >= KEY_PATIENCE);
        let overdue = age >= state.fresh_for && state.failures == 0 && !is_slow;
        if overdue { Freshness::Overdue } else { Freshness::Fresh }
    }

    /// A fetch because there are no usable keys: the one under way, or a new one. The error is the time to wait.
    pub(crate) fn fetch(self: &Arc<Self>, now: Now) -> Result<Flight, Duration> {
        let mut state = self.state();
        // One may have come and gone since the caller looked.
        if self.freshness_of(&state, now) == Freshness::Fresh {
            return Ok(Flight::over());
        }
        self.launch(&mut state, now).ok_or_else(|| self.retry_after(&state, now))
    }

    /// Starts the fetch that a request would wait for. `None` if none is due, or none may start yet.
    pub(crate) fn fetch_if_due(self: &Arc<Self>, now: Now) -> Option<Flight> {
        match self.freshness(now) {
            Freshness::Fresh => None,
            Freshness::Overdue | Freshness::Missing => self.fetch(now).ok(),
        }
    }

    /// A token names a key that is not in the set.
    pub(crate) fn unknown_key(self: &Arc<Self>, key_id: Option<&str>, now: Now) -> UnknownKey {
        let mut state = self.state();
        if let Some(flight) = state.under_way(now) {
            return UnknownKey::Fetching(flight.clone());
        }
        let cooldown = self.policy.cooldown;
        let is_allowed = state.unknown_keys.allows(key_id, now.monotonic, cooldown);
        if !is_allowed || now.monotonic < state.not_before {
            return if state.failures == 0 {
                UnknownKey::NotFound
            } else {
                UnknownKey::Unavailable(self.retry_after(&state, now))
            };
        }
        state.recheck();
        match self.launch(&mut state, now) {
            Some(flight) => {
                state.unknown_keys.spend(key_id, now.monotonic, cooldown);
                UnknownKey::Fetching(flight)
            }
            None => UnknownKey::Unavailable(self.retry_after(&state, now)),
        }
    }

    /// A logout token or a security event names a key that is not in the set. A final response loses the revocation, so
    /// only a fetch that began after the statement came says that there is no such key.
    pub(crate) fn unknown_key_of(
        self: &Arc<Self>,
        arrival: Arrival,
        key_id: Option<&str>,
        now: Now,
    ) -> UnknownKey {
        let mut state = self.state();
        if state.began.is_some_and(|began| began >= arrival.at) {
            return UnknownKey::NotFound;
        }
        if arrival.may_fetch {
            if let Some(flight) = state.under_way(now) {
                return UnknownKey::Fetching(flight.clone());
            }
            let between = self.policy.cooldown / 6;
            let since = state.fetched_for_event.map(|last| now.monotonic.saturating_sub(last));
            if let Some(since) = since.filter(|since| *since < between) {
                return UnknownKey::Unavailable(between.saturating_sub(since));
            }
            state.recheck();
            return match self.launch_for(&mut state, true, now) {
                Some(flight) => {
                    state.fetched_for_event = Some(now.monotonic);
                    UnknownKey::Fetching(flight)
                }
                None => UnknownKey::Unavailable(self.retry_after(&state, now)),
            };
        }
        drop(state);
        match self.unknown_key(key_id, now) {
            UnknownKey::NotFound => UnknownKey::Unavailable(self.unknown_key_pause(now)),
            other => other,
        }
    }

    /// How long until an unknown key may cause a fetch.
    fn unknown_key_pause(&self, now: Now) -> Duration {
        let state = self.state();
        let pause = state.unknown_keys.pause(now.monotonic, self.policy.cooldown);
        pause.max(state.not_before.saturating_sub(now.monotonic))
    }

    /// Whether the last fetch failed, and then how long until the next one may start.
    pub(crate) fn outage(&self, now: Now) -> Option<Duration> {
        let state = self.state();
        (state.failures > 0 || state.fetched.is_none()).then(|| self.retry_after(&state, now))
    }

    pub(crate) fn status(&self, now: Now) -> Status {
        let state = self.state();
        let age = state.fetched.map(|fetched| age(fetched, now));
        Status {
            age,
            usable: age.is_some_and(|age| age < self.policy.max_stale),
            stale: age.is_none_or(|age| age >= state.fresh_for),
            failures: state.failures,
            last_error: state.last_error.clone(),
        }
    }

    fn install(&self, state: &mut State, mut set: KeySet, document: Bytes, fetched: Now) {
        log_skipped(&set, &self.issuer, &mut state.reported);
        set.succeed(&self.keys.load());
        tracing::debug!(target: "oauth_guard", issuer = &*self.issuer, keys = set.len(), "keys updated");
        self.keys.store(Arc::new(set));
        state.document = document;
        state.fetched = Some(fetched);
    }

    /// The flight under way, or a new one. `None` while it is too soon after a failure, without a tokio runtime, and
    /// for a tenant on probation while there is no budget.
    fn launch(self: &Arc<Self>, state: &mut State, now: Now) -> Option<Flight> {
        self.launch_for(state, false, now)
    }

    /// As [`Self::launch`]. `is_trusted`: not for what any caller can send, so that no budget is asked.
    fn launch_for(self: &Arc<Self>, state: &mut State, is_trusted: bool, now: Now) -> Option<Flight> {
        if let Some(flight) = state.under_way(now) {
            return Some(flight.clone());
        }
        let may_fetch = || self.probation.as_ref().is_none_or(|probation| probation.may_fetch(now.monotonic));
        if now.monotonic < state.not_before || !(is_trusted || may_fetch()) {
            return None;
        }
        state.sequence += 1;
        let (this, sequence) = (Arc::clone(self), state.sequence);
        let flight = Flight::start(now.monotonic, self.policy.timeout, async move {
            let landing = Landing { remote: &this, sequence, outcome: None };
            let outcome = match tokio::time::timeout(this.policy.timeout, this.download(sequence)).await {
                Ok(outcome) => outcome,
                Err(_) => Err(Failure::timeout()),
            };
            landing.with(outcome);
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
        let owner = Owner { issuer: &self.issuer, is_resolved: self.probation.is_some() };
        telemetry::keys_fetched(owner, outcome.as_ref().err().map(|failure| &*failure.code), now.wall);
        match outcome {
            Ok(Download { set, max_age, document }) => {
                self.install(&mut state, set, document, now);
                state.began = state.flight.as_ref().map(Flight::started);
                let longest = self.policy.max_age;
                let shortest = self.policy.cooldown.min(longest);
                state.fresh_for = max_age.map_or(longest, |age| age.clamp(shortest, longest));
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
                state.recheck();
                let backoff =
                    KEY_FIRST_BACKOFF.saturating_mul(1 << state.failures.min(10)).min(self.policy.cooldown);
                let wait = failure
                    .retry_after
                    .unwrap_or_default()
                    .min(self.policy.max_age)
                    .max(with_jitter(backoff));
                state.not_before = now.monotonic.saturating_add(wait);
                state.failures = state.failures.saturating_add(1);
                state.last_error = Some(failure.code);
            }
        }
        self.update_fresh_until(&state, now);
    }

    /// Sets the time at which the fast path checks again.
    fn update_fresh_until(&self, state: &State, now: Now) {
        let Some(fetched) = state.fetched else { return };
        let due = self.refresh_at(state).saturating_sub(age(fetched, now));
        let too_old = self.policy.max_stale.saturating_sub(age(fetched, now));
        let fresh = due.max(state.not_before.saturating_sub(now.monotonic)).min(too_old);
        self.fresh_until_monotonic.store(millis(now.monotonic.saturating_add(fresh)), Ordering::Release);
        self.fresh_until_wall.store(millis(now.wall.saturating_add(fresh)), Ordering::Release);
    }

    fn refresh_at(&self, state: &State) -> Duration {
        // Divides first: the product may overflow.
        state.fresh_for.min(self.policy.max_stale) / 5 * 4
    }

    fn retry_after(&self, state: &State, now: Now) -> Duration {
        state.not_before.saturating_sub(now.monotonic).max(KEY_FIRST_BACKOFF)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The end of a fetch, also by a panic of the transport: without a failure on record it would be tried again at once.
struct Landing<'a> {
    remote: &'a Remote,
    sequence: u64,
    outcome: Option<Result<Download, Failure>>,
}

impl Landing<'_> {
    fn with(mut self, outcome: Result<Download, Failure>) {
        self.outcome = Some(outcome);
    }
}

impl Drop for Landing<'_> {
    fn drop(&mut self) {
        // A task that is dropped with its runtime has no outcome; the next request starts another fetch.
        let panicked = || std::thread::panicking().then(|| Err(Failure::panic()));
        if let Some(outcome) = self.outcome.take().or_else(panicked) {
            self.remote.land(self.sequence, outcome);
        }
    }
}

impl State {
    fn under_way(&self, now: Now) -> Option<&Flight> {
        self.flight.as_ref().filter(|flight| !flight.is_over(now.monotonic))
    }

    /// The JWKS URI may have changed: the next fetch reads the metadata again.
    fn recheck(&mut self) {
        if let Some(discovered) = &mut self.discovered {
            discovered.recheck_from = Duration::ZERO;
        }
    }
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remote")
            .field("issuer", &self.issuer)
            .field("location", &self.location)
            .finish_non_exhaustive()
    }
}

/// The larger of both clocks' ages: the wall clock can be stepped, and the monotonic clock stops while the machine sleeps.
fn age(since: Now, now: Now) -> Duration {
    now.monotonic.saturating_sub(since.monotonic).max(now.wall.saturating_sub(since.wall))
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Up to a quarter longer, so that many processes do not retry in step; never shorter, since it bounds the request rate.
fn with_jitter(wait: Duration) -> Duration {
    let share = getrandom::u32().unwrap_or(0) % 256;
    wait.saturating_add(wait / (4 * 255) * share)
}
