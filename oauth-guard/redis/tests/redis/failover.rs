//! A primary that becomes a replica while guards are connected to it, and nothing else happens.

use std::time::Duration;

use oauth_guard::revocation::{Position, Revocation, RevocationFeed as _};
use oauth_guard_redis::{Redis, RedisFeed};
use tokio::time::{Instant, sleep};

use crate::proxy::Proxy;
use crate::server::{RedisServer, free_port};

const ISSUER: &str = "https://auth.example.com";

fn feed(url: &str) -> RedisFeed {
    Redis::new(url, None, "test:").unwrap().feed()
}

/// The next complete read, after as many failures as it takes.
async fn read(feed: &RedisFeed, position: &mut Option<Position>) -> Vec<Revocation> {
    loop {
        match feed.read(position.as_ref()).await {
            Ok(batch) => {
                *position = Some(batch.position);
                if batch.complete {
                    return batch.revocations;
                }
            }
            Err(error) if error.is_position_lost() => *position = None,
            Err(error) => {
                println!("{error}");
                sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

#[tokio::test]
#[ignore = "needs redis-server; see tests/README.md"]
async fn a_replica_counts_as_away_although_it_reads_well() {
    let Some(server) = RedisServer::start().await else { return };
    let feed = feed(&server.url());
    feed.publish(&[Revocation::session(ISSUER, "s1")]).await.unwrap();
    let mut position = None;
    read(&feed, &mut position).await;
    read(&feed, &mut position).await;
    // Of nothing that is there: what comes from then on would never be seen.
    let _: String = server.ask(&["REPLICAOF", "127.0.0.1", &free_port().to_string()]).await;
    let began = Instant::now();
    for _ in 0..3 {
        let error = feed.read(position.as_ref()).await.unwrap_err();
        assert!(!error.is_position_lost(), "{error}");
    }
    let error = feed.read(position.as_ref()).await.unwrap_err().to_string();
    assert!(error.contains("replica"), "{error}");
    assert!(began.elapsed() < Duration::from_secs(6), "{:?}", began.elapsed());
    let _: String = server.ask(&["REPLICAOF", "NO", "ONE"]).await;
    feed.publish(&[Revocation::session(ISSUER, "s2")]).await.unwrap();
    assert_eq!(read(&feed, &mut position).await.len(), 1);
}

/// Between two questions, so that no waiting one is ended by the server.
#[tokio::test]
#[ignore = "needs redis-server; see tests/README.md"]
async fn a_failover_is_followed_from_an_idle_connection_within_two_seconds() {
    let Some(old) = RedisServer::start().await else { return };
    let Some(new) = RedisServer::start().await else { return };
    let proxy = Proxy::start(old.port()).await;
    let reader = feed(&proxy.url());
    let mut position = None;
    read(&reader, &mut position).await;
    read(&reader, &mut position).await;
    let _: String = old.ask(&["REPLICAOF", "127.0.0.1", &free_port().to_string()]).await;
    proxy.lead_to(new.port());
    feed(&new.url()).publish(&[Revocation::session(ISSUER, "s1")]).await.unwrap();
    let began = Instant::now();
    while read(&reader, &mut position).await.is_empty() {
        assert!(began.elapsed() < Duration::from_secs(5), "it reads the server that was the primary");
    }
    println!("followed after {:?}", began.elapsed());
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
}
