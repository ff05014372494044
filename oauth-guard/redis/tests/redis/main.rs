//! Used proofs and revocations over a real redis-server, on good days and on bad ones. Where redis-server is not
//! installed, each test says so and is skipped.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on must fail")]

#[path = "../../../../oauth-client/redis/tests/redis/certificates.rs"]
#[expect(dead_code, reason = "each of its users needs a part of it")]
mod certificates;
mod failover;
mod feed;
mod processes;
#[path = "../../../../oauth-client/redis/tests/redis/proxy.rs"]
#[expect(dead_code, reason = "each of its users needs a part of it")]
mod proxy;
mod replay;
#[path = "../../../../oauth-client/redis/tests/redis/server.rs"]
#[expect(dead_code, reason = "each of its users needs a part of it")]
mod server;
mod tls;

/// The file names Redis, and code says the rest.
#[test]
fn what_code_sets_takes_neither_store_nor_feed_away() {
    use oauth_guard::config::GuardConfig;
    use oauth_guard::revocation::RevocationSettings;
    use oauth_guard::{Dpop, Guard};

    let of = |more: &str| {
        let text = format!(
            "[[issuer]]\nissuer = \"https://auth.example.com\"\naudience = [\"orders-api\"]\n{more}\n\
             [redis]\nurl = \"redis://127.0.0.1:1\"\nprefix = \"orders:\""
        );
        oauth_guard_redis::build(&GuardConfig::from_toml(&text).unwrap()).unwrap()
    };
    // The store in memory knows its capacity.
    let is_shared = |guard: &Guard| guard.health().replay.unwrap().capacity.is_none();
    assert!(is_shared(&of("[dpop]").build().unwrap()));
    let guard = of("").dpop(Dpop::new()).build().unwrap();
    assert!(is_shared(&guard));
    guard.reload(of("").dpop(Dpop::new().required())).unwrap();
    assert!(is_shared(&guard));
    let guard = of("").revocation(RevocationSettings::new()).build().unwrap();
    assert_eq!(guard.health().revocations.feeds.len(), 1);
    assert_eq!(guard.health().replay, None, "no proofs are accepted, and Redis holds the revocations alone");
}
