//! The state that all clones of a source share, and the single-flight refresh.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tracing::Instrument;

use super::event::Hook;
use super::ledger::{Held, Ledger};
use super::refresh::{self, RefreshOutcome};
use super::throttle::Throttle;
use super::{Event, Status, metrics};
use crate::client::Client;
use crate::dialect::ExpiredResponse;
use crate::error::{Error, Kind};
use crate::grant::{Renewal, TokenRequest};
use crate::retry::after_failures;
use crate::store::{StoreKey, dynamic};
use crate::token::{AccessToken, Freshness, TokenSet};

/// How long a password is held back once it was refused, at first: most servers lock an account after a handful of
/// wrong ones within some minutes.
const LOCKOUT_WAIT: Duration = Duration::from_secs(15 * 60);

/// So many times that at most, after as many rejections in a row: an hour.
const MAX_LOCKOUT_WAITS: u32 = 4;

pub(crate) struct Engine {
    pub(super) client: Client,
    pub(super) request: TokenRequest,
    pub(super) settings: Settings,
    /// Token requests sent, retries included.
    pub(super) requests: AtomicU64,
    /// The token in hand. Readers take it from here and touch nothing else.
    hot: ArcSwapOption<AccessToken>,
    state: Mutex<State>,
}

pub(crate) struct Settings {
    pub(super) key: StoreKey,
    pub(super) margin: Duration,
    pub(super) default_lifetime: Duration,
    pub(super) store: Option<Arc<dyn dynamic::TokenStore>>,
    pub(super) hook: Option<Hook>,
}

/// Held only between awaits, never across one.
struct State {
    /// The refresh under way, if any; its sender is gone when it died without a result.
    flight: Option<Flight>,
    ledger: Ledger,
    /// Tokens of a login, to go on with: the next refresh takes them.
    login: Option<TokenSet>,
    /// The token of a login that was born expired and cannot be refreshed: it is good for one use.
    for_one_use: Option<AccessToken>,
    failure: Option<Failure>,
    failures: u32,
    /// How often in a row the grant itself was refused where asking again may lock an account.
    rejections: u32,
    throttle: Throttle,
}

pub(super) type Flight = watch::Receiver<Option<Result<AccessToken, Error>>>;

/// The place of the one refresh, held so that none starts.
pub(super) struct RefreshSlot {
    pub(super) held: Held,
    pub(super) login: Option<TokenSet>,
    pub(super) flight: Flight,
    /// Once it is dropped, a refresh may start.
    pub(super) place: watch::Sender<Option<Result<AccessToken, Error>>>,
}

struct Failure {
    error: Error,
    /// On the monotonic clock.
    not_before: Duration,
}

/// What a caller without a token does next.
enum Next {
    Return(Result<AccessToken, Error>),
    Wait(Flight),
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
            ledger: Ledger::default(),
            login,
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
            hot: ArcSwapOption::empty(),
            state: Mutex::new(state),
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

    /// Waits for the one refresh, starting it if need be.
    pub(super) async fn wait(self: &Arc<Self>) -> Result<AccessToken, Error> {
        // A refresh that dies without a result (a panic in a store or hook, a runtime shut down) is started anew by
        // the next waiting caller; if it dies every time, that is reported.
        for _ in 0..3 {
            let mut flight = match self.join() {
                Next::Return(result) => return result,
                Next::Wait(flight) => flight,
            };
            if let Some(result) = self.outcome(&mut flight).await {
                return result;
            }
        }
        Err(Error::new(Kind::Interrupted))
    }

    /// Goes on with the tokens of a login.
    pub(super) async fn log_in(self: &Arc<Self>, tokens: TokenSet) -> Result<AccessToken, Error> {
        // Before it takes anything's place.
        let now = self.client.clock().now();
        AccessToken::new(tokens.clone(), 0, now, Duration::ZERO, Duration::ZERO, self.client.prover())?;
        self.client.check_key(&tokens)?;
        {
            let mut state = self.state();
            state.login = Some(tokens);
            state.for_one_use = None;
            (state.failure, state.failures, state.rejections) = (None, 0, 0);
            // From here on no caller gets the previous token.
            self.hot.store(None);
        }
        let engine = Arc::clone(self);
        let taking_up = async move {
            // A refresh that was under way when the login came ends first.
            for _ in 0..3 {
                let result = engine.wait().await;
                let mut state = engine.state();
                if state.login.is_none() {
                    // "expires_in": 0 is what some servers say of a token that never expires. Used once, it shows.
                    let stillborn = result.as_ref().ok().filter(|token| is_stillborn(token.tokens()));
                    state.for_one_use = stillborn.cloned();
                    return result;
                }
            }
            Err(Error::new(Kind::Interrupted))
        };
        match Handle::try_current() {
            // A caller that goes away does not keep it from being stored.
            Ok(runtime) => {
                runtime.spawn(taking_up).await.unwrap_or_else(|_| Err(Error::new(Kind::Interrupted)))
            }
            Err(_) => taking_up.await,
        }
    }

    /// What a refresh ends with; `None` when it died, or hangs in a runtime that is no longer driven.
    pub(super) async fn outcome(&self, flight: &mut Flight) -> Option<Result<AccessToken, Error>> {
        let until_done = async { flight.wait_for(Option::is_some).await.ok()?.clone() };
        if Handle::try_current().is_err() {
            return until_done.await;
        }
        if let Ok(outcome) = tokio::time::timeout(refresh::longest(self), until_done).await {
            return outcome;
        }
        self.state().flight.take_if(|current| current.same_channel(flight));
        None
    }

    fn join(self: &Arc<Self>) -> Next {
        let mut state = self.state();
        if let Some(token) = state.for_one_use.take() {
            return Next::Return(Ok(token));
        }
        // Another caller may have obtained a token while we waited for the lock.
        if let Some(token) = self.current_of(&state) {
            return Next::Return(Ok(token));
        }
        if let Some(flight) = state.live_flight() {
            return Next::Wait(flight);
        }
        let backed_off = state.backed_off(self.client.clock().now().monotonic);
        if let Some(error) = backed_off.filter(|_| state.login.is_none()) {
            return Next::Return(Err(error));
        }
        match Handle::try_current() {
            Ok(runtime) => Next::Wait(self.start(&mut state, &runtime)),
            Err(_) => Next::Return(Err(Error::config(
                "runtime",
                "a token must be fetched, and there is no tokio runtime here; call token() inside one",
            ))),
        }
    }

    fn current_of(&self, state: &State) -> Option<AccessToken> {
        if state.login.is_some() {
            return None;
        }
        let token = state.ledger.held.usable()?;
        (token.freshness(self.client.clock().now()) != Freshness::Expired).then(|| token.clone())
    }

    /// Starts a refresh ahead of time. A caller that finds the lock taken leaves it to the holder.
    fn start_early(self: &Arc<Self>) {
        let (Ok(mut state), Ok(runtime)) = (self.state.try_lock(), Handle::try_current()) else { return };
        let now = self.client.clock().now().monotonic;
        if state.live_flight().is_none() && state.backed_off(now).is_none() {
            self.start(&mut state, &runtime);
        }
    }

    /// Starts the one refresh in a task of its own, which no caller can cancel.
    fn start(self: &Arc<Self>, state: &mut State, runtime: &Handle) -> Flight {
        let (sender, flight) = watch::channel(None);
        state.flight = Some(flight.clone());
        let own = flight.clone();
        let engine = Arc::clone(self);
        let held = state.ledger.held.clone();
        let login = state.login.clone();
        // Not a child of the caller's span: it outlives the caller, and others wait for it too.
        let span = tracing::debug_span!(target: "oauth_client", parent: None, "oauth_client.refresh");
        span.follows_from(tracing::Span::current());
        let refreshing = async move {
            let began = engine.client.clock().now().monotonic;
            let result = refresh::run(&engine, held, login.clone()).await;
            metrics::refresh(engine.client.clock().now().monotonic.saturating_sub(began));
            let outcome = engine.finish(result, login, &own);
            // There may be no waiting caller; the token is kept all the same.
            let _ = sender.send(Some(outcome));
        };
        runtime.spawn(refreshing.instrument(span));
        flight
    }

    /// Applies the result of a refresh.
    fn finish(
        &self,
        result: Result<RefreshOutcome, Error>,
        login: Option<TokenSet>,
        flight: &Flight,
    ) -> Result<AccessToken, Error> {
        let mut state = self.state();
        state.flight.take_if(|current| current.same_channel(flight));
        let was_login = login.is_some();
        if let Some(login) = login {
            // It is kept until here: should the task have died, the next one takes it.
            state.login.take_if(|current| *current == login);
            if result.is_err() {
                // Its refresh token may still be good for another try.
                state.ledger.start_over(|generation| self.usable(login, generation));
            }
        }
        let outcome = result.and_then(|outcome| {
            let RefreshOutcome { tokens, revision, from_store } = outcome;
            let access_token = tokens.access_token().clone();
            let token =
                state.ledger.renew(&access_token, revision, |generation| self.usable(tokens, generation))?;
            if was_login {
                state.ledger.spend_initial();
            }
            // Not after a login in the meantime: from then on no caller gets the previous token.
            if state.login.is_none() {
                self.hot.store(Some(Arc::new(token.clone())));
            }
            Ok((token, from_store))
        });
        match outcome {
            Ok((token, from_store)) => {
                (state.failure, state.failures, state.rejections) = (None, 0, 0);
                drop(state);
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
        }
    }

    /// Takes the place of a refresh, so that none starts; the one that is under way, if there is one.
    pub(super) fn take_slot(&self) -> Result<RefreshSlot, Flight> {
        let mut state = self.state();
        if let Some(flight) = state.live_flight() {
            return Err(flight);
        }
        let (place, flight) = watch::channel(None);
        state.flight = Some(flight.clone());
        Ok(RefreshSlot { held: state.ledger.held.clone(), login: state.login.clone(), flight, place })
    }

    pub(super) fn free_slot(&self, flight: &Flight) {
        self.state().flight.take_if(|current| current.same_channel(flight));
    }

    /// Forgets all tokens. A person's grant is gone; other grants can be requested anew.
    pub(super) fn forget(&self, login: Option<&TokenSet>) {
        let mut state = self.state();
        // A newer one, that came meanwhile, stays.
        state.login.take_if(|current| Some(&*current) == login);
        let person = self.request.grant().renewal() == Renewal::Person;
        let lost = person.then(|| Error::new(Kind::Reauthorization(None)));
        state.ledger.forget(lost);
        state.for_one_use = None;
        (state.failure, state.failures) = (None, 0);
        self.hot.store(None);
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

    /// A token set as a usable token of this generation.
    ///
    /// # Errors
    /// When a header cannot carry it.
    pub(super) fn usable(&self, tokens: TokenSet, generation: u64) -> Result<AccessToken, Error> {
        let (now, margin) = (self.client.clock().now(), self.margin(&tokens));
        let (lifetime, prover) = (self.settings.default_lifetime, self.client.prover());
        AccessToken::new(tokens, generation, now, lifetime, margin, prover)
    }

    /// The source's ledger, locked for this call.
    pub(super) fn ledger<R>(&self, with: impl FnOnce(&mut Ledger) -> R) -> R {
        with(&mut self.state().ledger)
    }

    /// Reports an event to the log, the metrics and the hook. Never called with the state locked: the hook may call back.
    pub(super) fn emit(&self, event: Event) {
        event.log();
        metrics::event(&event);
        let Some(hook) = &self.settings.hook else { return };
        // A hook is foreign code; the refresh that it watches must not die of it, nor the caller of `reject`.
        if catch_unwind(AssertUnwindSafe(|| hook(&event))).is_err() {
            tracing::error!(target: "oauth_client", "the event hook panicked");
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every change is complete in itself; a panic while it was held has left nothing half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a token had expired when it was issued, by its server's own words, and nothing but a login brings another.
pub(super) fn is_stillborn(tokens: &TokenSet) -> bool {
    tokens.lifetime().is_some_and(|lifetime| lifetime.is_zero()) && tokens.refresh_token().is_none()
}

impl State {
    fn live_flight(&mut self) -> Option<Flight> {
        // A flight that died without a result has lost its sender.
        self.flight.take_if(|flight| flight.has_changed().is_err());
        self.flight.clone()
    }

    /// The shared failure, while its time has not come yet.
    fn backed_off(&self, now: Duration) -> Option<Error> {
        let failure = self.failure.as_ref()?;
        let left = failure.not_before.checked_sub(now).filter(|left| !left.is_zero())?;
        Some(failure.error.clone().with_retry_after(Some(left)))
    }

    /// Notes a failure, and until when no request is sent.
    fn back_off(&mut self, error: Error, renewal: Renewal, now: Duration) -> Error {
        self.failures = self.failures.saturating_add(1);
        let careful = renewal == Renewal::AnewWithCare && error.code() == "invalid_grant";
        self.rejections = if careful { self.rejections.saturating_add(1) } else { self.rejections };
        let wait = match error.retry_after().filter(|wait| !wait.is_zero()) {
            _ if careful => LOCKOUT_WAIT.saturating_mul(self.rejections.min(MAX_LOCKOUT_WAITS)),
            Some(wait) => wait,
            None => after_failures(self.failures),
        };
        let error = error.with_retry_after(Some(wait));
        self.failure = Some(Failure { error: error.clone(), not_before: now.saturating_add(wait) });
        error
    }
}
