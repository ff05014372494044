//! A log-out holds for every process that shares the store, whatever each of them still has in memory.

use oauth_client::grant::{self, TokenRequest};
use oauth_client::store::{MemoryStore, StoreKey, TokenStore as _};
use oauth_client::{TokenSet, TokenSource};
use oauth_mock::Endpoint;

use crate::support::{Fixture, LIFETIME, Script, Scripted, advance, fixture};

fn source(fixture: &Fixture, request: &TokenRequest, store: &Scripted) -> TokenSource {
    fixture.client.source(request.clone()).store(store.clone()).build().unwrap()
}

async fn stored(store: &MemoryStore, key: &StoreKey) -> Option<TokenSet> {
    store.load(key).await.unwrap().map(|stored| stored.tokens)
}

async fn put(store: &MemoryStore, key: &StoreKey, tokens: Option<&TokenSet>) {
    let revision = store.load(key).await.unwrap().map(|stored| stored.revision);
    store.compare_and_swap(key, revision, tokens).await.unwrap();
}

/// What a log-out leaves in the place of these tokens.
async fn log_out_of(fixture: &Fixture, request: &TokenRequest, tokens: &TokenSet) -> TokenSet {
    let elsewhere = Scripted::default();
    let key = fixture.client.source(request.clone()).store_key();
    put(&elsewhere.inner, &key, Some(tokens)).await;
    source(fixture, request, &elsewhere).log_out().await.unwrap();
    stored(&elsewhere.inner, &key).await.unwrap()
}

/// The server keeps the refresh token, as it does those for `offline_access` (OpenID Connect Back-Channel Logout
/// section 2.7), so that nothing but the store tells.
#[tokio::test(start_paused = true)]
async fn a_log_out_ends_the_login_of_the_processes_that_hold_it_in_memory() {
    for rotated_before in [false, true] {
        let fixture = fixture();
        let (store, request) = (Scripted::default(), fixture.person());
        let [here, elsewhere] = [(); 2].map(|()| source(&fixture, &request, &store));
        here.token().await.unwrap();
        elsewhere.token().await.unwrap();
        if rotated_before {
            advance(LIFETIME + 1).await;
            elsewhere.token().await.unwrap();
        }
        here.log_out().await.unwrap();
        let asked = fixture.count(Endpoint::Token);
        advance(LIFETIME + 1).await;
        for source in [&elsewhere, &here, &elsewhere] {
            assert!(source.token().await.unwrap_err().is_reauthorization_required());
            advance(120).await;
        }
        assert_eq!(fixture.count(Endpoint::Token), asked, "no refresh token is sent");
        // Nor by a process that is started again with what the login began with.
        let again = source(&fixture, &request, &store);
        assert!(again.token().await.unwrap_err().is_reauthorization_required());

        // A new login counts for all of them.
        let login = fixture.client.request(&fixture.person()).await.unwrap();
        here.log_in(login.clone()).await.unwrap();
        advance(120).await;
        assert_eq!(elsewhere.token().await.unwrap().secret(), login.access_token());
    }
}

/// The clock was set back meanwhile, so that by the dates the log-out would be the older one.
#[tokio::test(start_paused = true)]
async fn a_log_out_ends_what_was_in_its_entry_before_whatever_the_clocks_say() {
    let fixture = fixture();
    let (store, request) = (Scripted::default(), fixture.person());
    let [here, elsewhere] = [(); 2].map(|()| source(&fixture, &request, &store));
    here.token().await.unwrap();
    elsewhere.token().await.unwrap();
    fixture.clock.step_wall(-7200);
    here.log_in(fixture.client.request(&fixture.person()).await.unwrap()).await.unwrap();
    here.token().await.unwrap();
    here.log_out().await.unwrap();
    let asked = fixture.count(Endpoint::Token);
    advance(LIFETIME + 1).await;
    assert!(elsewhere.token().await.unwrap_err().is_reauthorization_required());
    assert_eq!(fixture.count(Endpoint::Token), asked, "no refresh token is sent");

    // A login that cannot be written yet is no older than the log-out that it was made over, nor is what it rotates to.
    store.script().writes.failures = usize::MAX;
    fixture.clock.step_wall(-7200);
    let login = fixture.client.request(&fixture.person()).await.unwrap();
    elsewhere.log_in(login).await.unwrap();
    for _ in 0..2 {
        assert!(elsewhere.token().await.is_ok());
        advance(LIFETIME + 1).await;
    }
    store.script().writes.failures = 0;
    let newest = elsewhere.token().await.unwrap();
    elsewhere.settle().await.unwrap();
    let key = store.last_key().unwrap();
    assert_eq!(stored(&store.inner, &key).await.unwrap().access_token(), newest.secret());
}

/// Also when the store no longer knows what the log-out was about, or forgets the log-out itself later.
#[tokio::test(start_paused = true)]
async fn a_log_out_holds_in_a_store_that_was_emptied_before_and_in_those_who_know_it_after() {
    let fixture = fixture();
    let (store, request) = (Scripted::default(), fixture.person());
    let [here, elsewhere] = [(); 2].map(|()| source(&fixture, &request, &store));
    here.token().await.unwrap();
    elsewhere.token().await.unwrap();
    let key = store.last_key().unwrap();
    put(&store.inner, &key, None).await;
    here.log_out().await.unwrap();
    advance(LIFETIME + 1).await;
    assert!(elsewhere.token().await.unwrap_err().is_reauthorization_required());
    put(&store.inner, &key, None).await;
    advance(120).await;
    for source in [&here, &elsewhere] {
        assert!(source.token().await.unwrap_err().is_reauthorization_required());
    }
    assert_eq!(stored(&store.inner, &key).await, None);
}

/// A store that lost its entries is another thing than a log-out: those who hold the login put it back.
#[tokio::test(start_paused = true)]
async fn a_store_that_was_emptied_is_filled_again_also_in_the_middle_of_a_refresh() {
    let fixture = fixture();
    let (store, request) = (Scripted::default(), fixture.person());
    let source = source(&fixture, &request, &store);
    source.token().await.unwrap();
    let key = store.last_key().unwrap();
    put(&store.inner, &key, None).await;
    advance(LIFETIME + 1).await;
    let token = source.token().await.unwrap();
    assert_eq!(stored(&store.inner, &key).await.as_ref(), Some(token.tokens()));

    // It is away when the tokens come, and comes back empty: another process that has the spent refresh token in memory
    // would send it.
    advance(LIFETIME + 1).await;
    store.script().writes.failures = usize::MAX;
    let token = source.token().await.unwrap();
    put(&store.inner, &key, None).await;
    store.script().writes.failures = 0;
    advance(120).await;
    source.settle().await.unwrap();
    assert_eq!(stored(&store.inner, &key).await.as_ref(), Some(token.tokens()));
}

/// What the source has seen of the store is of the login before. The new one cannot be written either, so that the
/// log-out is what it finds there first.
#[tokio::test(start_paused = true)]
async fn a_login_made_while_the_store_is_away_is_not_ended_by_the_log_out_before_it() {
    for (is_noticed, has_expired) in [(false, false), (false, true), (true, false), (true, true)] {
        let fixture = fixture();
        let (store, request) = (Scripted::default(), fixture.person());
        let [here, elsewhere] = [(); 2].map(|()| source(&fixture, &request, &store));
        here.token().await.unwrap();
        elsewhere.log_out().await.unwrap();
        advance(LIFETIME + 1).await;
        if is_noticed {
            assert!(here.token().await.unwrap_err().is_reauthorization_required());
        }
        let login = fixture.client.request(&fixture.person()).await.unwrap();
        {
            let mut script = store.script();
            let Script { loads, leases, writes, .. } = &mut *script;
            for trouble in [loads, leases, writes] {
                trouble.failures = usize::MAX;
            }
        }
        if has_expired {
            advance(LIFETIME + 1).await;
        }
        let case = format!("noticed: {is_noticed}, expired: {has_expired}");
        assert_eq!(here.log_in(login).await.is_err(), has_expired, "{case}");
        advance(LIFETIME + 1).await;
        (store.script().loads.failures, store.script().leases.failures) = (0, 0);
        let token = here.token().await.unwrap_or_else(|error| panic!("{case}: {error:?}"));
        store.script().writes.failures = 0;
        here.settle().await.unwrap();
        let key = store.last_key().unwrap();
        assert_eq!(stored(&store.inner, &key).await.as_ref(), Some(token.tokens()), "{case}");

        // A log-out of that login ends it.
        source(&fixture, &request, &store).log_out().await.unwrap();
        advance(LIFETIME + 1).await;
        assert!(here.token().await.unwrap_err().is_reauthorization_required(), "{case}");
    }
}

/// A process that was suspended beyond its lease writes what the server gave it before the log-out.
#[tokio::test(start_paused = true)]
async fn what_is_written_late_does_not_undo_a_log_out() {
    for in_the_background in [false, true] {
        let fixture = fixture();
        let (store, request) = (Scripted::default(), fixture.person());
        let source = source(&fixture, &request, &store);
        let first = source.token().await.unwrap();
        let key = store.last_key().unwrap();
        let ended = log_out_of(&fixture, &request, first.tokens()).await;
        assert!(ended.refresh_token().is_none() && ended.access_token() != first.secret(), "{ended:?}");
        advance(LIFETIME + 1).await;
        if in_the_background {
            store.script().writes.failures = usize::MAX;
            source.token().await.unwrap();
            put(&store.inner, &key, Some(&ended)).await;
            store.script().writes.failures = 0;
        } else {
            store.script().written_before = Some(ended.clone());
            // Callers get the token that they waited for, as those do who have one in hand.
            assert_ne!(source.token().await.unwrap().secret(), ended.access_token());
        }
        advance(120).await;
        source.settle().await.unwrap();
        assert_eq!(stored(&store.inner, &key).await, Some(ended), "background: {in_the_background}");
        advance(LIFETIME + 1).await;
        assert!(source.token().await.unwrap_err().is_reauthorization_required());
    }
}

/// A log-out that meets such a late write is done again.
#[tokio::test(start_paused = true)]
async fn a_log_out_is_not_lost_to_a_late_write_of_the_same_login() {
    let fixture = fixture();
    let (store, request) = (Scripted::default(), fixture.person());
    let source = source(&fixture, &request, &store);
    let first = source.token().await.unwrap();
    let key = store.last_key().unwrap();
    let spent = grant::refresh_token(first.tokens().refresh_token().unwrap().clone());
    let late = fixture.client.request(&spent).await.unwrap();
    // As a refresh writes it: of the same login.
    let mut json = serde_json::to_value(&late).unwrap();
    json["family"] = serde_json::to_value(first.tokens()).unwrap()["family"].clone();
    let late: TokenSet = serde_json::from_value(json).unwrap();
    store.script().written_before = Some(late);
    source.log_out().await.unwrap();
    assert_eq!(stored(&store.inner, &key).await.unwrap().refresh_token(), None);

    // A login that came meanwhile stays.
    let login = fixture.client.request(&fixture.person()).await.unwrap();
    source.log_in(fixture.client.request(&fixture.person()).await.unwrap()).await.unwrap();
    store.script().written_before = Some(login.clone());
    source.log_out().await.unwrap();
    assert_eq!(stored(&store.inner, &key).await, Some(login));
}

#[tokio::test(start_paused = true)]
async fn a_store_in_memory_forgets_old_log_outs() {
    let fixture = fixture();
    let store = Scripted::default();
    let mut keys = Vec::new();
    for days in [0, 179, 2] {
        advance(days * 24 * 3600).await;
        let request = fixture.person().subject(format!("user {}", keys.len()));
        let source = source(&fixture, &request, &store);
        source.token().await.unwrap();
        keys.push(store.last_key().unwrap());
        source.log_out().await.unwrap();
    }
    let mut kept = Vec::new();
    for key in &keys {
        kept.push(stored(&store.inner, key).await.is_some());
    }
    assert_eq!(kept, [false, true, true]);
}
