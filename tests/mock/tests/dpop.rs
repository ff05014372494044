//! Proof of possession (RFC 9449): at the token endpoint, at an API, with and without nonces.

#![expect(clippy::unwrap_used, reason = "a helper that fails must fail its test")]

mod support;

use http::{Request, StatusCode};
use http_body_util::Full;
use oauth_mock::{Alg, DpopNonce, Endpoint, GrantType, MockClient, MockServer, TestKey, TokenBuilder, User};
use serde_json::{Value, json};
use support::*;

fn server() -> MockServer {
    builder().in_process()
}

fn builder() -> oauth_mock::MockServerBuilder {
    let mobile = MockClient::new("mobile").grants([GrantType::Password, GrantType::RefreshToken]);
    MockServer::builder()
        .client(MockClient::default().with_refresh_token())
        .client(MockClient::new("strict").secret("s").dpop_bound_tokens())
        .client(mobile.scopes(["openid", "read"]))
        .user(User::new("alice", "wonderland"))
}

/// A good proof for the token endpoint.
fn proof(server: &MockServer, key: &TestKey) -> TokenBuilder {
    server.dpop_proof(key, "POST", &server.endpoint(Endpoint::Token))
}

async fn token_with(server: &MockServer, client: Option<&str>, form: &str, proofs: &[String]) -> Reply {
    let mut request = form_request(&server.endpoint(Endpoint::Token), client, form);
    for proof in proofs {
        request.headers_mut().append("dpop", proof.parse().unwrap());
    }
    send(server, request).await.unwrap()
}

async fn service_token(server: &MockServer, proof: TokenBuilder) -> Reply {
    token_with(server, Some(&svc()), "grant_type=client_credentials", &[proof.build()]).await
}

const PASSWORD: &str =
    "grant_type=password&client_id=mobile&username=alice&password=wonderland&scope=openid+read";

async fn userinfo(server: &MockServer, authorization: &str, proof: Option<TokenBuilder>) -> Reply {
    let mut request =
        Request::get(server.endpoint(Endpoint::Userinfo)).header("authorization", authorization);
    if let Some(proof) = proof {
        request = request.header("dpop", proof.build());
    }
    send(server, request.body(Full::default()).unwrap()).await.unwrap()
}

fn api_proof(server: &MockServer, key: &TestKey, token: &str) -> TokenBuilder {
    server.dpop_proof(key, "GET", &server.endpoint(Endpoint::Userinfo)).access_token_hash(token)
}

fn text(reply: &Reply, name: &str) -> String {
    reply.json()[name].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_proof_by_any_kind_of_key_binds_the_token_to_it() {
    let server = server();
    for alg in [Alg::Es256, Alg::Es384, Alg::Ps256, Alg::Rs256, Alg::Ed25519] {
        let key = TestKey::generate(alg);
        let response = service_token(&server, proof(&server, &key)).await;
        assert_eq!(response.status, StatusCode::OK, "{alg}: {}", response.text());
        assert_eq!(text(&response, "token_type"), "DPoP");
        let token = text(&response, "access_token");
        assert_eq!(jwt_part(&token, 1)["cnf"], json!({"jkt": key.thumbprint()}));
        let seen = post(&server, Endpoint::Introspect, Some(&svc()), &format!("token={token}")).await;
        assert_eq!(seen.json()["cnf"]["jkt"], json!(key.thumbprint()));
        assert_eq!(text(&seen, "token_type"), "DPoP");
    }
    let plain = token(&server).await;
    assert_eq!(text(&plain, "token_type"), "Bearer");
    assert_eq!(jwt_part(&text(&plain, "access_token"), 1).get("cnf"), None);
    let metadata = get(&server, Endpoint::OauthMetadata).await.unwrap().json();
    let algs = metadata["dpop_signing_alg_values_supported"].as_array().unwrap();
    assert!(
        algs.contains(&json!("ES256")) && !algs.contains(&json!("HS256")) && !algs.contains(&json!("none"))
    );
}

#[tokio::test]
async fn a_proof_that_is_not_right_in_every_part_is_refused() {
    let server = server();
    let key = TestKey::generate(Alg::Es256);
    let good = || proof(&server, &key);
    let now = server.clock().now_unix();
    let url = server.endpoint(Endpoint::Token);
    let with_private: Value = {
        let mut jwk = key.public_jwk();
        jwk["d"] = json!("AAAA");
        jwk
    };
    let bad: Vec<(&str, TokenBuilder)> = vec![
        ("no typ", good().without_header("typ")),
        ("typ of another token", good().typ("JWT")),
        ("no jwk", good().without_header("jwk")),
        ("a private jwk", good().header("jwk", with_private)),
        ("a symmetric jwk", good().header("jwk", json!({"kty": "oct", "k": "AAAA"}))),
        ("a short jwk", good().header("jwk", json!({"kty": "OKP", "crv": "Ed25519", "x": "AAAA"}))),
        ("another's jwk", good().header("jwk", TestKey::generate(Alg::Es256).public_jwk())),
        ("alg none", good().unsigned()),
        ("alg HS256", good().signed_with_secret(Alg::Hs256, "k")),
        ("crit", good().header("crit", json!(["b64"]))),
        ("a bad signature", good().signature([7; 64])),
        ("no jti", good().without("jti")),
        ("no htm", good().without("htm")),
        ("no htu", good().without("htu")),
        ("no iat", good().without("iat")),
        ("another method", good().claim("htm", "GET")),
        ("the method in lower case", good().claim("htm", "post")),
        ("another address", good().claim("htu", server.endpoint(Endpoint::Userinfo))),
        ("an address with a query", good().claim("htu", format!("{url}?a=1"))),
        ("an address with a fragment", good().claim("htu", format!("{url}#a"))),
        ("too old", good().issued_at(now - 61)),
        ("too new", good().issued_at(now + 61)),
        ("not even JSON", good().raw_payload("hello")),
    ];
    for (what, proof) in bad {
        let response = service_token(&server, proof).await;
        assert_eq!(
            (response.status, response.error().as_str()),
            (StatusCode::BAD_REQUEST, "invalid_dpop_proof"),
            "{what}"
        );
    }
    for (what, proof) in [
        ("the same address written differently", good().claim("htu", url.replace("https", "HTTPS"))),
        ("a minute old", good().issued_at(now - 60)),
        ("a clock ahead", good().issued_at(now + 60)),
    ] {
        assert_eq!(service_token(&server, proof).await.status, StatusCode::OK, "{what}");
    }
    let two = [good().build(), good().build()];
    let response = token_with(&server, Some(&svc()), "grant_type=client_credentials", &two).await;
    assert_eq!(response.error(), "invalid_dpop_proof");
}

#[tokio::test]
async fn a_proof_is_good_once() {
    let server = server();
    let key = TestKey::generate(Alg::Es256);
    let used = proof(&server, &key);
    assert_eq!(service_token(&server, used.clone()).await.status, StatusCode::OK);
    assert_eq!(service_token(&server, used.clone()).await.error(), "invalid_dpop_proof");
    server.clock().step(60);
    assert_eq!(service_token(&server, used).await.error(), "invalid_dpop_proof");
}

#[tokio::test]
async fn only_the_algorithms_of_the_server_are_taken() {
    let server = builder().dpop_algorithms([Alg::Es256]).in_process();
    let response = service_token(&server, proof(&server, &TestKey::generate(Alg::Ed25519))).await;
    assert_eq!(response.error(), "invalid_dpop_proof");
    let response = service_token(&server, proof(&server, &TestKey::generate(Alg::Es256))).await;
    assert_eq!(response.status, StatusCode::OK);
    let metadata = get(&server, Endpoint::OauthMetadata).await.unwrap().json();
    assert_eq!(metadata["dpop_signing_alg_values_supported"], json!(["ES256"]));
}

#[tokio::test]
async fn a_server_asks_for_its_nonce_and_may_change_it() {
    let server = builder().dpop_nonce(DpopNonce::Required).in_process();
    let key = TestKey::generate(Alg::Es256);
    let asked = service_token(&server, proof(&server, &key)).await;
    assert_eq!((asked.status, asked.error().as_str()), (StatusCode::BAD_REQUEST, "use_dpop_nonce"));
    let nonce = asked.header("dpop-nonce").to_owned();
    for _ in 0..2 {
        let response = service_token(&server, proof(&server, &key).nonce(&nonce)).await;
        assert_eq!((response.status, response.header("dpop-nonce")), (StatusCode::OK, nonce.as_str()));
    }
    server.dpop().change_nonces();
    let asked = service_token(&server, proof(&server, &key).nonce(&nonce)).await;
    assert_eq!(asked.error(), "use_dpop_nonce");
    assert_ne!(asked.header("dpop-nonce"), nonce);
    // Who sends no proof is asked for none.
    assert_eq!(token(&server).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_nonce_for_single_use_comes_with_every_response() {
    let server = builder().dpop_nonce(DpopNonce::SingleUse).in_process();
    let key = TestKey::generate(Alg::Es256);
    let first = service_token(&server, proof(&server, &key)).await.header("dpop-nonce").to_owned();
    let response = service_token(&server, proof(&server, &key).nonce(&first)).await;
    assert_eq!(response.status, StatusCode::OK);
    let second = response.header("dpop-nonce").to_owned();
    assert_eq!(service_token(&server, proof(&server, &key).nonce(&first)).await.error(), "use_dpop_nonce");
    assert_eq!(service_token(&server, proof(&server, &key).nonce(&second)).await.status, StatusCode::OK);
    server.dpop().set_nonce(DpopNonce::Unused);
    let response = service_token(&server, proof(&server, &key)).await;
    assert_eq!((response.status, response.header("dpop-nonce")), (StatusCode::OK, ""));
}

#[tokio::test]
async fn a_client_can_be_bound_to_dpop() {
    let server = server();
    let strict = basic("strict", "s");
    let bare = post(&server, Endpoint::Token, Some(&strict), "grant_type=client_credentials").await;
    assert_eq!(bare.error(), "invalid_dpop_proof");
    let proofs = [proof(&server, &TestKey::generate(Alg::Es256)).build()];
    let bound = token_with(&server, Some(&strict), "grant_type=client_credentials", &proofs).await;
    assert_eq!(text(&bound, "token_type"), "DPoP");
}

#[tokio::test]
async fn the_refresh_token_of_a_public_client_stays_with_its_key() {
    let server = server();
    let (key, thief) = (TestKey::generate(Alg::Es256), TestKey::generate(Alg::Es256));
    let first = token_with(&server, None, PASSWORD, &[proof(&server, &key).build()]).await;
    let form =
        format!("grant_type=refresh_token&client_id=mobile&refresh_token={}", text(&first, "refresh_token"));
    let stolen = token_with(&server, None, &form, &[proof(&server, &thief).build()]).await;
    assert_eq!(stolen.error(), "invalid_grant");
    assert_eq!(token_with(&server, None, &form, &[]).await.error(), "invalid_grant");
    let refreshed = token_with(&server, None, &form, &[proof(&server, &key).build()]).await;
    assert_eq!(text(&refreshed, "token_type"), "DPoP");
    assert_eq!(jwt_part(&text(&refreshed, "access_token"), 1)["cnf"]["jkt"], json!(key.thumbprint()));
}

#[tokio::test]
async fn a_confidential_client_may_change_its_key() {
    let server = server();
    let (old, new) = (TestKey::generate(Alg::Es256), TestKey::generate(Alg::Ed25519));
    let first = service_token(&server, proof(&server, &old)).await;
    let form = format!("grant_type=refresh_token&refresh_token={}", text(&first, "refresh_token"));
    let next = token_with(&server, Some(&svc()), &form, &[proof(&server, &new).build()]).await;
    assert_eq!(jwt_part(&text(&next, "access_token"), 1)["cnf"]["jkt"], json!(new.thumbprint()));
}

#[tokio::test]
async fn an_api_takes_a_bound_token_only_with_a_proof_for_it() {
    let server = server();
    let (key, thief) = (TestKey::generate(Alg::Es256), TestKey::generate(Alg::Es256));
    let bound = token_with(&server, None, PASSWORD, &[proof(&server, &key).build()]).await;
    let bound = text(&bound, "access_token");
    let plain = text(&post(&server, Endpoint::Token, None, PASSWORD).await, "access_token");
    let good = || api_proof(&server, &key, &bound);

    let response = userinfo(&server, &format!("DPoP {bound}"), Some(good())).await;
    assert_eq!((response.status, response.json()), (StatusCode::OK, json!({"sub": "alice"})));
    assert_eq!(userinfo(&server, &format!("Bearer {plain}"), None).await.status, StatusCode::OK);

    let used = good();
    assert_eq!(userinfo(&server, &format!("dpop {bound}"), Some(used.clone())).await.status, StatusCode::OK);
    let by_thief = api_proof(&server, &thief, &bound);
    for (what, authorization, proof, error) in [
        ("as a bearer token", format!("Bearer {bound}"), None, "invalid_token"),
        ("as a bearer token, with a proof", format!("Bearer {bound}"), Some(good()), "invalid_token"),
        ("without a proof", format!("DPoP {bound}"), None, "invalid_dpop_proof"),
        ("with a proof seen before", format!("DPoP {bound}"), Some(used), "invalid_dpop_proof"),
        ("without ath", format!("DPoP {bound}"), Some(good().without("ath")), "invalid_dpop_proof"),
        (
            "with another token's ath",
            format!("DPoP {bound}"),
            Some(good().access_token_hash("x")),
            "invalid_dpop_proof",
        ),
        ("with another key's proof", format!("DPoP {bound}"), Some(by_thief), "invalid_token"),
        (
            "a token that is not bound",
            format!("DPoP {plain}"),
            Some(api_proof(&server, &key, &plain)),
            "invalid_token",
        ),
        ("an unknown token", "DPoP abc".to_owned(), Some(api_proof(&server, &key, "abc")), "invalid_token"),
    ] {
        let response = userinfo(&server, &authorization, proof).await;
        assert_eq!(response.status, StatusCode::UNAUTHORIZED, "{what}");
        let challenge = response.header("www-authenticate");
        assert!(challenge.starts_with(&format!(r#"DPoP error="{error}", algs=""#)), "{what}: {challenge}");
    }
}

#[tokio::test]
async fn an_api_has_nonces_of_its_own() {
    let server = builder().dpop_nonce(DpopNonce::Required).dpop_api_nonce(DpopNonce::SingleUse).in_process();
    let key = TestKey::generate(Alg::Es256);
    let asked = token_with(&server, None, PASSWORD, &[proof(&server, &key).build()]).await;
    let nonce = asked.header("dpop-nonce").to_owned();
    let proofs = [proof(&server, &key).nonce(&nonce).build()];
    let token = text(&token_with(&server, None, PASSWORD, &proofs).await, "access_token");
    let authorization = format!("DPoP {token}");

    let api = |nonce: &str| Some(api_proof(&server, &key, &token).nonce(nonce));
    let asked = userinfo(&server, &authorization, api(&nonce)).await;
    assert_eq!(asked.status, StatusCode::UNAUTHORIZED);
    assert!(asked.header("www-authenticate").starts_with(r#"DPoP error="use_dpop_nonce", algs=""#));
    let response = userinfo(&server, &authorization, api(asked.header("dpop-nonce"))).await;
    assert_eq!(response.status, StatusCode::OK);
    let next = response.header("dpop-nonce");
    assert_eq!(userinfo(&server, &authorization, api(next)).await.status, StatusCode::OK);
    assert_eq!(userinfo(&server, &authorization, api(next)).await.status, StatusCode::UNAUTHORIZED);
}
