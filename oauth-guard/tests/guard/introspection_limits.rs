//! What bounds the questions, and that what is granted is looked at for each request.

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use oauth_client::transport::RequestBody;
use oauth_guard::{ClientAuth, Guard, HttpClient, Introspection, Issuer, Requirement};
use oauth_mock::{Endpoint, Fault, Gate, MockClient, MockServer};
use tokio::runtime::Runtime;
use tokio::sync::Notify;
use tokio::time::advance;

use crate::support::{Fixture, call, settle};

fn fixture() -> Fixture {
    let server = MockServer::builder()
        .audience("orders-api")
        .client(MockClient::new("svc").secret("s3cr3t"))
        .client(MockClient::new("app").secret("s3cr3t").scopes(["read", "write"]).opaque_tokens())
        .in_process();
    Fixture { server, clock: oauth_guard::clock::TestClock::new() }
}

fn asking(fixture: &Fixture, max_concurrent: usize) -> Guard {
    let introspection = Introspection::new(ClientAuth::basic("svc", "s3cr3t")).max_concurrent(max_concurrent);
    fixture.guard_of(fixture.issuer().introspection(introspection))
}

fn questions(fixture: &Fixture) -> usize {
    fixture.server.journal().count(Endpoint::Introspect)
}

fn callers(fixture: &Fixture, guard: &Guard, count: usize) -> Vec<tokio::task::JoinHandle<u16>> {
    (0..count)
        .map(|_| {
            let token = fixture.server.issue("app", "ada", "read").unwrap().access_token;
            let guard = guard.clone();
            tokio::spawn(async move { call(&guard, &token).await.status })
        })
        .collect()
}

#[tokio::test(start_paused = true)]
async fn further_questions_wait_for_their_turn() {
    let fixture = fixture();
    let gate = Gate::new();
    fixture.server.fault(Endpoint::Introspect, Fault::hold(&gate)).always();
    let guard = asking(&fixture, 2);
    let waiting = callers(&fixture, &guard, 5);
    settle().await;
    assert_eq!(questions(&fixture), 2);
    gate.open();
    for caller in waiting {
        assert_eq!(caller.await.unwrap(), 200);
    }
    assert_eq!(questions(&fixture), 5);
}

#[tokio::test(start_paused = true)]
async fn who_waits_beyond_the_time_limit_is_told_to_come_back() {
    let fixture = fixture();
    fixture.server.fault(Endpoint::Introspect, Fault::hang()).always();
    let guard = asking(&fixture, 2);
    let waiting = callers(&fixture, &guard, 5);
    settle().await;
    advance(Duration::from_millis(5_100)).await;
    for caller in waiting {
        assert_eq!(caller.await.unwrap(), 503);
    }
    assert_eq!(questions(&fixture), 2, "those that waited were never sent");
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_new_tokens_takes_bounded_room() {
    let fixture = fixture();
    let gate = Gate::new();
    fixture.server.fault(Endpoint::Introspect, Fault::hold(&gate)).always();
    let guard = asking(&fixture, 1);
    let waiting = callers(&fixture, &guard, 256);
    settle().await;
    let reply = call(&guard, "one-too-many").await;
    assert_eq!((reply.status, reply.retry_after.as_deref()), (503, Some("1")), "at once");
    gate.open();
    for caller in waiting {
        assert_eq!(caller.await.unwrap(), 200);
    }
    assert_eq!(call(&guard, "one-too-many").await.status, 401, "there is room again");
}

/// Of questions that are under way together, one may succeed after the server has asked to be left alone.
#[tokio::test(start_paused = true)]
async fn a_success_of_before_ends_no_pause_and_no_probe() {
    let fixture = fixture();
    let guard = asking(&fixture, 64);
    let (early, late) = (Gate::new(), Gate::new());
    let hold = |gate: &Gate| fixture.server.fault(Endpoint::Introspect, Fault::hold(gate)).times(1);
    let ask = |nth: usize| call(&guard, ["opaque-0", "opaque-1", "opaque-2", "opaque-3", "opaque-4"][nth]);
    hold(&early);
    let [first] = callers(&fixture, &guard, 1).try_into().unwrap();
    settle().await;
    hold(&late);
    let [second] = callers(&fixture, &guard, 1).try_into().unwrap();
    settle().await;
    fixture.server.fault(Endpoint::Introspect, Fault::status(429).retry_after_secs(3)).times(1);
    assert_eq!(ask(0).await.retry_after.as_deref(), Some("3"));
    early.open();
    assert_eq!(first.await.unwrap(), 200);
    assert_eq!((ask(1).await.status, questions(&fixture)), (503, 3), "its word still counts");
    // Two more failures, and then one question at a time.
    advance(Duration::from_secs(3)).await;
    for nth in [1, 2] {
        fixture.server.fault(Endpoint::Introspect, Fault::status(500)).times(1);
        assert_eq!((ask(nth).await.status, questions(&fixture)), (503, 3 + nth));
    }
    advance(Duration::from_secs(1)).await;
    let probe = Gate::new();
    hold(&probe);
    let [probing] = callers(&fixture, &guard, 1).try_into().unwrap();
    settle().await;
    assert_eq!(questions(&fixture), 6);
    late.open();
    assert_eq!(second.await.unwrap(), 200);
    assert_eq!((ask(3).await.status, questions(&fixture)), (503, 6), "one question at a time");
    probe.open();
    assert_eq!(probing.await.unwrap(), 200);
    assert_eq!((ask(4).await.status, questions(&fixture)), (401, 7));
}

#[tokio::test(start_paused = true)]
async fn what_a_cached_token_grants_is_asked_for_each_request() {
    let fixture = fixture();
    let guard = asking(&fixture, 64);
    let token = fixture.server.issue("app", "ada", "read").unwrap().access_token;
    let request = Request::get("/").header("authorization", format!("Bearer {token}")).body(()).unwrap();
    for _ in 0..2 {
        let claims = guard.check(&request).resolve().await.unwrap().unwrap();
        assert!(guard.require(&Requirement::scope("read"), &claims).is_ok());
        let refused = guard.require(&Requirement::scope("write"), &claims);
        assert_eq!(refused.unwrap_err().code(), "insufficient_scope");
    }
    assert_eq!(questions(&fixture), 1);
}

#[tokio::test(start_paused = true)]
async fn the_longest_time_limit_never_panics() {
    let fixture = fixture();
    let introspection = Introspection::new(ClientAuth::basic("svc", "s3cr3t"));
    let introspection =
        introspection.timeout(Duration::MAX).cache(Duration::MAX).negative_cache(Duration::MAX);
    let guard = fixture.guard_of(fixture.issuer().introspection(introspection));
    let token = fixture.server.issue("app", "ada", "read").unwrap().access_token;
    for _ in 0..2 {
        assert_eq!(call(&guard, &token).await.status, 200);
        assert_eq!(call(&guard, "unknown").await.status, 401);
    }
}

/// A transport of the user's own, whose fault is not the request's.
#[tokio::test(start_paused = true)]
async fn a_transport_that_panics_takes_no_request_with_it() {
    let fixture = fixture();
    let broken = tower::service_fn(|_: Request<RequestBody>| async {
        std::panic::resume_unwind(Box::new("a fault"));
        #[expect(unreachable_code, reason = "it names the types")]
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
    });
    let introspection = Introspection::new(ClientAuth::basic("svc", "s3cr3t"))
        .endpoint("https://auth.example.com/introspect")
        .http(HttpClient::from_service(broken));
    let guard = fixture.guard_of(fixture.issuer().introspection(introspection));
    for _ in 0..2 {
        assert_eq!(call(&guard, "opaque").await.status, 503);
    }
}

/// A transport's failure, during whose description something else happens.
struct Broken(Arc<dyn Fn() + Send + Sync>);

impl std::error::Error for Broken {}

impl fmt::Debug for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Broken")
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (self.0)();
        f.write_str("broken")
    }
}

/// Two runtimes, so that what another thread does while a failure is taken in is done by hand.
#[test]
fn a_question_that_waits_hears_of_a_failure_before_its_turn() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (first, second) = (runtime(), Arc::new(runtime()));
    let drive = |runtime: &Runtime| {
        runtime.block_on(async {
            for _ in 0..20 {
                tokio::task::yield_now().await;
            }
        });
    };
    let (sent, gate) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
    let meanwhile: Arc<dyn Fn() + Send + Sync> = {
        let second = Arc::clone(&second);
        Arc::new(move || {
            std::thread::scope(|scope| {
                scope.spawn(|| drive(&second));
            });
        })
    };
    let http = HttpClient::from_service(tower::service_fn({
        let (sent, gate) = (Arc::clone(&sent), Arc::clone(&gate));
        move |_: Request<RequestBody>| {
            sent.fetch_add(1, Ordering::SeqCst);
            let (gate, broken) = (Arc::clone(&gate), Broken(Arc::clone(&meanwhile)));
            async move {
                gate.notified().await;
                Err::<Response<Full<Bytes>>, _>(broken)
            }
        }
    }));
    let introspection = Introspection::new(ClientAuth::basic("svc", "s3cr3t"))
        .endpoint("https://auth.example.com/introspect")
        .max_concurrent(1);
    let issuer = Issuer::new("https://auth.example.com").audience("orders-api").introspection(introspection);
    let inside = first.enter();
    let clock = oauth_guard::clock::TestClock::new();
    let guard = Guard::builder().clock(clock).http(http).issuer(issuer).build().unwrap();
    drop(inside);
    let ask = |runtime: &Runtime, token: &'static str| {
        let guard = guard.clone();
        let asked = runtime.spawn(async move { call(&guard, token).await.status });
        drive(runtime);
        asked
    };
    // One more failure, and the server is left alone.
    let before = ["a", "b"].map(|token| {
        gate.notify_one();
        first.block_on(ask(&first, token)).unwrap()
    });
    assert_eq!(before, [503, 503]);
    let (one, two) = (ask(&first, "one"), ask(&second, "two"));
    assert_eq!(sent.load(Ordering::SeqCst), 3, "the last one waits for its turn");
    gate.notify_one();
    assert_eq!(first.block_on(one).unwrap(), 503);
    // If it were sent, its time limit would end it, or this.
    gate.notify_one();
    assert_eq!(second.block_on(two).unwrap(), 503);
    assert_eq!(sent.load(Ordering::SeqCst), 3, "nothing more is sent to a server in trouble");
}
