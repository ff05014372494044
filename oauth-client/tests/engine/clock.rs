//! Two clocks, and a token is expired when either says so.

use std::time::Duration;

use oauth_client::clock::TestClock;
use oauth_client::store::MemoryStore;
use oauth_mock::{Endpoint, Fault};

use crate::support::{LIFETIME, advance, client, fixture};

#[tokio::test(start_paused = true)]
async fn after_a_suspend_a_token_is_expired() {
    let fixture = fixture();
    let source = fixture.source();
    source.token().await.unwrap();
    fixture.clock.suspend(Duration::from_secs(8 * 3600));
    assert!(source.current().is_none(), "the monotonic clock slept, the token did not");
    assert_eq!(source.token().await.unwrap().generation(), 2);
    assert_eq!(source.status().expires_in, Some(Duration::from_secs(LIFETIME)));
}

#[tokio::test(start_paused = true)]
async fn a_wall_clock_that_steps_back_gives_no_token_a_longer_life() {
    let fixture = fixture();
    let source = fixture.source();
    source.token().await.unwrap();
    fixture.clock.step_wall(-3600);
    advance(LIFETIME - 61).await;
    assert_eq!(source.current().unwrap().generation(), 1);
    advance(62).await;
    assert!(source.current().is_none(), "its time is up, whatever the wall clock says");
    assert_eq!(source.token().await.unwrap().generation(), 2);
    assert_eq!(source.status().expires_in, Some(Duration::from_secs(LIFETIME)));
}

#[tokio::test(start_paused = true)]
async fn a_wall_clock_that_steps_forward_costs_one_refresh_and_no_more() {
    let fixture = fixture();
    let source = fixture.source();
    source.token().await.unwrap();
    fixture.clock.step_wall(3600);
    for _ in 0..100 {
        source.token().await.unwrap();
    }
    assert_eq!(fixture.count(Endpoint::Token), 2);
    advance(LIFETIME - 90).await;
    assert_eq!(source.token().await.unwrap().generation(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_wall_clock_that_steps_back_during_the_request_gives_no_longer_life_either() {
    let fixture = fixture();
    let source = fixture.source();
    fixture.server.fault(Endpoint::Token, Fault::delay(Duration::from_secs(2))).times(1);
    let caller = tokio::spawn({
        let source = source.clone();
        async move { source.token().await }
    });
    advance(1).await;
    fixture.clock.step_wall(-3600);
    caller.await.unwrap().unwrap();
    assert!(source.status().expires_in.unwrap() <= Duration::from_secs(LIFETIME));
    advance(LIFETIME + 1).await;
    assert!(source.current().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_lifetime_counts_from_when_the_request_was_sent() {
    let fixture = fixture();
    fixture.server.fault(Endpoint::Token, Fault::delay(Duration::from_secs(9))).times(1);
    let source = fixture.source();
    source.token().await.unwrap();
    assert_eq!(source.status().expires_in, Some(Duration::from_secs(LIFETIME - 9)));
}

#[tokio::test(start_paused = true)]
async fn a_machine_that_thinks_it_is_1970_or_2100_gets_and_keeps_tokens() {
    for start in [0, 3, 4_102_444_800] {
        let fixture = fixture();
        let clock = TestClock::at(start);
        let source = client(&fixture.server, &clock)
            .source(oauth_client::grant::client_credentials())
            .build()
            .unwrap();
        source.token().await.unwrap();
        advance(100).await;
        assert_eq!(source.token().await.unwrap().generation(), 1, "at {start}");
        advance(LIFETIME).await;
        assert_eq!(source.token().await.unwrap().generation(), 2, "at {start}");
        clock.step_wall(1_893_456_000);
        source.token().await.unwrap();
        assert_eq!(fixture.count(Endpoint::Token), 3, "at {start}: the right time at last");
    }
}

/// Written by a process that knew the time, read by one that boots without: it must not be good for sixty years.
#[tokio::test(start_paused = true)]
async fn a_stored_token_lives_no_longer_than_it_was_given_when_the_clock_is_wrong() {
    let fixture = fixture();
    let store = MemoryStore::new();
    fixture.source_builder().store(store.clone()).build().unwrap().token().await.unwrap();
    let source = client(&fixture.server, &TestClock::at(0))
        .source(oauth_client::grant::client_credentials())
        .store(store)
        .build()
        .unwrap();
    source.token().await.unwrap();
    assert!(source.status().expires_in.unwrap() <= Duration::from_secs(LIFETIME));
    advance(LIFETIME + 1).await;
    assert!(source.current().is_none());
}
