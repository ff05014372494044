//! `rediss://`, with a private authority.

use std::time::Duration;

use oauth_guard::config::GuardConfig;
use oauth_guard::replay::{Insertion, ProofId, ReplayStore as _};
use oauth_guard::revocation::{Revocation, RevocationFeed as _};
use oauth_guard_redis::Redis;

use crate::certificates::{Authority, TlsServer};

#[tokio::test]
#[ignore = "needs redis-server; see tests/README.md"]
async fn proofs_and_revocations_go_over_tls_and_a_stranger_is_not_trusted() {
    let authority = Authority::new();
    let Some(server) = TlsServer::start(&authority, true).await else { return };
    let (certificate, key) = authority.issue("a guard");
    let ca = server.file("trusted.crt", &authority.pem());
    let (certificate, key) = (server.file("guard.crt", &certificate), server.file("guard.key", &key));
    let text = |url: &str, ca: &str| {
        format!(
            "[[issuer]]\nissuer = \"https://auth.example.com\"\naudience = [\"a\"]\n[redis]\nurl = {url:?}\n\
             tls = {{ ca = {ca:?}, cert = {certificate:?}, key = {key:?} }}\n"
        )
    };
    let connect = |url: &str, ca: &str| {
        let config = GuardConfig::from_toml(&text(url, ca)).unwrap();
        Redis::from_config(config.redis().unwrap()).unwrap()
    };
    let redis = connect(&server.url("localhost"), &ca);
    let proof = ProofId::new(&[7; 32], "jti");
    let insert = async || redis.replay_store().insert(proof, Duration::from_secs(60)).await.unwrap();
    assert_eq!([insert().await, insert().await], [Insertion::Inserted, Insertion::Present]);
    let feed = redis.feed();
    let position = feed.read(None).await.unwrap().position;
    feed.publish(&[Revocation::session("https://auth.example.com", "s1")]).await.unwrap();
    assert_eq!(feed.read(Some(&position)).await.unwrap().revocations.len(), 1);

    let stranger = server.file("stranger.crt", &Authority::new().pem());
    for (host, ca, expected) in [("localhost", &stranger, "tls.ca"), ("127.0.0.1", &ca, "another name")] {
        let redis = connect(&server.url(host), ca);
        let error = redis.feed().read(None).await.unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
        let store = redis.replay_store();
        assert!(store.insert(proof, Duration::from_secs(60)).await.is_err());
        assert!(store.health().last_error.unwrap().contains(expected));
    }
    let error = GuardConfig::from_toml(&text("redis://localhost", &ca)).unwrap_err();
    assert_eq!(error.problems()[0].field, "redis.tls", "{error}");
}

#[tokio::test]
#[ignore = "needs redis-server; see tests/README.md"]
async fn what_configures_tls_in_code_holds_for_store_and_feed() {
    let authority = Authority::new();
    let Some(server) = TlsServer::start(&authority, true).await else { return };
    let (certificate, key) = authority.issue("a guard");
    let redis = Redis::new(server.url("localhost"), None, "test:").unwrap();
    let redis = redis.tls_ca(authority.pem()).unwrap().tls_identity(certificate, key).unwrap();
    let proof = ProofId::new(&[7; 32], "jti");
    let inserted = redis.replay_store().insert(proof, Duration::from_secs(60)).await.unwrap();
    assert_eq!(inserted, Insertion::Inserted);
    assert!(redis.feed().read(None).await.unwrap().revocations.is_empty());
}
