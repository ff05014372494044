//! A log-out in Redis: for every process, and against what is written late.

use std::time::Duration;

use oauth_client::TokenSet;
use oauth_client::store::{Revision, Swap, TokenStore as _};
use oauth_client_redis::RedisStore;

use crate::server::RedisServer;
use crate::support::{World, store};

#[tokio::test]
#[ignore = "needs redis-server; see tests/README.md"]
async fn a_log_out_holds_for_every_process_and_for_as_long_as_a_login_would() {
    let Some(redis) = RedisServer::start().await else { return };
    let world = World::new();
    let person = world.person();
    let [here, elsewhere] = [(); 2].map(|()| world.source(&person, &store(&redis.url())).build().unwrap());
    here.log_in(login(&world).await).await.unwrap();
    elsewhere.token().await.unwrap();
    here.log_out().await.unwrap();
    here.settle().await.unwrap();
    let requests = world.requests();
    world.expire();
    assert!(elsewhere.token().await.unwrap_err().is_reauthorization_required());
    assert_eq!(world.requests(), requests, "the server would still take the refresh token");
    let names: Vec<String> = redis.ask(&["KEYS", "*:tokens"]).await;
    let left: u64 = redis.ask(&["PTTL", &names[0]]).await;
    assert!(left > 179 * 24 * 3_600_000, "{left} ms");

    here.log_in(login(&world).await).await.unwrap();
    world.clock.jump(120);
    elsewhere.token().await.unwrap();
}

#[tokio::test]
#[ignore = "needs redis-server; see tests/README.md"]
async fn what_a_holder_from_before_a_log_out_writes_loses_by_its_number() {
    let Some(redis) = RedisServer::start().await else { return };
    let (world, store) = (World::new(), store(&redis.url()));
    let person = world.person();
    let source = world.source(&person, &store).build().unwrap();
    let late = source.token().await.unwrap().tokens().clone();
    source.log_out().await.unwrap();
    let key = world.key(&person);
    let log_out = store.load(&key).await.unwrap().unwrap();
    assert!(log_out.tokens.is_ended() && log_out.tokens.fence() > late.fence());
    for expected in [None, Some(log_out.revision), Some(Revision(7))] {
        assert_eq!(write(&store, &world, &late, expected).await, Swap::Conflict);
    }
    assert_eq!(store.load(&key).await.unwrap().unwrap().tokens, log_out.tokens);
    // The lease is free at once.
    source.settle().await.unwrap();
    assert!(store.lease(&key, Duration::from_secs(15)).await.unwrap().is_some());
}

async fn write(store: &RedisStore, world: &World, tokens: &TokenSet, expected: Option<Revision>) -> Swap {
    store.compare_and_swap(&world.key(&world.person()), expected, Some(tokens)).await.unwrap()
}

async fn login(world: &World) -> TokenSet {
    world.client.request(&world.person()).await.unwrap()
}
