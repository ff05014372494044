//! Used proofs.

use std::time::Duration;

use oauth_guard::replay::{Insertion, ProofId, ReplayError, ReplayStore as _, conformance};
use oauth_guard_redis::Redis;
use tokio::time::Instant;

use crate::proxy::{Mode, Proxy};
use crate::server::RedisServer;

const WINDOW: Duration = Duration::from_secs(65);

fn redis(url: &str) -> Redis {
    Redis::new(url, None, "test:").unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs redis-server; see tests/README.md"]
async fn the_store_keeps_the_contract_over_many_connections() {
    let Some(server) = RedisServer::start().await else { return };
    let report = conformance::check(async || redis(&server.url()).replay_store()).await.unwrap();
    assert!(report.passed().len() >= 9, "{report:?}");
}

#[tokio::test]
#[ignore = "needs redis-server; see tests/README.md"]
async fn a_proof_costs_one_command_and_leaves_nothing_readable_and_an_end() {
    let Some(server) = RedisServer::start().await else { return };
    let store = redis(&server.url()).replay_store();
    let proof = ProofId::new(&[7; 32], "a jti that the caller chose");
    assert_eq!(store.insert(proof, WINDOW).await.unwrap(), Insertion::Inserted);
    let before = server.commands().await;
    assert_eq!(store.insert(proof, WINDOW).await.unwrap(), Insertion::Present);
    assert_eq!(server.commands().await - before - 1, 1);
    let contents = server.contents().await;
    assert_eq!(contents.len(), 1);
    assert!(contents[0].0.starts_with("test:proof:") && !contents[0].0.contains("jti"), "{contents:?}");
    let ends: i64 = server.ask(&["PTTL", &contents[0].0]).await;
    assert!(ends > 60_000 && ends <= 65_000, "{ends}");
}

#[tokio::test]
#[ignore = "needs redis-server; see tests/README.md"]
async fn a_redis_that_is_away_slow_or_full_is_no_yes() {
    let Some(mut server) = RedisServer::start().await else { return };
    let proxy = Proxy::start(server.port()).await;
    let store = redis(&proxy.url()).replay_store();
    let thumbprint = [7; 32];
    for (n, mode) in [Mode::Cut, Mode::BlackHole].into_iter().enumerate() {
        let (before, during) = (format!("before {n}"), format!("during {n}"));
        let inserted = store.insert(ProofId::new(&thumbprint, &before), WINDOW).await.unwrap();
        assert_eq!(inserted, Insertion::Inserted);
        proxy.set(mode);
        let began = Instant::now();
        let error = store.insert(ProofId::new(&thumbprint, &during), WINDOW).await.unwrap_err();
        assert!(matches!(error, ReplayError::Away(_)), "{error}");
        assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
        assert!(!store.health().ok && store.health().last_error.is_some());
        proxy.set(Mode::Pass);
        tokio::time::sleep(Duration::from_millis(300)).await;
        let again = store.insert(ProofId::new(&thumbprint, &before), WINDOW).await.unwrap();
        assert_eq!(again, Insertion::Present, "{mode:?}");
        assert!(store.health().ok);
    }
    let _: String = server.ask(&["CONFIG", "SET", "maxmemory", "1"]).await;
    let error = store.insert(ProofId::new(&thumbprint, "full"), WINDOW).await.unwrap_err();
    assert!(matches!(error, ReplayError::Full), "{error}");
    assert_eq!(store.health().full, 1);
    server.stop();
    let error = store.insert(ProofId::new(&thumbprint, "away"), WINDOW).await.unwrap_err();
    assert!(matches!(error, ReplayError::Away(_)), "{error}");
}

/// The proof was noted and the response lost: the connection is made anew and the command sent again, and it is no replay.
#[tokio::test]
#[ignore = "needs redis-server; see tests/README.md"]
async fn a_response_that_was_lost_is_no_replay() {
    let Some(server) = RedisServer::start().await else { return };
    let proxy = Proxy::start(server.port()).await;
    let store = redis(&proxy.url()).replay_store();
    let thumbprint = [7; 32];
    for n in 0..10 {
        let (warm, lost) = (format!("warm {n}"), format!("lost {n}"));
        assert_eq!(
            store.insert(ProofId::new(&thumbprint, &warm), WINDOW).await.unwrap(),
            Insertion::Inserted
        );
        proxy.set(if n % 2 == 0 { Mode::CutResponse } else { Mode::CutRequest });
        assert_eq!(
            store.insert(ProofId::new(&thumbprint, &lost), WINDOW).await.unwrap(),
            Insertion::Inserted
        );
        assert_eq!(store.insert(ProofId::new(&thumbprint, &lost), WINDOW).await.unwrap(), Insertion::Present);
    }
}

/// A readiness probe that fails takes the traffic away, and with it the insertions.
#[tokio::test]
#[ignore = "needs redis-server; see tests/README.md"]
async fn the_probe_alone_brings_the_store_back() {
    let Some(server) = RedisServer::start().await else { return };
    let proxy = Proxy::start(server.port()).await;
    let store = redis(&proxy.url()).replay_store();
    let thumbprint = [7; 32];
    assert!(store.health().ok, "nothing is wrong before the first insertion");
    proxy.set(Mode::Cut);
    store.insert(ProofId::new(&thumbprint, "away"), WINDOW).await.unwrap_err();
    for _ in 0..3 {
        assert!(!store.health().ok && store.health().last_error.is_some());
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    proxy.set(Mode::Pass);
    let began = Instant::now();
    while !store.health().ok {
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", store.health());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(store.health().last_error, None);
    // A server that can only read is none that proofs can be noted at.
    let _: String = server.ask(&["CONFIG", "SET", "min-replicas-to-write", "1"]).await;
    store.insert(ProofId::new(&thumbprint, "read only"), WINDOW).await.unwrap_err();
    for _ in 0..30 {
        assert!(!store.health().ok);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let _: String = server.ask(&["CONFIG", "SET", "min-replicas-to-write", "0"]).await;
    let before = server.commands().await;
    let began = Instant::now();
    while !store.health().ok {
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", store.health());
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert!(server.commands().await - before - 1 <= 2, "once a second, however often health is asked for");
}

#[test]
fn outside_of_a_runtime_a_probe_of_the_store_only_reads() {
    let store = redis("redis://127.0.0.1:1").replay_store();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(store.insert(ProofId::new(&[7; 32], "away"), WINDOW)).unwrap_err();
    assert!(!store.health().ok);
}
