//! The contract of every store.

use std::time::Duration;

use oauth_client::store::conformance::{check, check_outage};
use oauth_client_redis::RedisStore;

use crate::proxy::{Mode, Proxy};
use crate::server::RedisServer;
use crate::support::{seal_key, store};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs redis-server; see tests/README.md"]
async fn the_store_keeps_the_contract_over_many_connections() {
    let Some(redis) = RedisServer::start().await else { return };
    let report = check(async || store(&redis.url())).await.unwrap();
    assert!(report.skipped().is_empty(), "leases are numbered: {report:?}");
    assert!(report.passed().len() >= 18, "{report:?}");
    // And beside what is there, again.
    check(async || store(&redis.url())).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs redis-server; see tests/README.md"]
async fn the_store_keeps_the_contract_through_outages() {
    let Some(redis) = RedisServer::start().await else { return };
    let proxy = Proxy::start(redis.port()).await;
    for mode in [Mode::Cut, Mode::BlackHole, Mode::Delay(Duration::from_secs(5))] {
        let open = async || store(&proxy.url());
        let report = check_outage(open, async || proxy.set(mode), async || proxy.set(Mode::Pass)).await;
        let kept = report.as_ref().map_or(0, |report| report.passed().len());
        assert!(kept >= 7, "{mode:?}: {report:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs redis-server; see tests/README.md"]
async fn a_redis_that_is_slow_is_no_outage() {
    let Some(redis) = RedisServer::start().await else { return };
    let proxy = Proxy::start(redis.port()).await;
    proxy.set(Mode::Delay(Duration::from_millis(60)));
    let report = check(async || store(&proxy.url())).await;
    // Its leases of 400 ms are too short for it; all that is checked before them holds.
    if let Err(violation) = report {
        assert!(violation.rule().contains("lease"), "{violation}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs redis-server; see tests/README.md"]
async fn a_redis_that_was_restarted_with_its_data_is_an_outage_and_no_more() {
    let Some(redis) = RedisServer::lasting().await else { return };
    let (url, redis) = (redis.url(), tokio::sync::Mutex::new(redis));
    let begin = async || redis.lock().await.stop();
    let end = async || redis.lock().await.run().await;
    check_outage(async || store(&url), begin, end).await.unwrap();
}

/// A user with nothing but what the documentation says.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs redis-server; see tests/README.md"]
async fn the_permissions_in_the_documentation_are_enough() {
    let Some(redis) = RedisServer::start().await else { return };
    redis.permit(include_str!("../../src/lib.rs")).await;
    let open = async || {
        let store = RedisStore::builder(redis.url_of("orders")).password("password");
        store.prefix("orders:").seal_key(seal_key(1)).build().unwrap()
    };
    check(open).await.unwrap();
    let elsewhere = RedisStore::builder(redis.url_of("orders")).password("password").prefix("other:");
    let elsewhere = elsewhere.seal_key(seal_key(1)).build().unwrap();
    let error = check(async || elsewhere.clone()).await.unwrap_err();
    assert!(error.to_string().contains("Permissions"), "{error}");
}
