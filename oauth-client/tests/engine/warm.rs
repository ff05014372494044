//! Refreshes on demand, and in the background ahead of use.

use std::time::Duration;

use oauth_mock::{Endpoint, Fault};
use tokio::runtime::Builder;

use crate::support::{LIFETIME, advance, fixture, settle};

#[tokio::test(start_paused = true)]
async fn a_warm_source_always_has_a_token_until_its_last_handle_is_gone() {
    let fixture = fixture();
    let source = fixture.source();
    source.keep_warm().unwrap();
    source.keep_warm().unwrap();
    settle().await;
    assert!(source.current().is_some(), "no caller has asked");
    for _ in 0..600 {
        advance(30).await;
        assert!(source.current().is_some());
    }
    let requests = fixture.count(Endpoint::Token);
    let expected = 18_000 / LIFETIME;
    assert!(
        (expected as usize..=expected as usize * 3 / 2).contains(&requests),
        "{requests} requests in five hours"
    );

    let clone = source.clone();
    drop(source);
    advance(LIFETIME).await;
    assert!(fixture.count(Endpoint::Token) > requests, "the clone is a handle");
    let requests = fixture.count(Endpoint::Token);
    drop(clone);
    advance(LIFETIME * 3).await;
    assert_eq!(fixture.count(Endpoint::Token), requests);
}

#[tokio::test(start_paused = true)]
async fn a_warm_source_heeds_the_server_that_wants_to_be_left_alone() {
    let fixture = fixture();
    let source = fixture.source();
    source.token().await.unwrap();
    fixture.server.fault(Endpoint::Token, Fault::status(429).retry_after_secs(120)).always();
    source.keep_warm().unwrap();
    advance(LIFETIME).await;
    let requests = fixture.count(Endpoint::Token);
    assert!((2..=4).contains(&requests), "{requests}");
    fixture.server.clear_faults();
    advance(150).await;
    assert!(source.current().is_some(), "and comes back");
}

/// Some servers say `"expires_in": 0` of tokens that never expire.
#[tokio::test(start_paused = true)]
async fn tokens_that_are_born_expired_are_not_replaced_every_second() {
    for lifetime in [0, 1] {
        let fixture = fixture();
        let body = format!(r#"{{"access_token":"t","token_type":"Bearer","expires_in":{lifetime}}}"#);
        fixture.server.fault(Endpoint::Token, Fault::body(200, "application/json", body)).always();
        let source = fixture.source();
        source.keep_warm().unwrap();
        for _ in 0..600 {
            advance(1).await;
        }
        let requests = fixture.count(Endpoint::Token);
        assert!((5..=25).contains(&requests), "{requests} requests in ten minutes, and no caller has asked");
    }
}

#[test]
fn it_needs_a_runtime() {
    let error = oauth_client::TokenSource::from_fn("x", |_| async {
        Ok::<_, oauth_client::Error>(oauth_client::TokenSet::new("t"))
    })
    .unwrap()
    .keep_warm()
    .unwrap_err();
    assert_eq!(error.problems()[0].field, "runtime");
}

#[tokio::test(start_paused = true)]
async fn refresh_now_replaces_a_good_token_once_for_all_who_ask() {
    let fixture = fixture();
    let source = fixture.source();
    let first = source.token().await.unwrap();
    let asked = futures_util::future::join_all((0..100).map(|_| source.refresh_now())).await;
    assert!(asked.iter().all(|got| got.as_ref().unwrap().generation() == 2));
    assert_ne!(source.token().await.unwrap().secret(), first.secret());
    assert_eq!(fixture.count(Endpoint::Token), 2);

    fixture.server.fault(Endpoint::Token, Fault::status(503)).always();
    assert_eq!(source.refresh_now().await.unwrap_err().code(), "server_error");
    assert_eq!(source.current().unwrap().generation(), 2, "the token in hand stays");
    let requests = fixture.count(Endpoint::Token);
    assert!(source.refresh_now().await.is_err());
    assert_eq!(fixture.count(Endpoint::Token), requests, "nothing is sent while the failure counts");
}

#[tokio::test(start_paused = true)]
async fn refresh_now_goes_on_without_its_caller() {
    let fixture = fixture();
    let source = fixture.source();
    source.token().await.unwrap();
    fixture.server.fault(Endpoint::Token, Fault::delay(Duration::from_secs(2))).always();
    assert!(tokio::time::timeout(Duration::from_secs(1), source.refresh_now()).await.is_err());
    advance(3).await;
    assert_eq!(source.current().unwrap().generation(), 2);
}

#[test]
fn it_is_started_again_in_another_runtime_when_its_own_has_ended() {
    let runtime = || Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    let first = runtime();
    let (fixture, source) = first.block_on(async {
        let fixture = fixture();
        let source = fixture.source();
        source.keep_warm().unwrap();
        settle().await;
        (fixture, source)
    });
    assert!(source.current().is_some());
    drop(first);
    let requests = fixture.count(Endpoint::Token);
    runtime().block_on(async {
        source.keep_warm().unwrap();
        source.keep_warm().unwrap();
        fixture.clock.suspend(Duration::from_secs(LIFETIME + 1));
        advance(120).await;
    });
    assert_eq!(fixture.count(Endpoint::Token), requests + 1, "one task");
    assert!(source.current().is_some());
}
