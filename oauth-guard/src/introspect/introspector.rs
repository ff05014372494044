//! The questions to one server: one for each token at a time, within limits.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::panic::{self, AssertUnwindSafe};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use oauth_client::clock::{Clock, Now};
use oauth_client::discover::Endpoint;
use oauth_client::transport::HttpClient;
use oauth_client::{Client, Error, Secret};
use tokio::sync::{Semaphore, watch};

use super::breaker::Breaker;
use super::response::{self, TROUBLE};
use super::signed::{Signer, Unread};
use super::{IntrospectedTokens, Introspection};
use crate::cache::{AlreadyRandom, Digest};
use crate::defaults::{
    INTROSPECTION_BYTES, INTROSPECTION_FIRST_PAUSE, INTROSPECTION_NEGATIVES, INTROSPECTION_WAITING,
};
use crate::error::Problems;
use crate::issuer::IssuerState;
use crate::telemetry;
use crate::validate::ClaimSet;

/// A year.
const LONGEST_WAIT: Duration = Duration::from_secs(365 * 86_400);

/// What a question has come to.
#[derive(Clone, Debug)]
pub(crate) enum Settled {
    /// A well-formed response about an active token.
    Active(Arc<str>),
    Inactive,
    /// There is no response; when to try again.
    Unavailable(Duration),
}

/// A token, and the digest it is known by.
#[derive(Clone, Copy)]
pub(crate) struct Question<'a> {
    pub(crate) token: &'a str,
    pub(crate) digest: Digest,
}

/// Asks one server about tokens.
pub(crate) struct Introspector {
    issuer: Box<str>,
    client_id: Box<str>,
    client: Client,
    clock: Arc<dyn Clock>,
    pub(crate) tokens: IntrospectedTokens,
    /// How long a response about an active token is used.
    pub(crate) cache: Duration,
    timeout: Duration,
    /// Whether responses have to be signed.
    signed: bool,
    permits: Semaphore,
    /// Questions under way, those that wait for their turn among them.
    flights: Mutex<Flights>,
    most_flights: usize,
    /// Inactive tokens, and until when they count as such on the monotonic clock. Apart from the others, so that invented
    /// tokens displace no valid one.
    negative: Cache<Digest, Duration, AlreadyRandom>,
    negative_for: Duration,
    breaker: Mutex<Breaker>,
    counts: Counts,
    /// Whether the hint about tokens that are all inactive was logged.
    hinted: AtomicBool,
}

type Flight = watch::Receiver<Option<Settled>>;
type Flights = HashMap<Digest, Flight, AlreadyRandom>;

#[derive(Default)]
struct Counts {
    questions: AtomicU64,
    active: AtomicU64,
    inactive: AtomicU64,
    failures: AtomicU64,
    last_error: Mutex<Option<String>>,
}

/// How the questions go, for [`Guard::health`](crate::Guard::health).
#[derive(Clone, Debug, serde::Serialize)]
#[non_exhaustive]
pub struct IntrospectionHealth {
    /// Whether questions are asked now. `false` while the server is left alone after failures.
    pub ok: bool,
    /// Questions asked since the guard was built or reloaded.
    pub questions: u64,
    /// Responses about active tokens.
    pub active: u64,
    /// Responses about inactive tokens.
    pub inactive: u64,
    /// Questions without a usable response.
    pub failures: u64,
    /// Why the last question failed, until one succeeds: `credentials` (the server rejects this guard as a client),
    /// `network`, `server`, `malformed_response`, `keys` (those of a signed response could not be fetched), or
    /// `configuration` (such as metadata without an endpoint).
    pub last_error: Option<String>,
}

impl Introspector {
    pub(crate) fn new(
        issuer: &str,
        given: &Introspection,
        http: Option<HttpClient>,
        clock: Arc<dyn Clock>,
        allow_http: bool,
        field: &dyn Fn(&str) -> String,
        problems: &mut Problems,
    ) -> Option<Self> {
        let field = |name: &str| field(&format!("introspection.{name}"));
        for (name, is_zero) in
            [("timeout_seconds", given.timeout.is_zero()), ("max_concurrent", given.max_concurrent == 0)]
        {
            if is_zero {
                problems.add(field(name), "expected a number above zero");
            }
        }
        let mut builder = Client::builder()
            .auth(given.auth.clone())
            .clock(Arc::clone(&clock))
            .timeout(given.timeout.max(INTROSPECTION_FIRST_PAUSE));
        builder = match &given.endpoint {
            // Nothing else of this server is used.
            Some(url) => builder.token_endpoint(url).endpoint(Endpoint::Introspection, url),
            None => builder.issuer(issuer),
        };
        if let Some(http) = given.http.clone().or(http) {
            builder = builder.http(http);
        }
        if allow_http {
            builder = builder.danger_allow_http();
        }
        match builder.build() {
            Ok(client) => Some(Self {
                issuer: issuer.into(),
                client_id: given.auth.client_id().into(),
                client,
                clock,
                tokens: given.tokens,
                cache: given.cache,
                timeout: given.timeout,
                signed: given.signed,
                permits: Semaphore::new(given.max_concurrent.min(Semaphore::MAX_PERMITS)),
                flights: Mutex::default(),
                most_flights: given.max_concurrent.saturating_mul(INTROSPECTION_WAITING),
                negative: Cache::builder()
                    .max_capacity(INTROSPECTION_NEGATIVES)
                    .eviction_policy(EvictionPolicy::lru())
                    .build_with_hasher(AlreadyRandom),
                negative_for: given.negative_cache,
                breaker: Mutex::default(),
                counts: Counts::default(),
                hinted: AtomicBool::new(false),
            }),
            Err(error) => {
                for problem in error.problems() {
                    let name = match problem.field.as_str() {
                        "token_endpoint" | "introspection_endpoint" => "endpoint",
                        "issuer" => "issuer",
                        other => other,
                    };
                    problems.add(field(name), problem.message.clone());
                }
                None
            }
        }
    }

    /// What is settled without a question.
    pub(crate) fn known(&self, digest: Digest, now: Now) -> Option<Settled> {
        let until = self.negative.get(&digest)?;
        (now.monotonic < until).then_some(Settled::Inactive)
    }

    /// Asks, or joins the question about the same token that is under way. It goes on when a caller is dropped. `on_active`
    /// gets the response about an active token before any caller does, so that the cache knows it when the question is
    /// no longer under way.
    pub(crate) async fn ask<F>(
        self: &Arc<Self>,
        question: Question<'_>,
        issuer: &Arc<IssuerState>,
        on_active: impl Fn() -> F,
    ) -> Settled
    where
        F: FnOnce(&ClaimSet<'_>, &str) + Send + 'static,
    {
        // A question that ends with its runtime is asked once more.
        for _ in 0..2 {
            let Flown { mut flight, takeoff } = match self.flight(question, issuer, &on_active) {
                Ok(flown) => flown,
                Err(retry_after) => return Settled::Unavailable(retry_after),
            };
            if let Some(takeoff) = takeoff
                && takeoff.begin().await
                && let Some(settled) = &*flight.borrow()
            {
                return settled.clone();
            }
            // A runtime that nothing drives any more must not hold up the callers of others.
            let most = self.timeout.saturating_add(INTROSPECTION_FIRST_PAUSE);
            let settled = tokio::time::timeout(most, flight.wait_for(Option::is_some)).await;
            match settled.map(|settled| settled.map(|settled| settled.clone())) {
                Ok(Ok(settled)) => {
                    return settled.unwrap_or(Settled::Unavailable(INTROSPECTION_FIRST_PAUSE));
                }
                Ok(Err(_)) => {}
                Err(_) => self.forget(question.digest, &flight),
            }
        }
        Settled::Unavailable(INTROSPECTION_FIRST_PAUSE)
    }

    fn flight<F>(
        self: &Arc<Self>,
        question: Question<'_>,
        issuer: &Arc<IssuerState>,
        on_active: impl Fn() -> F,
    ) -> Result<Flown, Duration>
    where
        F: FnOnce(&ClaimSet<'_>, &str) + Send + 'static,
    {
        let mut flights = self.flights();
        if let Some(flight) = flights.get(&question.digest).filter(|flight| flight.has_changed().is_ok()) {
            return Ok(Flown { flight: flight.clone(), takeoff: None });
        }
        if flights.len() >= self.most_flights {
            return Err(INTROSPECTION_FIRST_PAUSE);
        }
        let runtime = tokio::runtime::Handle::try_current().map_err(|_| INTROSPECTION_FIRST_PAUSE)?;
        let round = self.admit()?;
        let (settle, flight) = watch::channel(None);
        flights.insert(question.digest, flight.clone());
        let mut landing = Landing {
            introspector: Arc::clone(self),
            digest: question.digest,
            flight: flight.clone(),
            admitted: Admitted { round, reported: false },
        };
        let (token, issuer, on_active) = (Secret::from(question.token), Arc::clone(issuer), on_active());
        let asking = Box::pin(async move {
            let introspector = Arc::clone(&landing.introspector);
            let settled = introspector
                .question(&token, &issuer, landing.digest, &mut landing.admitted, on_active)
                .await;
            drop(landing);
            settle.send_replace(Some(settled));
        });
        Ok(Flown { flight, takeoff: Some(Takeoff { runtime, asking }) })
    }

    /// Asks the breaker, and returns the round it lets a question through in.
    fn admit(&self) -> Result<u64, Duration> {
        let mut breaker = self.breaker();
        breaker.admit(self.clock.now().monotonic)?;
        Ok(breaker.round())
    }

    /// One question, waiting for its turn included.
    async fn question(
        &self,
        token: &Secret,
        issuer: &IssuerState,
        digest: Digest,
        admitted: &mut Admitted,
        on_active: impl FnOnce(&ClaimSet<'_>, &str),
    ) -> Settled {
        let now = tokio::time::Instant::now();
        // A time limit that no clock reaches is the longest wait that is any use.
        let deadline = now.checked_add(self.timeout).unwrap_or(now + LONGEST_WAIT);
        let (_permit, begun) = match self.permits.try_acquire() {
            Ok(permit) => (permit, now),
            Err(_) => match tokio::time::timeout_at(deadline, self.permits.acquire()).await {
                Ok(Ok(permit)) => (permit, tokio::time::Instant::now()),
                _ => return Settled::Unavailable(INTROSPECTION_FIRST_PAUSE),
            },
        };
        // Others may have failed while it waited: those that wait are not sent to a server in trouble one after the other.
        if self.breaker().round() != admitted.round {
            match self.admit() {
                Ok(round) => admitted.round = round,
                Err(pause) => return Settled::Unavailable(pause),
            }
        }
        let left = deadline.saturating_duration_since(begun);
        if left.is_zero() {
            // Its turn came with the end of its time: nothing that is sent now would be waited for.
            return Settled::Unavailable(INTROSPECTION_FIRST_PAUSE);
        }
        let round = admitted.round;
        self.counts.questions.fetch_add(1, Ordering::Relaxed);
        // Some kilobytes, that would be moved from place to place, and with them what waits here.
        let asked = Box::pin(async {
            match self.signed {
                true => self.client.signed_introspection_response(token, left).await,
                false => self.client.introspection_response(token, left).await,
            }
        });
        let response = tokio::time::timeout_at(deadline, asked).await;
        let opened = match &response {
            Ok(Ok(body)) if self.signed => {
                let opened = tokio::time::timeout_at(deadline, Box::pin(self.open(body, issuer))).await;
                Some(opened.unwrap_or(Err(Unread::NoKeys(INTROSPECTION_FIRST_PAUSE))))
            }
            _ => None,
        };
        admitted.reported = true;
        let settled = match (response, opened) {
            (_, Some(Ok(said))) => self.read(said.as_bytes(), digest, round, on_active),
            // The server works, and others may get better responses: it is not left alone.
            (_, Some(Err(Unread::Malformed(what)))) => self.trouble(TROUBLE, what, None, round),
            (_, Some(Err(Unread::NoKeys(pause)))) => {
                self.trouble("keys", "the keys of a signed response are unavailable", None, round);
                Settled::Unavailable(pause)
            }
            (Ok(Ok(body)), None) => self.read(&body, digest, round, on_active),
            (Ok(Err(error)), None) => self.failed(&error, round),
            (Err(_), None) => self.trouble("network", "no response in time", Some(None), round),
        };
        telemetry::introspected(&self.issuer, &settled);
        settled
    }

    async fn open(&self, body: &[u8], issuer: &IssuerState) -> Result<String, Unread> {
        let jwt = std::str::from_utf8(body).map_err(|_| Unread::Malformed("not a signed JWT"))?;
        Signer { issuer, client_id: &self.client_id }.open(jwt.trim(), &*self.clock).await
    }

    fn read(
        &self,
        body: &[u8],
        digest: Digest,
        round: u64,
        on_active: impl FnOnce(&ClaimSet<'_>, &str),
    ) -> Settled {
        let text = std::str::from_utf8(body).ok().filter(|_| body.len() <= INTROSPECTION_BYTES);
        let active = text.ok_or("longer than 64 KiB, or not UTF-8").and_then(response::read);
        match (active, text) {
            (Ok(Some(claims)), Some(text)) => {
                self.succeeded(&self.counts.active);
                on_active(&claims, text);
                Settled::Active(text.into())
            }
            (Ok(_), _) => {
                self.succeeded(&self.counts.inactive);
                if !self.negative_for.is_zero() {
                    let until = self.clock.now().monotonic.saturating_add(self.negative_for);
                    self.negative.insert(digest, until);
                }
                self.hint();
                Settled::Inactive
            }
            // The server works, and others may get better responses: it is not left alone.
            (Err(what), _) => self.trouble(TROUBLE, what, None, round),
        }
    }

    fn succeeded(&self, count: &AtomicU64) {
        self.breaker().succeeded();
        count.fetch_add(1, Ordering::Relaxed);
        *self.last_error() = None;
    }

    fn failed(&self, error: &Error, round: u64) -> Settled {
        let status = error.status().map(|status| status.as_u16());
        let (kind, every_question) = match (error.code(), status) {
            ("invalid_client" | "unauthorized_client" | "secret", _) | (_, Some(401)) => {
                ("credentials", true)
            }
            // Firewalls say this too, of some tokens.
            ("access_denied", _) | (_, Some(403)) => ("credentials", error.retry_after().is_some()),
            ("config" | "discovery" | "unsupported", _) => ("configuration", true),
            ("transport" | "timeout" | "interrupted", _) => ("network", true),
            ("too_large" | "malformed_response", _) => (TROUBLE, false),
            // About this token, perhaps: a caller must not be able to close the way for all others.
            (_, Some(400..=499)) if error.retry_after().is_none() && status != Some(429) => ("server", false),
            _ => ("server", true),
        };
        self.trouble(
            kind,
            &error.with_causes().to_string(),
            every_question.then(|| error.retry_after()),
            round,
        )
    }

    /// `pause` is there where the server is to be left alone, with the time it asks for.
    fn trouble(&self, kind: &str, what: &str, pause: Option<Option<Duration>>, round: u64) -> Settled {
        let now = self.clock.now().monotonic;
        let mut breaker = self.breaker();
        match pause {
            Some(retry_after) if round == breaker.round() => breaker.failed(now, retry_after),
            Some(retry_after) => breaker.failed_late(now, retry_after),
            None => breaker.abandoned(round),
        }
        let retry_after = breaker.pause(now);
        drop(breaker);
        self.counts.failures.fetch_add(1, Ordering::Relaxed);
        let is_news = self.last_error().replace(kind.to_owned()).is_none_or(|before| before != kind);
        let issuer = &*self.issuer;
        if is_news {
            tracing::warn!(target: "oauth_guard", issuer, kind, what, "a token could not be introspected");
        } else {
            tracing::debug!(target: "oauth_guard", issuer, kind, what, "a token could not be introspected");
        }
        Settled::Unavailable(retry_after)
    }

    /// Servers say "inactive" where they mean "not for you to know".
    fn hint(&self) {
        let none_active = self.counts.active.load(Ordering::Relaxed) == 0;
        if none_active && !self.hinted.swap(true, Ordering::Relaxed) {
            let (issuer, client_id) = (&*self.issuer, &*self.client_id);
            tracing::warn!(
                target: "oauth_guard", issuer, client_id,
                "no token was active so far; some servers say so of every token whose audience does not name the client that asks, or where that client may not introspect"
            );
        }
    }

    fn forget(&self, digest: Digest, flight: &Flight) {
        let mut flights = self.flights();
        if flights.get(&digest).is_some_and(|current| current.same_channel(flight)) {
            flights.remove(&digest);
        }
    }

    /// Whether questions are asked now.
    pub(crate) fn is_ok(&self) -> bool {
        !self.breaker().is_open()
    }

    pub(crate) fn health(&self) -> IntrospectionHealth {
        let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
        IntrospectionHealth {
            ok: self.is_ok(),
            questions: count(&self.counts.questions),
            active: count(&self.counts.active),
            inactive: count(&self.counts.inactive),
            failures: count(&self.counts.failures),
            last_error: self.last_error().clone(),
        }
    }

    fn flights(&self) -> MutexGuard<'_, Flights> {
        self.flights.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn breaker(&self) -> MutexGuard<'_, Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn last_error(&self) -> MutexGuard<'_, Option<String>> {
        self.counts.last_error.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Introspector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Introspector")
            .field("issuer", &self.issuer)
            .field("tokens", &self.tokens)
            .finish_non_exhaustive()
    }
}

/// A question under way. The caller whose question it is begins it.
struct Flown {
    flight: Flight,
    takeoff: Option<Takeoff>,
}

/// A question that was not begun.
struct Takeoff {
    runtime: tokio::runtime::Handle,
    asking: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl Takeoff {
    /// Begins the question in place, which saves the way through the scheduler before it is sent. Where it has to wait, it
    /// goes on in a task of its own. Returns whether it has ended.
    async fn begin(self) -> bool {
        let Self { runtime, mut asking } = self;
        // As a task would: a transport that panics does not take the caller's request with it.
        let first = std::future::poll_fn(|context| {
            let first = panic::catch_unwind(AssertUnwindSafe(|| asking.as_mut().poll(context)));
            Poll::Ready(first.unwrap_or(Poll::Ready(())))
        });
        let has_ended = first.await.is_ready();
        if !has_ended {
            runtime.spawn(asking);
        }
        has_ended
    }
}

/// Takes a question off the list when it is over, however it ends.
struct Landing {
    introspector: Arc<Introspector>,
    digest: Digest,
    flight: Flight,
    admitted: Admitted,
}

/// A question that the breaker let through.
struct Admitted {
    round: u64,
    /// Whether the breaker knows the outcome.
    reported: bool,
}

impl Drop for Landing {
    fn drop(&mut self) {
        if !self.admitted.reported {
            self.introspector.breaker().abandoned(self.admitted.round);
        }
        self.introspector.forget(self.digest, &self.flight);
    }
}
