//! Programs that end keep their login, and callers outside a runtime come to an end.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use oauth_client::TokenSource;
use oauth_client::clock::{Clock, Now, TestClock};
use oauth_client::grant;
use oauth_client::source::Pool;
use oauth_client::store::MemoryStore;
use oauth_client::transport::HttpClient;
use oauth_mock::{Endpoint, Fault};

use crate::support::{
    Fixture, LIFETIME, Scripted, advance, client, client_builder, fixture, poll_once, settle,
};

#[tokio::test(start_paused = true)]
async fn settling_waits_for_the_refresh_that_is_under_way() {
    let fixture = fixture();
    let store = Scripted::default();
    let source = fixture.client.source(fixture.person()).store(store.clone()).build().unwrap();
    source.settle().await.unwrap();
    source.token().await.unwrap();
    advance(LIFETIME - 30).await;
    // One that takes longer than callers would wait.
    fixture.server.fault(Endpoint::Token, Fault::delay(Duration::from_secs(40))).times(1);
    source.token().await.unwrap();
    settle().await;
    assert!(source.status().refreshing);
    source.settle().await.unwrap();
    assert!(!source.status().refreshing);
    assert_eq!(fixture.count(Endpoint::Token), 2);
    assert_eq!(&store.last_written().unwrap(), source.current().unwrap().tokens());
    TokenSource::fixed("t").unwrap().settle().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn settling_hurries_the_writes_and_has_an_end() {
    let fixture = fixture();
    let store = Scripted::default();
    store.script().writes.failures = usize::MAX;
    let source = fixture.client.source(fixture.person()).store(store.clone()).build().unwrap();
    let token = source.token().await.unwrap();
    // By now the next try is a minute off.
    advance(200).await;
    store.script().writes.failures = 2;
    let began = tokio::time::Instant::now();
    source.settle().await.unwrap();
    assert!(began.elapsed() <= Duration::from_secs(3), "{:?}", began.elapsed());
    assert_eq!(&store.last_written().unwrap(), token.tokens());

    store.script().writes.failures = usize::MAX;
    advance(LIFETIME + 1).await;
    source.token().await.unwrap();
    let began = tokio::time::Instant::now();
    assert_eq!(source.settle().await.unwrap_err().code(), "store");
    assert!(began.elapsed() <= Duration::from_secs(11), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn settling_writes_a_login_that_the_source_only_starts_with() {
    let fixture = fixture();
    let login = fixture.client.request(&fixture.person()).await.unwrap();
    let begun = |store: &Scripted| {
        let builder = fixture.client.source(grant::login().subject("alice")).store(store.clone());
        builder.starting_with(login.clone()).build()
    };
    let store = Scripted::default();
    let source = begun(&store).unwrap();
    source.settle().await.unwrap();
    assert_eq!(store.last_written().unwrap().refresh_token(), login.refresh_token());
    assert_eq!(source.token().await.unwrap().secret(), login.access_token());
    assert_eq!(store.script().written.len(), 1);

    let store = Scripted::default();
    let (made, kept) = (begun(&store).unwrap(), store.clone());
    let pool = Pool::new(move |_: &u32| Ok(made.clone()));
    pool.get(&1).unwrap();
    pool.settle().await.unwrap();
    assert_eq!(kept.last_written().unwrap().refresh_token(), login.refresh_token());
    assert_eq!(fixture.count(Endpoint::Token), 1, "nothing is asked for");

    let store = Scripted::default();
    store.script().writes.failures = usize::MAX;
    assert_eq!(begun(&store).unwrap().settle().await.unwrap_err().code(), "store");
    // Without a store there is nothing to wait for.
    let source = fixture.client.source(grant::login()).starting_with(login.clone()).build().unwrap();
    source.settle().await.unwrap();
}

#[test]
fn settling_outside_tokio_says_that_a_login_is_not_written() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (fixture, login) = runtime.block_on(async {
        let fixture = fixture();
        let login = fixture.client.request(&fixture.person()).await.unwrap();
        (fixture, login)
    });
    let store = Scripted::default();
    let source = fixture
        .client
        .source(grant::login().subject("alice"))
        .store(store.clone())
        .starting_with(login)
        .build();
    let error = poll_once(source.unwrap().settle()).unwrap().unwrap_err();
    assert!(error.code() == "config" && error.to_string().contains("runtime"), "{error}");
    assert!(store.last_written().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_program_that_has_just_started_does_not_rotate_a_token_ahead_of_time() {
    let fixture = fixture();
    let (store, request) = (MemoryStore::new(), fixture.person());
    let source = |client: &oauth_client::Client| {
        let builder = client.source(request.clone()).store(store.clone());
        builder.refresh_margin(Duration::from_secs(149)).build().unwrap()
    };
    source(&fixture.client).token().await.unwrap();
    advance(160).await;
    // The next start finds it aging: it is good enough for a moment.
    let started = client(&fixture.server, &fixture.clock);
    let next = source(&started);
    for _ in 0..50 {
        next.token().await.unwrap();
        advance(1).await;
    }
    assert_eq!(fixture.count(Endpoint::Token), 1);
    // One that stays refreshes ahead of time, as ever.
    advance(11).await;
    assert_eq!(next.token().await.unwrap().generation(), 1);
    advance(1).await;
    assert_eq!((next.token().await.unwrap().generation(), fixture.count(Endpoint::Token)), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn what_can_be_asked_for_anew_is_refreshed_ahead_of_time_from_the_start() {
    let fixture = fixture();
    let store = MemoryStore::new();
    let source = || fixture.source_builder().store(store.clone()).build().unwrap();
    source().token().await.unwrap();
    advance(LIFETIME - 20).await;
    let next = source();
    next.token().await.unwrap();
    next.token().await.unwrap();
    settle().await;
    assert_eq!(fixture.count(Endpoint::Token), 2);
}

/// A clock that no runtime moves.
#[derive(Clone, Debug, Default)]
struct ByHand(Arc<AtomicU64>);

impl Clock for ByHand {
    fn now(&self) -> Now {
        let seconds = self.0.load(Ordering::SeqCst);
        Now { wall: Duration::from_secs(1_893_456_000 + seconds), monotonic: Duration::from_secs(seconds) }
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let (mut future, waker) = (pin!(future), Waker::from(Arc::new(Unpark(thread::current()))));
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(done) => return done,
            Poll::Pending => thread::park(),
        }
    }
}

#[test]
fn a_caller_outside_tokio_does_not_hang_on_a_runtime_that_stands_still() {
    let fixture: Fixture = {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async { fixture() })
    };
    let clock = ByHand::default();
    let http = HttpClient::from_service(fixture.server.transport());
    let client = client_builder(&fixture.server).http(http).clock(clock.clone()).build().unwrap();
    let source = client.source(fixture.person()).build().unwrap();
    let stalled = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    stalled.block_on(async {
        let mut first = pin!(source.token());
        let polled = first.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(polled.is_pending(), "the refresh is spawned here, and never gets a turn");
    });
    let waiting = thread::spawn(move || block_on(source.token()));
    while !waiting.is_finished() {
        clock.0.fetch_add(10, Ordering::SeqCst);
        thread::yield_now();
    }
    let error = waiting.join().unwrap().unwrap_err();
    assert!(error.code() == "config" && error.to_string().contains("runtime"), "{error}");
    assert!(clock.now().monotonic >= Duration::from_secs(60));
    drop(stalled);
    let _: TestClock = fixture.clock;
}
