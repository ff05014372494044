//! What is readable in Redis, and what happens to what is not ours.

use oauth_client::store::TokenStore as _;
use oauth_client_redis::RedisStore;

use crate::server::RedisServer;
use crate::support::{Failures, World, seal_key, store};

#[tokio::test]
#[ignore = "needs redis-server; see tests/README.md"]
async fn no_key_and_no_value_shows_a_token_a_secret_or_a_name_and_every_key_ends() {
    let Some(redis) = RedisServer::start().await else { return };
    let (world, store) = (World::new(), store(&redis.url()));
    let person = world.person();
    let source = world.source(&person, &store).build().unwrap();
    let token = source.token().await.unwrap();
    let lease = store.lease(&world.key(&person), std::time::Duration::from_secs(15)).await.unwrap().unwrap();
    let contents = redis.contents().await;
    assert_eq!(contents.len(), 3, "tokens, lease and fence: {contents:?}");
    let set = token.tokens();
    let secrets =
        [set.access_token().expose(), set.refresh_token().unwrap().expose(), "alice", "s3cr3t", "svc"];
    for (key, value) in &contents {
        assert!(key.starts_with("test:{"), "{key}");
        for secret in secrets {
            let shown = |bytes: &[u8]| bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!shown(key.as_bytes()) && !shown(value), "{key} shows {secret}");
        }
        let ends: i64 = redis.ask(&["PTTL", key]).await;
        assert!(ends > 0, "{key} never ends");
    }
    assert!(!format!("{store:?}").contains(&seal_key(1)));
    lease.give_back().await;
}

#[tokio::test]
#[ignore = "needs redis-server; see tests/README.md"]
async fn a_key_is_replaced_by_a_list_of_two() {
    let Some(redis) = RedisServer::start().await else { return };
    let world = World::new();
    let person = world.person();
    let with = |keys: &[u8]| {
        let builder = RedisStore::builder(redis.url()).prefix("test:");
        keys.iter().fold(builder, |builder, fill| builder.seal_key(seal_key(*fill))).build().unwrap()
    };
    let (old, both, new) = (with(&[1]), with(&[2, 1]), with(&[2]));
    let first = world.source(&person, &old).build().unwrap().token().await.unwrap();
    let key = world.key(&person);
    assert_eq!(both.load(&key).await.unwrap().unwrap().tokens, *first.tokens());
    let error = new.load(&key).await.unwrap_err();
    assert!(error.is_permanent() && error.to_string().contains("seal_key"), "{error}");
    world.expire();
    let second = world.source(&person, &both).build().unwrap().token().await.unwrap();
    assert_eq!(new.load(&key).await.unwrap().unwrap().tokens, *second.tokens(), "the first key seals");
}

/// Foreign, damaged and copied values: an error that names the key, and the value stays.
#[tokio::test]
#[ignore = "needs redis-server; see tests/README.md"]
async fn what_is_not_ours_is_an_error_that_names_the_key_and_is_left_untouched() {
    let Some(redis) = RedisServer::start().await else { return };
    let (world, store) = (World::new(), store(&redis.url()));
    let [person, other] = [world.person(), world.person().subject("bob@example.com")];
    for request in [&person, &other] {
        world.source(request, &store).build().unwrap().token().await.unwrap();
    }
    let keys: Vec<_> =
        redis.contents().await.into_iter().filter(|(key, _)| key.ends_with("tokens")).collect();
    let sealed: Vec<String> = keys.iter().map(|(key, _)| key.clone()).collect();
    let copy = "local a = redis.call('GET', KEYS[1]) redis.call('SET', KEYS[2], a, 'PX', 100000) return 1";
    let cut = "local a = redis.call('GET', KEYS[2]) redis.call('SET', KEYS[2], string.sub(a, 1, -9), 'PX', 100000) return 1";
    let foreign = "redis.call('SET', KEYS[2], 'somebody else was here', 'PX', 100000) return 1";
    let short = "redis.call('SET', KEYS[2], 'x', 'PX', 100000) return 1";
    let list = "redis.call('DEL', KEYS[2]) redis.call('RPUSH', KEYS[2], 'a') redis.call('PEXPIRE', KEYS[2], 100000) return 1";
    // The first entry's value in the place of the second's, and the other way around.
    for (n, script) in [copy, cut, foreign, short, list].into_iter().enumerate() {
        let pair = if n % 2 == 0 { [&sealed[0], &sealed[1]] } else { [&sealed[1], &sealed[0]] };
        let _: i64 = redis.ask(&["EVAL", script, "2", pair[0], pair[1]]).await;
        let before: Vec<u8> = redis.ask(&["DUMP", pair[1]]).await;
        // Whichever of the two it hit.
        let mut hit = 0;
        for request in [&person, &other] {
            let requests = world.requests();
            let failures = Failures::default();
            let source = world.source(request, &store).on_event(failures.hook()).build().unwrap();
            let began = tokio::time::Instant::now();
            let Err(error) = source.token().await else { continue };
            hit += 1;
            assert_eq!(error.code(), "store", "{error}");
            assert!(!error.is_transient() && error.to_string().contains(pair[1].as_str()), "{error}");
            assert!(began.elapsed() < std::time::Duration::from_secs(2), "it is not waited for");
            assert_eq!(failures.take().len(), 1, "reported once");
            assert_eq!(world.requests(), requests, "no refresh token was sent");
        }
        assert_eq!(hit, 1, "script {n}");
        let after: Vec<u8> = redis.ask(&["DUMP", pair[1]]).await;
        assert_eq!(after, before, "it is left as it was");
        // Whole again for the next one.
        let _: i64 = redis.ask(&["DEL", pair[1]]).await;
        for request in [world.person(), world.person().subject("bob@example.com")] {
            world.source(&request, &store).build().unwrap().token().await.unwrap();
        }
    }
}
