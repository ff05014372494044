//! What tower promises and asks for, and what happens to callers that go away.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use crate::support::{Api, get, post, server, source, token_requests};
use bytes::Bytes;
use futures_util::future::join_all;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use oauth_client::TokenSource;
use oauth_client::attach::{AttachError, Body, ReplayPolicy, TokenLayer};
use oauth_mock::{Endpoint, Fault};
use tower::limit::ConcurrencyLimit;
use tower::{Layer, Service, ServiceExt};

/// Ready for one call each time it was asked; a call without being asked is a failed test. Counts its clones.
struct Strict<S> {
    inner: S,
    ready: bool,
    clones: Arc<AtomicUsize>,
}

impl<S> Strict<S> {
    fn new(inner: S) -> Self {
        Self { inner, ready: false, clones: Arc::default() }
    }
}

impl<S: Clone> Clone for Strict<S> {
    fn clone(&self) -> Self {
        self.clones.fetch_add(1, Ordering::SeqCst);
        Self { inner: self.inner.clone(), ready: false, clones: Arc::clone(&self.clones) }
    }
}

impl<S: Service<R>, R> Service<R> for Strict<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.ready = true;
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: R) -> S::Future {
        assert!(std::mem::take(&mut self.ready), "called without having been polled ready");
        self.inner.call(request)
    }
}

async fn ready<S: Service<Request<Full<Bytes>>>>(service: &mut S) -> &mut S
where
    S::Error: std::fmt::Debug,
{
    service.ready().await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn only_a_service_that_was_polled_ready_is_called() {
    let (server, api) = (server(), Api::new());
    let source = source(&server);
    let mut client = TokenLayer::new(source.clone()).layer(Strict::new(api.clone()));

    // Waiting for the first token, then with it at hand, then with one that is refused.
    for calls in [1, 2, 4] {
        if calls == 4 {
            api.refuse(&source.current().unwrap());
        }
        let response = ready(&mut client).await.call(post("hello")).await.unwrap();
        assert_eq!((response.status(), api.count()), (StatusCode::OK, calls));
    }
}

#[tokio::test(start_paused = true)]
async fn with_a_token_at_hand_and_no_replay_nothing_is_cloned() {
    let strict = Strict::new(Api::new());
    let clones = Arc::clone(&strict.clones);
    let source = TokenSource::fixed("2YotnFZFEjr1zCsicMWpAA").unwrap();
    let mut client = TokenLayer::new(source).replay(ReplayPolicy::never()).layer(strict);
    for _ in 0..3 {
        ready(&mut client).await.call(get()).await.unwrap();
    }
    assert_eq!(clones.load(Ordering::SeqCst), 0);
}

#[tokio::test(start_paused = true)]
async fn a_replay_under_a_concurrency_limit_does_not_wait_for_itself() {
    let (server, api) = (server(), Api::new());
    let source = source(&server);
    api.refuse(&source.token().await.unwrap());
    let client = TokenLayer::new(source).layer(ConcurrencyLimit::new(Strict::new(api.clone()), 1));
    let calls = join_all((0..20).map(|n| tokio::spawn(client.clone().oneshot(post(n.to_string())))));
    let responses = tokio::time::timeout(Duration::from_secs(60), calls).await.expect("a caller is stuck");
    assert!(responses.into_iter().all(|response| response.unwrap().unwrap().status() == StatusCode::OK));
    assert_eq!(token_requests(&server), 2);
}

#[tokio::test(start_paused = true)]
async fn the_inner_service_s_errors_come_through_from_every_step() {
    #[derive(Clone)]
    struct Failing(bool);
    impl Service<Request<Body<Full<Bytes>>>> for Failing {
        type Response = Response<Full<Bytes>>;
        type Error = std::io::Error;
        type Future = std::future::Ready<Result<Self::Response, std::io::Error>>;
        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), std::io::Error>> {
            Poll::Ready(if self.0 { Ok(()) } else { Err(std::io::ErrorKind::NotConnected.into()) })
        }
        fn call(&mut self, _: Request<Body<Full<Bytes>>>) -> Self::Future {
            std::future::ready(Err(std::io::ErrorKind::ConnectionReset.into()))
        }
    }
    let layer = TokenLayer::new(TokenSource::fixed("2YotnFZFEjr1zCsicMWpAA").unwrap());
    let kind = |error| match error {
        AttachError::Inner(error) => std::io::Error::kind(&error),
        AttachError::Token(error) => panic!("{error}"),
    };
    let error = layer.layer(Failing(false)).oneshot(get()).await.unwrap_err();
    assert_eq!(kind(error), std::io::ErrorKind::NotConnected);
    let error = layer.layer(Failing(true)).oneshot(get()).await.unwrap_err();
    assert_eq!(error.to_string(), std::io::Error::from(std::io::ErrorKind::ConnectionReset).to_string());
}

/// Resolves to `None` once the future inside was polled so many times without a response.
struct GoneAfter<F> {
    inner: Pin<Box<F>>,
    polls: usize,
}

impl<F: Future> Future for GoneAfter<F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if self.polls == 0 {
            return Poll::Ready(None);
        }
        self.polls -= 1;
        match self.inner.as_mut().poll(cx) {
            Poll::Ready(response) => Poll::Ready(Some(response)),
            Poll::Pending if self.polls == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_goes_away_at_any_await_point_loses_nothing() {
    let mut finished = false;
    for polls in 0..50 {
        let (server, api) = (server(), Api::new());
        server.fault(Endpoint::Token, Fault::delay(Duration::from_millis(250))).always();
        let source = source(&server);
        api.refuse(&source.token().await.unwrap());
        let client =
            TokenLayer::new(source.clone()).layer(ConcurrencyLimit::new(Strict::new(api.clone()), 1));

        let response = GoneAfter { inner: Box::pin(client.clone().oneshot(post("first"))), polls }.await;
        finished = response.is_some();

        // The permit is back, the refused token is gone or goes now, and there is one refresh for both callers.
        let next = tokio::time::timeout(Duration::from_secs(60), client.clone().oneshot(post("second")));
        assert_eq!(next.await.expect("a caller is stuck").unwrap().status(), StatusCode::OK, "{polls}");
        assert_eq!(token_requests(&server), 2, "{polls}");
        if finished {
            break;
        }
    }
    assert!(finished, "every await point was reached");
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_goes_away_while_waiting_for_the_first_token_leaves_it_to_the_next() {
    let (server, api) = (server(), Api::new());
    server.fault(Endpoint::Token, Fault::delay(Duration::from_secs(2))).always();
    let client = TokenLayer::new(source(&server)).layer(api.clone());
    let impatient = tokio::time::timeout(Duration::from_secs(1), client.clone().oneshot(get()));
    assert!(impatient.await.is_err());
    let began = tokio::time::Instant::now();
    assert_eq!(client.oneshot(get()).await.unwrap().status(), StatusCode::OK);
    assert!(
        began.elapsed() < Duration::from_millis(1200),
        "the refresh went on meanwhile: {:?}",
        began.elapsed()
    );
    assert_eq!((api.count(), token_requests(&server)), (1, 1));
}

#[tokio::test]
async fn neither_service_nor_body_need_be_send() {
    let here_only = Rc::new(());
    let service = tower::service_fn(move |request: Request<Body<Full<Bytes>>>| {
        let here_only = Rc::clone(&here_only);
        async move {
            drop(here_only);
            Ok::<_, Infallible>(Response::new(request.into_body()))
        }
    });
    let source = TokenSource::fixed("2YotnFZFEjr1zCsicMWpAA").unwrap();
    assert!(TokenLayer::new(source).layer(service).oneshot(get()).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn nothing_here_prints_the_token() {
    let (server, api) = (server(), Api::new());
    let source = source(&server);
    let token = source.token().await.unwrap();
    let layer = TokenLayer::new(source).allowed_origins(["https://api.example.com"]).unwrap();
    let strict = Arc::new(());
    let service = layer.layer(Arc::clone(&strict));
    let mut client = layer.layer(api);
    let call = ready(&mut client).await.call(post("a secret of the caller's"));
    for shown in [format!("{layer:?}"), format!("{service:?}"), format!("{call:?}")] {
        assert!(!shown.contains(token.secret().expose()) && !shown.contains("caller's"), "{shown}");
    }
    assert!(format!("{call:?}").contains("calling"));
}
