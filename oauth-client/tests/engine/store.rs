//! A store: written before a caller sees the token, and never a reason to lose one.

use std::time::Duration;

use oauth_client::store::{MemoryStore, Stored, TokenStore as _};
use oauth_client::{grant, token::TokenSet};
use oauth_mock::{Endpoint, Fault, MockClient};
use tokio::time::Instant;

use crate::support::{Events, LIFETIME, Scripted, advance, callers, fixture, fixture_with};

#[tokio::test(start_paused = true)]
async fn a_rotated_refresh_token_is_stored_before_the_access_token_is_returned() {
    let fixture = fixture();
    let store = Scripted::default();
    let source = fixture.client.source(fixture.person()).store(store.clone()).build().unwrap();
    for _ in 0..3 {
        let token = source.token().await.unwrap();
        assert_eq!(&store.last_written().unwrap(), token.tokens());
        advance(LIFETIME + 1).await;
    }
    assert_eq!(store.script().written.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_fails_once_is_tried_again_unnoticed() {
    let fixture = fixture();
    let (store, events) = (Scripted::default(), Events::default());
    store.script().writes.failures = 1;
    let source = fixture.source_builder().store(store.clone()).on_event(events.hook()).build().unwrap();
    let token = source.token().await.unwrap();
    assert_eq!(events.take(), ["persisted", "refreshed 1"]);
    assert_eq!(&store.last_written().unwrap(), token.tokens());
}

#[tokio::test(start_paused = true)]
async fn a_store_that_fails_for_ever_is_reported_and_costs_no_token() {
    let fixture = fixture();
    let (store, events) = (Scripted::default(), Events::default());
    store.script().writes.failures = usize::MAX;
    let source =
        fixture.client.source(fixture.person()).store(store.clone()).on_event(events.hook()).build().unwrap();
    for round in 1..=3 {
        let began = Instant::now();
        let token = source.token().await.unwrap();
        assert_eq!(token.generation(), round);
        assert!(began.elapsed() <= Duration::from_secs(4), "{:?}", began.elapsed());
        let seen = events.take();
        assert!(seen.contains(&format!("refreshed {round}")), "{seen:?}");
        assert!(seen.iter().any(|event| event.contains("the disk is full; make room")), "{seen:?}");
        advance(LIFETIME + 1).await;
    }
    assert_eq!(fixture.count(Endpoint::Token), 3);
    assert!(!fixture.refresh_token_reused(), "the rotated token is kept in memory");

    // And once it works, what it missed is written without a further call.
    let token = source.token().await.unwrap();
    store.script().writes.failures = 0;
    advance(61).await;
    assert_eq!(&store.last_written().unwrap(), token.tokens());
    assert!(events.take().contains(&"persisted".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn a_store_that_hangs_costs_a_few_seconds_and_no_token() {
    let fixture = fixture();
    let store = Scripted::default();
    store.script().writes.hangs = true;
    store.script().loads.hangs = true;
    let source = fixture.source_builder().store(store.clone()).build().unwrap();
    let began = Instant::now();
    assert!(callers(&source, 50).await.iter().all(Result::is_ok));
    assert!(began.elapsed() <= Duration::from_secs(10), "{:?}", began.elapsed());
    assert_eq!(fixture.count(Endpoint::Token), 1);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_panics_is_a_store_that_failed() {
    let fixture = fixture();
    let (store, events) = (Scripted::default(), Events::default());
    let source =
        fixture.client.source(fixture.person()).store(store.clone()).on_event(events.hook()).build().unwrap();
    source.token().await.unwrap();
    advance(LIFETIME + 1).await;
    events.take();
    store.script().writes.panics = 1;
    store.script().loads.panics = 1;
    assert!(callers(&source, 10).await.iter().all(Result::is_ok));
    assert_eq!(
        fixture.count(Endpoint::Token),
        2,
        "a panic after the server's response must not throw the response away"
    );
    assert!(events.take().iter().any(|event| event.starts_with("store: ")));
    advance(LIFETIME + 1).await;
    source.token().await.unwrap();
    assert!(!fixture.refresh_token_reused());
    assert_eq!(store.script().written.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_cannot_be_read_stops_only_whom_it_must() {
    let fixture = fixture();
    let store = Scripted::default();
    store.script().loads.failures = usize::MAX;
    let person = fixture.client.source(fixture.person()).store(store.clone()).build().unwrap();
    let error = person.token().await.unwrap_err();
    assert_eq!(
        (error.code(), fixture.count(Endpoint::Token)),
        ("store", 0),
        "the store may hold a newer refresh token"
    );
    let service = fixture.source_builder().store(store.clone()).build().unwrap();
    service.token().await.unwrap();
    store.script().loads.failures = 0;
    advance(2).await;
    person.token().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_write_that_landed_although_it_reported_a_failure_does_no_harm() {
    let fixture = fixture();
    let store = Scripted::default();
    let source = fixture.client.source(fixture.person()).store(store.clone()).build().unwrap();
    for _ in 0..3 {
        store.script().lost_responses = 1;
        let token = source.token().await.unwrap();
        assert_eq!(&store.last_written().unwrap(), token.tokens());
        advance(LIFETIME + 1).await;
    }
    store.script().lost_responses = 50;
    let token = source.token().await.unwrap();
    advance(120).await;
    store.script().lost_responses = 0;
    advance(120).await;
    assert_eq!(&store.last_written().unwrap(), token.tokens());
    advance(LIFETIME).await;
    source.token().await.unwrap();
    assert!(!fixture.refresh_token_reused());
}

/// Never ready to agree, and never giving the runtime a turn: a user's own store may be that wrong.
#[tokio::test(start_paused = true)]
async fn a_store_that_always_sees_a_conflict_does_not_spin_for_ever() {
    let fixture = fixture();
    let (store, events) = (Scripted::default(), Events::default());
    store.script().conflicts_for_ever = true;
    let source = fixture.source_builder().store(store.clone()).on_event(events.hook()).build().unwrap();
    source.token().await.unwrap();
    assert!(events.take().iter().any(|event| event.starts_with("store: ")));
}

/// The store was down when the source started, so it did not know what was there.
#[tokio::test(start_paused = true)]
async fn an_older_entry_does_not_keep_a_newer_set_from_being_written_later() {
    let fixture = fixture_with(MockClient::default().with_refresh_token());
    let store = Scripted::default();
    fixture.source_builder().store(store.clone()).build().unwrap().token().await.unwrap();
    advance(LIFETIME + 1).await;
    store.script().loads.failures = usize::MAX;
    store.script().writes.failures = usize::MAX;
    let source = fixture.source_builder().store(store.clone()).build().unwrap();
    let token = source.token().await.unwrap();
    store.script().loads.failures = 0;
    store.script().writes.failures = 0;
    advance(30).await;
    assert_eq!(&store.last_written().unwrap(), token.tokens());
}

#[tokio::test(start_paused = true)]
async fn many_processes_on_one_store_refresh_once_per_expiry() {
    let fixture = fixture();
    let store = MemoryStore::new();
    let request = fixture.person();
    fixture.server.fault(Endpoint::Token, Fault::delay(Duration::from_millis(300))).always();
    // Clocks of their own, as processes have.
    let sources: Vec<_> = (0..20)
        .map(|_| fixture.client.source(request.clone()).store(store.clone()).build().unwrap())
        .collect();
    for round in 1..=5 {
        let mut tasks = tokio::task::JoinSet::new();
        for source in &sources {
            let source = source.clone();
            tasks.spawn(async move { source.token().await.unwrap().tokens().access_token().clone() });
        }
        let got = tasks.join_all().await;
        assert!(got.iter().all(|token| *token == got[0]), "all hold the same token");
        assert_eq!(fixture.count(Endpoint::Token), round);
        advance(LIFETIME + 1).await;
    }
    assert!(!fixture.refresh_token_reused());
}

#[tokio::test(start_paused = true)]
async fn a_token_in_the_store_is_adopted_without_a_request() {
    let fixture = fixture();
    let (store, events) = (MemoryStore::new(), Events::default());
    let first = fixture.source_builder().store(store.clone()).build().unwrap().token().await.unwrap();
    let second = fixture.source_builder().store(store).on_event(events.hook()).build().unwrap();
    assert_eq!(second.token().await.unwrap().secret(), first.secret());
    assert_eq!((fixture.count(Endpoint::Token), events.take()), (1, vec!["adopted 1".to_owned()]));
}

#[tokio::test(start_paused = true)]
async fn a_refused_token_is_not_taken_from_the_store_again_but_a_newer_one_is() {
    let fixture = fixture();
    let store = MemoryStore::new();
    let one = fixture.source_builder().store(store.clone()).build().unwrap();
    let two = fixture.source_builder().store(store).build().unwrap();
    let revoked = one.token().await.unwrap();
    let same = two.token().await.unwrap();
    assert!(one.reject(revoked.generation()));
    let newer = one.token().await.unwrap();
    assert_ne!(newer.secret(), revoked.secret());
    assert!(two.reject(same.generation()));
    assert_eq!(two.token().await.unwrap().secret(), newer.secret());
    assert_eq!(fixture.count(Endpoint::Token), 2, "one refresh for both");
}

/// A holder that died keeps the others waiting for its lease, and no longer.
#[tokio::test(start_paused = true)]
async fn a_lease_that_never_comes_back_delays_and_does_not_stop() {
    let fixture = fixture();
    let store = Scripted::default();
    let source = fixture.source_builder().store(store.clone()).build().unwrap();
    source.token().await.unwrap();
    let key = store.last_key().unwrap();
    let _dead = store.inner.lease(&key, Duration::from_secs(3600)).await.unwrap().unwrap();
    advance(LIFETIME + 1).await;
    let began = Instant::now();
    source.token().await.unwrap();
    assert!(began.elapsed() > Duration::from_secs(10) && began.elapsed() < Duration::from_secs(35));
}

#[tokio::test(start_paused = true)]
async fn one_time_limit_holds_for_all_requests_of_a_refresh() {
    let fixture = fixture_with(MockClient::default().with_refresh_token());
    let store = Scripted::default();
    let source = fixture.source_builder().store(store.clone()).build().unwrap();
    let token = source.token().await.unwrap();
    fixture.server.revoke_token(token.tokens().refresh_token().unwrap().expose());
    advance(LIFETIME + 1).await;
    fixture.server.fault(Endpoint::Token, Fault::delay(Duration::from_secs(9))).times(1);
    fixture.server.fault(Endpoint::Token, Fault::hang()).always();
    let began = Instant::now();
    source.token().await.unwrap_err();
    assert!(began.elapsed() <= Duration::from_secs(10), "{:?}", began.elapsed());
    assert_eq!(store.script().longest_lease, Duration::from_secs(15), "renewed while a request is pending");
}

#[tokio::test(start_paused = true)]
async fn a_set_survives_serialization_and_shows_nothing() {
    let fixture = fixture();
    let source = fixture.client.source(fixture.person()).build().unwrap();
    let set = source.token().await.unwrap().tokens().clone();
    let text = serde_json::to_string(&set).unwrap();
    assert_eq!(serde_json::from_str::<TokenSet>(&text).unwrap(), set);
    let shown = format!("{set:?}");
    assert!(!shown.contains(set.refresh_token().unwrap().expose()));
    assert!(!shown.contains(set.access_token().expose()));
}

#[tokio::test(start_paused = true)]
async fn a_login_that_never_was_costs_no_write() {
    let fixture = fixture();
    let (store, events) = (Scripted::default(), Events::default());
    store.script().writes.failures = 1;
    let builder = fixture.client.source(grant::login().subject("alice")).store(store.clone());
    let source = builder.on_event(events.hook()).build().unwrap();
    assert!(source.token().await.unwrap_err().is_reauthorization_required());
    assert_eq!(store.script().writes.failures, 1, "there is no entry to remove");
    assert_eq!(events.take(), ["failed reauthorization_required"]);
}

#[tokio::test(start_paused = true)]
async fn sources_of_different_identity_never_share_an_entry() {
    let fixture = fixture();
    let store = Scripted::default();
    let of = |subject: &str| fixture.person().subject(subject);
    let requests = [
        grant::client_credentials(),
        grant::client_credentials().scope(["read"]),
        grant::client_credentials().parameter("tenant", "a"),
        grant::client_credentials().parameter("tenant", "b"),
        of("alice"),
        of("bob"),
    ];
    let mut seen = Vec::new();
    for request in requests {
        let source = fixture.client.source(request).store(store.clone()).build().unwrap();
        let token = source.token().await.unwrap();
        assert!(!seen.contains(token.secret()), "each has a token of its own");
        seen.push(token.secret().clone());
    }
    let keys: std::collections::BTreeSet<_> = store.script().keys.iter().cloned().collect();
    assert_eq!(keys.len(), seen.len());
    let stored: Option<Stored> = store.inner.load(keys.first().unwrap()).await.unwrap();
    assert!(stored.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_store_that_cannot_be_read_puts_off_a_persons_refresh_as_long_as_that_costs_nothing() {
    let fixture = fixture();
    let store = Scripted::default();
    let source = fixture.client.source(fixture.person()).store(store.clone()).build().unwrap();
    source.token().await.unwrap();
    let requests = fixture.count(Endpoint::Token);

    // Aging: whether another process has rotated the refresh token is unknown, and does not matter yet.
    store.script().loads.failures = usize::MAX;
    advance(LIFETIME - 30).await;
    assert_eq!(source.token().await.unwrap().generation(), 1);
    advance(5).await;
    assert_eq!(
        (fixture.count(Endpoint::Token), source.status().last_error.as_deref()),
        (requests, Some("store"))
    );

    // Expired: the refresh token in hand may be spent by now, and is not sent as long as that cannot be known.
    advance(LIFETIME).await;
    let error = source.token().await.unwrap_err();
    assert!(error.code() == "store" && error.is_transient(), "{error}");
    assert_eq!(fixture.count(Endpoint::Token), requests);
    store.script().loads.failures = 0;
    advance(10).await;
    assert_eq!(source.token().await.unwrap().generation(), 2);
}

#[tokio::test(start_paused = true)]
async fn what_was_stored_before_a_set_that_could_not_be_written_is_not_taken_for_newer() {
    let fixture = fixture();
    let store = Scripted::default();
    let source = fixture.client.source(fixture.person()).store(store.clone()).build().unwrap();
    let first = source.token().await.unwrap();

    // The next set is in memory only, while the first one, still good, is what the store holds.
    store.script().writes.failures = usize::MAX;
    source.reject(first.generation());
    let second = source.token().await.unwrap();
    source.reject(second.generation());
    let third = source.token().await.unwrap();
    assert_ne!(third.secret(), first.secret());
    assert_eq!(third.generation(), 3);
    assert!(!fixture.refresh_token_reused());
}

#[tokio::test(start_paused = true)]
async fn a_log_out_that_cannot_read_the_store_says_so_and_can_be_tried_again() {
    let fixture = fixture();
    let store = Scripted::default();
    let client = oauth_client::Client::builder()
        .token_endpoint(fixture.server.endpoint(Endpoint::Token))
        .endpoint(oauth_client::discover::Endpoint::Revocation, fixture.server.endpoint(Endpoint::Revoke))
        .auth(oauth_client::ClientAuth::basic("svc", "s3cr3t"))
        .http(oauth_client::transport::HttpClient::from_service(fixture.server.transport()))
        .clock(fixture.clock.clone())
        .build()
        .unwrap();
    let person = fixture.person();
    let source = || client.source(person.clone()).store(store.clone()).build().unwrap();
    let (here, elsewhere) = (source(), source());
    here.token().await.unwrap();
    advance(LIFETIME + 1).await;
    // Another process has rotated the refresh token, so that the one in hand is not the one to revoke.
    elsewhere.token().await.unwrap();
    store.script().loads.failures = 1;
    assert_eq!(here.revoke().await.unwrap_err().code(), "store");
    assert_eq!(fixture.server.journal().count(Endpoint::Revoke), 0);
    here.revoke().await.unwrap();
    advance(LIFETIME + 1).await;
    assert!(elsewhere.token().await.unwrap_err().is_reauthorization_required());
}
