//! Bad days of a source: what its callers see, and what is lost (nothing).

use std::time::Duration;

use oauth_client::config::ClientConfig;
use oauth_client::grant;
use oauth_client::store::TokenStore as _;
use oauth_client_redis::RedisStore;
use tokio::time::Instant;

use crate::proxy::{Mode, Proxy};
use crate::server::{RedisServer, free_port};
use crate::support::{Failures, World, seal_key, store};

#[tokio::test]
#[ignore = "needs redis-server; see tests/README.md"]
async fn a_redis_that_is_away_at_start_stops_only_whom_it_must() {
    let Some(mut redis) = RedisServer::start().await else { return };
    redis.stop();
    let (world, store) = (World::new(), store(&redis.url()));
    let person = world.person();
    let person = world.source(&person, &store).build().unwrap();
    let service = world.source(&grant::client_credentials(), &store).build().unwrap();
    service.token().await.unwrap();
    let requests = world.requests();
    let error = person.token().await.unwrap_err();
    assert!(error.code() == "store" && error.is_transient(), "{error}");
    assert!(error.to_string().contains(&redis.port().to_string()), "it says where: {error}");
    assert_eq!(world.requests(), requests, "the refresh token was not sent");
    redis.run().await;
    world.clock.jump(120);
    person.token().await.unwrap();
    service.settle().await.unwrap();
    assert_eq!(redis.contents().await.iter().filter(|(key, _)| key.ends_with("tokens")).count(), 2);
}

#[tokio::test]
#[ignore = "needs redis-server; see tests/README.md"]
async fn a_redis_that_goes_away_in_the_middle_costs_no_token_in_hand() {
    let Some(redis) = RedisServer::start().await else { return };
    let proxy = Proxy::start(redis.port()).await;
    for mode in [Mode::Cut, Mode::BlackHole] {
        let (world, store) = (World::new(), store(&proxy.url()));
        let source = world.source(&world.person(), &store).build().unwrap();
        let first = source.token().await.unwrap();
        proxy.set(mode);
        // Aging: the token in hand stays in use, and the refresh fails in the background.
        world.clock.jump(270);
        for _ in 0..20 {
            assert_eq!(source.token().await.unwrap().secret(), first.secret());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(world.requests(), 1);
        proxy.set(Mode::Pass);
        world.expire();
        let second = source.token().await.unwrap();
        assert_ne!(second.secret(), first.secret(), "{mode:?}");
        assert!(!world.reused());
    }
}

#[tokio::test]
#[ignore = "needs redis-server; see tests/README.md"]
async fn a_slow_redis_makes_a_refresh_slow_and_nothing_else() {
    let Some(redis) = RedisServer::start().await else { return };
    let proxy = Proxy::start(redis.port()).await;
    let (world, store) = (World::new(), store(&proxy.url()));
    let source = world.source(&world.person(), &store).build().unwrap();
    source.token().await.unwrap();
    proxy.set(Mode::Delay(Duration::from_millis(150)));
    world.expire();
    let began = Instant::now();
    source.token().await.unwrap();
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(1500) && took < Duration::from_secs(6), "{took:?}");
    let began = Instant::now();
    for _ in 0..100 {
        source.token().await.unwrap();
    }
    assert!(began.elapsed() < Duration::from_millis(100), "{:?}", began.elapsed());
    assert!(!world.reused());
}

/// Half of the command arrives, or all of it and the response is lost.
#[tokio::test]
#[ignore = "needs redis-server; see tests/README.md"]
async fn a_connection_that_is_cut_in_the_middle_of_a_write_loses_no_refresh_token() {
    let Some(redis) = RedisServer::start().await else { return };
    let proxy = Proxy::start(redis.port()).await;
    for mode in [Mode::CutRequest, Mode::CutResponse] {
        let (world, store) = (World::new(), store(&proxy.url()));
        let person = world.person();
        let source = world.source(&person, &store).build().unwrap();
        for _ in 0..8 {
            let token = source.token().await.unwrap();
            let stored = store.load(&world.key(&person)).await.unwrap().unwrap();
            assert_eq!(stored.tokens, *token.tokens());
            world.expire();
            // The server's response is slow enough for the cut to come before the write.
            world
                .server
                .fault(oauth_mock::Endpoint::Token, oauth_mock::Fault::delay(Duration::from_millis(100)))
                .times(1);
            let asking = tokio::spawn({
                let source = source.clone();
                async move { source.token().await }
            });
            tokio::time::sleep(Duration::from_millis(50)).await;
            proxy.set(mode);
            asking.await.unwrap().unwrap();
            proxy.set(Mode::Pass);
        }
        assert!(!world.reused(), "{mode:?}");
    }
}

#[tokio::test]
#[ignore = "needs redis-server; see tests/README.md"]
async fn a_redis_that_was_restarted_empty_holds_the_tokens_again_after_the_next_refresh() {
    let Some(mut redis) = RedisServer::start().await else { return };
    let (world, store) = (World::new(), store(&redis.url()));
    let person = world.person();
    let source = || world.source(&person, &store).build().unwrap();
    let (here, elsewhere) = (source(), source());
    let first = here.token().await.unwrap();
    assert_eq!(elsewhere.token().await.unwrap().secret(), first.secret());
    for _ in 0..2 {
        redis.stop();
        redis.run().await;
        assert!(redis.contents().await.is_empty());
        world.expire();
        let [one, other] = [here.token().await.unwrap(), elsewhere.token().await.unwrap()];
        assert_eq!(one.secret(), other.secret(), "one refresh for both");
        let stored = store.load(&world.key(&person)).await.unwrap().unwrap();
        assert_eq!(stored.tokens, *one.tokens());
    }
    assert!(!world.reused());
}

#[tokio::test]
#[ignore = "needs redis-server; see tests/README.md"]
async fn a_redis_that_was_restarted_with_its_data_is_not_noticed() {
    let Some(mut redis) = RedisServer::lasting().await else { return };
    let (world, store) = (World::new(), store(&redis.url()));
    let person = world.person();
    let failures = Failures::default();
    let source = world.source(&person, &store).on_event(failures.hook()).build().unwrap();
    source.token().await.unwrap();
    // Nothing is under way, not even the lease that is given back.
    source.settle().await.unwrap();
    redis.stop();
    redis.run().await;
    world.expire();
    source.token().await.unwrap();
    assert_eq!(failures.take(), Vec::<String>::new());
    // A process that starts now goes on with what is there.
    world.expire();
    world.source(&person, &store).build().unwrap().token().await.unwrap();
    assert!(!world.reused());
}

#[tokio::test]
#[ignore = "needs redis-server; see tests/README.md"]
async fn a_replica_and_a_full_memory_are_passing_failures_before_anything_is_sent() {
    let Some(redis) = RedisServer::start().await else { return };
    let (world, store) = (World::new(), store(&redis.url()));
    let source = world.source(&world.person(), &store).build().unwrap();
    source.token().await.unwrap();
    let primary = free_port().to_string();
    let cases: [(&[&str], &[&str], &str); 2] = [
        (&["REPLICAOF", "127.0.0.1", &primary], &["REPLICAOF", "NO", "ONE"], "replica"),
        (&["CONFIG", "SET", "maxmemory", "1"], &["CONFIG", "SET", "maxmemory", "0"], "out of memory"),
    ];
    for (n, (begin, end, said)) in cases.into_iter().enumerate() {
        // Data that a failover's new primary would not have either.
        let _: String = redis.ask(begin).await;
        world.expire();
        let requests = world.requests();
        let error = source.token().await.unwrap_err();
        assert!(error.code() == "store" && error.is_transient(), "{error}");
        assert!(error.to_string().contains(said), "{error}");
        assert_eq!(world.requests(), requests, "nothing was sent");
        let service = world.source(&grant::client_credentials().subject(format!("service {n}")), &store);
        let failures = Failures::default();
        service.on_event(failures.hook()).build().unwrap().token().await.unwrap();
        assert!(
            failures.take().iter().any(|failure| failure.contains(said)),
            "the service goes on, with a warning"
        );
        let _: String = redis.ask(end).await;
        world.clock.jump(120);
        source.token().await.unwrap();
    }
    assert!(!world.reused());
}

/// The memory fills up between the lease and the write: what the server gave is not lost.
#[tokio::test]
#[ignore = "needs redis-server; see tests/README.md"]
async fn a_write_that_fails_keeps_the_lease_and_is_made_up_for() {
    let Some(redis) = RedisServer::start().await else { return };
    let (world, store) = (World::new(), store(&redis.url()));
    let person = world.person();
    let source = world.source(&person, &store).build().unwrap();
    source.token().await.unwrap();
    world.expire();
    world
        .server
        .fault(oauth_mock::Endpoint::Token, oauth_mock::Fault::delay(Duration::from_millis(300)))
        .times(1);
    let asking = tokio::spawn({
        let source = source.clone();
        async move { source.token().await }
    });
    tokio::time::sleep(Duration::from_millis(150)).await;
    let _: String = redis.ask(&["CONFIG", "SET", "maxmemory", "1"]).await;
    let token = asking.await.unwrap().unwrap();
    let key = world.key(&person);
    assert!(
        store.lease(&key, Duration::from_secs(15)).await.is_err(),
        "no memory for another's lease either"
    );
    let _: String = redis.ask(&["CONFIG", "SET", "maxmemory", "0"]).await;
    source.settle().await.unwrap();
    assert_eq!(store.load(&key).await.unwrap().unwrap().tokens, *token.tokens());
    assert!(store.lease(&key, Duration::from_secs(15)).await.unwrap().is_some(), "given back");
    assert!(!world.reused());
}

#[tokio::test]
#[ignore = "needs redis-server; see tests/README.md"]
async fn a_wrong_password_is_said_once_and_not_waited_for_and_a_right_one_in_the_file_is_taken() {
    let Some(redis) = RedisServer::start_with(&["--save", "", "--requirepass", "right"]).await else {
        return;
    };
    let path = std::env::temp_dir().join(format!("oauth-redis-password-{}", std::process::id()));
    std::fs::write(&path, "wrong\n").unwrap();
    let world = World::new();
    let store = RedisStore::builder(redis.url())
        .seal_key(seal_key(1))
        .password(oauth_client::secret::from_file(&path))
        .build()
        .unwrap();
    let failures = Failures::default();
    let person = world.source(&world.person(), &store).build().unwrap();
    let service =
        world.source(&grant::client_credentials(), &store).on_event(failures.hook()).build().unwrap();
    let began = Instant::now();
    let error = person.token().await.unwrap_err();
    assert!(error.code() == "store" && !error.is_transient(), "{error}");
    assert!(error.to_string().contains("password") && !error.to_string().contains("wrong"), "{error}");
    for _ in 0..3 {
        service.token().await.unwrap();
        world.expire();
    }
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    assert_eq!(failures.take().len(), 1);
    std::fs::write(&path, "right, and longer\n").unwrap();
    tokio::time::sleep(Duration::from_millis(1500)).await;
    std::fs::write(&path, "right\n").unwrap();
    tokio::time::sleep(Duration::from_millis(1500)).await;
    world.clock.jump(120);
    person.token().await.unwrap();
    std::fs::remove_file(path).unwrap();
}

#[tokio::test]
#[ignore = "needs redis-server; see tests/README.md"]
async fn a_configuration_is_all_it_takes() {
    let Some(redis) = RedisServer::start().await else { return };
    let world = World::new();
    let text = format!(
        "token_endpoint = {:?}\nclient_id = \"svc\"\nclient_secret = \"s3cr3t\"\n[store]\nkind = \"redis\"\nurl = {:?}\n\
         prefix = \"orders:\"\nseal_key = [{:?}, {:?}]\n",
        world.server.endpoint(oauth_mock::Endpoint::Token),
        redis.url(),
        seal_key(1),
        seal_key(2),
    );
    let http = oauth_client::transport::HttpClient::from_service(world.server.transport());
    let config = ClientConfig::from_toml(&text).unwrap().http(http);
    let tokens = [(); 2].map(|()| oauth_client_redis::build(&config).unwrap().build().unwrap());
    let one = tokens[0].token().await.unwrap();
    assert_eq!(tokens[1].token().await.unwrap().secret(), one.secret());
    assert!(redis.contents().await.iter().all(|(key, _)| key.starts_with("orders:{")));
    // A key that is too short is found when the store is made, and named.
    let short = text.replace(&seal_key(2), "c2hvcnQ=");
    let error = oauth_client_redis::build(&ClientConfig::from_toml(&short).unwrap()).unwrap_err();
    assert_eq!(error.problems()[0].field, "store.seal_key", "{error}");
    for (line, field) in [("seal_key", "store.seal_key"), ("url", "store.url")] {
        let lines = text.lines().filter(|one| !one.starts_with(line)).collect::<Vec<_>>().join("\n");
        let error = ClientConfig::from_toml(&lines).unwrap_err();
        assert_eq!(error.problems()[0].field, field, "{error}");
    }
    // Without this package the error names it.
    let error = config.build().unwrap_err();
    assert_eq!(error.problems()[0].field, "store.kind");
    assert!(error.to_string().contains("tower-oauth-client-redis"), "{error}");
}
