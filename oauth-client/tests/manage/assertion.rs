//! JWT bearer assertions as grants (RFC 7523 section 2.1).

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use oauth_client::config::ClientConfig;
use oauth_client::grant::{self, Assertion};
use oauth_client::sign::{Algorithm, SigningKey};
use oauth_client::{Client, ClientAuth, Error, Secret, workload};
use oauth_mock::{Alg, Endpoint, Fault, GrantType, MockClient, MockServer, TestKey, TrustedIssuer};
use serde_json::{Value, json};

use crate::support::{Fixture, advance, fixture_of, http};

const IDP: &str = "https://idp.test";

fn fixture(jwks: &Value) -> Fixture {
    fixture_of(
        MockServer::builder()
            .client(MockClient::default().grants([GrantType::JwtBearer]))
            .trusted_issuer(TrustedIssuer::new(IDP).jwks(jwks))
            .in_process(),
    )
}

fn claims(token: &Secret) -> Value {
    let payload = token.expose().split('.').nth(1).unwrap();
    serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}

fn jwks(key: &SigningKey) -> Value {
    json!({"keys": [key.public_jwk()]})
}

#[tokio::test(start_paused = true)]
async fn each_request_is_signed_anew_retries_included() {
    for algorithm in [Algorithm::Es256, Algorithm::EdDsa, Algorithm::Rs256] {
        let key = SigningKey::generate(algorithm).unwrap().with_key_id("2030-01");
        let fixture = fixture(&jwks(&key));
        let assertion = Assertion::signed(key, IDP).subject("alice").claim("tenant", "acme");
        assert!(format!("{assertion:?}").contains("alice"));
        let source = fixture.client.source(grant::jwt_bearer(assertion).scope(["read"])).build().unwrap();
        fixture.server.fault(Endpoint::Token, Fault::status(503)).times(1);
        // The mock refuses a jti that it has seen, so a lost response shows whether a new one was made.
        fixture.server.fault(Endpoint::Token, Fault::lost_response()).on_call(2);
        source.token().await.unwrap();
        let sent = fixture.server.journal().of(Endpoint::Token);
        let different: HashSet<_> = sent.iter().map(|request| request.param("assertion").unwrap()).collect();
        assert_eq!((sent.len(), different.len()), (3, 3));
        advance(400).await;
        assert_eq!(source.token().await.unwrap().generation(), 2, "it needs no person");
    }
}

#[tokio::test(start_paused = true)]
async fn an_assertion_is_made_for_the_server_that_gets_it() {
    let key = TestKey::generate(Alg::Es256);
    let fixture = fixture(&json!({"keys": [key.public_jwk()]}));
    let mint = fixture.server.mint().typ("JWT").signed_with(&key).issuer(IDP).subject("alice");
    let (issuer, now) =
        (fixture.server.issuer().to_owned(), fixture.server.clock().now_unix().unsigned_abs());
    let made = Assertion::from_fn(move |sending| {
        assert_eq!((sending.audience.as_str(), sending.now.as_secs()), (&*issuer, now));
        let assertion = mint.clone().audience(&*sending.audience).build();
        async move { Ok::<_, Error>(Secret::new(assertion)) }
    });
    fixture.client.request(&grant::jwt_bearer(made)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_assertion_that_fails_is_reported_and_nothing_is_sent() {
    let fixture = fixture(&json!({"keys": []}));
    static TRIES: AtomicUsize = AtomicUsize::new(0);
    let failing = Assertion::from_fn(|_| {
        TRIES.fetch_add(1, Ordering::SeqCst);
        async { Err("the vault is sealed") }
    });
    let source = fixture.client.source(grant::jwt_bearer(failing)).build().unwrap();
    let error = source.token().await.unwrap_err();
    assert_eq!((error.code(), error.is_transient()), ("secret", true));
    assert_eq!(std::error::Error::source(&error).unwrap().to_string(), "the vault is sealed");
    assert_eq!((fixture.count(Endpoint::Token), TRIES.load(Ordering::SeqCst)), (0, 3));

    let missing = oauth_client::secret::from_file("/nowhere/assertion.jwt");
    let error = fixture.client.request(&grant::jwt_bearer(missing)).await.unwrap_err();
    assert!(error.to_string().contains("/nowhere/assertion.jwt"), "{error}");

    let hanging = Assertion::from_fn(|_| std::future::pending::<Result<Secret, Error>>());
    let error = fixture.client.request(&grant::jwt_bearer(hanging)).await.unwrap_err();
    assert_eq!(error.code(), "secret");
}

#[tokio::test(start_paused = true)]
async fn a_file_is_read_for_every_request() {
    let key = TestKey::generate(Alg::Es256);
    let fixture = fixture(&json!({"keys": [key.public_jwk()]}));
    let mint = fixture.server.mint().typ("JWT").signed_with(&key).issuer(IDP).without("jti");
    let mint = mint.audience(fixture.server.issuer());
    let path = std::env::temp_dir().join(format!("assertion-{}.jwt", std::process::id()));
    let write = |subject: &str| {
        std::fs::write(&path, format!("{}\n", mint.clone().subject(subject).build())).unwrap();
    };
    let source = fixture.client.source(grant::jwt_bearer(oauth_client::secret::from_file(&path)));
    let source = source.build().unwrap();
    write("first");
    let first = source.token().await.unwrap();
    write("second");
    assert!(source.reject(first.generation()));
    let second = source.token().await.unwrap();
    std::fs::remove_file(&path).unwrap();
    let token = second.secret().expose().split('.').nth(1).unwrap().to_owned();
    let claims = BASE64_URL_SAFE_NO_PAD.decode(token).unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&claims).unwrap()["sub"], "second");
}

#[tokio::test(start_paused = true)]
async fn an_assertion_that_was_given_is_lost_once_it_is_refused() {
    let key = TestKey::generate(Alg::Es256);
    let fixture = fixture(&json!({"keys": [key.public_jwk()]}));
    let assertion =
        fixture.server.mint().typ("JWT").signed_with(&key).issuer(IDP).subject("alice").expires_in(120);
    let assertion = assertion.without("jti").audience(fixture.server.issuer()).build();
    let source = fixture.client.source(grant::jwt_bearer(&*assertion)).build().unwrap();
    source.token().await.unwrap();
    advance(400).await;
    let error = source.token().await.unwrap_err();
    assert!(error.is_reauthorization_required());
    // The server's own word is what helps: it may be about the audience as well as about the age.
    assert_eq!((error.code(), error.status().unwrap().as_u16()), ("invalid_grant", 400));
    let said = error.description().unwrap();
    assert!(!said.is_empty() && error.with_causes().to_string().contains(said), "{error}");
    let before = fixture.count(Endpoint::Token);
    advance(400).await;
    assert!(source.token().await.unwrap_err().is_reauthorization_required());
    assert_eq!(fixture.count(Endpoint::Token), before);
    assert!(!format!("{:?}", grant::jwt_bearer(&*assertion)).contains(&assertion[..20]));
}

#[tokio::test(start_paused = true)]
async fn a_configuration_signs_its_own() {
    let key = SigningKey::generate(Algorithm::Es256).unwrap();
    let named = key.clone().with_key_id("2030-01");
    let fixture = fixture(&jwks(&named));
    let config: ClientConfig = serde_json::from_value(json!({
        "issuer": fixture.server.issuer(), "client_id": "svc", "client_secret": "s3cr3t", "grant": "jwt_bearer",
        "signed_assertion": {"private_key": key.to_pem().unwrap().expose(), "key_id": "2030-01", "signing_alg": "ES256",
            "issuer": IDP, "subject": "alice", "lifetime_seconds": 30, "claims": {"tenant": "acme"}}
    }))
    .unwrap();
    let source = config.http(http(&fixture.server)).clock(fixture.clock.clone()).build().unwrap();
    let token = source.token().await.unwrap();
    assert_eq!(claims(token.secret())["sub"], "alice");
    advance(400).await;
    assert_eq!(source.token().await.unwrap().generation(), 2, "it needs no person");
}

/// What the kubelet does with a projected token: the file is a link into a link to a directory, and that one is swapped.
#[cfg(unix)]
#[tokio::test(start_paused = true)]
async fn a_projected_token_counts_from_its_swap_on_without_a_restart() {
    use std::os::unix::fs::symlink;

    let key = TestKey::generate(Alg::Es256);
    let fixture = fixture_of(
        MockServer::builder()
            .client(MockClient::new("svc").key(&key).grants([GrantType::ClientCredentials]))
            .in_process(),
    );
    let root = std::env::temp_dir().join(format!("projected-{}", std::process::id()));
    let mint = fixture.server.mint().typ("JWT").signed_with(&key).issuer("svc").subject("svc");
    let mint = mint.audience(fixture.server.issuer());
    let version = |name: &str| {
        std::fs::create_dir_all(root.join(name)).unwrap();
        // The mock takes each of them once, so that the one before is of no use.
        let token = mint.clone().claim("jti", name).build();
        std::fs::write(root.join(name).join("token"), format!("{token}\n")).unwrap();
        symlink(name, root.join("..data_tmp")).unwrap();
        std::fs::rename(root.join("..data_tmp"), root.join("..data")).unwrap();
    };
    version("v1");
    symlink("..data/token", root.join("token")).unwrap();
    let auth = ClientAuth::assertion("svc", workload::projected_token(root.join("token")));
    let client = Client::builder().issuer(fixture.server.issuer()).auth(auth);
    let client = client.http(http(&fixture.server)).clock(fixture.clock.clone()).build().unwrap();
    let source = client.source(grant::client_credentials()).build().unwrap();
    for n in 2..=4 {
        source.token().await.unwrap();
        version(&format!("v{n}"));
        source.refresh_now().await.unwrap();
        version(&format!("w{n}"));
    }
    std::fs::remove_dir_all(&root).unwrap();
    assert_eq!(fixture.count(Endpoint::Token), 4, "each was accepted at once");
}
