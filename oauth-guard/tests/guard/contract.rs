//! The tower contract: which service is called, when, and what happens to it on a rejection.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, header};
use http_body_util::{Empty, Full};
use oauth_guard::Requirement;
use oauth_mock::{Endpoint, Fault};
use tower::limit::ConcurrencyLimitLayer;
use tower::{Layer, Service, ServiceExt, service_fn};

use crate::support::Fixture;

/// Panics when a clone is called that was not polled ready, as services with permits do.
#[derive(Debug)]
struct Strict {
    ready: bool,
    calls: Arc<AtomicUsize>,
}

impl Clone for Strict {
    fn clone(&self) -> Self {
        Self { ready: false, calls: Arc::clone(&self.calls) }
    }
}

impl Service<Request<Empty<Bytes>>> for Strict {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<Empty<Bytes>>) -> Self::Future {
        assert!(std::mem::take(&mut self.ready), "called without having been polled ready");
        self.calls.fetch_add(1, Ordering::SeqCst);
        ready(Ok(Response::default()))
    }
}

fn request(token: Option<&str>) -> Request<Empty<Bytes>> {
    let mut request = Request::new(Empty::new());
    if let Some(token) = token {
        request.headers_mut().insert(header::AUTHORIZATION, format!("Bearer {token}").parse().unwrap());
    }
    request
}

#[tokio::test(start_paused = true)]
async fn the_service_that_was_polled_ready_is_the_one_called() {
    let fixture = Fixture::new();
    let calls = Arc::new(AtomicUsize::new(0));
    let mut service = fixture.guard().layer().layer(Strict { ready: false, calls: Arc::clone(&calls) });
    let token = fixture.server.mint().build();
    // A fetch, a signature, the cache; with rejections in between.
    for _ in 0..3 {
        assert_eq!(service.ready().await.unwrap().call(request(Some(&token))).await.unwrap().status(), 200);
        assert_eq!(service.ready().await.unwrap().call(request(None)).await.unwrap().status(), 401);
        let new = fixture.server.mint().build();
        assert_eq!(service.ready().await.unwrap().call(request(Some(&new))).await.unwrap().status(), 200);
    }
    assert_eq!(calls.load(Ordering::SeqCst), 6);
}

#[tokio::test(start_paused = true)]
async fn rejections_strand_no_permit() {
    let fixture = Fixture::new();
    let limited = ConcurrencyLimitLayer::new(1).layer(service_fn(|_: Request<Empty<Bytes>>| async {
        Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
    }));
    let mut idle = fixture.guard().layer().layer(limited);
    let mut other = idle.clone();
    let good = fixture.server.mint().build();
    let unknown = fixture.server.mint().kid("unknown").build();
    for bad in [None, Some("a.b.c"), Some(unknown.as_str())] {
        // The rejected connection stays open and idle; the next one gets the permit all the same.
        assert_eq!(idle.ready().await.unwrap().call(request(bad)).await.unwrap().status(), 401);
        let reply = async { other.ready().await.unwrap().call(request(Some(&good))).await.unwrap().status() };
        assert_eq!(tokio::time::timeout(Duration::from_secs(10), reply).await.unwrap(), 200);
    }
}

#[tokio::test(start_paused = true)]
async fn a_service_that_is_never_ready_is_never_called() {
    #[derive(Clone)]
    struct Never;
    impl Service<Request<Empty<Bytes>>> for Never {
        type Response = Response<Full<Bytes>>;
        type Error = Infallible;
        type Future = Ready<Result<Self::Response, Infallible>>;
        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
            Poll::Pending
        }
        fn call(&mut self, _: Request<Empty<Bytes>>) -> Self::Future {
            panic!("called although it was not ready");
        }
    }
    let fixture = Fixture::new();
    let service = fixture.guard().layer().layer(Never);
    let call = service.oneshot(request(Some(&fixture.server.mint().build())));
    assert!(tokio::time::timeout(Duration::from_secs(60), call).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_call_dropped_while_keys_are_fetched_gives_its_permit_back() {
    let fixture = Fixture::new();
    fixture.server.fault(Endpoint::Jwks, Fault::delay(Duration::from_secs(2))).times(1);
    let limited = ConcurrencyLimitLayer::new(1).layer(service_fn(|_: Request<Empty<Bytes>>| async {
        Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
    }));
    let service = fixture.guard().layer().layer(limited);
    let token = fixture.server.mint().build();
    let dropped = service.clone().oneshot(request(Some(&token)));
    assert!(tokio::time::timeout(Duration::from_secs(1), dropped).await.is_err());
    assert_eq!(service.oneshot(request(Some(&token))).await.unwrap().status(), 200);
}

#[tokio::test(start_paused = true)]
async fn a_cached_token_resolves_in_the_first_poll_and_needs_no_send() {
    let fixture = Fixture::new();
    // `Rc` in the service and no runtime: nothing is spawned or boxed.
    let local = std::rc::Rc::new(());
    let inner = service_fn(move |_: Request<Empty<Bytes>>| {
        let _local = std::rc::Rc::clone(&local);
        ready(Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new())))
    });
    let guard = fixture.guard();
    assert!(guard.warm_up().await.ok);
    let service = guard.layer().require(Requirement::scope("read")).layer(inner);
    let token = fixture.server.mint().scope("read").build();
    for _ in 0..2 {
        let call = pin!(service.clone().oneshot(request(Some(&token))));
        let Poll::Ready(reply) = call.poll(&mut Context::from_waker(Waker::noop())) else {
            panic!("the result was not ready")
        };
        assert_eq!(reply.unwrap().status(), 200);
    }
    assert_eq!(guard.health().cache.hits, 1);
}
