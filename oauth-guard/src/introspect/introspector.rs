//! The questions to one server: one for each token at a time, within limits.

use std::collections::HashMap;
use std::fmt;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use oauth_client::clock::{Clock, Now};
use oauth_client::discover::Endpoint;
use oauth_client::transport::HttpClient;
use oauth_client::{Client, Error, Secret};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::breaker::Breaker;
use super::counts::{Counts, IntrospectionHealth};
use super::flight::{Admitted, Answer, Flight, TimeLimit};
use super::inactive::Inactive;
use super::response::{self, TROUBLE};
use super::signed::{Signer, Unread};
use super::{IntrospectedTokens, Introspection};
use crate::cache::{AlreadyRandom, Digest};
use crate::defaults::{INTROSPECTION_BYTES, INTROSPECTION_FIRST_PAUSE, INTROSPECTION_WAITING};
use crate::error::Problems;
use crate::issuer::IssuerState;
use crate::keys::IssuerKeys;
use crate::telemetry::{self, Owner};
use crate::validate::ClaimSet;

/// What a question has come to.
#[derive(Clone, Debug)]
pub(crate) enum Settled {
    /// A well-formed response about an active token.
    Active(Bytes),
    Inactive,
    /// There is no response; when to try again.
    Unavailable(Duration),
}

/// What the server has said to a question.
pub(super) struct Said<'a> {
    /// Held until the breaker knows what has become of the question: those that wait for a permit look at it first.
    permit: SemaphorePermit<'a>,
    /// `None`: nothing in time.
    response: Option<Result<Bytes, Error>>,
    /// What is in a signed response.
    opened: Option<Result<String, Unread>>,
    /// The breaker's, in which it was asked.
    round: u64,
}

/// Asks one server about tokens.
pub(crate) struct Introspector {
    issuer: Box<str>,
    endpoint: Option<Box<str>>,
    client_id: Box<str>,
    client: Client,
    pub(super) clock: Arc<dyn Clock>,
    pub(crate) tokens: IntrospectedTokens,
    /// How long a response about an active token is used.
    pub(crate) cache: Duration,
    pub(super) timeout: Duration,
    /// Whether responses have to be signed.
    signed: bool,
    permits: Semaphore,
    /// Questions under way, those that wait for their turn among them.
    flights: Mutex<Flights>,
    pub(super) most_flights: usize,
    /// Inactive tokens. Apart from the others, so that invented tokens displace no valid one.
    negative: Mutex<Inactive>,
    negative_for: Duration,
    breaker: Mutex<Breaker>,
    counts: Counts,
    /// Whether the hint about tokens that are all inactive was logged.
    hinted: AtomicBool,
}

/// The server rejects this guard as a client, or may do so.
const CREDENTIALS: &str = "credentials";
/// The secret of this guard is not there, so that nothing was asked.
const SECRET: &str = "secret";
const OF_SECRET: &str =
    "the secret cannot be read: look at the source that ClientAuth was given, such as a vault";
const OF_CREDENTIALS: &str = "the server rejects this guard as a client: compare client_id, client_secret and client_auth of \
     [issuer.introspection] with what is registered there, and whether that client may introspect";

type Flights = HashMap<Digest, Arc<Flight>, AlreadyRandom>;

impl Introspector {
    /// Leaves the server alone for as long as the one before it, of the configuration that is replaced, would have.
    pub(crate) fn succeed(&self, before: &Self) {
        if self.endpoint == before.endpoint && self.client_id == before.client_id {
            let breaker = before.breaker().after_reload();
            *self.breaker() = breaker;
        }
    }

    /// Whether the issuer's keys are needed besides: for JWTs and for signed responses. One whose tokens are opaque may
    /// publish none.
    pub(crate) fn needs_keys(&self, keys: &IssuerKeys) -> bool {
        match self.tokens {
            IntrospectedTokens::Both => true,
            IntrospectedTokens::Any => self.signed,
            IntrospectedTokens::Opaque => self.signed || !keys.current().is_empty(),
        }
    }

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
            Some(url) => builder.token_endpoint(&**url).endpoint(Endpoint::Introspection, &**url),
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
                endpoint: given.endpoint.as_deref().map(Into::into),
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
                negative: Mutex::default(),
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
        self.negative().has(digest, now.monotonic).then_some(Settled::Inactive)
    }

    /// Asks the breaker, and returns the round it lets a question through in.
    pub(super) fn admit(&self) -> Result<u64, Duration> {
        let mut breaker = self.breaker();
        breaker.admit(self.clock.now().monotonic)?;
        Ok(breaker.round())
    }

    /// One question, waiting for its turn included.
    pub(super) fn question<'a>(
        &'a self,
        token: &'a Secret,
        issuer: &'a IssuerState,
        admitted: &'a mut Admitted,
    ) -> impl Future<Output = Result<Said<'a>, Duration>> + Send + 'a {
        let mut limit = TimeLimit::new(self.timeout);
        // An `async fn` would hold its arguments twice.
        async move {
            let permit = match self.permits.try_acquire() {
                Ok(permit) => permit,
                Err(_) => self.turn(&mut limit, admitted).await?,
            };
            let left = limit.left();
            self.counts.questions.fetch_add(1, Ordering::Relaxed);
            let response = {
                let asked = pin!(async {
                    match self.signed {
                        true => self.client.signed_introspection_response(token, left).await,
                        false => self.client.introspection_response(token, left).await,
                    }
                });
                limit.wait(asked).await
            };
            let opened = match &response {
                Some(Ok(body)) if self.signed => {
                    let opened = limit.wait(Box::pin(self.open(body, issuer)).as_mut()).await;
                    Some(opened.unwrap_or(Err(Unread::NoKeys(INTROSPECTION_FIRST_PAUSE))))
                }
                _ => None,
            };
            admitted.reported = true;
            Ok(Said { permit, response, opened, round: admitted.round })
        }
    }

    /// What a question has come to, and what `on_active` makes of a response about an active token.
    pub(super) fn answer<R>(
        &self,
        said: Result<Said<'_>, Duration>,
        digest: Digest,
        owner: Owner<'_>,
        on_active: impl FnOnce(&ClaimSet<'_>, &str) -> R,
    ) -> Answer<R> {
        let Said { permit: _permit, response, opened, round } = match said {
            Ok(said) => said,
            Err(pause) => return (Settled::Unavailable(pause), None),
        };
        let answer = match (response, opened) {
            (_, Some(Ok(said))) => self.read(said.into(), digest, round, on_active),
            (Some(Ok(body)), None) => self.read(body, digest, round, on_active),
            (response, opened) => (self.unanswered(response, opened, round), None),
        };
        telemetry::introspected(owner, &answer.0);
        answer
    }

    /// Waits for the turn of a question.
    async fn turn(
        &self,
        limit: &mut TimeLimit,
        admitted: &mut Admitted,
    ) -> Result<SemaphorePermit<'_>, Duration> {
        let permit = limit.wait(pin!(self.permits.acquire())).await;
        let permit = permit.and_then(Result::ok).ok_or(INTROSPECTION_FIRST_PAUSE)?;
        // Others may have failed while it waited: those that wait are not sent to a server in trouble one after the other.
        if self.breaker().round() != admitted.round {
            admitted.round = self.admit()?;
        }
        if limit.left().is_zero() {
            // Its turn came with the end of its time: nothing that is sent now would be waited for.
            return Err(INTROSPECTION_FIRST_PAUSE);
        }
        Ok(permit)
    }

    #[cold]
    fn unanswered(
        &self,
        response: Option<Result<Bytes, Error>>,
        opened: Option<Result<String, Unread>>,
        round: u64,
    ) -> Settled {
        match (response, opened) {
            // The server works, and others may get better responses: it is not left alone.
            (_, Some(Err(Unread::Malformed(what)))) => self.trouble(TROUBLE, what, None, round),
            (_, Some(Err(Unread::NoKeys(pause)))) => {
                self.trouble("keys", "the keys of a signed response are unavailable", None, round);
                Settled::Unavailable(pause)
            }
            (Some(Err(error)), _) => self.failed(&error, round),
            (Some(Ok(_)) | None, _) => self.trouble("network", "no response in time", Some(None), round),
        }
    }

    async fn open(&self, body: &[u8], issuer: &IssuerState) -> Result<String, Unread> {
        let jwt = std::str::from_utf8(body).map_err(|_| Unread::Malformed("not a signed JWT"))?;
        Signer { issuer, client_id: &self.client_id }.open(jwt.trim(), &*self.clock).await
    }

    fn read<R>(
        &self,
        body: Bytes,
        digest: Digest,
        round: u64,
        on_active: impl FnOnce(&ClaimSet<'_>, &str) -> R,
    ) -> Answer<R> {
        let text = std::str::from_utf8(&body).ok().filter(|_| body.len() <= INTROSPECTION_BYTES);
        let claims = text.ok_or("longer than 64 KiB, or not UTF-8").and_then(response::read);
        let active = claims.as_ref().map_err(|what| *what).and_then(response::is_active);
        let made = match (active, &claims, text) {
            (Ok(true), Ok(claims), Some(text)) => {
                self.succeeded(&self.counts.active, round);
                on_active(claims, text)
            }
            (Ok(_), ..) => {
                self.succeeded(&self.counts.inactive, round);
                if !self.negative_for.is_zero() {
                    let until = self.clock.now().monotonic.saturating_add(self.negative_for);
                    self.negative().insert(digest, until);
                }
                self.hint();
                return (Settled::Inactive, None);
            }
            // The server works, and others may get better responses: it is not left alone.
            (Err(what), ..) => return (self.trouble(TROUBLE, what, None, round), None),
        };
        (Settled::Active(body), Some(made))
    }

    fn succeeded(&self, count: &AtomicU64, round: u64) {
        count.fetch_add(1, Ordering::Relaxed);
        self.breaker().succeeded(round);
    }

    fn failed(&self, error: &Error, round: u64) -> Settled {
        let status = error.status().map(|status| status.as_u16());
        let (kind, every_question) = match (error.code(), status) {
            ("invalid_client" | "unauthorized_client", _) | (_, Some(401)) => (CREDENTIALS, true),
            ("secret", _) => (SECRET, true),
            // Firewalls say this too, of some tokens. With a time to wait it is about the pace of the questions.
            ("access_denied", _) | (_, Some(403)) if error.retry_after().is_none() => (CREDENTIALS, false),
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
        let mut change = (kind == SECRET).then_some(OF_SECRET);
        let mut is_news = false;
        match pause {
            Some(retry_after) if round == breaker.round() => {
                breaker.failed(now, retry_after);
                if kind == CREDENTIALS {
                    is_news = breaker.rejected(now);
                    change = Some(OF_CREDENTIALS);
                }
            }
            Some(retry_after) => breaker.failed_late(now, retry_after),
            // One that may be about this token alone says nothing of the others.
            None => breaker.abandoned(round),
        }
        let retry_after = breaker.pause(now);
        is_news |= breaker.last_error.replace(kind.to_owned()).is_none_or(|before| before != kind);
        drop(breaker);
        self.counts.failures.fetch_add(1, Ordering::Relaxed);
        let issuer = &*self.issuer;
        if is_news {
            tracing::warn!(target: "oauth_guard", issuer, kind, what, change, "a token could not be introspected");
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

    /// Whether questions are asked now, and as a client that the server knows. After a pause it is so before one has
    /// succeeded: a probe that waited for that would keep away the requests that cause one.
    pub(crate) fn is_ok(&self, now: Now) -> bool {
        self.breaker().is_ok(now.monotonic)
    }

    pub(crate) fn health(&self, now: Now) -> IntrospectionHealth {
        self.counts.health(self.is_ok(now), self.breaker().last_error.clone())
    }

    pub(super) fn flights(&self) -> MutexGuard<'_, Flights> {
        self.flights.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn negative(&self) -> MutexGuard<'_, Inactive> {
        self.negative.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn breaker(&self) -> MutexGuard<'_, Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
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
