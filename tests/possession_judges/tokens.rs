//! oidc-provider issues tokens that are bound to the key of the request, as JWTs and as opaque ones.

use oauth_mock::{Alg, MockServer, TestKey};
use serde_json::{Value, json};

use crate::api::Api;
use crate::provider::Provider;

const JWT: &str = "https://jwt.example.com";

/// A token for `service-dpop` that is bound to this key.
async fn token(server: &Provider, proofs: &MockServer, key: &TestKey, resource: Option<&str>) -> String {
    let url = format!("{}/token", server.issuer);
    let proof = proofs.dpop_proof(key, "POST", &url).build();
    let resource = resource.map(|one| format!("&resource={one}")).unwrap_or_default();
    let form = format!("grant_type=client_credentials&scope=read{resource}");
    let request = reqwest::Client::new().post(url).basic_auth("service-dpop", Some("s3cr3t"));
    let request = request.header("content-type", "application/x-www-form-urlencoded").header("dpop", proof);
    let text = request.body(form).send().await.unwrap().text().await.unwrap();
    let body: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(body["token_type"], "DPoP", "{text}");
    body["access_token"].as_str().unwrap().to_owned()
}

/// The status of a request with this token and a proof of this key.
async fn status(api: &Api, proofs: &MockServer, key: &TestKey, scheme: &str, token: &str) -> u16 {
    let url = api.url("/read");
    let proof = proofs.dpop_proof(key, "GET", &url).access_token_hash(token).build();
    let request = reqwest::Client::new().get(url).header("authorization", format!("{scheme} {token}"));
    request.header("dpop", proof).send().await.unwrap().status().as_u16()
}

#[tokio::test]
#[ignore = "needs Node.js and npm packages; see tests/README.md"]
async fn jwts_of_oidc_provider_need_the_key_they_are_bound_to() {
    let Some(server) = Provider::start(&json!({})).await else { return };
    // Its clock is the real one, as the other's is.
    let proofs = MockServer::start().await;
    let api = Api::start("judge-jwt", &server.issuer, "", "[dpop]").await;
    let [key, other] = [(); 2].map(|()| TestKey::generate(Alg::Es256));
    let token = token(&server, &proofs, &key, Some(JWT)).await;
    assert_eq!(token.split('.').count(), 3, "{token}");
    assert_eq!(status(&api, &proofs, &key, "DPoP", &token).await, 200);
    assert_eq!(status(&api, &proofs, &key, "DPoP", &token).await, 200, "another proof");
    assert_eq!(status(&api, &proofs, &other, "DPoP", &token).await, 401);
    assert_eq!(status(&api, &proofs, &key, "Bearer", &token).await, 401);
    // Unbound, which the other client of that server gets.
    let unbound = server.token(&[("scope", "read"), ("resource", JWT)]).await;
    assert_eq!(status(&api, &proofs, &key, "DPoP", &unbound).await, 401);
    assert_eq!(status(&api, &proofs, &key, "Bearer", &unbound).await, 200);
}

#[tokio::test]
#[ignore = "needs Node.js and npm packages; see tests/README.md"]
async fn opaque_tokens_of_oidc_provider_are_bound_by_what_introspection_says() {
    let Some(server) = Provider::start(&json!({})).await else { return };
    // Its clock is the real one, as the other's is.
    let proofs = MockServer::start().await;
    let tables = "[issuer.introspection]\nclient_id = \"orders-api\"\nclient_secret = \"ap1-s3cr3t\"\n[dpop]";
    let api = Api::start("judge-opaque", &server.issuer, "", tables).await;
    let [key, other] = [(); 2].map(|()| TestKey::generate(Alg::Es256));
    let token = token(&server, &proofs, &key, None).await;
    assert!(!token.contains('.'), "{token}");
    assert_eq!(status(&api, &proofs, &key, "DPoP", &token).await, 200);
    assert_eq!(status(&api, &proofs, &other, "DPoP", &token).await, 401);
    assert_eq!(status(&api, &proofs, &key, "Bearer", &token).await, 401);
    assert_eq!(status(&api, &proofs, &key, "DPoP", &token).await, 200, "from the cache");
}
