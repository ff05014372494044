//! Its opaque tokens, introspected by the guard over the wire, and its JWTs.

use std::time::Duration;

use oauth_client::sign::{Algorithm, SigningKey};
use oauth_guard::clock::{Clock, SystemClock, TestClock};
use oauth_guard::{Claims, ClientAuth, Guard, GuardBuilder, Introspection, Issuer};
use serde_json::{Value, json};

use crate::provider::Provider;

const READ: (&str, &str) = ("scope", "read");

fn basic() -> ClientAuth {
    ClientAuth::basic("orders-api", "ap1-s3cr3t")
}

/// Without caches: each request is a question.
fn every_time(auth: ClientAuth) -> Introspection {
    Introspection::new(auth).cache(Duration::ZERO).negative_cache(Duration::ZERO)
}

fn builder(server: &Provider, introspection: Introspection) -> GuardBuilder {
    let issuer = Issuer::new(&server.issuer).audience("orders-api").introspection(introspection);
    Guard::builder().issuer(issuer)
}

fn guard(server: &Provider, introspection: Introspection) -> Guard {
    builder(server, introspection).build().unwrap()
}

/// The claims, or why there are none.
async fn check(guard: &Guard, token: &str) -> Result<Claims, &'static str> {
    let request =
        http::Request::get("/").header("authorization", format!("Bearer {token}")).body(()).unwrap();
    let outcome = guard.check(&request).resolve().await;
    outcome.map(|claims| claims.expect("the request has a token")).map_err(|rejection| rejection.reason())
}

fn asked(guard: &Guard) -> Value {
    serde_json::to_value(guard.health()).unwrap()["issuers"][0]["introspection"].clone()
}

#[tokio::test]
#[ignore = "needs npm packages; see tests/README.md"]
async fn an_opaque_token_is_valid_until_it_is_revoked() {
    let Some(server) = Provider::start(&json!({})).await else { return };
    let guard = guard(&server, every_time(basic()));
    let token = server.token(&[READ]).await;
    assert!(!token.contains('.'), "{token}");
    let claims = check(&guard, &token).await.unwrap();
    assert_eq!((claims.client_id(), claims.issuer()), (Some("service"), &*server.issuer));
    assert_eq!(claims.scopes().collect::<Vec<_>>(), ["read"]);

    let (status, _) = server.post("/token/revocation", ["service", "s3cr3t"], &[("token", &token)]).await;
    assert_eq!(status, 200);
    assert_eq!(check(&guard, &token).await.err(), Some("token_inactive"));
    assert_eq!(check(&guard, "never-issued").await.err(), Some("token_inactive"));
}

#[tokio::test]
#[ignore = "needs npm packages; see tests/README.md"]
async fn a_revoked_token_is_accepted_until_the_cache_ends() {
    let Some(server) = Provider::start(&json!({})).await else { return };
    let clock = TestClock::at(now());
    let introspection = Introspection::new(basic()).cache(Duration::from_secs(30));
    let guard = builder(&server, introspection).clock(clock.clone()).build().unwrap();
    let token = server.token(&[READ]).await;
    assert!(check(&guard, &token).await.is_ok());
    server.post("/token/revocation", ["service", "s3cr3t"], &[("token", &token)]).await;
    assert!(check(&guard, &token).await.is_ok());
    clock.step_wall(31);
    assert_eq!(check(&guard, &token).await.err(), Some("token_inactive"));
}

#[tokio::test]
#[ignore = "needs npm packages; see tests/README.md"]
async fn tokens_for_others_and_expired_ones_are_rejected() {
    let Some(server) = Provider::start(&json!({})).await else { return };
    let to_stock = server.token(&[READ, ("resource", "https://stock.example.com")]).await;
    let here = guard(&server, every_time(basic()));
    assert_eq!(check(&here, &to_stock).await.err(), Some("audience_mismatch"));

    let token = server.token(&[READ]).await;
    // The server still calls it active; the guard's own clock decides.
    let later = builder(&server, every_time(basic())).clock(TestClock::at(now() + 700)).build().unwrap();
    assert_eq!(check(&later, &token).await.err(), Some("expired"));
    assert!(check(&here, &token).await.is_ok());
    server.control("clock", &json!({"ahead": 700})).await;
    assert_eq!(check(&here, &token).await.err(), Some("token_inactive"));
}

#[tokio::test]
#[ignore = "needs npm packages; see tests/README.md"]
async fn the_guard_asks_as_a_client_with_a_key() {
    let key = SigningKey::generate(Algorithm::Es256).unwrap();
    let asks = json!({
        "client_id": "orders-api-key", "token_endpoint_auth_method": "private_key_jwt",
        "jwks": {"keys": [key.public_jwk()]}, "grant_types": [], "redirect_uris": [], "response_types": [],
    });
    let Some(server) = Provider::start(&json!({"clients": [asks]})).await else { return };
    let token = server.token(&[READ]).await;
    let good = guard(&server, every_time(ClientAuth::private_key_jwt("orders-api-key", key)));
    assert!(check(&good, &token).await.is_ok());

    let other = SigningKey::generate(Algorithm::Es256).unwrap();
    let bad = guard(&server, every_time(ClientAuth::private_key_jwt("orders-api-key", other)));
    assert_eq!(check(&bad, &token).await.err(), Some("introspection_unavailable"));
    assert_eq!(asked(&bad)["last_error"], "credentials");
}

#[tokio::test]
#[ignore = "needs npm packages; see tests/README.md"]
async fn its_signed_responses_are_verified_and_plain_ones_are_no_response() {
    let Some(server) = Provider::start(&json!({})).await else { return };
    let token = server.token(&[READ]).await;
    let signed = |id: &str| every_time(ClientAuth::basic(id, "ap1-s3cr3t")).jwt_response();
    // The first is signed with ES256, as its client is registered, the other with RS256, the server's default.
    for client in ["orders-api-signed", "orders-api"] {
        let good = guard(&server, signed(client));
        let claims = check(&good, &token).await.unwrap();
        assert_eq!(claims.client_id(), Some("service"), "{client}");
        assert_eq!(check(&good, "never-issued").await.err(), Some("token_inactive"), "{client}");
    }
    let Some(server) = Provider::start(&json!({"signed_introspection": false})).await else { return };
    let token = server.token(&[READ]).await;
    let plain = guard(&server, signed("orders-api"));
    assert_eq!(check(&plain, &token).await.err(), Some("introspection_unavailable"));
    assert_eq!(asked(&plain)["last_error"], "malformed_response");
}

#[tokio::test]
#[ignore = "needs npm packages; see tests/README.md"]
async fn jwts_of_the_same_server_are_validated_by_its_keys() {
    let Some(server) = Provider::start(&json!({})).await else { return };
    let guard = guard(&server, every_time(basic()));
    let token = server.token(&[READ, ("resource", "https://jwt.example.com")]).await;
    assert_eq!(token.split('.').count(), 3);
    let claims = check(&guard, &token).await.unwrap();
    assert_eq!(claims.scopes().collect::<Vec<_>>(), ["read"]);
    assert_eq!(asked(&guard)["questions"], 0);
    // Any bit of it.
    let cut = token.rfind('.').unwrap() + 9;
    let other = if token.as_bytes()[cut] == b'A' { "B" } else { "A" };
    let tampered = format!("{}{other}{}", &token[..cut], &token[cut + 1..]);
    assert_eq!(check(&guard, &tampered).await.err(), Some("signature_invalid"));
}

#[tokio::test]
#[ignore = "needs npm packages; see tests/README.md"]
async fn a_token_that_a_user_approved_elsewhere_names_the_user() {
    let Some(server) = Provider::start(&json!({})).await else { return };
    let form = [("scope", "openid read"), ("login_hint", "bob")];
    let (status, started) = server.post("/backchannel", ["device", "s3cr3t"], &form).await;
    assert_eq!(status, 200, "{started}");
    let id = started["auth_req_id"].as_str().unwrap();
    server.control("ciba", &json!({"auth_req_id": id, "approve": true})).await;
    let form = [("grant_type", "urn:openid:params:grant-type:ciba"), ("auth_req_id", id)];
    let (status, body) = server.post("/token", ["device", "s3cr3t"], &form).await;
    assert_eq!(status, 200, "{body}");
    let guard = guard(&server, every_time(basic()));
    let claims = check(&guard, body["access_token"].as_str().unwrap()).await.unwrap();
    assert_eq!((claims.subject(), claims.client_id()), (Some("bob"), Some("device")));
}

fn now() -> u64 {
    SystemClock.now().wall.as_secs()
}
