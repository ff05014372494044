//! One table of cases over every stack: axum, plain hyper, tonic with unary and streaming calls, and a bare tower stack
//! with a single permit. A case gets the same response on every stack, and the request after it is accepted.
//!
//! `cargo test -p tower-oauth-guard --test stacks -- --nocapture` prints it: case, stack, reply.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod axum;
mod grpc;
mod head;
mod hyper;
mod tower;

use std::fmt;
use std::time::Duration;

use http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue};
use oauth_guard::clock::TestClock;
use oauth_guard::{Guard, GuardLayer, HttpClient, Issuer, Requirement};
use oauth_mock::{Alg, Endpoint, Fault, MockServer};
use serde_json::Value;

/// A service behind a guard. It returns the subject of the claims.
trait Stack: Sized {
    const NAME: &'static str;

    async fn behind(layer: GuardLayer) -> Self;

    /// Sends one request with these `Authorization` headers.
    async fn ask(&mut self, authorization: &[HeaderValue]) -> Reply;
}

/// The response.
#[derive(Debug)]
struct Reply {
    status: Status,
    challenge: Option<String>,
    retry_after: Option<u64>,
    /// The rejection's code, or the body of the service.
    said: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Status {
    Http(u16),
    Grpc(i32),
}

/// A row of the table.
struct Case {
    name: &'static str,
    authorization: fn(&MockServer) -> Vec<String>,
    expected: Expected,
}

/// The expected response.
struct Expected {
    http: u16,
    grpc: i32,
    /// How the challenge begins, if there is one.
    challenge: Option<&'static str>,
    said: &'static str,
}

const fn expected(http: u16, grpc: i32, challenge: Option<&'static str>, said: &'static str) -> Expected {
    Expected { http, grpc, challenge, said }
}

const PLAIN: Option<&str> = Some("Bearer realm=\"stacks\"");
const REQUEST: Option<&str> = Some("Bearer realm=\"stacks\", error=\"invalid_request\"");
const TOKEN: Option<&str> = Some("Bearer realm=\"stacks\", error=\"invalid_token\"");
const SCOPE: Option<&str> = Some("Bearer realm=\"stacks\", error=\"insufficient_scope\", scope=\"read\"");

fn bearer(token: impl fmt::Display) -> Vec<String> {
    vec![format!("Bearer {token}")]
}

fn good(server: &MockServer) -> Vec<String> {
    bearer(server.mint().subject("ada").scope("read").build())
}

const UNAVAILABLE: &str = "keys unavailable";

const NO_TOKEN: &str = "the request has no access token";
const INVALID: &str = "the access token is not valid";
const BAD_TOKEN: &str = "the token has characters that are not allowed in a token";

fn cases() -> Vec<Case> {
    let case = |name, authorization, expected| Case { name, authorization, expected };
    vec![
        case("no token", |_| Vec::new(), expected(401, 16, PLAIN, NO_TOKEN)),
        case("other scheme", |_| vec!["Basic YTpi".into()], expected(401, 16, PLAIN, NO_TOKEN)),
        case("malformed header", |_| vec!["Bearer a b".into()], expected(400, 3, REQUEST, BAD_TOKEN)),
        case(
            "two headers",
            |server| [good(server), good(server)].concat(),
            expected(400, 3, REQUEST, "the request has more than one Authorization header"),
        ),
        case("no JWT", |_| bearer("opaque"), expected(401, 16, TOKEN, INVALID)),
        case(
            "forged",
            |server| bearer(server.mint().scope("read").signature([7; 64]).build()),
            expected(401, 16, TOKEN, INVALID),
        ),
        case(
            "expired",
            |server| bearer(server.mint().scope("read").expires_in(-3600).build()),
            expected(401, 16, TOKEN, INVALID),
        ),
        case(
            "wrong audience",
            |server| bearer(server.mint().scope("read").audience("another").build()),
            expected(401, 16, TOKEN, INVALID),
        ),
        case(
            "unknown key",
            |server| bearer(server.mint().scope("read").kid("unknown").build()),
            expected(401, 16, TOKEN, INVALID),
        ),
        case(
            "too little scope",
            |server| bearer(server.mint().scope("write").build()),
            expected(403, 7, SCOPE, "the access token does not grant what this request needs"),
        ),
        case(UNAVAILABLE, good, expected(503, 14, None, "the access token cannot be checked at the moment")),
        case("good", good, expected(200, 0, None, "ada")),
    ]
}

#[tokio::test(start_paused = true)]
async fn every_case_gets_the_same_response_on_every_stack() {
    let mut rows = 0;
    println!("{:18}{:18}{:10}{:20}challenge", "case", "stack", "reply", "text or subject");
    for case in cases() {
        rows += run::<axum::Axum>(&case).await;
        rows += run::<hyper::Hyper>(&case).await;
        rows += run::<grpc::Unary>(&case).await;
        rows += run::<grpc::Streaming>(&case).await;
        rows += run::<tower::Bare>(&case).await;
    }
    assert_eq!(rows, 60);
}

/// One case on one stack, and a valid token afterwards.
async fn run<S: Stack>(case: &Case) -> usize {
    let server = MockServer::builder().audience("stacks").algorithms([Alg::Es256]).in_process();
    let guard = Guard::builder()
        .http(HttpClient::from_service(server.transport()))
        .clock(TestClock::new())
        .issuer(Issuer::new(server.issuer()).audience("stacks"))
        .realm("stacks")
        .build()
        .unwrap();
    let is_outage = case.name == UNAVAILABLE;
    if is_outage {
        server.fault(Endpoint::Jwks, Fault::status(500)).times(1);
    }
    let mut stack = S::behind(guard.layer().require(Requirement::scope("read"))).await;
    let headers = |texts: Vec<String>| -> Vec<HeaderValue> {
        texts.into_iter().map(|text| text.try_into().unwrap()).collect()
    };
    let reply = stack.ask(&headers((case.authorization)(&server))).await;
    let what = || format!("{} over {}: {reply:?}", case.name, S::NAME);
    let expected = &case.expected;
    match reply.status {
        Status::Http(status) => assert_eq!(status, expected.http, "{}", what()),
        Status::Grpc(status) => assert_eq!(status, expected.grpc, "{}", what()),
    }
    assert_eq!(reply.said, expected.said, "{}", what());
    match (&reply.challenge, expected.challenge) {
        (Some(challenge), Some(start)) => assert!(challenge.starts_with(start), "{}", what()),
        (challenge, start) => assert_eq!(challenge.as_deref(), start, "{}", what()),
    }
    assert_eq!(reply.retry_after.is_some_and(|seconds| seconds >= 1), is_outage, "{}", what());
    if is_outage {
        tokio::time::advance(Duration::from_secs(60)).await;
    }
    // On the same connection: the rejection has no effect on later requests. Twice, since the second token is cached.
    for _ in 0..2 {
        let after = stack.ask(&headers(good(&server))).await;
        assert_eq!(after.said, "ada", "a good token after {}", what());
    }
    println!("{:18}{:18}{reply}", case.name, S::NAME);
    1
}

impl Reply {
    /// From the parts of an HTTP response.
    fn http(status: u16, headers: &HeaderMap, body: &[u8]) -> Self {
        let body = std::str::from_utf8(body).unwrap();
        let rejected: Option<Value> = serde_json::from_str(body).ok();
        let said = rejected.as_ref().and_then(|body| body["error_description"].as_str());
        Self {
            status: Status::Http(status),
            challenge: text(headers, WWW_AUTHENTICATE.as_str()),
            retry_after: text(headers, RETRY_AFTER.as_str()).map(|seconds| seconds.parse().unwrap()),
            said: said.unwrap_or(body).to_owned(),
        }
    }

    fn grpc(reply: Result<String, tonic::Status>) -> Self {
        let (status, metadata, said) = match reply {
            Ok(said) => (0, HeaderMap::new(), said),
            Err(status) => {
                let said = status.message().to_owned();
                (status.code().into(), status.metadata().clone().into_headers(), said)
            }
        };
        Self {
            status: Status::Grpc(status),
            challenge: text(&metadata, WWW_AUTHENTICATE.as_str()),
            retry_after: text(&metadata, RETRY_AFTER.as_str()).map(|seconds| seconds.parse().unwrap()),
            said,
        }
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let status = match self.status {
            Status::Http(status) => format!("HTTP {status}"),
            Status::Grpc(status) => format!("gRPC {status}"),
        };
        write!(f, "{status:10}{:20}{}", self.said, self.challenge.as_deref().unwrap_or("-"))
    }
}

fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name).map(|value| value.to_str().unwrap().to_owned())
}
