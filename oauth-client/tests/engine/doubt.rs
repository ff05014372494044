//! In doubt about the lease, the store or the response, a user's refresh token is not sent twice.

use std::time::Duration;

use oauth_client::store::{MemoryStore, TokenStore as _};
use oauth_client::{TokenSource, grant};
use oauth_mock::{Endpoint, Fault};
use tokio::time::Instant;

use crate::support::{Events, Fixture, LIFETIME, Scripted, advance, callers, fixture};

fn sources(fixture: &Fixture, store: &MemoryStore, count: usize) -> Vec<TokenSource> {
    let request = fixture.person();
    let source = || fixture.client.source(request.clone()).store(store.clone()).build().unwrap();
    (0..count).map(|_| source()).collect()
}

#[tokio::test(start_paused = true)]
async fn sources_on_a_hanging_server_take_turns() {
    let fixture = fixture();
    let sources = sources(&fixture, &MemoryStore::new(), 6);
    fixture.server.fault(Endpoint::Token, Fault::hang()).always();
    for _ in 0..200 {
        for source in &sources {
            let source = source.clone();
            tokio::spawn(async move { source.token().await });
        }
        advance(1).await;
    }
    let at: Vec<_> = fixture.server.journal().of(Endpoint::Token).iter().map(|one| one.at_unix).collect();
    assert!(at.len() >= 3, "it is tried again: {at:?}");
    assert!(at.windows(2).all(|pair| pair[1] - pair[0] >= 60), "one at a time, each to its end: {at:?}");
}

#[tokio::test(start_paused = true)]
async fn a_waiter_that_gets_no_lease_fails_in_time_with_a_transient_error() {
    let fixture = fixture();
    let store = MemoryStore::new();
    let sources = sources(&fixture, &store, 2);
    fixture.server.fault(Endpoint::Token, Fault::delay(Duration::from_secs(55))).times(1);
    let first = tokio::spawn({
        let source = sources[0].clone();
        async move { source.token().await }
    });
    advance(1).await;
    let began = Instant::now();
    let error = sources[1].token().await.unwrap_err();
    assert!(error.code() == "store" && error.is_transient(), "{error}");
    assert!(error.to_string().contains("lease"), "{error}");
    assert!(began.elapsed() <= Duration::from_secs(25), "{:?}", began.elapsed());
    assert_eq!(first.await.unwrap().unwrap_err().code(), "timeout");
    advance(40).await;
    // The lease was renewed all the while, and the late response counts for both.
    let tokens = [sources[0].token().await.unwrap(), sources[1].token().await.unwrap()];
    assert_eq!(tokens[0].secret(), tokens[1].secret());
    assert_eq!(fixture.count(Endpoint::Token), 1);
}

#[tokio::test(start_paused = true)]
async fn a_dead_holder_costs_fifteen_seconds() {
    let fixture = fixture();
    let store = Scripted::default();
    let source = fixture.client.source(fixture.person()).store(store.clone()).build().unwrap();
    source.token().await.unwrap();
    advance(LIFETIME + 1).await;
    let key = store.last_key().unwrap();
    let longest = store.script().longest_lease;
    let _dead = store.inner.lease(&key, longest).await.unwrap().unwrap();
    let began = Instant::now();
    assert_eq!(source.token().await.unwrap().generation(), 2);
    let waited = began.elapsed();
    assert!(waited >= Duration::from_secs(14) && waited <= Duration::from_secs(16), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn without_the_lease_only_grants_that_need_no_person_go_on() {
    let fixture = fixture();
    let (store, events) = (Scripted::default(), Events::default());
    store.script().leases.failures = usize::MAX;
    let person = fixture.client.source(fixture.person()).store(store.clone()).build().unwrap();
    let service = fixture.source_builder().store(store.clone()).on_event(events.hook()).build().unwrap();
    let error = person.token().await.unwrap_err();
    assert!(error.code() == "store" && error.is_transient(), "{error}");
    assert_eq!(fixture.count(Endpoint::Token), 0);
    service.token().await.unwrap();
    assert!(events.take().iter().any(|event| event.starts_with("store: ")), "with a warning");
    // Leases are tried again as writes are.
    store.script().leases.failures = 2;
    advance(2).await;
    person.token().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_store_that_cannot_lend_puts_off_a_users_refresh_while_the_token_is_good() {
    let fixture = fixture();
    let store = Scripted::default();
    let source = fixture.client.source(fixture.person()).store(store.clone()).build().unwrap();
    source.token().await.unwrap();
    store.script().leases.failures = usize::MAX;
    advance(LIFETIME - 30).await;
    for _ in 0..25 {
        assert_eq!(source.token().await.unwrap().generation(), 1);
        advance(1).await;
    }
    assert_eq!(source.status().last_error.as_deref(), Some("store"));
    assert_eq!(fixture.count(Endpoint::Token), 1);
    store.script().leases.failures = 0;
    advance(30).await;
    assert_eq!(source.token().await.unwrap().generation(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_read_that_fails_behind_the_lease_is_tried_again() {
    let fixture = fixture();
    let store = Scripted::default();
    let request = fixture.person();
    let source = || fixture.client.source(request.clone()).store(store.clone()).build().unwrap();
    let (here, elsewhere) = (source(), source());
    here.token().await.unwrap();
    elsewhere.token().await.unwrap();
    advance(LIFETIME + 1).await;
    // Another process refreshes; ours has read the store before, and can not read it again right away.
    fixture.server.fault(Endpoint::Token, Fault::delay(Duration::from_secs(5))).times(1);
    let first = tokio::spawn(async move { elsewhere.token().await });
    advance(1).await;
    let second = tokio::spawn({
        let here = here.clone();
        async move { here.token().await }
    });
    advance(1).await;
    store.script().loads.failures = 3;
    let [first, second] = [first.await.unwrap().unwrap(), second.await.unwrap().unwrap()];
    assert_eq!(first.secret(), second.secret());
    assert_eq!(store.script().loads.failures, 0, "the reads behind the lease were those that failed");
    assert!(!fixture.refresh_token_reused());
}

#[tokio::test(start_paused = true)]
async fn a_response_after_the_callers_limit_is_adopted() {
    for with_store in [false, true] {
        let fixture = fixture();
        let store = Scripted::default();
        let builder = fixture.client.source(fixture.person());
        let builder = if with_store { builder.store(store.clone()) } else { builder };
        let source = builder.build().unwrap();
        source.token().await.unwrap();
        advance(LIFETIME + 1).await;
        fixture.server.fault(Endpoint::Token, Fault::delay(Duration::from_secs(50))).times(1);
        let began = Instant::now();
        assert!(callers(&source, 50).await.iter().all(|one| one.as_ref().unwrap_err().code() == "timeout"));
        assert!(began.elapsed() <= Duration::from_millis(10_100), "{:?}", began.elapsed());
        for _ in 0..38 {
            // Later callers do not wait, and cause no request.
            let began = Instant::now();
            let error = source.token().await.unwrap_err();
            assert!(error.code() == "timeout" && error.retry_after().is_some(), "{error}");
            assert_eq!(began.elapsed(), Duration::ZERO);
            assert!(source.status().refreshing);
            advance(1).await;
        }
        advance(3).await;
        let token = source.token().await.unwrap();
        assert_eq!((token.generation(), fixture.count(Endpoint::Token)), (2, 2), "store: {with_store}");
        assert!(!with_store || store.last_written().as_ref() == Some(token.tokens()));
        assert_eq!(source.status().failures, 0);
        advance(LIFETIME + 1).await;
        source.token().await.unwrap();
        assert!(!fixture.refresh_token_reused());
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_must_not_be_repeated_never_starts_on_leftovers() {
    let fixture = fixture();
    let source = fixture.client.source(fixture.person()).build().unwrap();
    source.token().await.unwrap();
    advance(LIFETIME + 1).await;
    // Nine of ten seconds are gone when it is sent again, and then the server takes its time.
    fixture.server.fault(Endpoint::Token, Fault::status(503).retry_after_secs(9)).times(1);
    fixture.server.fault(Endpoint::Token, Fault::delay(Duration::from_secs(4))).times(1);
    assert_eq!(source.token().await.unwrap_err().code(), "timeout");
    advance(5).await;
    assert_eq!(source.token().await.unwrap().generation(), 2);
    assert_eq!(fixture.count(Endpoint::Token), 3);
}

/// Not for ever: a service gets a second request as soon as its callers' time is over.
#[tokio::test(start_paused = true)]
async fn a_hanging_request_that_may_be_repeated_ends_with_its_callers_time() {
    let fixture = fixture();
    let source = fixture.source();
    fixture.server.fault(Endpoint::Token, Fault::hang()).times(1);
    assert_eq!(source.token().await.unwrap_err().code(), "timeout");
    advance(2).await;
    source.token().await.unwrap();
    assert_eq!(fixture.count(Endpoint::Token), 2);
}

/// The set is only in memory, and the store has a refresh token that is spent.
#[tokio::test(start_paused = true)]
async fn as_long_as_a_rotated_token_is_not_stored_no_other_process_refreshes() {
    let fixture = fixture();
    let store = Scripted::default();
    let request = fixture.person();
    let source = || fixture.client.source(request.clone()).store(store.clone()).build().unwrap();
    let (here, elsewhere) = (source(), source());
    here.token().await.unwrap();
    elsewhere.token().await.unwrap();
    advance(LIFETIME + 1).await;
    store.script().writes.failures = usize::MAX;
    let second = here.token().await.unwrap();
    for _ in 0..3 {
        assert_eq!(elsewhere.token().await.unwrap_err().code(), "store");
        advance(61).await;
    }
    // The process that has it goes on meanwhile.
    advance(LIFETIME).await;
    let third = here.token().await.unwrap();
    assert_ne!(third.secret(), second.secret());
    store.script().writes.failures = 0;
    here.settle().await.unwrap();
    assert_eq!(&store.last_written().unwrap(), third.tokens());
    advance(70).await;
    assert_eq!(elsewhere.token().await.unwrap().secret(), third.secret());
    assert!(!fixture.refresh_token_reused());
}

/// Nor a log-out: see `ended.rs`.
#[tokio::test(start_paused = true)]
async fn a_background_write_leaves_a_newer_set_alone() {
    let fixture = fixture();
    let store = Scripted::default();
    let source = fixture.client.source(fixture.person()).store(store.clone()).build().unwrap();
    source.token().await.unwrap();
    let key = store.last_key().unwrap();
    advance(LIFETIME + 1).await;
    store.script().writes.failures = usize::MAX;
    let late = source.token().await.unwrap();
    // Another process logs in, without the lease.
    let entry = store.inner.load(&key).await.unwrap().unwrap();
    let newer = fixture.client.request(&fixture.person()).await.unwrap();
    store.inner.compare_and_swap(&key, Some(entry.revision), Some(&newer)).await.unwrap();
    store.script().writes.failures = 0;
    advance(120).await;
    source.settle().await.unwrap();
    let found = store.inner.load(&key).await.unwrap().unwrap().tokens;
    assert_eq!(found, newer);
    assert_ne!(found, *late.tokens());
}

/// As after a failover that lost the last writes, or from a backup.
#[tokio::test(start_paused = true)]
async fn a_store_that_has_fallen_back_to_an_older_set_does_not_get_a_spent_refresh_token_sent() {
    for refreshes in 1..=2 {
        let fixture = fixture();
        let store = Scripted::default();
        let source = fixture.client.source(fixture.person()).store(store.clone()).build().unwrap();
        let first = source.token().await.unwrap();
        let key = store.last_key().unwrap();
        for _ in 0..refreshes {
            advance(LIFETIME + 1).await;
            source.token().await.unwrap();
        }
        let entry = store.inner.load(&key).await.unwrap().unwrap();
        store.inner.compare_and_swap(&key, Some(entry.revision), Some(first.tokens())).await.unwrap();
        advance(LIFETIME + 1).await;
        let token = source.token().await.unwrap();
        assert!(!fixture.refresh_token_reused(), "{refreshes}");
        let found = store.inner.load(&key).await.unwrap().unwrap().tokens;
        assert_eq!(&found, token.tokens(), "what is in memory is written again");
    }
}

/// The same in the foreground: a login that could not have the lease took the entry meanwhile.
#[tokio::test(start_paused = true)]
async fn a_refresh_does_not_write_over_a_login_that_came_meanwhile() {
    let fixture = fixture();
    let store = Scripted::default();
    let source = fixture.client.source(fixture.person()).store(store.clone()).build().unwrap();
    source.token().await.unwrap();
    let key = store.last_key().unwrap();
    let login = fixture.client.request(&fixture.person()).await.unwrap();
    advance(LIFETIME + 1).await;
    store.script().written_before = Some(login.clone());
    source.token().await.unwrap();
    assert_eq!(store.inner.load(&key).await.unwrap().unwrap().tokens, login);
    // From the next refresh on it goes on with that login.
    advance(LIFETIME + 1).await;
    source.token().await.unwrap();
    let spent = grant::refresh_token(login.refresh_token().unwrap().clone());
    assert_eq!(fixture.client.request(&spent).await.unwrap_err().code(), "invalid_grant");
}

#[tokio::test(start_paused = true)]
async fn removing_a_lost_grant_spares_an_entry_written_meanwhile() {
    let fixture = fixture();
    let store = Scripted::default();
    let source = fixture.client.source(fixture.person()).store(store.clone()).build().unwrap();
    let token = source.token().await.unwrap();
    let key = store.last_key().unwrap();
    let login = fixture.client.request(&fixture.person()).await.unwrap();
    fixture.server.revoke_token(token.tokens().refresh_token().unwrap().expose());
    advance(LIFETIME + 1).await;
    // A user logs in again at another process, right before ours removes what it takes for lost.
    store.script().written_before = Some(login.clone());
    assert!(source.token().await.unwrap_err().is_reauthorization_required());
    assert_eq!(store.inner.load(&key).await.unwrap().unwrap().tokens, login);
    advance(2).await;
    source.token().await.unwrap();
}

/// By then the store has refused the login, and the server has not answered yet.
#[tokio::test(start_paused = true)]
async fn a_login_that_had_expired_and_cannot_be_written_at_once_is_written_later() {
    let fixture = fixture();
    let store = Scripted::default();
    let login = fixture.client.request(&fixture.person()).await.unwrap();
    advance(LIFETIME + 1).await;
    let source = || fixture.client.source(fixture.person().subject("alice")).store(store.clone());
    let here = source().build().unwrap();
    store.script().writes.failures = usize::MAX;
    fixture.server.fault(Endpoint::Token, Fault::status(503).after(Duration::from_secs(2))).always();
    assert_eq!(here.log_in(login.clone()).await.unwrap_err().code(), "server_error");
    store.script().writes.failures = 0;
    here.settle().await.unwrap();
    assert_eq!(store.last_written().unwrap().refresh_token(), login.refresh_token());
}

/// It is read beyond the limit of those who wait, and what comes of it counts.
#[tokio::test(start_paused = true)]
async fn the_response_to_a_login_that_had_expired_is_not_given_up() {
    let fixture = fixture();
    let login = fixture.client.request(&fixture.person()).await.unwrap();
    advance(LIFETIME + 1).await;
    let source = fixture.client.source(fixture.person()).store(MemoryStore::new()).build().unwrap();
    fixture.server.fault(Endpoint::Token, Fault::delay(Duration::from_secs(30))).times(1);
    assert_eq!(source.log_in(login).await.unwrap_err().code(), "timeout");
    advance(60).await;
    source.token().await.unwrap();
    assert!(!fixture.refresh_token_reused());
}
