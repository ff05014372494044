//! What the server sends by itself: logout tokens to its clients, and security events to those that poll.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use http::header::AUTHORIZATION;
use http::{Method, StatusCode};
use serde_json::{Map, Value, json};

use super::deliver::{Answer, DeliveryError, send};
use super::{Parcel, SecurityEvent};
use crate::routes::Call;
use crate::server::{IssuerHandle, MockServer};
use crate::wire::response::MockResponse;

/// Security events that wait to be polled (RFC 8936), and what came of those that were.
#[derive(Default)]
pub(crate) struct Transmitter(Mutex<Queue>);

#[derive(Default)]
struct Queue {
    waiting: VecDeque<(String, String)>,
    acknowledged: Vec<String>,
    refused: Vec<(String, Value)>,
    /// The token that a request needs.
    token: Option<String>,
}

impl Transmitter {
    pub(crate) fn clear(&self) {
        *self.queue() = Queue::default();
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The poll endpoint (RFC 8936 section 2).
pub(crate) fn poll(call: Call<'_>) -> MockResponse {
    if call.request.method() != Method::POST {
        return MockResponse::not_allowed("POST");
    }
    let mut queue = call.issuer.transmitter.queue();
    let given = call.request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let given = given.and_then(|value| value.strip_prefix("Bearer "));
    if queue.token.is_some() && queue.token.as_deref() != given {
        return MockResponse::empty(StatusCode::UNAUTHORIZED);
    }
    let Ok(Value::Object(asked)) = serde_json::from_slice::<Value>(call.request.body()) else {
        return MockResponse::empty(StatusCode::BAD_REQUEST);
    };
    let acknowledged = asked.get("ack").and_then(Value::as_array).into_iter().flatten();
    for jti in acknowledged.filter_map(Value::as_str) {
        queue.waiting.retain(|(known, _)| known != jti);
        queue.acknowledged.push(jti.to_owned());
    }
    for (jti, error) in asked.get("setErrs").and_then(Value::as_object).into_iter().flatten() {
        queue.waiting.retain(|(known, _)| known != jti);
        queue.refused.push((jti.clone(), error.clone()));
    }
    let most = asked.get("maxEvents").and_then(Value::as_u64).and_then(|most| usize::try_from(most).ok());
    let most = most.unwrap_or(usize::MAX);
    let sets: Map<_, _> =
        queue.waiting.iter().take(most).map(|(jti, token)| (jti.clone(), json!(token))).collect();
    let more = queue.waiting.len() > most;
    MockResponse::json(StatusCode::OK, &json!({ "sets": sets, "moreAvailable": more }))
}

impl MockServer {
    /// Sends a logout token, good or bad, to a back-channel logout endpoint on this machine.
    ///
    /// # Errors
    /// When nothing responds there.
    pub async fn send_logout_token(&self, url: &str, token: &str) -> Result<Answer, DeliveryError> {
        send(url, &Parcel::logout(token), None).await
    }

    /// Pushes a security event token, good or bad, to an endpoint on this machine (RFC 8935).
    ///
    /// # Errors
    /// When nothing responds there.
    pub async fn push_event(&self, url: &str, token: &str) -> Result<Answer, DeliveryError> {
        send(url, &Parcel::event(token), None).await
    }

    /// Ends a session, by its `sid`, as when its user logs out: its tokens are revoked, and every client that got some and has
    /// a [`backchannel_logout_uri`](crate::MockClient::backchannel_logout_uri) gets a logout token. Returns the id of each with
    /// its response.
    pub async fn end_session(&self, sid: &str) -> Vec<(String, Result<Answer, DeliveryError>)> {
        let mut outcomes = Vec::new();
        for notice in self.first().end_session(sid) {
            outcomes.push((notice.client, send(&notice.url, &notice.parcel, None).await));
        }
        outcomes
    }

    /// Lets a security event token, good or bad, wait to be polled (RFC 8936) at
    /// [`Endpoint::PollEvents`](crate::Endpoint::PollEvents) under this id, which is its `jti` where it is good.
    pub fn queue_event(&self, jti: impl Into<String>, token: impl Into<String>) {
        self.first().queue(jti, token);
    }

    /// Polls need this bearer token from now on.
    pub fn require_poll_token(&self, token: impl Into<String>) {
        self.first().transmitter().queue().token = Some(token.into());
    }

    /// The ids of the events that were acknowledged, in order.
    #[must_use]
    pub fn acknowledged_events(&self) -> Vec<String> {
        self.first().polled().0
    }

    /// The events that were reported as invalid, with the error code and the description of each (RFC 8936 section 2.6).
    #[must_use]
    pub fn refused_events(&self) -> Vec<(String, Value)> {
        self.first().polled().1
    }
}

/// A logout token on its way to a client.
pub(crate) struct Notice {
    client: String,
    url: String,
    parcel: Parcel,
}

/// Sends them in the background. Without a runtime nothing is sent.
pub(crate) fn send_later(notices: Vec<Notice>) {
    let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
    runtime.spawn(async move {
        for notice in notices {
            // A client that is away learns nothing; the server goes on.
            let _ = send(&notice.url, &notice.parcel, None).await;
        }
    });
}

/// Sends a token to an address in the background.
pub(crate) fn post_later(url: String, parcel: Parcel) {
    send_later(vec![Notice { client: String::new(), url, parcel }]);
}

impl IssuerHandle<'_> {
    /// Ends a session here; returns the logout tokens for its clients.
    pub(crate) fn end_session(self, sid: &str) -> Vec<Notice> {
        let (shared, issuer) = self.parts();
        let notice = |(client, subject): (String, String)| {
            let url = shared.client(&client)?.backchannel_logout_uri.clone()?;
            let token = self.logout_token(&client, &subject).claim("sid", sid).build();
            Some(Notice { client, url, parcel: Parcel::logout(&token) })
        };
        let notices = issuer.records.parties(sid).into_iter().filter_map(notice).collect();
        issuer.sessions.end_named(sid);
        issuer.records.revoke_session(sid);
        issuer.codes.end_session(sid);
        issuer.devices.end_session(sid);
        notices
    }

    /// A good event about a user, which waits to be polled; returns its `jti`.
    pub fn queue_good_event(self, audience: &str, event: SecurityEvent, subject: &str) -> String {
        let token = self.security_event(audience, event, subject);
        let jti = token.claims().get("jti").and_then(Value::as_str).unwrap_or_default().to_owned();
        self.queue(jti.as_str(), token.build());
        jti
    }

    pub(crate) fn queue(self, jti: impl Into<String>, token: impl Into<String>) {
        self.transmitter().queue().waiting.push_back((jti.into(), token.into()));
    }

    /// What was acknowledged, and what was refused.
    pub(crate) fn polled(self) -> (Vec<String>, Vec<(String, Value)>) {
        let queue = self.transmitter().queue();
        (queue.acknowledged.clone(), queue.refused.clone())
    }
}
