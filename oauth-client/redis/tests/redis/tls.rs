//! `rediss://`: a private authority, and what is said when something of it does not fit.

use oauth_client::config::ClientConfig;
use oauth_client::store::{StoreError, TokenStore as _};
use oauth_client_redis::{RedisStore, RedisStoreBuilder};

use crate::certificates::{Authority, TlsServer};
use crate::support::{World, seal_key};

fn builder(url: &str) -> RedisStoreBuilder {
    RedisStore::builder(url).prefix("test:").seal_key(seal_key(1))
}

async fn failure(builder: RedisStoreBuilder) -> StoreError {
    let world = World::new();
    builder.build().unwrap().load(&world.key(&world.person())).await.unwrap_err()
}

#[tokio::test]
#[ignore = "needs redis-server; see tests/README.md"]
async fn a_server_of_a_private_authority_is_trusted_by_its_certificate() {
    let authority = Authority::new();
    let Some(server) = TlsServer::start(&authority, false).await else { return };
    let world = World::new();
    let store = builder(&server.url("localhost")).tls_ca(authority.pem()).build().unwrap();
    let source = world.source(&world.person(), &store).build().unwrap();
    let token = source.token().await.unwrap();
    world.expire();
    assert_ne!(source.token().await.unwrap().secret(), token.secret());
    assert!(server.redis.contents().await.iter().any(|(key, _)| key.ends_with(":tokens")));
    assert!(!world.reused());
}

#[tokio::test]
#[ignore = "needs redis-server; see tests/README.md"]
async fn an_unknown_authority_another_name_and_a_port_without_tls_are_told_apart() {
    let authority = Authority::new();
    let Some(server) = TlsServer::start(&authority, false).await else { return };
    let stranger = Authority::new();
    for (builder, expected) in [
        (builder(&server.url("localhost")), "tls.ca"),
        (builder(&server.url("localhost")).tls_ca(stranger.pem()), "tls.ca"),
        (builder(&server.url("127.0.0.1")).tls_ca(authority.pem()), "another name"),
        (builder(&server.redis.url().replace("redis:", "rediss:")).tls_ca(authority.pem()), "speaks TLS"),
        (builder(&server.url("localhost")).tls_ca("no certificate"), "tls.ca: holds no certificates"),
    ] {
        let error = failure(builder).await;
        let text = error.to_string();
        assert!(text.contains(expected), "expected {expected:?}: {text}");
        assert!(!text.contains("reached"), "it was reached: {text}");
        let may_pass = ["speaks TLS", "tls.ca: holds no certificates"].contains(&expected);
        assert_eq!(error.is_permanent(), !may_pass, "{text}");
    }
}

#[tokio::test]
#[ignore = "needs redis-server; see tests/README.md"]
async fn a_server_that_wants_certificates_gets_one_and_says_so_without() {
    let authority = Authority::new();
    let Some(server) = TlsServer::start(&authority, true).await else { return };
    let (certificate, key) = authority.issue("a client");
    let with = || builder(&server.url("localhost")).tls_ca(authority.pem());
    let world = World::new();
    let store = with().tls_identity(certificate, key).build().unwrap();
    assert!(store.load(&world.key(&world.person())).await.unwrap().is_none());
    let error = failure(with()).await.to_string();
    assert!(error.contains("tls.cert"), "{error}");
}

#[tokio::test]
#[ignore = "needs redis-server; see tests/README.md"]
async fn the_configuration_names_the_files() {
    let authority = Authority::new();
    let Some(server) = TlsServer::start(&authority, true).await else { return };
    let (certificate, key) = authority.issue("a client");
    let ca = server.file("trusted.crt", &authority.pem());
    let (certificate, key) = (server.file("client.crt", &certificate), server.file("client.key", &key));
    let text = |url: &str, tls: &str| {
        format!(
            "token_endpoint = \"http://127.0.0.1:1/token\"\nclient_id = \"svc\"\nclient_secret = \"s3cr3t\"\n\
             [store]\nkind = \"redis\"\nurl = {url:?}\nseal_key = {:?}\ntls = {{ {tls} }}\n",
            seal_key(1)
        )
    };
    let tls = format!("ca = {ca:?}, cert = {certificate:?}, key = {key:?}");
    let config = ClientConfig::from_toml(&text(&server.url("localhost"), &tls)).unwrap();
    let store = RedisStore::from_config(config.redis().unwrap()).unwrap();
    let world = World::new();
    assert!(store.load(&world.key(&world.person())).await.unwrap().is_none());

    for (url, tls, field) in [
        ("redis://localhost", tls.as_str(), "store.tls"),
        ("rediss://localhost", "ca = \"/nowhere/ca.crt\"", "store.tls.ca"),
        ("rediss://localhost", &format!("cert = {certificate:?}"), "store.tls.key"),
        ("rediss://localhost", &format!("key = {key:?}"), "store.tls.cert"),
    ] {
        let error = ClientConfig::from_toml(&text(url, tls)).unwrap_err();
        assert_eq!(error.problems()[0].field, field, "{error}");
    }
}
