//! The end of a login takes with it what was derived from it, and nothing takes the place of a new one.

use std::collections::BTreeSet;

use oauth_client::TokenSet;
use oauth_client::store::{FileStore, TokenStore as _};
use oauth_mock::{Endpoint, Fault};

use crate::derive::{ORDERS, claims, log_in, request, two_apis};
use crate::support::{Fixture, LIFETIME, Scripted, advance};

/// How many different tokens were revoked.
fn revoked(fixture: &Fixture) -> usize {
    let sent = fixture.server.journal().of(Endpoint::Revoke);
    sent.iter().filter_map(|request| request.param("token")).collect::<BTreeSet<_>>().len()
}

#[tokio::test(start_paused = true)]
async fn a_log_out_leaves_no_token_of_a_derived_source_in_the_store_or_at_the_server() {
    let fixture = two_apis();
    let path = std::env::temp_dir().join(format!("derived-log-out-{}/tokens.json", std::process::id()));
    let text = || std::fs::read_to_string(&path).unwrap();
    let source = || fixture.client.source(request()).store(FileStore::new(&path));
    for restarts in [false, true] {
        let mut root = source().starting_with(log_in(&fixture, "alice").await).build().unwrap();
        let mut orders = root.for_resource(ORDERS).unwrap();
        let token = orders.token().await.unwrap();
        if restarts {
            (root, orders) = (source().build().unwrap(), root.for_resource(ORDERS).unwrap());
            // It has not asked for a token.
            drop(orders);
            orders = root.for_resource(ORDERS).unwrap();
        }
        assert!(text().contains(token.secret().expose()));
        let before = revoked(&fixture);
        root.revoke().await.unwrap();
        assert!(!text().contains(token.secret().expose()), "restarts: {restarts}");
        assert_eq!(revoked(&fixture) - before, 3, "the login's two tokens, and the other one: {restarts}");
        assert!(orders.token().await.unwrap_err().is_reauthorization_required());
    }

    // Also where no handle to the derived source is left, and where the server has ended the login by itself.
    let root = source().starting_with(log_in(&fixture, "alice").await).build().unwrap();
    let token = root.for_resource(ORDERS).unwrap().token().await.unwrap();
    let before = revoked(&fixture);
    root.log_out().await.unwrap();
    assert!(!text().contains(token.secret().expose()));
    assert_eq!(revoked(&fixture), before, "nothing is sent");
    std::fs::remove_dir_all(path.parent().unwrap()).unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_log_out_without_a_store_revokes_the_tokens_of_derived_sources_too() {
    let fixture = two_apis();
    let login = log_in(&fixture, "alice").await;
    let root = fixture.client.source(request()).starting_with(login).build().unwrap();
    let orders = root.for_resource(ORDERS).unwrap();
    orders.token().await.unwrap();
    root.revoke().await.unwrap();
    assert_eq!(revoked(&fixture), 3, "the login's two tokens, and the other one");
    assert!(orders.current().is_none());
}

/// What could not be done is reported, and done when the log-out is called again.
#[tokio::test(start_paused = true)]
async fn a_log_out_that_cannot_remove_or_revoke_a_derived_token_fails_and_can_be_repeated() {
    let fixture = two_apis();
    let store = Scripted::default();
    let login = log_in(&fixture, "alice").await;
    let root = fixture.client.source(request()).store(store.clone()).starting_with(login).build().unwrap();
    let orders = root.for_resource(ORDERS).unwrap();
    orders.token().await.unwrap();
    let key = store.last_key().unwrap();

    fixture.server.fault(Endpoint::Revoke, Fault::status(500)).always();
    assert!(root.revoke().await.is_err());
    fixture.server.clear_faults();
    store.script().writes.failures = 1;
    assert!(root.revoke().await.is_err());
    assert!(store.inner.load(&key).await.unwrap().is_some());

    root.revoke().await.unwrap();
    assert!(store.inner.load(&key).await.unwrap().is_none());
    assert_eq!(revoked(&fixture), 3);
}

/// The store is down when the derived token comes, and takes writes again by the time of the log-out.
#[tokio::test(start_paused = true)]
async fn a_derived_token_is_not_written_after_the_log_out() {
    let fixture = two_apis();
    let store = Scripted::default();
    let login = log_in(&fixture, "alice").await;
    let root = fixture.client.source(request()).store(store.clone()).starting_with(login).build().unwrap();
    root.token().await.unwrap();
    store.script().writes.failures = usize::MAX;
    let token = root.for_resource(ORDERS).unwrap().token().await.unwrap();
    // The write in the background has its next try while the log-out goes on.
    (store.script().writes.failures, store.script().slow_writes) = (0, std::time::Duration::from_secs(2));
    root.revoke().await.unwrap();
    advance(120).await;
    let is_its = |set: &TokenSet| set.access_token() == token.secret();
    assert!(!store.script().written.iter().any(is_its));
}

/// By then another process has logged in and derived a token from that login.
#[tokio::test(start_paused = true)]
async fn a_log_out_leaves_what_was_derived_from_another_login() {
    let fixture = two_apis();
    let store = Scripted::default();
    let login = log_in(&fixture, "alice").await;
    let root = fixture.client.source(request()).store(store.clone()).starting_with(login).build().unwrap();
    let token = root.for_resource(ORDERS).unwrap().token().await.unwrap();
    let key = store.last_key().unwrap();
    let stored = store.inner.load(&key).await.unwrap().unwrap();
    assert_eq!(stored.tokens.access_token(), token.secret());
    let mut other = serde_json::to_value(&stored.tokens).unwrap();
    other["family"] = "another".into();
    let other: TokenSet = serde_json::from_value(other).unwrap();
    store.inner.compare_and_swap(&key, Some(stored.revision), Some(&other)).await.unwrap();
    root.log_out().await.unwrap();
    assert_eq!(store.inner.load(&key).await.unwrap().unwrap().tokens, other);
}

/// What the store holds is from before the login, and could not be looked at then.
#[tokio::test(start_paused = true)]
async fn a_login_that_the_store_could_not_take_is_not_replaced_by_what_was_there_before() {
    for derives in [false, true] {
        let (fixture, store) = (two_apis(), Scripted::default());
        let source = || fixture.client.source(request()).store(store.clone());
        let before = source().starting_with(log_in(&fixture, "alice").await).build().unwrap();
        let alice = claims(&before.token().await.unwrap())["sub"].clone();
        let (here, login) = (source().build().unwrap(), log_in(&fixture, "bob").await);
        (store.script().loads.failures, store.script().writes.failures) = (usize::MAX, usize::MAX);
        let bob = claims(&here.log_in(login).await.unwrap())["sub"].clone();
        (store.script().loads.failures, store.script().writes.failures) = (0, 0);
        let token = match derives {
            true => here.for_resource(ORDERS).unwrap().token().await,
            false => here.refresh_now().await,
        };
        assert_eq!(claims(&token.unwrap())["sub"], bob, "derives: {derives}");
        assert_ne!(alice, bob);

        // It is what the next process goes on with.
        advance(120).await;
        here.settle().await.unwrap();
        advance(LIFETIME + 1).await;
        assert_eq!(claims(&source().build().unwrap().token().await.unwrap())["sub"], bob);
        assert!(!fixture.refresh_token_reused());
    }
}
