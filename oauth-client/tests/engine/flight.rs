//! One refresh for all callers, and none of them can lose it.

use std::pin::pin;
use std::time::Duration;

use oauth_client::store::MemoryStore;
use oauth_client::{Error, TokenSource};
use oauth_mock::{Endpoint, Fault, MockClient};

use crate::support::{
    Events, LIFETIME, Scripted, advance, callers, fixture, fixture_with, poll, poll_once, settle,
};

#[tokio::test(start_paused = true)]
async fn ten_thousand_callers_at_expiry_cost_one_token_request() {
    let fixture = fixture();
    let source = fixture.source();
    for round in 1..=3 {
        let got = callers(&source, 10_000).await;
        let first = got[0].as_ref().unwrap().generation();
        assert_eq!(first, round);
        assert!(got.iter().all(|token| token.as_ref().is_ok_and(|token| token.generation() == first)));
        assert_eq!(fixture.count(Endpoint::Token), usize::try_from(round).unwrap());
        advance(LIFETIME + 1).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn callers_on_many_threads_cost_one_token_request_too() {
    let fixture = fixture();
    let source = fixture.source();
    assert!(callers(&source, 2_000).await.iter().all(Result::is_ok));
    assert_eq!(fixture.count(Endpoint::Token), 1);
}

#[tokio::test(start_paused = true)]
async fn a_fresh_token_is_returned_at_the_first_poll_and_without_a_request() {
    let fixture = fixture();
    let source = fixture.source();
    source.token().await.unwrap();
    advance(LIFETIME - 61).await;
    let before = source.token().await.unwrap();
    assert!(poll_once(source.token()).is_some_and(|token| token.is_ok()));
    settle().await;
    assert_eq!((fixture.count(Endpoint::Token), before.generation()), (1, 1));
    assert!(before.authorization().is_sensitive());
}

#[tokio::test(start_paused = true)]
async fn an_aging_token_is_returned_at_once_while_one_refresh_runs() {
    let fixture = fixture();
    let source = fixture.source();
    source.token().await.unwrap();
    fixture.server.fault(Endpoint::Token, Fault::delay(Duration::from_secs(3))).always();
    advance(LIFETIME - 30).await;
    for _ in 0..1000 {
        let token = poll_once(source.token()).expect("no caller waits").unwrap();
        assert_eq!(token.generation(), 1);
    }
    advance(4).await;
    assert_eq!((fixture.count(Endpoint::Token), source.current().unwrap().generation()), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn the_margin_is_never_more_than_half_the_lifetime() {
    let fixture = fixture_with(MockClient::default().token_lifetime(Duration::from_secs(20)));
    let source = fixture.source();
    for _ in 0..9 {
        source.token().await.unwrap();
        advance(1).await;
    }
    assert_eq!(fixture.count(Endpoint::Token), 1, "fresh for the first ten of its twenty seconds");
    advance(4).await;
    source.token().await.unwrap();
    settle().await;
    assert_eq!(fixture.count(Endpoint::Token), 2);
}

#[tokio::test(start_paused = true)]
async fn a_margin_of_zero_means_no_early_refresh() {
    let fixture = fixture();
    let source = fixture.source_builder().refresh_margin(Duration::ZERO).build().unwrap();
    source.token().await.unwrap();
    advance(LIFETIME - 1).await;
    source.token().await.unwrap();
    settle().await;
    assert_eq!(fixture.count(Endpoint::Token), 1);
}

/// The caller goes away after every number of steps that a refresh can be divided into.
#[tokio::test(start_paused = true)]
async fn a_caller_dropped_at_any_step_of_a_refresh_loses_nothing() {
    for steps in 0..60 {
        dropped_after(steps, None).await;
    }
}

/// The same while the response comes in byte by byte.
#[tokio::test(start_paused = true)]
async fn a_caller_dropped_at_any_byte_of_the_response_loses_nothing() {
    for milliseconds in (0..200).step_by(3) {
        dropped_after(milliseconds, Some(Duration::from_millis(1))).await;
    }
}

async fn dropped_after(steps: usize, drip: Option<Duration>) {
    let fixture = fixture();
    let store = Scripted::default();
    let source = fixture.client.source(fixture.person()).store(store.clone()).build().unwrap();
    source.token().await.unwrap();
    let first = store.last_written().unwrap();
    advance(LIFETIME + 1).await;

    drip.into_iter().for_each(|pause| fixture.server.fault(Endpoint::Token, Fault::drip(pause)).times(1));
    {
        let mut caller = pin!(source.token());
        for _ in 0..=steps {
            if poll(caller.as_mut()).is_some() {
                break;
            }
            match drip {
                Some(pause) => tokio::time::sleep(pause).await,
                None => tokio::task::yield_now().await,
            }
        }
    }
    advance(5).await;

    let written = store.last_written().unwrap();
    assert_ne!(written.refresh_token(), first.refresh_token(), "after {steps} steps: rotated, and stored");
    let token = source.token().await.unwrap();
    assert_eq!(token.secret(), written.access_token(), "after {steps} steps");
    assert_eq!(fixture.count(Endpoint::Token), 2, "after {steps} steps");
    advance(LIFETIME + 1).await;
    source.token().await.unwrap();
    assert!(!fixture.refresh_token_reused());
}

#[tokio::test(start_paused = true)]
async fn a_thousand_requests_with_one_revoked_token_cost_two_token_requests() {
    let fixture = fixture();
    let source = fixture.source();
    let revoked = source.token().await.unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..1000 {
        let (source, generation) = (source.clone(), revoked.generation());
        tasks.spawn(async move {
            assert!(source.reject(generation));
            source.token().await.unwrap().generation()
        });
    }
    assert!(tasks.join_all().await.into_iter().all(|generation| generation == 2));
    assert_eq!(fixture.count(Endpoint::Token), 2);
    assert!(source.reject(revoked.generation()), "said late, it drops nothing");
    assert_eq!(source.current().unwrap().generation(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_token_refused_while_its_refresh_runs_is_not_handed_out_again() {
    let fixture = fixture();
    let source = fixture.source();
    source.token().await.unwrap();
    advance(LIFETIME - 30).await;
    fixture.server.fault(Endpoint::Token, Fault::delay(Duration::from_secs(1))).times(1);
    assert_eq!(source.current().unwrap().generation(), 1, "the early refresh starts");
    assert!(source.reject(1));
    assert_eq!(source.token().await.unwrap().generation(), 2, "and is what the refusal waits for");
    assert_eq!(fixture.count(Endpoint::Token), 2);
}

#[tokio::test(start_paused = true)]
async fn an_api_that_refuses_every_token_does_not_become_a_storm() {
    let fixture = fixture();
    let source = fixture.source();
    let mut stood = 0;
    for _ in 0..1000 {
        let token = source.token().await.unwrap();
        stood += usize::from(!source.reject(token.generation()));
    }
    assert_eq!(
        (fixture.count(Endpoint::Token), stood),
        (11, 990),
        "ten replacements, then the API's response stands"
    );
    advance(10).await;
    assert!(source.reject(source.token().await.unwrap().generation()), "and one more in ten seconds");
}

#[tokio::test(start_paused = true)]
async fn a_fixed_source_never_asks_and_never_changes() {
    let source = TokenSource::fixed("a-token").unwrap();
    advance(1_000_000).await;
    assert_eq!(source.token().await.unwrap().authorization(), "Bearer a-token");
    assert!(!source.reject(1), "no other token is available");
    assert_eq!(source.current().unwrap().generation(), 1);
    assert_eq!(TokenSource::fixed("a\r\nb").unwrap_err().code(), "malformed_response");
}

/// A server that gives the same token again until it expires, as some caching ones do.
#[tokio::test(start_paused = true)]
async fn the_same_token_again_keeps_its_generation() {
    let fixture = fixture();
    let same = r#"{"access_token":"always-the-same","token_type":"Bearer","expires_in":60}"#;
    fixture.server.fault(Endpoint::Token, Fault::body(200, "application/json", same)).always();
    let source = fixture.source();
    assert_eq!(source.token().await.unwrap().generation(), 1);
    advance(61).await;
    assert_eq!(source.token().await.unwrap().generation(), 1);
    assert_eq!(fixture.count(Endpoint::Token), 2);
}

#[test]
fn a_runtime_dropped_during_a_refresh_leaves_no_caller_hanging() {
    let runtime =
        || tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    let first = runtime();
    let store = MemoryStore::new();
    let (fixture, source) = first.block_on(async {
        let fixture = fixture();
        let source = fixture.client.source(fixture.person()).store(store).build().unwrap();
        source.token().await.unwrap();
        advance(LIFETIME + 1).await;
        fixture.server.fault(Endpoint::Token, Fault::hang()).times(1);
        assert!(poll_once(source.token()).is_none());
        settle().await;
        assert!(source.status().refreshing);
        // Tokio's paused time ends with its runtime; what has passed on the wall clock stays.
        fixture.clock.suspend(Duration::from_secs(LIFETIME + 1));
        (fixture, source)
    });
    drop(first);
    assert!(!source.status().refreshing);
    let error = poll_once(source.token()).expect("no runtime, no waiting").unwrap_err();
    assert!(error.code() == "config" && error.to_string().contains("runtime"), "{error}");

    let token: Result<_, Error> = runtime().block_on(source.token());
    assert!(token.is_ok_and(|token| token.generation() == 2));
    assert_eq!(fixture.count(Endpoint::Token), 3);
}

/// A runtime that is no longer driven is as bad as one that is gone.
#[test]
fn a_runtime_that_stalls_during_a_refresh_leaves_no_caller_hanging() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let stalled = runtime();
    let (fixture, source) = stalled.block_on(async {
        let fixture = fixture();
        let source = fixture.source();
        assert!(poll_once(source.token()).is_none(), "the refresh is spawned here, and never gets a turn");
        (fixture, source)
    });
    let other =
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    let token =
        other.block_on(async { tokio::time::timeout(Duration::from_secs(120), source.token()).await });
    assert!(token.expect("no caller waits for ever").is_ok());
    assert_eq!(fixture.count(Endpoint::Token), 1);
    drop(stalled);
}

#[tokio::test(start_paused = true)]
async fn a_hook_sees_what_happens_and_one_that_panics_costs_nothing() {
    let fixture = fixture();
    let events = Events::default();
    let source = fixture.source_builder().store(MemoryStore::new()).on_event(events.hook()).build().unwrap();
    let token = source.token().await.unwrap();
    assert_eq!(events.take(), ["persisted", "refreshed 1"]);
    source.reject(token.generation());
    fixture.server.fault(Endpoint::Token, Fault::status(400)).times(1);
    source.token().await.unwrap_err();
    assert_eq!(events.take(), ["rejected 1", "failed invalid_request"]);

    let source = fixture
        .source_builder()
        .on_event(|_| panic!("the hook panics, as the test wants it to"))
        .build()
        .unwrap();
    let before = fixture.count(Endpoint::Token);
    let token = source.token().await.unwrap();
    assert!(source.reject(token.generation()), "nor in the caller of reject");
    assert_eq!(source.token().await.unwrap().generation(), 2);
    assert_eq!(fixture.count(Endpoint::Token), before + 2);
}
