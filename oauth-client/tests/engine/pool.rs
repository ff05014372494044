//! Many tokens: one source for each key, a bound on them, and no key ever gets another's.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use oauth_client::source::Pool;
use oauth_client::store::MemoryStore;
use oauth_client::{Error, TokenSource, grant};
use tokio::task::JoinSet;

use crate::support::{Fixture, LIFETIME, Scripted, advance, fixture, settle};
use oauth_mock::{Endpoint, Fault};

/// A pool of one source for each number, and how many sources it has made.
fn pool(fixture: &Fixture) -> (Pool<usize>, Arc<AtomicUsize>) {
    let made = Arc::new(AtomicUsize::new(0));
    let (client, counter) = (fixture.client.clone(), Arc::clone(&made));
    let pool = Pool::new(move |key: &usize| {
        counter.fetch_add(1, Ordering::SeqCst);
        client.source(grant::client_credentials().parameter("tenant", key.to_string())).build()
    });
    (pool.clock(fixture.clock.clone()), made)
}

fn same(one: &TokenSource, other: &TokenSource) -> bool {
    // Two sources that share their state agree on a generation that only one of them got.
    one.current().zip(other.current()).is_some_and(|(one, other)| one.secret() == other.secret())
}

/// One is in the middle of a refresh, and one that was dropped is, too.
#[tokio::test(start_paused = true)]
async fn a_pool_settles_with_all_its_sources() {
    let fixture = fixture();
    let client = fixture.client.clone();
    let make = move |scope: &&str| client.source(grant::client_credentials().scope([*scope])).build();
    let pool = Pool::new(make).clock(fixture.clock.clone()).max_sources(1);
    fixture.server.fault(Endpoint::Token, Fault::delay(Duration::from_secs(3))).always();
    for scope in ["read", "write"] {
        let source = pool.get(&scope).unwrap();
        tokio::spawn(async move { source.token().await });
    }
    settle().await;
    pool.settle().await.unwrap();
    assert_eq!(fixture.count(Endpoint::Token), 2);
    assert!(!pool.get(&"write").unwrap().status().refreshing);
}

#[tokio::test(start_paused = true)]
async fn callers_of_one_key_share_one_source_and_keys_never_mix() {
    let fixture = fixture();
    let (pool, _) = pool(&fixture);
    let mut tasks = JoinSet::new();
    for n in 0..2000 {
        let pool = pool.clone();
        tasks.spawn(async move {
            let key = n % 20;
            (key, pool.get(&key).unwrap().token().await.unwrap().secret().expose().to_owned())
        });
    }
    let got: HashSet<_> = tasks.join_all().await.into_iter().collect();
    assert_eq!(got.len(), 20, "one token for each key");
    assert_eq!(got.iter().map(|(_, token)| token).collect::<HashSet<_>>().len(), 20, "and none for two");
    assert_eq!((fixture.count(Endpoint::Token), pool.len()), (20, 20));
    let tenants: HashSet<_> = fixture
        .server
        .journal()
        .of(Endpoint::Token)
        .iter()
        .map(|request| request.param("tenant").unwrap().to_owned())
        .collect();
    assert_eq!(tenants.len(), 20);
}

#[tokio::test(start_paused = true)]
async fn beyond_the_bound_those_used_longest_ago_are_dropped() {
    let fixture = fixture();
    let (pool, made) = pool(&fixture);
    let pool = pool.max_sources(3);
    for key in [1, 2, 3, 1, 4] {
        pool.get(&key).unwrap();
        advance(1).await;
    }
    assert_eq!((pool.len(), made.load(Ordering::SeqCst)), (3, 4));
    for key in [1, 3, 4] {
        pool.get(&key).unwrap();
    }
    assert_eq!(made.load(Ordering::SeqCst), 4, "2 was the one to go");
    pool.get(&2).unwrap();
    assert_eq!(made.load(Ordering::SeqCst), 5);

    let pool = pool.max_sources(1000);
    for key in 0..50_000 {
        pool.get(&key).unwrap();
        assert!(pool.len() <= 1000);
    }
    assert!(pool.len() > 900, "and not many more than need be");
}

#[tokio::test(start_paused = true)]
async fn idle_sources_are_dropped_after_a_time() {
    let fixture = fixture();
    let (pool, made) = pool(&fixture);
    let pool = pool.idle_after(Duration::from_secs(60));
    for key in 0..10 {
        pool.get(&key).unwrap();
    }
    for _ in 0..20 {
        advance(5).await;
        pool.get(&7).unwrap();
    }
    assert_eq!((pool.len(), made.load(Ordering::SeqCst)), (1, 10), "only the one in use is left");
}

#[tokio::test(start_paused = true)]
async fn a_dropped_source_that_is_still_held_is_taken_back() {
    let fixture = fixture();
    let (pool, made) = pool(&fixture);
    let pool = pool.max_sources(1);
    let held = pool.get(&1).unwrap();
    held.token().await.unwrap();
    pool.get(&2).unwrap();
    let again = pool.get(&1).unwrap();
    assert!(same(&held, &again));
    assert_eq!(made.load(Ordering::SeqCst), 2);
    drop((held, again));
    pool.get(&2).unwrap();
    pool.get(&1).unwrap();
    assert_eq!(made.load(Ordering::SeqCst), 4, "neither of them has a holder");
}

#[tokio::test(start_paused = true)]
async fn a_source_dropped_in_the_middle_of_its_refresh_is_the_one_that_comes_back() {
    let fixture = fixture();
    let login = fixture.person();
    let client = fixture.client.clone();
    let pool = Pool::new(move |_: &u8| client.source(login.clone()).build());
    let pool = pool.max_sources(1).clock(fixture.clock.clone());
    fixture.server.fault(Endpoint::Token, Fault::delay(Duration::from_secs(2))).times(1);
    let caller = pool.get(&1).unwrap();
    let abandoned = tokio::time::timeout(Duration::from_secs(1), caller.token()).await;
    assert!(abandoned.is_err());
    drop(caller);
    pool.get(&2).unwrap();
    let token = pool.get(&1).unwrap().token().await.unwrap();
    assert_eq!((token.generation(), fixture.count(Endpoint::Token)), (1, 1));
    assert!(!fixture.refresh_token_reused());
}

#[tokio::test(start_paused = true)]
async fn with_a_store_a_dropped_source_costs_nothing() {
    let fixture = fixture();
    let (client, store) = (fixture.client.clone(), MemoryStore::new());
    let logins = [fixture.person().subject("alice"), fixture.person().subject("bob")];
    let pool = Pool::new(move |who: &usize| client.source(logins[*who].clone()).store(store.clone()).build());
    let pool = pool.max_sources(1).clock(fixture.clock.clone());
    for round in 1..=3 {
        let [alice, bob] = [pool.get(&0).unwrap().token().await, pool.get(&1).unwrap().token().await];
        assert_ne!(alice.unwrap().secret(), bob.unwrap().secret());
        assert_eq!(fixture.count(Endpoint::Token), 2 * round);
        pool.get(&0).unwrap().token().await.unwrap();
        assert_eq!(fixture.count(Endpoint::Token), 2 * round, "it was in the store");
        advance(LIFETIME + 1).await;
    }
    assert!(!fixture.refresh_token_reused());
}

#[tokio::test(start_paused = true)]
async fn a_dropped_source_whose_store_was_down_still_writes_what_it_alone_knows() {
    let fixture = fixture();
    let (client, store, login) = (fixture.client.clone(), Scripted::default(), fixture.person());
    let in_pool = store.clone();
    let pool = Pool::new(move |who: &u8| {
        client.source(login.clone().subject(who.to_string())).store(in_pool.clone()).build()
    });
    let pool = pool.max_sources(1).clock(fixture.clock.clone());
    store.script().writes.failures = usize::MAX;
    let token = pool.get(&1).unwrap().token().await.unwrap();
    pool.get(&2).unwrap();
    advance(120).await;
    store.script().writes.failures = 0;
    advance(61).await;
    assert_eq!(&store.last_written().unwrap(), token.tokens());
    drop(token);

    // A source without a holder, and a store that never comes back: it ends, and asks the server nothing.
    store.script().writes.failures = usize::MAX;
    advance(LIFETIME).await;
    pool.get(&1).unwrap().token().await.unwrap();
    pool.get(&2).unwrap();
    advance(3 * 3600).await;
    assert_eq!(fixture.count(Endpoint::Token), 2);
    let tries_left = store.script().writes.failures;
    advance(3 * 3600).await;
    assert_eq!(store.script().writes.failures, tries_left, "the tries have ended");
}

#[test]
fn what_cannot_be_made_is_an_error_and_is_not_kept() {
    let pool = Pool::new(|key: &&str| -> Result<TokenSource, Error> { TokenSource::fixed(*key) });
    assert!(pool.is_empty());
    assert_eq!(pool.get(&"not\na token").unwrap_err().code(), "malformed_response");
    assert!(pool.is_empty());
    pool.get(&"a-token").unwrap();
    assert!(!format!("{pool:?}").contains("a-token"));
    pool.remove(&"a-token");
    assert!(pool.is_empty());
}
