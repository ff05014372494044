//! Those who wait: for a token, for the end of a refresh, for all that is under way.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use super::engine::{Engine, Flight, Progress, State, is_stillborn};
use super::{alarm, refresh};
use crate::error::{Error, Kind};
use crate::sync::Handle;
use crate::token::{AccessToken, TokenSet};

/// How often a caller waits again: a refresh may die without a result, or a login may come before it ends.
const MAX_ROUNDS: u32 = 5;

/// How many refreshes in a row are waited for by a program that ends, while other callers go on starting them.
const MAX_SETTLED: u32 = 10;

/// What a caller without a token does next.
enum Next {
    Return(Result<AccessToken, Error>),
    Wait(Flight),
    /// Then it looks again.
    WaitForEnd(Flight),
}

impl Engine {
    /// Waits for the one refresh, starting it if need be.
    pub(super) async fn wait(self: &Arc<Self>) -> Result<AccessToken, Error> {
        // A refresh that dies without a result (a panic in a store or hook, a runtime shut down) is started anew by
        // the next waiting caller; if it dies every time, that is reported.
        let mut rounds = 0;
        while rounds < MAX_ROUNDS {
            rounds += 1;
            match self.join() {
                Next::Return(result) => return result,
                Next::Wait(mut flight) => {
                    let outcome = self.outcome(&mut flight).await;
                    // A derived source had its turn: that is no refresh that died.
                    rounds -= u32::from(matches!(*flight.borrow(), Progress::Free));
                    if let Some(result) = outcome {
                        return result;
                    }
                }
                Next::WaitForEnd(mut flight) => self.ended(&mut flight).await,
            }
        }
        Err(Error::new(Kind::Interrupted))
    }

    /// As [`wait`](Self::wait), but no longer than this. What is under way goes on.
    pub(super) async fn wait_within(self: &Arc<Self>, limit: Duration) -> Result<AccessToken, Error> {
        let outcome = self.within(limit, self.wait()).await;
        outcome.unwrap_or_else(|| Err(Error::new(Kind::Timeout(limit))))
    }

    /// Replaces the token in hand, however good it is.
    pub(super) async fn refresh_now(self: &Arc<Self>) -> Result<AccessToken, Error> {
        for _ in 0..MAX_ROUNDS {
            let mut flight = match self.join_or_start() {
                Next::Return(result) => return result,
                Next::Wait(flight) | Next::WaitForEnd(flight) => flight,
            };
            if let Some(result) = self.outcome(&mut flight).await {
                return result;
            }
        }
        Err(Error::new(Kind::Interrupted))
    }

    fn join_or_start(self: &Arc<Self>) -> Next {
        let mut state = self.state();
        let now = self.client.clock().now().monotonic;
        match (state.live_flight(), state.backed_off(now).filter(|_| state.login.is_none())) {
            (Some(flight), _) => Next::Wait(flight),
            (None, Some(error)) => Next::Return(Err(error)),
            (None, None) => match Handle::try_current() {
                Ok(runtime) => Next::Wait(self.start(&mut state, &runtime)),
                Err(_) => Next::Return(Err(no_runtime())),
            },
        }
    }

    /// Goes on with the tokens of a login.
    pub(super) async fn log_in(self: &Arc<Self>, tokens: TokenSet) -> Result<AccessToken, Error> {
        if self.root.is_some() {
            let message =
                "it shares the login of the source that it was derived from; log in there".to_owned();
            return Err(Error::new(Kind::Unsupported(message)));
        }
        let tokens = tokens.taken_over(self.client.clock().now().wall);
        // Before it takes anything's place.
        let now = self.client.clock().now();
        AccessToken::new(tokens.clone(), 0, now, Duration::ZERO, Duration::ZERO, self.client.prover())?;
        self.client.check_key(&tokens)?;
        let own = tokens.access_token().clone();
        {
            let mut state = self.state();
            state.start_login(tokens);
            state.for_one_use = None;
            // From here on no caller gets the previous token.
            self.hand_out_nothing();
            self.family.end();
        }
        let engine = Arc::clone(self);
        // A refresh that was under way when the login came ends first.
        let taking_up = async move {
            let result = engine.wait().await;
            // "expires_in": 0 is what some servers say of a token that never expires. Used once, it shows.
            if let Some(token) = result.as_ref().ok().filter(|token| is_stillborn(token.tokens())) {
                engine.state().grant_one_use(token, &own);
            }
            result
        };
        match Handle::try_current() {
            // A caller that goes away does not keep it from being stored.
            Ok(runtime) => {
                runtime.spawn(taking_up).await.unwrap_or_else(|_| Err(Error::new(Kind::Interrupted)))
            }
            Err(_) => taking_up.await,
        }
    }

    /// What a refresh ends with, or why its callers get no token in time; `None` when it died, or hangs in a runtime
    /// that is no longer driven, and when it is out of date: from a login on no caller gets the previous user's token, however
    /// long they have waited for it, and whether the login has been taken up by now or not.
    async fn outcome(&self, flight: &mut Flight) -> Option<Result<AccessToken, Error>> {
        let until_known = async {
            // A copy: while the channel is borrowed its sender waits, and behind it a caller who has the state locked.
            let known = flight.wait_for(|progress| !matches!(progress, Progress::Pending)).await;
            let progress = known.ok()?.clone();
            let state = self.state();
            match progress {
                Progress::Overdue(error) if state.login.is_none() => Some(Err(error)),
                Progress::Done(result, logins) if logins == self.logins(&state) => Some(result),
                _ => None,
            }
        };
        if let Some(outcome) = self.in_time(until_known).await {
            return outcome;
        }
        self.free_slot(flight);
        None
    }

    /// Waits until a refresh has ended, however.
    pub(super) async fn ended(&self, flight: &mut Flight) {
        let until_ended = async {
            drop(flight.wait_for(|progress| matches!(progress, Progress::Done(..) | Progress::Free)).await);
        };
        if self.in_time(until_ended).await.is_none() {
            self.free_slot(flight);
        }
    }

    /// Waits no longer than a refresh can last: its runtime may stand still.
    async fn in_time<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        self.within(refresh::longest(self), work).await
    }

    /// Waits no longer than this, in whatever runtime.
    async fn within<T>(&self, longest: Duration, work: impl Future<Output = T>) -> Option<T> {
        if Handle::try_current().is_ok() {
            return tokio::time::timeout(longest, work).await.ok();
        }
        tokio::select! {
            biased;
            done = work => Some(done),
            () = alarm::after(Arc::clone(self.client.clock()), longest) => None,
        }
    }

    /// Waits for what is under way: a refresh, and writes to the store.
    pub(super) async fn settle(self: &Arc<Self>) -> Result<(), Error> {
        for _ in 0..MAX_SETTLED {
            let Some(mut flight) = self.underway()? else { break };
            self.ended(&mut flight).await;
        }
        // Writes are tasks of a runtime, and of this one, where a program ends.
        let is_written = Handle::try_current().is_err() || self.writes.settle().await;
        if !is_written || self.has_unwritten_login(&self.state()) {
            let what = "it does not take the last tokens; they are lost when the program ends now";
            tracing::warn!(target: "oauth_client", "{what}");
            return Err(Error::new(Kind::Store { what: what.to_owned(), source: None, permanent: false }));
        }
        Ok(())
    }

    /// The refresh that is under way. A login that none has taken up yet starts one: nothing else would write it.
    fn underway(self: &Arc<Self>) -> Result<Option<Flight>, Error> {
        let mut state = self.state();
        match state.live_flight() {
            None if self.has_unwritten_login(&state) => {
                let runtime = Handle::try_current().map_err(|_| {
                    let message = "a login is to be written to the store, and there is no tokio runtime here; call settle() inside one";
                    Error::config("runtime", message)
                })?;
                Ok(Some(self.start(&mut state, &runtime)))
            }
            flight => Ok(flight),
        }
    }

    fn has_unwritten_login(&self, state: &State) -> bool {
        state.login.is_some() && self.settings.store.is_some()
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
        let now = self.client.clock().now().monotonic;
        if let Some(flight) = state.live_flight() {
            let progress = flight.borrow().clone();
            return match progress {
                Progress::Overdue(_) if state.login.is_some() => {
                    state.abandon();
                    Next::WaitForEnd(flight)
                }
                Progress::Overdue(error) => Next::Return(Err(state.overdue(error, now))),
                _ => Next::Wait(flight),
            };
        }
        if let Some(error) = state.backed_off(now).filter(|_| state.login.is_none()) {
            return Next::Return(Err(error));
        }
        match Handle::try_current() {
            Ok(runtime) => Next::Wait(self.start(&mut state, &runtime)),
            Err(_) => Next::Return(Err(no_runtime())),
        }
    }
}

pub(super) fn no_runtime() -> Error {
    let message = "a token must be fetched, and there is no tokio runtime here; call token() inside one";
    Error::config("runtime", message)
}
