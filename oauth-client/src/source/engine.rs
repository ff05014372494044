//! The state that all clones of a source share, and the single-flight refresh.

mod state;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::watch;
use tracing::Instrument;

use super::builder::DEFAULT_LIFETIME;
use super::event::Hook;
use super::family::Family;
use super::ledger::{Held, Ledger};
use super::refresh::{self, RefreshOutcome};
use super::throttle::Throttle;
use super::warm::Warm;
use super::writes::Writes;
use super::{Event, Status, metrics};
use crate::client::Client;
use crate::dialect::ExpiredResponse;
use crate::error::{Error, Kind};
use crate::grant::{Renewal, TokenRequest};
use crate::store::{Lease, Revision, StoreKey, dynamic};
use crate::sync::{AbortHandle, ArcSwapOption, Handle, Mutex, MutexGuard};
use crate::token::{AccessToken, Freshness, TokenSet};

/// For how long after the start a user's token that was read from a store is not replaced ahead of time: a program that
/// runs for a moment would take the new refresh token with it when it ends.
const SETTLED_IN: Duration = Duration::from_secs(60);

/// How long a token of unknown lifetime is used that only a login can replace: to throw it away early costs a person's
/// time, and one that is dead is found out by the first request.
const UNTIL_REFUSED: Duration = Duration::from_secs(365 * 24 * 3600);

/// How many different failures of a broken store are told apart.
const MAX_REPORTED: usize = 8;

pub(crate) struct Engine {
    pub(super) client: Client,
    pub(super) request: TokenRequest,
    pub(super) settings: Settings,
    /// Token requests sent, retries included.
    pub(super) requests: AtomicU64,
    /// Writes to the store that go on in the background.
    pub(super) writes: Writes,
    /// The token in hand. Readers take it from here and touch nothing else.
    hot: ArcSwapOption<AccessToken>,
    state: Mutex<State>,
    /// The failures of the store that were reported since it last worked, and that another try does not mend.
    broken_store: Mutex<Vec<String>>,
    /// The source whose refresh token this one uses.
    pub(super) root: Option<Arc<Self>>,
    /// Which of the root's logins the last refresh was for.
    pub(super) derived_at: AtomicU64,
    /// Those that use this one's.
    pub(super) family: Family,
    /// The task that refreshes ahead of use ends with it.
    pub(super) warm: Mutex<Option<Warm>>,
}

pub(crate) struct Settings {
    pub(super) key: StoreKey,
    pub(super) margin: Duration,
    /// The lifetime of a token of which the server does not say it, where one is configured.
    pub(super) default_lifetime: Option<Duration>,
    pub(super) store: Option<Arc<dyn dynamic::TokenStore>>,
    pub(super) hook: Option<Hook>,
}

/// Held only between awaits, never across one.
pub(super) struct State {
    /// The refresh under way, if any; its sender is gone when it died without a result.
    flight: Option<Flight>,
    /// The task of that refresh.
    task: Option<AbortHandle>,
    /// The lease that a write in the background has kept.
    lease: Weak<Lease>,
    pub(super) ledger: Ledger,
    /// Tokens of a login, to go on with: the next refresh takes them.
    pub(super) login: Option<TokenSet>,
    /// Counts logins and log-outs: what was asked for before one is not handed out after it.
    pub(super) logins: u64,
    /// The token of a login that was born expired and cannot be refreshed: it is good for one use.
    pub(super) for_one_use: Option<AccessToken>,
    failure: Option<Failure>,
    failures: u32,
    /// How often in a row the grant itself was refused where asking again may lock an account.
    rejections: u32,
    throttle: Throttle,
}

/// How a refresh stands, for those who wait for it.
#[derive(Clone)]
pub(super) enum Progress {
    Pending,
    /// Its callers' time is over. It goes on reading the response to what must not be sent again.
    Overdue(Error),
    /// With the [number of logins](Engine::logins) that it counts for.
    Done(Result<AccessToken, Error>, u64),
    /// The place was taken for something else, and is free again; or what it brought is of no use any more.
    Free,
}

pub(super) type Flight = watch::Receiver<Progress>;

/// The place of the one refresh, held so that none starts.
pub(super) struct RefreshSlot {
    pub(super) held: Held,
    pub(super) login: Option<TokenSet>,
    pub(super) flight: Flight,
    /// Once it is dropped, a refresh may start.
    pub(super) place: watch::Sender<Progress>,
}

struct Failure {
    error: Error,
    /// On the monotonic clock.
    not_before: Duration,
}

impl Engine {
    pub(super) fn new(
        client: Client,
        request: TokenRequest,
        settings: Settings,
        login: Option<TokenSet>,
    ) -> Self {
        let state = State {
            flight: None,
            task: None,
            lease: Weak::new(),
            ledger: Ledger::default(),
            login,
            logins: 0,
            for_one_use: None,
            failure: None,
            failures: 0,
            rejections: 0,
            throttle: Throttle::new(client.clock().now().monotonic),
        };
        Self {
            client,
            request,
            settings,
            requests: AtomicU64::new(0),
            writes: Writes::new(),
            hot: ArcSwapOption::empty(),
            state: Mutex::new(state),
            broken_store: Mutex::new(Vec::new()),
            root: None,
            derived_at: AtomicU64::new(0),
            family: Family::default(),
            warm: Mutex::new(None),
        }
    }

    /// A token that is good now.
    pub(super) fn current(self: &Arc<Self>) -> Option<AccessToken> {
        self.lend(|token| token.cloned())
    }

    /// The hot path: lends a token that is good now. Readers share no counter, so that many cores do not contend
    /// for it.
    #[inline]
    pub(super) fn lend<R>(self: &Arc<Self>, to: impl FnOnce(Option<&AccessToken>) -> R) -> R {
        let hot = self.hot.load();
        let Some(token) = hot.as_deref() else { return to(None) };
        match token.freshness(self.client.clock().now()) {
            Freshness::Fresh => to(Some(token)),
            Freshness::Aging => {
                self.start_early();
                to(Some(token))
            }
            Freshness::Expired => to(None),
        }
    }

    pub(super) fn current_of(&self, state: &State) -> Option<AccessToken> {
        if state.login.is_some() {
            return None;
        }
        let token = state.ledger.held.usable()?;
        (token.freshness(self.client.clock().now()) != Freshness::Expired).then(|| token.clone())
    }

    /// Starts a refresh ahead of time. A caller that finds the lock taken leaves it to the holder.
    fn start_early(self: &Arc<Self>) {
        let (Ok(mut state), Ok(runtime)) = (self.state.try_lock(), Handle::try_current()) else { return };
        let now = self.client.clock().now();
        let held = state.ledger.held.usable().filter(|_| state.login.is_none());
        // Another caller's refresh may have come and gone since this one took its token.
        let is_replaced = held.is_some_and(|token| token.freshness(now) == Freshness::Fresh);
        if is_replaced
            || self.is_just_read(&state)
            || state.live_flight().is_some()
            || state.backed_off(now.monotonic).is_some()
        {
            return;
        }
        self.start(&mut state, &runtime);
    }

    /// Whether the token was read from a store by a program that has just started, and its replacement may spend a
    /// user's refresh token.
    fn is_just_read(&self, state: &State) -> bool {
        let held = &state.ledger.held;
        let has_refresh_token = |token: &AccessToken| token.tokens().refresh_token().is_some();
        let may_rotate = || self.root.is_some() || held.token.as_ref().is_some_and(has_refresh_token);
        held.from_store
            && self.request.grant().renewal().needs_a_person()
            && self.client.age() < SETTLED_IN
            && may_rotate()
    }

    /// Starts the one refresh in a task of its own, which no caller can cancel.
    pub(super) fn start(self: &Arc<Self>, state: &mut State, runtime: &Handle) -> Flight {
        let (sender, flight) = watch::channel(Progress::Pending);
        state.flight = Some(flight.clone());
        let own = flight.clone();
        let engine = Arc::clone(self);
        let held = state.ledger.held.clone();
        let (login, logins) = (state.login.clone(), state.logins);
        // Not a child of the caller's span: it outlives the caller, and others wait for it too.
        let (issuer, client_id) = (self.client.server_id(), self.client.auth().client_id());
        let span = tracing::debug_span!(target: "oauth_client", parent: None, "oauth_client.refresh", issuer, client_id);
        span.follows_from(tracing::Span::current());
        let refreshing = async move {
            let began = engine.client.clock().now().monotonic;
            let result = refresh::run(&engine, held, login.clone(), &sender).await;
            metrics::refresh(&engine.client, engine.client.clock().now().monotonic.saturating_sub(began));
            let progress = engine.finish(result, (login, logins), &own);
            // There may be no waiting caller; the token is kept all the same.
            let _ = sender.send(progress);
        };
        state.task = Some(runtime.spawn(refreshing.instrument(span)).abort_handle());
        flight
    }

    /// Applies the result of a refresh that began with this login, when there had been so many; returns it as its callers
    /// get it.
    fn finish(
        &self,
        result: Result<RefreshOutcome, Error>,
        (login, began_at): (Option<TokenSet>, u64),
        flight: &Flight,
    ) -> Progress {
        let mut state = self.state();
        state.flight.take_if(|current| current.same_channel(flight));
        let logins = self.logins(&state);
        // Whether the login is this one's, also where it was reported again meanwhile.
        let is_newest = state.login.is_some() && state.login == login;
        let (result, counts_for) = match &self.root {
            Some(_) if logins != self.derived_at.load(Ordering::Acquire) => {
                (result.and(Err(Error::new(Kind::Interrupted))), logins)
            }
            Some(_) => (result, logins),
            None if is_newest => (result, logins),
            // Its runtime stood still, and another refresh has taken its place and the login.
            None if logins != began_at && state.login.is_none() => return Progress::Free,
            None => (result, began_at),
        };
        let (was_login, mut is_another_login) = (login.is_some(), false);
        // It is kept until here, unless it had to be refreshed: should the task have died, the next one takes it.
        state.login.take_if(|_| is_newest);
        let outcome = result.and_then(|outcome| {
            let RefreshOutcome { tokens, revision, from_store } = outcome;
            let access_token = tokens.access_token().clone();
            let token = state
                .ledger
                .renew(&access_token, (revision, from_store), |generation| self.usable(tokens, generation))?;
            if was_login {
                state.ledger.spend_initial();
            }
            if state.ledger.has_changed_hands() {
                self.family.end();
                is_another_login = !was_login;
            }
            // Not after a login in the meantime: from then on no caller gets the previous token.
            if state.login.is_none() {
                self.hot.store(Some(Arc::new(token.clone())));
            }
            Ok((token, from_store))
        });
        let outcome = match outcome {
            Ok((token, from_store)) => {
                (state.failure, state.failures, state.rejections) = (None, 0, 0);
                drop(state);
                if is_another_login {
                    self.warn_of_another_login();
                }
                // Those of older sets end, and give back the lease.
                self.writes.hurry();
                let generation = token.generation();
                self.emit(if from_store {
                    Event::Adopted { generation }
                } else {
                    Event::Refreshed { generation }
                });
                Ok(token)
            }
            Err(error) => {
                let error = state.back_off(
                    error,
                    self.request.grant().renewal(),
                    self.client.clock().now().monotonic,
                );
                drop(state);
                self.emit(Event::RefreshFailed { error: error.clone() });
                Err(error)
            }
        };
        Progress::Done(outcome, counts_for)
    }

    /// How many logins and log-outs there have been. Those of a derived source are its root's.
    pub(super) fn logins(&self, state: &State) -> u64 {
        self.root.as_ref().map_or(state.logins, |root| root.family.logins())
    }

    /// The callers' time is over, and the refresh goes on without them.
    pub(super) fn overdue(&self, progress: &watch::Sender<Progress>) {
        if !matches!(*progress.borrow(), Progress::Pending) {
            return;
        }
        let mut state = self.state();
        let (renewal, now) = (self.request.grant().renewal(), self.client.clock().now().monotonic);
        let error = state.back_off(Error::new(Kind::Timeout(self.client.timeout())), renewal, now);
        drop(state);
        progress.send_replace(Progress::Overdue(error.clone()));
        self.emit(Event::RefreshFailed { error });
    }

    /// Takes over what another process has left in the store.
    pub(super) fn adopt(&self, tokens: &TokenSet, revision: Revision) -> Result<(), Error> {
        let mut state = self.state();
        let make = |generation| self.usable(tokens.clone(), generation);
        if state.ledger.has_access_token(tokens.access_token()) {
            // Its refresh token is news, and nothing else: one that an API has rejected stays rejected.
            state.ledger.rotate(make);
            state.ledger.persisted(tokens, revision);
            return Ok(());
        }
        let token = state.ledger.renew(tokens.access_token(), (Some(revision), true), make)?;
        let is_another_login = state.ledger.has_changed_hands();
        if is_another_login {
            self.family.end();
        }
        let generation = token.generation();
        if state.login.is_none() {
            self.hot.store(Some(Arc::new(token)));
        }
        drop(state);
        if is_another_login {
            self.warn_of_another_login();
        }
        self.emit(Event::Adopted { generation });
        Ok(())
    }

    /// Has the task of this source's refresh end with that of another one, whose place it has taken.
    pub(super) fn refreshes_in_place_of(&self, other: &Self) {
        let task = self.state().task.clone();
        other.state().task = task;
    }

    /// Drops all tokens, since they are of a login that is over. Another one may bring others.
    pub(super) fn drop_tokens(&self) {
        let mut state = self.state();
        state.ledger.forget(None);
        (state.failure, state.failures) = (None, 0);
        self.hot.store(None);
    }

    /// How long until the token in hand is due for replacement, or the next attempt is allowed.
    pub(super) fn until_refresh(&self) -> Duration {
        let state = self.state();
        let now = self.client.clock().now();
        let failing = state.failure.as_ref().map(|failure| failure.not_before.saturating_sub(now.monotonic));
        match self.current_of(&state) {
            _ if failing.is_some_and(|wait| !wait.is_zero()) => failing.unwrap_or_default(),
            Some(token) => token.fresh_for(now),
            None => Duration::ZERO,
        }
    }

    /// Whether a token is good for longer than this.
    pub(super) fn lives_on(&self, token: &AccessToken, time: Duration) -> bool {
        token.left(self.client.clock().now()) > time
    }

    /// Keeps a lease for the refreshes to come, as long as another holder keeps it alive.
    pub(super) fn keep_lease(&self, lease: Option<&Arc<Lease>>) {
        self.state().lease = lease.map_or_else(Weak::new, Arc::downgrade);
    }

    pub(super) fn kept_lease(&self) -> Option<Arc<Lease>> {
        self.state().lease.upgrade()
    }

    /// Takes the place of a refresh, so that none starts; the one that is under way, if there is one.
    pub(super) fn take_slot(&self) -> Result<RefreshSlot, Flight> {
        let mut state = self.state();
        if let Some(flight) = state.live_flight() {
            return Err(flight);
        }
        let (place, flight) = watch::channel(Progress::Pending);
        state.flight = Some(flight.clone());
        Ok(RefreshSlot { held: state.ledger.held.clone(), login: state.login.clone(), flight, place })
    }

    pub(super) fn free_slot(&self, flight: &Flight) {
        self.state().flight.take_if(|current| current.same_channel(flight));
    }

    /// Forgets all tokens. A person's grant is gone; other grants can be requested again.
    pub(super) fn forget(&self, login: Option<&TokenSet>) {
        let mut state = self.state();
        // A newer one, that came meanwhile, stays.
        state.login.take_if(|current| Some(&*current) == login);
        let person = self.request.grant().renewal() == Renewal::Person;
        let lost = person.then(|| Error::new(Kind::Reauthorization(None)));
        state.ledger.forget(lost);
        state.logins += 1;
        state.for_one_use = None;
        (state.failure, state.failures) = (None, 0);
        self.hot.store(None);
        self.family.end();
    }

    pub(super) fn reject(&self, generation: u64) -> bool {
        let mut state = self.state();
        let held = &state.ledger.held;
        let current = held.token.as_ref().map(AccessToken::generation);
        if current != Some(generation) || held.rejected {
            // Another token is here already, or its replacement is on the way.
            return true;
        }
        if !state.throttle.allows(self.client.clock().now().monotonic) {
            return false;
        }
        state.ledger.held.rejected = true;
        state.for_one_use = None;
        self.hot.store(None);
        drop(state);
        self.emit(Event::Rejected { generation });
        true
    }

    pub(super) fn status(&self) -> Status {
        let mut state = self.state();
        let now = self.client.clock().now();
        let token = state.ledger.held.usable();
        Status {
            generation: token.map(AccessToken::generation),
            age: token.map(|token| now.wall.saturating_sub(token.tokens().issued_at())),
            expires_in: token.map(|token| token.left(now)),
            failures: state.failures,
            last_error: state.failure.as_ref().map(|failure| failure.error.code().to_owned()),
            next_attempt: state
                .failure
                .as_ref()
                .map(|failure| failure.not_before.saturating_sub(now.monotonic)),
            refreshing: state.live_flight().is_some(),
            token_requests: self.requests.load(Ordering::Relaxed),
        }
    }

    /// What it takes in memory, in bytes, roughly.
    pub(super) fn bytes(&self) -> usize {
        size_of::<Self>()
            + self.settings.key.as_str().len()
            + self.hot.load().as_deref().map_or(0, AccessToken::bytes)
    }

    pub(super) fn expired_response(&self) -> &ExpiredResponse {
        &self.client.dialect().expired
    }

    pub(super) fn store_key(&self) -> &StoreKey {
        &self.settings.key
    }

    /// How long before its end this token is replaced: not at all where the grant ends with it.
    fn margin(&self, tokens: &TokenSet) -> Duration {
        let until = tokens.lifetime().map(|lifetime| tokens.issued_at().saturating_add(lifetime));
        match self.request.grant().good_until().zip(until) {
            Some((end, until)) if until >= end => Duration::ZERO,
            _ => self.settings.margin,
        }
    }

    /// How long a token is taken to live when its server does not say.
    pub(super) fn unknown_lifetime(&self, tokens: &TokenSet) -> Duration {
        let ends_in_a_login = self.request.grant().renewal().needs_a_person()
            && tokens.refresh_token().is_none()
            && self.root.is_none();
        self.settings.default_lifetime.unwrap_or(match ends_in_a_login {
            true => UNTIL_REFUSED,
            false => DEFAULT_LIFETIME,
        })
    }

    /// A token set as a usable token of this generation.
    ///
    /// # Errors
    /// When a header cannot carry it.
    pub(super) fn usable(&self, tokens: TokenSet, generation: u64) -> Result<AccessToken, Error> {
        let (now, margin) = (self.client.clock().now(), self.margin(&tokens));
        let (lifetime, prover) = (self.unknown_lifetime(&tokens), self.client.prover());
        AccessToken::new(tokens, generation, now, lifetime, margin, prover)
    }

    /// Takes the token in hand away from all callers.
    pub(super) fn hand_out_nothing(&self) {
        self.hot.store(None);
    }

    /// The source's ledger, locked for this call.
    pub(super) fn ledger<R>(&self, with: impl FnOnce(&mut Ledger) -> R) -> R {
        with(&mut self.state().ledger)
    }

    /// Reports an event to the log, the metrics and the hook. Never called with the state locked: the hook may call back.
    pub(super) fn emit(&self, event: Event) {
        event.log(&self.client);
        metrics::event(&self.client, &event);
        let Some(hook) = &self.settings.hook else { return };
        // A hook is foreign code; the refresh that it watches must not die of it, nor the caller of `reject`.
        if catch_unwind(AssertUnwindSafe(|| hook(&event))).is_err() {
            tracing::error!(target: "oauth_client", "the event hook panicked");
        }
    }

    /// Reports that the store failed: what another try does not mend is reported once, until the store works again.
    pub(super) fn emit_store_failure(&self, error: &Error) {
        let known = !error.is_transient() && {
            let (text, mut reported) = (error.with_causes().to_string(), self.broken_store());
            let known = reported.contains(&text);
            if !known && reported.len() < MAX_REPORTED {
                reported.push(text);
            }
            known
        };
        if !known {
            self.emit(Event::StoreFailed { error: error.clone() });
        }
    }

    /// Reports that a set is in the store.
    pub(super) fn emit_persisted(&self) {
        self.broken_store().clear();
        self.emit(Event::Persisted);
    }

    fn broken_store(&self) -> MutexGuard<'_, Vec<String>> {
        self.broken_store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        // Every change is complete in itself; a panic while it was held has left nothing half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a token had expired when it was issued, by its server's own words, and nothing but a login brings another.
pub(super) fn is_stillborn(tokens: &TokenSet) -> bool {
    tokens.lifetime().is_some_and(|lifetime| lifetime.is_zero()) && tokens.refresh_token().is_none()
}
