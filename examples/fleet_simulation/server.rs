//! A strict authorization server: a refresh token is good once, and one that comes twice ends the login.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use oauth_client::transport::{HttpClient, RequestBody};

use crate::world::{Random, Schedule};

/// The refresh token that the person's login began with.
pub(crate) const FIRST: &str = "refresh-0";
/// How long an access token lives.
pub(crate) const LIFETIME: Duration = Duration::from_secs(15 * 60);
/// How long it takes to respond, besides 20 ms.
const LATENCY: Duration = Duration::from_millis(100);

#[derive(Clone)]
pub(crate) struct Server(Arc<Mutex<State>>);

struct State {
    schedule: Schedule,
    random: Random,
    /// How many refresh tokens were given out: the last one is good.
    rotations: u64,
    seen: Seen,
    per_second: BTreeMap<u64, u64>,
    last_token: Option<Duration>,
}

/// What it saw.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) requests: u64,
    /// How many tokens would have been enough: those given out when the one before was aging or over.
    pub(crate) tokens: u64,
    pub(crate) tokens_given: u64,
    pub(crate) reused: u64,
    pub(crate) lost: u64,
    pub(crate) worst_second: u64,
    pub(crate) worst_second_of_good_days: u64,
}

impl Server {
    pub(crate) fn new(schedule: Schedule, random: Random) -> Self {
        let (seen, per_second) = (Seen::default(), BTreeMap::new());
        Self(Arc::new(Mutex::new(State {
            schedule,
            random,
            rotations: 0,
            seen,
            per_second,
            last_token: None,
        })))
    }

    pub(crate) fn transport(&self) -> HttpClient {
        let server = self.clone();
        HttpClient::from_service(tower::service_fn(move |request: Request<RequestBody>| {
            let server = server.clone();
            async move {
                let body =
                    request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
                let wait = Duration::from_millis(20) + server.state().random.up_to(LATENCY);
                tokio::time::sleep(wait / 2).await;
                let response = server.respond(&body);
                tokio::time::sleep(wait / 2).await;
                Ok::<_, Infallible>(response)
            }
        }))
    }

    pub(crate) fn seen(&self) -> Seen {
        let state = self.state();
        let worst = |good: bool| {
            let is_good = |second: &u64| !good || state.schedule.is_good(Duration::from_secs(*second));
            let counts = state.per_second.iter().filter(|(second, _)| is_good(second));
            counts.map(|(_, count)| *count).max().unwrap_or_default()
        };
        Seen { worst_second: worst(false), worst_second_of_good_days: worst(true), ..state.seen.clone() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn respond(&self, body: &[u8]) -> Response<Full<Bytes>> {
        let mut state = self.state();
        let now = state.schedule.now();
        state.seen.requests += 1;
        *state.per_second.entry(now.as_secs()).or_default() += 1;
        if state.schedule.server_is_away(now) {
            return response(503, "{}".to_owned());
        }
        let form: BTreeMap<_, _> = url::form_urlencoded::parse(body).collect();
        let refresh = form.get("refresh_token").map(|token| token.to_string());
        if let Some(token) = &refresh
            && *token != format!("refresh-{}", state.rotations)
        {
            state.seen.reused += 1;
            state.seen.lost += 1;
            return response(400, r#"{"error":"invalid_grant"}"#.to_owned());
        }
        let is_due = state
            .last_token
            .is_none_or(|last| now.saturating_sub(last) >= LIFETIME - Duration::from_secs(65));
        if is_due {
            state.seen.tokens += 1;
            state.last_token = Some(now);
        }
        state.seen.tokens_given += 1;
        let mut answer = serde_json::json!({
            "access_token": format!("access-{}", state.seen.tokens_given),
            "token_type": "Bearer",
            "expires_in": LIFETIME.as_secs(),
        });
        if refresh.is_some() {
            state.rotations += 1;
            answer["refresh_token"] = format!("refresh-{}", state.rotations).into();
        }
        response(200, answer.to_string())
    }
}

fn response(status: u16, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = http::StatusCode::from_u16(status).unwrap_or_default();
    response.headers_mut().insert("content-type", http::HeaderValue::from_static("application/json"));
    response
}
