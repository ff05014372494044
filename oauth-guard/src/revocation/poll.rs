//! Security events that are polled (RFC 8936).

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, StatusCode};
use oauth_client::transport::{HttpClient, Limits};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use url::Url;

use super::entry::Revocation;
use super::feed::{Batch, FeedError, Position, RevocationFeed};
use super::follow::Feeds;
use super::settings::Poll;
use super::statement::{StatementError, StatementKind};
use crate::keys::Arrival;

/// Longer pauses than a day are of no use, and the longest durations would overflow.
const LONGEST_PAUSE: Duration = Duration::from_secs(24 * 60 * 60);

/// How many events one response may bring.
const EVENTS: usize = 100;

/// A transmitter. Events that take effect are acknowledged with the next request, bad ones reported with it; those that cannot
/// be judged now stay there.
pub(super) struct PollFeed {
    endpoint: Url,
    http: HttpClient,
    every: Duration,
    feeds: Weak<Feeds>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// When it is asked next. `None`: at once.
    next: Option<Instant>,
    acknowledged: Vec<String>,
    refused: BTreeMap<String, SetError>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Question<'a> {
    max_events: usize,
    return_immediately: bool,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    ack: &'a [String],
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    set_errs: &'a BTreeMap<String, SetError>,
}

#[derive(Clone, Serialize)]
struct SetError {
    err: &'static str,
    description: &'static str,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    #[serde(default)]
    sets: BTreeMap<String, String>,
    #[serde(default)]
    more_available: bool,
}

impl PollFeed {
    /// `None` for an endpoint that is no URL, which the configuration was checked for.
    pub(super) fn new(poll: &Poll, http: &HttpClient, feeds: Weak<Feeds>) -> Option<Self> {
        let endpoint = Url::parse(&poll.endpoint).ok()?;
        let http = match &poll.token {
            Some(token) => http.clone().bearer_for([endpoint.as_str()], token.clone()).ok()?,
            None => http.clone(),
        };
        Some(Self { endpoint, http, every: poll.every.min(LONGEST_PAUSE), feeds, state: Mutex::default() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The answer, and whether it brings an event that the request did not report on: a transmitter may go on sending those
    /// that it was told about.
    async fn ask(&self) -> Result<(Answer, bool), FeedError> {
        let (ack, set_errs) = {
            let state = self.state();
            (state.acknowledged.clone(), state.refused.clone())
        };
        let question =
            Question { max_events: EVENTS, return_immediately: true, ack: &ack, set_errs: &set_errs };
        let body = serde_json::to_vec(&question)
            .map_err(|error| FeedError::unavailable("the request cannot be written").with_source(error))?;
        let json = HeaderValue::from_static("application/json");
        let request = Request::builder()
            .method(Method::POST)
            .uri(self.endpoint.as_str())
            .header(CONTENT_TYPE, json.clone())
            .header(ACCEPT, json)
            .body(Bytes::from(body))
            .map_err(|error| FeedError::unavailable("the request cannot be made").with_source(error))?;
        let response = self.http.send(request, &Limits::token()).await;
        let response = response
            .map_err(|error| FeedError::unavailable("the transmitter does not answer").with_source(error))?;
        if response.status() != StatusCode::OK {
            return Err(FeedError::unavailable(format!("the transmitter answers {}", response.status())));
        }
        let answer: Answer = serde_json::from_slice(response.body()).map_err(|error| {
            // The error message would quote the body; the position does not.
            let at = format!("line {} column {}", error.line(), error.column());
            FeedError::unavailable(format!("the response is not that of RFC 8936 section 2.3, at {at}"))
        })?;
        // It has them now.
        let mut state = self.state();
        state.acknowledged.retain(|jti| !ack.contains(jti));
        state.refused.retain(|jti, _| !set_errs.contains_key(jti));
        let brings_news = answer.sets.keys().any(|jti| !ack.contains(jti) && !set_errs.contains_key(jti));
        Ok((answer, brings_news))
    }

    /// The effect of each event.
    async fn take(&self, answer: Answer, brings_news: bool) -> Result<(), FeedError> {
        let gone = || FeedError::unavailable("the guard is gone");
        let feeds = self.feeds.upgrade().ok_or_else(gone)?;
        let judge = feeds.judge.get().ok_or_else(gone)?;
        // One fetch for all of a response: the next event with an unknown key is settled by it, too.
        let arrival = Arrival { at: feeds.clock.now().monotonic, may_fetch: true };
        let mut outcome = Ok(());
        for (jti, text) in answer.sets {
            match judge.judge(&text, StatementKind::SecurityEvent, arrival).await {
                Ok(statement) => match feeds.receive(&statement).await {
                    Ok(()) => self.state().acknowledged.push(jti),
                    Err(error) => {
                        outcome =
                            Err(FeedError::unavailable("an event could not take effect").with_source(error));
                    }
                },
                Err(StatementError::Invalid(flaw)) => {
                    tracing::warn!(
                        target: "oauth_guard", err = flaw.err, description = flaw.description,
                        "the transmitter sent an invalid security event"
                    );
                    let error = SetError { err: flaw.err, description: flaw.description };
                    self.state().refused.insert(jti, error);
                }
                Err(StatementError::Unavailable(_)) => {
                    outcome =
                        Err(FeedError::unavailable("the keys to validate an event with are unavailable"));
                }
            }
        }
        if outcome.is_ok() {
            // What was received is acknowledged soon, and what is left is fetched with it.
            self.state().next = (!brings_news).then(|| Instant::now() + self.every);
        }
        outcome
    }
}

impl RevocationFeed for PollFeed {
    async fn read(&self, after: Option<&Position>) -> Result<Batch, FeedError> {
        let next = self.state().next;
        if let (Some(at), Some(_)) = (next, after) {
            tokio::time::sleep_until(at).await;
        }
        let (answer, brings_news) = self.ask().await?;
        let is_complete = !answer.more_available;
        self.take(answer, brings_news).await?;
        let position = Position::new("asked");
        // Its events are in the list already.
        Ok(if is_complete { Batch::new(Vec::new(), position) } else { Batch::partial(Vec::new(), position) })
    }

    async fn publish(&self, _: &[Revocation]) -> Result<(), FeedError> {
        Err(FeedError::read_only())
    }

    fn interval(&self) -> Option<Duration> {
        Some(self.every)
    }

    fn name(&self) -> String {
        let mut shown = self.endpoint.clone();
        shown.set_query(None);
        let _ = shown.set_username("");
        let _ = shown.set_password(None);
        format!("poll of {shown}")
    }
}

impl fmt::Debug for PollFeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PollFeed").field("endpoint", &self.name()).finish_non_exhaustive()
    }
}
