//! One question for each token, however many callers have it: those that come while it is under way wait for its outcome.

use std::future::{Future, poll_fn};
use std::panic::{self, AssertUnwindSafe};
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use oauth_client::Secret;
use oauth_client::clock::Now;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::coop::unconstrained;
use tokio::time::{Instant, sleep_until};

use super::introspector::{Introspector, Settled};
use crate::cache::Digest;
use crate::defaults::INTROSPECTION_FIRST_PAUSE;
use crate::issuer::IssuerState;
use crate::sync::within;
use crate::telemetry::Owner;
use crate::validate::ClaimSet;

/// A year.
const LONGEST_WAIT: Duration = Duration::from_secs(365 * 86_400);

/// What a question came to, and what was made of a response about an active token.
pub(crate) type Answer<R> = (Settled, Option<R>);

/// A question under way, as those see it that wait for it.
#[derive(Default)]
pub(super) struct Flight {
    /// `None` within: it ended without an outcome, as with its runtime.
    outcome: OnceLock<Option<Settled>>,
    landed: Notify,
}

impl Flight {
    pub(super) fn is_under_way(&self) -> bool {
        self.outcome.get().is_none()
    }

    fn land(&self, outcome: Option<Settled>) {
        // The first one counts: what is dropped after it has landed has nothing to add.
        let _ = self.outcome.set(outcome);
        self.landed.notify_waiters();
    }

    async fn landed(&self) -> Option<Settled> {
        // Before the look: what lands after it is not missed.
        let landed = self.landed.notified();
        if self.is_under_way() {
            landed.await;
        }
        self.outcome.get().cloned().flatten()
    }
}

/// What became of a wish to ask.
enum Boarded<R> {
    /// Another question has brought it since the caller looked.
    Known(Answer<R>),
    Joined(Arc<Flight>),
    Begun(Arc<Flight>, Landing, Handle),
}

impl Introspector {
    /// Asks, or joins the question about the same token that is under way. It goes on when a caller is dropped. What
    /// `on_active` returns gets the response about an active token before any caller does, so that the cache knows it when
    /// the question is no longer under way; the caller that asked gets what it made of it, if the response came at once.
    ///
    /// `learnt` looks for what the cache has. It is called where a question would begin, and then no other one about the token
    /// is under way: so one token is one question, however long each caller has waited before it came here.
    pub(crate) async fn ask<F, R>(
        self: &Arc<Self>,
        token: &Secret,
        digest: Digest,
        issuer: &Arc<IssuerState>,
        on_active: impl Fn() -> F,
        learnt: impl Fn(Now) -> Option<R>,
    ) -> Answer<R>
    where
        F: FnOnce(&Arc<IssuerState>, &ClaimSet<'_>, &str) -> R + Send + 'static,
        R: Send + 'static,
    {
        // A question that ends with its runtime is asked once more.
        for _ in 0..2 {
            let flight = match self.board(digest, &learnt) {
                Err(retry_after) => return (Settled::Unavailable(retry_after), None),
                Ok(Boarded::Known(answer)) => return answer,
                Ok(Boarded::Joined(flight)) => flight,
                Ok(Boarded::Begun(flight, landing, runtime)) => {
                    let asking = landing.ask(token.clone(), Arc::clone(issuer), on_active());
                    if let Some(answer) = begin(Box::pin(asking), &runtime).await {
                        return answer;
                    }
                    flight
                }
            };
            // A runtime that nothing drives any more must not hold up the callers of others.
            let most = self.timeout.saturating_add(INTROSPECTION_FIRST_PAUSE);
            match within(most, flight.landed()).await {
                Some(Some(settled)) => return (settled, None),
                Some(None) => {}
                None => self.forget(digest, &flight),
            }
        }
        (Settled::Unavailable(INTROSPECTION_FIRST_PAUSE), None)
    }

    fn board<R>(
        self: &Arc<Self>,
        digest: Digest,
        learnt: &impl Fn(Now) -> Option<R>,
    ) -> Result<Boarded<R>, Duration> {
        let mut flights = self.flights();
        if let Some(flight) = flights.get(&digest).filter(|flight| flight.is_under_way()) {
            return Ok(Boarded::Joined(Arc::clone(flight)));
        }
        // A question that has ended left its outcome before it left the list.
        let now = self.clock.now();
        if let Some(known) = learnt(now) {
            return Ok(Boarded::Known((Settled::Active(Bytes::new()), Some(known))));
        }
        if let Some(settled) = self.known(digest, now) {
            return Ok(Boarded::Known((settled, None)));
        }
        if flights.len() >= self.most_flights {
            return Err(INTROSPECTION_FIRST_PAUSE);
        }
        let runtime = Handle::try_current().map_err(|_| INTROSPECTION_FIRST_PAUSE)?;
        let round = self.admit()?;
        let flight = Arc::<Flight>::default();
        flights.insert(digest, Arc::clone(&flight));
        drop(flights);
        let landing = Landing {
            introspector: Arc::clone(self),
            digest,
            flight: Arc::clone(&flight),
            admitted: Admitted { round, reported: false },
        };
        Ok(Boarded::Begun(flight, landing, runtime))
    }

    fn forget(&self, digest: Digest, flight: &Arc<Flight>) {
        let mut flights = self.flights();
        if flights.get(&digest).is_some_and(|current| Arc::ptr_eq(current, flight)) {
            flights.remove(&digest);
        }
    }
}

/// Begins a question in place, which saves the way through the scheduler before it is sent, and all of it if the response is
/// there at once. Where it has to wait, it goes on in a task of its own. Returns the outcome if it has ended with one.
async fn begin<R: Send + 'static>(
    mut asking: Pin<Box<impl Future<Output = Answer<R>> + Send + 'static>>,
    runtime: &Handle,
) -> Option<Answer<R>> {
    // As a task would: a transport that panics does not take the caller's request with it.
    let first = poll_fn(|context| {
        Poll::Ready(panic::catch_unwind(AssertUnwindSafe(|| asking.as_mut().poll(context))))
    });
    match first.await {
        Ok(Poll::Ready(answer)) => Some(answer),
        Ok(Poll::Pending) => {
            runtime.spawn(asking);
            None
        }
        Err(_) => None,
    }
}

/// Takes a question off the list when it is over, however it ends.
struct Landing {
    introspector: Arc<Introspector>,
    digest: Digest,
    flight: Arc<Flight>,
    admitted: Admitted,
}

/// A question that the breaker let through.
pub(super) struct Admitted {
    pub(super) round: u64,
    /// Whether the breaker knows the outcome.
    pub(super) reported: bool,
}

impl Landing {
    // An `async fn` would hold its arguments twice.
    #[expect(clippy::manual_async_fn, reason = "it is boxed for each question, and smaller so")]
    fn ask<R>(
        mut self,
        token: Secret,
        issuer: Arc<IssuerState>,
        on_active: impl FnOnce(&Arc<IssuerState>, &ClaimSet<'_>, &str) -> R,
    ) -> impl Future<Output = Answer<R>> {
        async move {
            let said = self.introspector.question(&token, &issuer, &mut self.admitted).await;
            let on_active = |claims: &ClaimSet<'_>, text: &str| on_active(&issuer, claims, text);
            let owner = Owner { issuer: issuer.name(), is_resolved: issuer.probation.is_some() };
            let answer = self.introspector.answer(said, self.digest, owner, on_active);
            self.introspector.forget(self.digest, &self.flight);
            self.flight.land(Some(answer.0.clone()));
            answer
        }
    }
}

impl Drop for Landing {
    fn drop(&mut self) {
        if !self.admitted.reported {
            self.introspector.breaker().abandoned(self.admitted.round);
        }
        if self.flight.is_under_way() {
            self.introspector.forget(self.digest, &self.flight);
            self.flight.land(None);
        }
    }
}

/// The time limit of a question. Its clock is read and its timer made when something has to wait: most of the time of a
/// question that is answered at once would be theirs.
pub(super) struct TimeLimit {
    time: Duration,
    ends: Option<Instant>,
}

impl TimeLimit {
    pub(super) fn new(time: Duration) -> Self {
        Self { time, ends: None }
    }

    /// How much is left.
    pub(super) fn left(&self) -> Duration {
        self.ends.map_or(self.time, |ends| ends.saturating_duration_since(Instant::now()))
    }

    /// Waits, but no longer than that.
    pub(super) async fn wait<F: Future>(&mut self, mut future: Pin<&mut F>) -> Option<F::Output> {
        let mut timer = None;
        poll_fn(|context| {
            if let Poll::Ready(output) = future.as_mut().poll(context) {
                return Poll::Ready(Some(output));
            }
            // A future that is never out of work does not keep the timer from being looked at.
            let timer = timer.get_or_insert_with(|| Box::pin(unconstrained(sleep_until(self.ends()))));
            timer.as_mut().poll(context).map(|()| None)
        })
        .await
    }

    fn ends(&mut self) -> Instant {
        *self.ends.get_or_insert_with(|| {
            let now = Instant::now();
            // A time limit that no clock reaches is the longest wait that is any use.
            now.checked_add(self.time).unwrap_or(now + LONGEST_WAIT)
        })
    }
}
