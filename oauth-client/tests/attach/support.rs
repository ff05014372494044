//! An API as the layer sees it, and a source fed by the mock authorization server. Nothing here waits in real time.

use std::collections::HashSet;
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use oauth_client::clock::TestClock;
use oauth_client::transport::HttpClient;
use oauth_client::{Client, ClientAuth, TokenSource, grant};
use oauth_mock::{Endpoint, MockServer};
use tower::Service;

pub(crate) fn server() -> MockServer {
    MockServer::builder().in_process()
}

pub(crate) fn source(server: &MockServer) -> TokenSource {
    source_within(server, Duration::from_secs(10))
}

/// Gives up at the first failure, for tests in real time.
#[cfg(feature = "reqwest")]
pub(crate) fn impatient(server: &MockServer) -> TokenSource {
    source_within(server, Duration::from_millis(100))
}

fn source_within(server: &MockServer, limit: Duration) -> TokenSource {
    let client = Client::builder()
        .issuer(server.issuer())
        .auth(ClientAuth::basic("svc", "s3cr3t"))
        .http(HttpClient::from_service(server.transport()))
        .clock(TestClock::new())
        .timeout(limit)
        .build()
        .unwrap();
    client.source(grant::client_credentials()).build().unwrap()
}

pub(crate) fn token_requests(server: &MockServer) -> usize {
    server.journal().count(Endpoint::Token)
}

/// What the API was asked, body included.
pub(crate) type Seen = Request<Bytes>;

/// Keeps a journal, takes its time, and responses by a rule of the test's. Clones are the same API.
#[derive(Clone)]
pub(crate) struct Api(Arc<Inner>);

type Rule = dyn Fn(&Seen) -> Option<Response<Full<Bytes>>> + Send + Sync;

struct Inner {
    seen: Mutex<Vec<Seen>>,
    refused: Mutex<HashSet<Vec<u8>>>,
    rule: Box<Rule>,
}

impl Api {
    /// Responds with 401 to the tokens to be rejected, and echoes the body to all others.
    pub(crate) fn new() -> Self {
        Self::with(|_| None)
    }

    /// Applies the rule first.
    pub(crate) fn with(
        rule: impl Fn(&Seen) -> Option<Response<Full<Bytes>>> + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(Inner { seen: Mutex::default(), refused: Mutex::default(), rule: Box::new(rule) }))
    }

    pub(crate) fn refuse(&self, token: &oauth_client::AccessToken) {
        let value = token.authorization().as_bytes().to_owned();
        self.0.refused.lock().unwrap_or_else(PoisonError::into_inner).insert(value);
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.0.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn count(&self) -> usize {
        self.0.seen.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    fn response(&self, seen: Seen) -> Response<Full<Bytes>> {
        let response = (self.0.rule)(&seen).unwrap_or_else(|| {
            let sent = seen.headers().get(AUTHORIZATION).map_or(&[][..], |value| value.as_bytes());
            if self.0.refused.lock().unwrap_or_else(PoisonError::into_inner).contains(sent) {
                unauthorized()
            } else {
                Response::new(Full::new(seen.body().clone()))
            }
        });
        self.0.seen.lock().unwrap_or_else(PoisonError::into_inner).push(seen);
        response
    }
}

pub(crate) fn unauthorized() -> Response<Full<Bytes>> {
    Response::builder()
        .status(StatusCode::UNAUTHORIZED)
        .header("www-authenticate", "Bearer error=\"invalid_token\"")
        .body(Full::from("this token is no good"))
        .unwrap()
}

impl<B> Service<Request<B>> for Api
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: std::fmt::Debug,
{
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let api = self.clone();
        Box::pin(async move {
            let (head, body) = request.into_parts();
            let body = Box::pin(body).collect().await.unwrap().to_bytes();
            tokio::time::sleep(Duration::from_millis(100)).await;
            Ok(api.response(Request::from_parts(head, body)))
        })
    }
}

pub(crate) fn get() -> Request<Full<Bytes>> {
    Request::get("https://api.example.com/orders?page=2")
        .header("x-trace", "7")
        .body(Full::default())
        .unwrap()
}

pub(crate) fn post(body: impl Into<Bytes>) -> Request<Full<Bytes>> {
    Request::post("https://api.example.com/orders").body(Full::new(body.into())).unwrap()
}
