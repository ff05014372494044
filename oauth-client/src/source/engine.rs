//! The state that all clones of a source share, and the single flight.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tracing::Instrument;

use super::builder::Hook;
use super::refresh::{self, Obtained};
use super::storm::StormBound;
use super::{Event, Status, measure};
use crate::client::Client;
use crate::dialect::ExpiredAnswer;
use crate::error::{Error, Kind};
use crate::grant::{Renewal, TokenRequest};
use crate::retry::after_failures;
use crate::store::{Revision, StoreKey, dynamic};
use crate::token::{AccessToken, Freshness, Secret, TokenSet};

/// How long a password is held back once it was refused, at first: most servers lock an account after a handful of
/// wrong ones within some minutes.
const CAREFUL_WAIT: Duration = Duration::from_secs(15 * 60);

/// So many times that at most, after as many refusals in a row: an hour.
const MAX_CAREFUL_WAITS: u32 = 4;

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
    past: Past,
    /// Tokens of a login, to go on with: the next refresh takes them.
    login: Option<TokenSet>,
    failure: Option<Failure>,
    failures: u32,
    /// How often in a row the grant itself was refused where asking again may lock an account.
    refusals: u32,
    generations: u64,
    storm: StormBound,
}

pub(super) type Flight = watch::Receiver<Option<Result<AccessToken, Error>>>;

/// What somebody has who works in the place of a refresh.
pub(super) struct Claim {
    pub(super) past: Past,
    pub(super) login: Option<TokenSet>,
    pub(super) flight: Flight,
    /// Once it is dropped, a refresh may start.
    pub(super) place: watch::Sender<Option<Result<AccessToken, Error>>>,
}

/// What a refresh starts from.
#[derive(Clone, Default)]
pub(super) struct Past {
    /// The last token had, be it expired or refused: its refresh token is still good.
    pub(super) token: Option<AccessToken>,
    /// Whether an API refused it, so that finding it in the store is no news.
    pub(super) rejected: bool,
    /// The store's revision that it was written under or read from.
    pub(super) revision: Option<Revision>,
    /// The refresh tokens that the server has refused since it last gave one: to send one again looks like theft.
    pub(super) refused: Vec<Secret>,
    /// Whether the refresh token that the grant starts from has been used: from then on it lives on in `token`, or in
    /// whatever the server gave in its place.
    pub(super) given_is_used: bool,
    /// The grant was lost, and nothing but a newer entry in the store helps.
    pub(super) lost: Option<Error>,
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
            past: Past::default(),
            login,
            failure: None,
            failures: 0,
            refusals: 0,
            generations: 0,
            storm: StormBound::new(client.clock().now().monotonic),
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

    /// The hot path: lends a token that is good now. Nobody counts who looks at it, so that many cores do not take turns
    /// at one counter.
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
        // A refresh that dies without a result (a panic in a store or hook, a runtime shut down) is started anew, by
        // whoever waits; if it dies every time, that is told.
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
            (state.failure, state.failures, state.refusals) = (None, 0, 0);
            // From here on nobody gets the token of before.
            self.hot.store(None);
        }
        let engine = Arc::clone(self);
        let taking_up = async move {
            // A refresh that was under way when the login came ends first.
            for _ in 0..3 {
                let result = engine.wait().await;
                if engine.state().login.is_none() {
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

    /// What a refresh ends with; `None` when it died, or hangs in a runtime that nobody drives any more.
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
        // Somebody may have brought a token while we were waiting for the lock.
        if let Some(token) = self.current_of(&state) {
            return Next::Return(Ok(token));
        }
        if let Some(flight) = state.live_flight() {
            return Next::Wait(flight);
        }
        let held_back = state.held_back(self.client.clock().now().monotonic);
        if let Some(error) = held_back.filter(|_| state.login.is_none()) {
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
        let token = state.past.token.as_ref().filter(|_| !state.past.rejected)?;
        (token.freshness(self.client.clock().now()) != Freshness::Expired).then(|| token.clone())
    }

    /// Starts a refresh ahead of time. Whoever finds the lock taken leaves it to the one who holds it.
    fn start_early(self: &Arc<Self>) {
        let (Ok(mut state), Ok(runtime)) = (self.state.try_lock(), Handle::try_current()) else { return };
        let now = self.client.clock().now().monotonic;
        if state.live_flight().is_none() && state.held_back(now).is_none() {
            self.start(&mut state, &runtime);
        }
    }

    /// Starts the one refresh in a task of its own, which no caller can cancel.
    fn start(self: &Arc<Self>, state: &mut State, runtime: &Handle) -> Flight {
        let (tell, flight) = watch::channel(None);
        state.flight = Some(flight.clone());
        let own = flight.clone();
        let engine = Arc::clone(self);
        let past = state.past.clone();
        let login = state.login.clone();
        // Not a child of the caller's span: it outlives the caller, and others wait for it too.
        let span = tracing::debug_span!(target: "oauth_client", parent: None, "oauth_client.refresh");
        span.follows_from(tracing::Span::current());
        let refreshing = async move {
            let began = engine.client.clock().now().monotonic;
            let obtained = refresh::run(&engine, past, login.clone()).await;
            measure::refresh(engine.client.clock().now().monotonic.saturating_sub(began));
            let outcome = engine.finish(obtained, login, &own);
            // Nobody may be waiting; the token is in hand all the same.
            let _ = tell.send(Some(outcome));
        };
        runtime.spawn(refreshing.instrument(span));
        flight
    }

    /// Takes in what a refresh brought.
    fn finish(
        &self,
        obtained: Result<Obtained, Error>,
        login: Option<TokenSet>,
        flight: &Flight,
    ) -> Result<AccessToken, Error> {
        let mut state = self.state();
        state.flight.take_if(|current| current.same_channel(flight));
        let was_login = login.is_some();
        if let Some(login) = login {
            // It is kept until here: should the task have died, the next one takes it.
            state.login.take_if(|current| *current == login);
            if obtained.is_err() {
                // Its refresh token may still be good for another try.
                self.start_over(&mut state, login);
            }
        }
        let outcome = obtained.and_then(|obtained| {
            let Obtained { tokens, revision, from_store } = obtained;
            let same = state.past.token.as_ref().is_some_and(|past| past.secret() == tokens.access_token());
            let generation = if same { state.generations } else { state.generations + 1 };
            let margin = self.margin(&tokens);
            let now = self.client.clock().now();
            let (lifetime, prover) = (self.settings.default_lifetime, self.client.prover());
            let token = AccessToken::new(tokens, generation, now, lifetime, margin, prover)?;
            state.generations = generation;
            state.past = Past {
                token: Some(token.clone()),
                rejected: false,
                revision,
                refused: Vec::new(),
                given_is_used: state.past.given_is_used || was_login,
                lost: None,
            };
            // Not where somebody has logged in meanwhile: from then on nobody gets the token of before.
            if state.login.is_none() {
                self.hot.store(Some(Arc::new(token.clone())));
            }
            Ok((token, from_store))
        });
        match outcome {
            Ok((token, from_store)) => {
                (state.failure, state.failures, state.refusals) = (None, 0, 0);
                drop(state);
                let generation = token.generation();
                self.tell(if from_store {
                    Event::Adopted { generation }
                } else {
                    Event::Refreshed { generation }
                });
                Ok(token)
            }
            Err(error) => {
                let error = state.hold_back(
                    error,
                    self.request.grant().renewal(),
                    self.client.clock().now().monotonic,
                );
                drop(state);
                self.tell(Event::RefreshFailed { error: error.clone() });
                Err(error)
            }
        }
    }

    /// Puts an expired login in the place of the token that was had last.
    fn start_over(&self, state: &mut State, login: TokenSet) {
        let Settings { default_lifetime, margin, .. } = self.settings;
        let generation = state.generations + 1;
        let (now, prover) = (self.client.clock().now(), self.client.prover());
        if let Ok(token) = AccessToken::new(login, generation, now, default_lifetime, margin, prover) {
            state.generations = generation;
            (state.past.token, state.past.rejected, state.past.given_is_used) = (Some(token), false, true);
        }
    }

    /// Takes the place of a refresh, so that none starts; the one that is under way, if there is one.
    pub(super) fn claim_flight(&self) -> Result<Claim, Flight> {
        let mut state = self.state();
        if let Some(flight) = state.live_flight() {
            return Err(flight);
        }
        let (place, flight) = watch::channel(None);
        state.flight = Some(flight.clone());
        Ok(Claim { past: state.past.clone(), login: state.login.clone(), flight, place })
    }

    pub(super) fn end_flight(&self, flight: &Flight) {
        self.state().flight.take_if(|current| current.same_channel(flight));
    }

    /// Forgets all that was had. What a person granted is gone; other grants can be asked for anew.
    pub(super) fn forget(&self, login: Option<&TokenSet>) {
        let mut state = self.state();
        // A newer one, that came meanwhile, stays.
        state.login.take_if(|current| Some(&*current) == login);
        let person = self.request.grant().renewal() == Renewal::Person;
        let lost = person.then(|| Error::new(Kind::Reauthorization(None)));
        state.past = Past { given_is_used: true, lost, ..Past::default() };
        (state.failure, state.failures) = (None, 0);
        self.hot.store(None);
    }

    pub(super) fn reject(&self, generation: u64) -> bool {
        let mut state = self.state();
        let current = state.past.token.as_ref().map(AccessToken::generation);
        if current != Some(generation) || state.past.rejected {
            // Another token is here already, or its replacement is on the way.
            return true;
        }
        if !state.storm.allows(self.client.clock().now().monotonic) {
            return false;
        }
        state.past.rejected = true;
        self.hot.store(None);
        drop(state);
        self.tell(Event::Rejected { generation });
        true
    }

    pub(super) fn status(&self) -> Status {
        let mut state = self.state();
        let now = self.client.clock().now();
        let token = state.past.token.as_ref().filter(|_| !state.past.rejected);
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

    pub(super) fn expired_answer(&self) -> &ExpiredAnswer {
        &self.client.dialect().expired
    }

    pub(super) fn store_key(&self) -> &StoreKey {
        &self.settings.key
    }

    /// How long before its end this token is replaced: not at all where the grant ends with it.
    pub(super) fn margin(&self, tokens: &TokenSet) -> Duration {
        let until = tokens.lifetime().map(|lifetime| tokens.issued_at().saturating_add(lifetime));
        match self.request.grant().good_until().zip(until) {
            Some((end, until)) if until >= end => Duration::ZERO,
            _ => self.settings.margin,
        }
    }

    /// Notes that a lost grant was given up, so that it is not asked for again.
    pub(super) fn give_up(&self, error: &Error) {
        self.state().past.lost = Some(error.clone());
    }

    /// Notes that the server refused a refresh token, so that it is not sent again.
    pub(super) fn refused(&self, token: &Secret) {
        let refused = &mut self.state().past.refused;
        if !refused.contains(token) {
            refused.push(token.clone());
        }
    }

    /// Notes that the refresh token which the grant starts from has been used.
    pub(super) fn given_is_used(&self) {
        self.state().past.given_is_used = true;
    }

    /// Notes a refresh token that took the place of the one in hand, while the access token stays what it was.
    pub(super) fn rotated(&self, tokens: &TokenSet) {
        let mut state = self.state();
        let generation = state.past.token.as_ref().map_or(state.generations, AccessToken::generation);
        let (now, lifetime) = (self.client.clock().now(), self.settings.default_lifetime);
        let margin = self.margin(tokens);
        let token = AccessToken::new(tokens.clone(), generation, now, lifetime, margin, self.client.prover());
        if let Ok(token) = token {
            state.past.token = Some(token);
        }
    }

    /// Notes that the token in hand is in the store by now, unless another has taken its place.
    pub(super) fn persisted(&self, token: &Secret, revision: Revision) {
        let mut state = self.state();
        if state.past.token.as_ref().is_some_and(|held| held.secret() == token) {
            state.past.revision = Some(revision);
        }
    }

    /// Whether this is still the token in hand.
    pub(super) fn holds(&self, token: &Secret) -> bool {
        self.state().past.token.as_ref().is_some_and(|held| held.secret() == token)
    }

    /// Tells the log and the hook. Never called with the state locked: the hook may call back.
    pub(super) fn tell(&self, event: Event) {
        event.log();
        measure::event(&event);
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

impl State {
    fn live_flight(&mut self) -> Option<Flight> {
        // A flight that died without a result has lost its sender.
        self.flight.take_if(|flight| flight.has_changed().is_err());
        self.flight.clone()
    }

    /// The shared failure, while its time has not come yet.
    fn held_back(&self, now: Duration) -> Option<Error> {
        let failure = self.failure.as_ref()?;
        let left = failure.not_before.checked_sub(now).filter(|left| !left.is_zero())?;
        Some(failure.error.clone().with_retry_after(Some(left)))
    }

    /// Notes a failure, and until when the server is left in peace.
    fn hold_back(&mut self, error: Error, renewal: Renewal, now: Duration) -> Error {
        self.failures = self.failures.saturating_add(1);
        let careful = renewal == Renewal::AnewWithCare && error.code() == "invalid_grant";
        self.refusals = if careful { self.refusals.saturating_add(1) } else { self.refusals };
        let wait = match error.retry_after().filter(|wait| !wait.is_zero()) {
            _ if careful => CAREFUL_WAIT.saturating_mul(self.refusals.min(MAX_CAREFUL_WAITS)),
            Some(wait) => wait,
            None => after_failures(self.failures),
        };
        let error = error.with_retry_after(Some(wait));
        self.failure = Some(Failure { error: error.clone(), not_before: now.saturating_add(wait) });
        error
    }
}
