//! How many commands it takes.

use std::time::Duration;

use oauth_client::grant;
use oauth_client::store::TokenStore as _;
use tokio::time::Instant;

use crate::server::RedisServer;
use crate::support::{World, store};

#[tokio::test]
#[ignore = "needs redis-server; see tests/README.md"]
async fn a_refresh_takes_fourteen_commands_and_a_token_in_hand_none() {
    let Some(redis) = RedisServer::start().await else { return };
    let (world, store) = (World::new(), store(&redis.url()));
    // The connection is there, as it is in a fleet.
    store.load(&world.key(&grant::client_credentials())).await.unwrap();
    // Read, lease (3 with those inside its script), read, renew (3), write (3), give back (3); who needs no person does not
    // renew.
    for (request, most) in [(world.person(), 14), (grant::client_credentials(), 11)] {
        let source = world.source(&request, &store).build().unwrap();
        // The first refresh finds nothing: one command writes, and two more begin the count of leases.
        for _ in 0..4 {
            source.settle().await.unwrap();
            let before = redis.commands().await;
            world.expire();
            source.token().await.unwrap();
            source.settle().await.unwrap();
            // The question before is one of them.
            assert_eq!(redis.commands().await - before - 1, most);
        }
        let before = redis.commands().await;
        for _ in 0..500 {
            source.token().await.unwrap();
        }
        assert_eq!(redis.commands().await - before - 1, 0);
    }
    assert!(!world.reused());
}

#[tokio::test]
#[ignore = "needs redis-server; see tests/README.md"]
async fn a_process_that_waits_for_a_lease_asks_less_than_forty_times_a_second() {
    let Some(redis) = RedisServer::start().await else { return };
    let world = World::new();
    let (here, elsewhere) = (store(&redis.url()), store(&redis.url()));
    let requests: Vec<_> = (0..5).map(|n| world.person().subject(format!("user {n}"))).collect();
    let mut leases = Vec::new();
    for request in &requests {
        leases.push(elsewhere.lease(&world.key(request), Duration::from_secs(3)).await.unwrap().unwrap());
    }
    let waiting: Vec<_> = requests
        .iter()
        .map(|request| {
            let source = world.source(request, &here).build().unwrap();
            tokio::spawn(async move { source.token().await })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let (before, began) = (redis.commands().await, Instant::now());
    tokio::time::sleep(Duration::from_secs(2)).await;
    let sent = redis.commands().await - before - 1;
    let seconds = began.elapsed().as_secs_f64();
    println!("{sent} commands in {seconds:.2} s while five sources of one process wait");
    #[expect(clippy::cast_precision_loss, reason = "a small count")]
    let rate = sent as f64 / seconds;
    assert!((1.0..40.0).contains(&rate), "{rate} a second");
    for task in waiting {
        task.await.unwrap().unwrap();
    }
    drop(leases);
    assert!(!world.reused());
}
