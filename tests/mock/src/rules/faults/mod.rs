//! Failing on purpose: what goes wrong ([`Fault`]), at which endpoint and how often ([`FaultScript`]).

mod corruption;
mod gate;
mod script;

use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderName, LOCATION, RETRY_AFTER};
use http::{Response, StatusCode};

use self::corruption::Corruption;
pub use self::gate::Gate;
pub use self::script::FaultScript;
pub(crate) use self::script::{Faults, Rule, When};
use crate::wire::body::MockBody;
use crate::wire::response::MockResponse;
use crate::wire::transport::TransportError;

/// One way to fail.
///
/// Those made by [`status`](Self::status), [`body`](Self::body), [`redirect`](Self::redirect),
/// [`html_ok`](Self::html_ok), [`hang`](Self::hang) and [`reset`](Self::reset) never look at the request. All others
/// let the server do its work (a refresh token rotates, say) and corrupt the response.
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
    gate: Option<Gate>,
    /// The name of the gate, if it was written down.
    gate_name: Option<String>,
}

#[derive(Clone, Debug)]
enum Action {
    Pass,
    Respond(MockResponse),
    Hang,
    Reset,
    LostResponse,
    Corruption(Corruption),
}

#[derive(Clone, Debug)]
enum HeaderText {
    Fixed(String),
    /// An HTTP date so far from the server's now.
    DateIn(Duration),
}

impl Fault {
    /// Responds with this status and an empty body. A number that is no status is taken as 500.
    pub fn status(status: u16) -> Self {
        Self::body(status, "", Bytes::new())
    }

    /// Responds with exactly this. A number that is no status is taken as 500; an empty content type sends none.
    pub fn body(status: u16, content_type: &str, body: impl Into<Bytes>) -> Self {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Self::new(Action::Respond(MockResponse::new(status, content_type, body)))
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

    /// Works, but the response comes this much later.
    pub fn delay(time: Duration) -> Self {
        Self::new(Action::Pass).after(time)
    }

    /// Works, but keeps the response back until the gate opens.
    ///
    /// ```
    /// use oauth_mock::{Endpoint, Fault, Gate, MockServer};
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let server = MockServer::builder().in_process();
    /// let gate = Gate::new();
    /// server.fault(Endpoint::Token, Fault::hold(&gate)).always();
    /// // Start a thousand callers here; when the first request has come in …
    /// # let (transport, url) = (server.transport(), server.endpoint(Endpoint::Token));
    /// # let request = http::Request::post(url).body(http_body_util::Full::<bytes::Bytes>::default()).unwrap();
    /// # let caller = tokio::spawn(tower::ServiceExt::oneshot(transport, request));
    /// server.journal().wait_for(Endpoint::Token, 1).await;
    /// gate.open();
    /// # caller.await.unwrap().unwrap();
    /// # }
    /// ```
    pub fn hold(gate: &Gate) -> Self {
        Self { gate: Some(gate.clone()), ..Self::new(Action::Pass) }
    }

    /// The same, where the gate is known by this name.
    pub(crate) fn at_gate(mut self, name: String) -> Self {
        self.gate_name = Some(name);
        self
    }

    /// The fault as it was written, before its gate was opened: `gate` gives the one of a name.
    pub(crate) fn renewed(mut self, gate: impl FnOnce(&str) -> Gate) -> Self {
        if let Some(name) = &self.gate_name {
            self.gate = Some(gate(name));
        }
        self
    }

    /// Works as it should: to take a [scenario](FaultScript::in_scenario) to its next state.
    pub fn pass() -> Self {
        Self::new(Action::Pass)
    }

    /// Accepts the request and never responds.
    pub fn hang() -> Self {
        Self::new(Action::Hang)
    }

    /// Resets the connection before looking at the request.
    pub fn reset() -> Self {
        Self::new(Action::Reset)
    }

    /// Does the work, then resets the connection instead of responding: the client cannot know what happened.
    pub fn lost_response() -> Self {
        Self::new(Action::LostResponse)
    }

    /// Works, but sends the response's body byte by byte with this pause before each.
    pub fn drip(pause: Duration) -> Self {
        Self::new(Action::Corruption(Corruption::Drip(pause)))
    }

    /// Works, sends half of the response's body, and then nothing more.
    pub fn hang_mid_body() -> Self {
        Self::new(Action::Corruption(Corruption::HangMidBody))
    }

    /// Works, sends half of the response's body, then resets the connection.
    pub fn reset_mid_body() -> Self {
        Self::new(Action::Corruption(Corruption::ResetMidBody))
    }

    /// Works, announces the whole body in `Content-Length`, sends half of it and closes the connection normally.
    pub fn truncated() -> Self {
        Self::new(Action::Corruption(Corruption::Truncate))
    }

    /// Works, but the JSON ends in the middle. On the wire the response is complete.
    pub fn malformed_json() -> Self {
        Self::new(Action::Corruption(Corruption::MalformedJson))
    }

    /// Works, but fills the response's body up to `bytes` with spaces: still valid JSON for a reader without a limit.
    pub fn oversized(bytes: usize) -> Self {
        Self::new(Action::Corruption(Corruption::Oversize(bytes)))
    }

    /// Works, but sends the body as gzip that grows to `bytes` when unpacked, about a thousand times what is sent.
    pub fn gzip_bomb(bytes: usize) -> Self {
        Self::new(Action::Corruption(Corruption::GzipBomb(bytes)))
    }

    /// Also waits so long before the response, or before the reset.
    pub fn after(mut self, time: Duration) -> Self {
        self.delay = time;
        self
    }

    /// Adds `Retry-After` in seconds (RFC 9110 section 10.2.3).
    pub fn retry_after_secs(self, seconds: u64) -> Self {
        self.header(RETRY_AFTER, seconds.to_string())
    }

    /// Adds `Retry-After` as an HTTP date, so far from the server's now.
    pub fn retry_after_date(mut self, from_now: Duration) -> Self {
        self.headers.push((RETRY_AFTER, HeaderText::DateIn(from_now)));
        self
    }

    /// Sets a header of the response; a value that HTTP does not allow is left out.
    pub fn header(mut self, name: HeaderName, value: impl Into<String>) -> Self {
        self.headers.push((name, HeaderText::Fixed(value.into())));
        self
    }

    /// Replaces the response's content type.
    pub fn content_type(content_type: &str) -> Self {
        Self::new(Action::Pass).header(CONTENT_TYPE, content_type)
    }

    fn new(action: Action) -> Self {
        Self { action, delay: Duration::ZERO, headers: Vec::new(), gate: None, gate_name: None }
    }

    /// What the journal says about it.
    pub(crate) fn name(&self) -> String {
        match &self.action {
            Action::Pass if self.gate.is_some() => "held back".to_owned(),
            Action::Pass if self.headers.is_empty() && self.delay.is_zero() => "pass".to_owned(),
            Action::Pass if self.headers.is_empty() => format!("delay of {:?}", self.delay),
            Action::Pass => "changed headers".to_owned(),
            Action::Respond(response) => format!("status {}", response.status.as_u16()),
            Action::Hang => "hang".to_owned(),
            Action::Reset => "reset".to_owned(),
            Action::LostResponse => "lost response".to_owned(),
            Action::Corruption(corruption) => format!("{corruption:?}"),
        }
    }

    /// Plays this fault; `work` is what the server would have done, and `dress` adds what each response of this server says
    /// to browsers to one that no work made.
    pub(crate) async fn play(
        self,
        now: i64,
        work: impl FnOnce() -> MockResponse,
        dress: impl FnOnce(MockResponse) -> MockResponse,
    ) -> Result<Response<MockBody>, TransportError> {
        let mut response = match self.action.clone() {
            Action::Hang => std::future::pending().await,
            // A fault that says something about origins says all of it.
            Action::Respond(response) if self.headers.iter().any(|(name, _)| is_about_origins(name)) => {
                response
            }
            Action::Respond(response) => dress(response),
            Action::Reset => {
                wait(self.delay).await;
                return Err(TransportError::Reset);
            }
            Action::LostResponse => {
                let _ = work();
                wait(self.delay).await;
                return Err(TransportError::Reset);
            }
            Action::Pass | Action::Corruption(_) => work(),
        };
        for (name, text) in self.headers {
            let value = match text {
                HeaderText::Fixed(text) => text,
                HeaderText::DateIn(from_now) => http_date(now, from_now),
            };
            response = response.with(name, &value);
        }
        wait(self.delay).await;
        if let Some(gate) = self.gate {
            gate.passed().await;
        }
        Ok(match self.action {
            Action::Corruption(corruption) => corruption.apply(response),
            _ => whole(response),
        })
    }
}

fn is_about_origins(name: &HeaderName) -> bool {
    name.as_str().starts_with("access-control-")
}

/// The response as it should be.
pub(crate) fn whole(response: MockResponse) -> Response<MockBody> {
    let body = response.body.clone();
    respond(response, body.len(), MockBody::whole(body))
}

fn respond(response: MockResponse, length: usize, body: MockBody) -> Response<MockBody> {
    let mut response = response.into_http(body);
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
