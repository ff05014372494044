//! Failing on purpose: what goes wrong, at which endpoint, and how often.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderName, LOCATION, RETRY_AFTER};
use http::{Response, StatusCode};

use crate::answer::Answer;
use crate::body::MockBody;
use crate::endpoint::Endpoint;
use crate::server::MockServer;
use crate::transport::TransportError;

/// One way to fail.
///
/// Those made by [`status`](Self::status), [`body`](Self::body), [`redirect`](Self::redirect),
/// [`html_ok`](Self::html_ok), [`hang`](Self::hang) and [`reset`](Self::reset) never look at the request. All others
/// let the server do its work (a refresh token rotates, say) and spoil the answer.
///
/// ```
/// use std::time::Duration;
/// use oauth_mock::{Endpoint, Fault, MockServer};
///
/// let server = MockServer::builder().in_process();
/// server.fault(Endpoint::Token, Fault::status(503).retry_after_secs(30)).times(2);
/// server.fault(Endpoint::Jwks, Fault::delay(Duration::from_secs(3))).always();
/// server.clear_faults();
/// ```
#[derive(Clone, Debug)]
#[must_use = "a fault does nothing until it is given to `MockServer::fault`"]
pub struct Fault {
    action: Action,
    delay: Duration,
    headers: Vec<(HeaderName, HeaderText)>,
}

#[derive(Clone, Debug)]
enum Action {
    Pass,
    Respond(Answer),
    Hang,
    Reset,
    LostAnswer,
}

#[derive(Clone, Debug)]
enum HeaderText {
    Fixed(String),
    /// An HTTP date so far from the server's now.
    DateIn(Duration),
}

impl Fault {
    /// Answers with this status and an empty body. A number that is no status is taken as 500.
    pub fn status(status: u16) -> Self {
        Self::body(status, "", Bytes::new())
    }

    /// Answers with exactly this. A number that is no status is taken as 500; an empty content type sends none.
    pub fn body(status: u16, content_type: &str, body: impl Into<Bytes>) -> Self {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Self::new(Action::Respond(Answer::new(status, content_type, body)))
    }

    /// A proxy's login page: HTML with status 200.
    pub fn html_ok() -> Self {
        let page = "<!doctype html><title>Sign in</title><form><input name=user></form>";
        Self::body(200, "text/html; charset=utf-8", page)
    }

    /// Redirects to another address with 302.
    pub fn redirect(to: &str) -> Self {
        Self::status(302).header(LOCATION, to)
    }

    /// Works, but the answer comes this much later.
    pub fn delay(time: Duration) -> Self {
        Self::new(Action::Pass).after(time)
    }

    /// Accepts the request and never answers.
    pub fn hang() -> Self {
        Self::new(Action::Hang)
    }

    /// Resets the connection before looking at the request.
    pub fn reset() -> Self {
        Self::new(Action::Reset)
    }

    /// Does the work, then resets the connection instead of answering: the client cannot know what happened.
    pub fn lost_answer() -> Self {
        Self::new(Action::LostAnswer)
    }

    /// Also waits so long before the answer, or before the reset.
    pub fn after(mut self, time: Duration) -> Self {
        self.delay = time;
        self
    }

    /// Adds `Retry-After` in seconds (RFC 9110 §10.2.3).
    pub fn retry_after_secs(self, seconds: u64) -> Self {
        self.header(RETRY_AFTER, seconds.to_string())
    }

    /// Adds `Retry-After` as an HTTP date, so far from the server's now.
    pub fn retry_after_date(mut self, from_now: Duration) -> Self {
        self.headers.push((RETRY_AFTER, HeaderText::DateIn(from_now)));
        self
    }

    /// Sets a header of the answer; a value that HTTP does not allow is left out.
    pub fn header(mut self, name: HeaderName, value: impl Into<String>) -> Self {
        self.headers.push((name, HeaderText::Fixed(value.into())));
        self
    }

    /// Replaces the answer's content type.
    pub fn content_type(content_type: &str) -> Self {
        Self::new(Action::Pass).header(CONTENT_TYPE, content_type)
    }

    fn new(action: Action) -> Self {
        Self { action, delay: Duration::ZERO, headers: Vec::new() }
    }

    /// What the journal says about it.
    pub(crate) fn name(&self) -> String {
        match &self.action {
            Action::Pass if self.headers.is_empty() => format!("delay of {:?}", self.delay),
            Action::Pass => "changed headers".to_owned(),
            Action::Respond(answer) => format!("status {}", answer.status.as_u16()),
            Action::Hang => "hang".to_owned(),
            Action::Reset => "reset".to_owned(),
            Action::LostAnswer => "lost answer".to_owned(),
        }
    }

    /// Plays this fault; `work` is what the server would have done.
    pub(crate) async fn play(
        self,
        now: i64,
        work: impl FnOnce() -> Answer,
    ) -> Result<Response<MockBody>, TransportError> {
        let mut answer = match self.action {
            Action::Hang => std::future::pending().await,
            Action::Respond(answer) => answer,
            Action::Reset => {
                wait(self.delay).await;
                return Err(TransportError::Reset);
            }
            Action::LostAnswer => {
                let _ = work();
                wait(self.delay).await;
                return Err(TransportError::Reset);
            }
            Action::Pass => work(),
        };
        for (name, text) in self.headers {
            let value = match text {
                HeaderText::Fixed(text) => text,
                HeaderText::DateIn(from_now) => http_date(now, from_now),
            };
            answer = answer.with(name, &value);
        }
        wait(self.delay).await;
        Ok(whole(answer))
    }
}

/// The answer as it should be.
pub(crate) fn whole(answer: Answer) -> Response<MockBody> {
    let length = answer.body.len();
    let mut response = Response::new(MockBody::whole(answer.body));
    *response.status_mut() = answer.status;
    *response.headers_mut() = answer.headers;
    response.headers_mut().insert(CONTENT_LENGTH, length.into());
    response
}

async fn wait(time: Duration) {
    if !time.is_zero() {
        tokio::time::sleep(time).await;
    }
}

fn http_date(now: i64, from_now: Duration) -> String {
    let unix = Duration::from_secs(u64::try_from(now).unwrap_or(0)).saturating_add(from_now);
    // The format has four digits for the year, so nothing later than 9999 can be written.
    let last = Duration::from_secs(253_402_300_799);
    httpdate::fmt_http_date(UNIX_EPOCH + unix.min(last))
}

/// A fault and its endpoint, waiting to be told how often: nothing happens before one of these methods is called.
#[derive(Debug)]
#[must_use = "say how often: `.times(n)`, `.on_call(k)` or `.always()`"]
pub struct FaultScript<'a> {
    server: &'a MockServer,
    endpoint: Endpoint,
    fault: Fault,
}

impl<'a> FaultScript<'a> {
    pub(crate) fn new(server: &'a MockServer, endpoint: Endpoint, fault: Fault) -> Self {
        Self { server, endpoint, fault }
    }

    /// Fails the next `n` requests to this endpoint.
    pub fn times(self, n: usize) {
        self.add(When::Times(n));
    }

    /// Fails only the `k`-th request from now on, counted from 1.
    pub fn on_call(self, k: usize) {
        self.add(When::OnCall(k));
    }

    /// Fails every request until [`MockServer::clear_faults`].
    pub fn always(self) {
        self.add(When::Always);
    }

    fn add(self, when: When) {
        self.server.faults().add(Rule { endpoint: self.endpoint, fault: self.fault, when, seen: 0 });
    }
}

#[derive(Debug, Default)]
pub(crate) struct Faults(Mutex<Vec<Rule>>);

#[derive(Debug)]
struct Rule {
    endpoint: Endpoint,
    fault: Fault,
    when: When,
    seen: usize,
}

#[derive(Debug)]
enum When {
    Times(usize),
    OnCall(usize),
    Always,
}

impl Faults {
    /// The fault that meets a request to `endpoint` now. Every call counts as one request.
    pub(crate) fn meet(&self, endpoint: Endpoint) -> Option<Fault> {
        let mut chosen = None;
        for rule in self.rules().iter_mut().filter(|rule| rule.endpoint == endpoint) {
            rule.seen += 1;
            let applies = match &mut rule.when {
                When::Always => true,
                When::OnCall(k) => rule.seen == *k,
                // Used up only by the requests it fails: a rule before it in line goes first.
                When::Times(left) if *left > 0 && chosen.is_none() => {
                    *left -= 1;
                    true
                }
                When::Times(_) => false,
            };
            if applies && chosen.is_none() {
                chosen = Some(rule.fault.clone());
            }
        }
        chosen
    }

    pub(crate) fn clear(&self) {
        self.rules().clear();
    }

    fn add(&self, rule: Rule) {
        self.rules().push(rule);
    }

    fn rules(&self) -> std::sync::MutexGuard<'_, Vec<Rule>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
