//! Assertions as grants (RFC 7523 section 2.1).

mod support;

use oauth_mock::{
    Alg, Endpoint, GrantType, MockClient, MockServer, TestKey, TokenBuilder, TrustedIssuer, User,
};
use serde_json::json;
use support::*;

const IDP: &str = "https://idp.test";

fn server(idp: &TestKey, own: &TestKey) -> MockServer {
    MockServer::builder()
        .client(MockClient::default().grants([GrantType::JwtBearer]))
        .client(MockClient::new("robot").key(own).grants([GrantType::JwtBearer]))
        .client(MockClient::new("plain").secret("x"))
        .user(User::new("Alice", "wonderland").subject("u-1").claim("email", "alice@example.com"))
        .trusted_issuer(TrustedIssuer::new(IDP).key(idp))
        .in_process()
}

fn assertion(server: &MockServer, key: &TestKey) -> TokenBuilder {
    server.mint().typ("JWT").signed_with(key).issuer(IDP).subject("u-1").audience(server.issuer())
}

async fn ask(server: &MockServer, authorization: Option<&str>, assertion: &str) -> Reply {
    let grant = "urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer";
    let form = format!("grant_type={grant}&scope=read&assertion={assertion}");
    post(server, Endpoint::Token, authorization, &form).await
}

#[tokio::test]
async fn the_token_is_about_the_subject_of_the_assertion() {
    let key = TestKey::generate(Alg::Es256);
    let server = server(&key, &key);
    let metadata = get(&server, Endpoint::OauthMetadata).await.unwrap().json();
    assert!(
        metadata["grant_types_supported"].as_array().unwrap().contains(&json!(GrantType::JwtBearer.as_str()))
    );

    let body = ask(&server, Some(&svc()), &assertion(&server, &key).build()).await.json();
    assert_eq!((&body["scope"], body.get("refresh_token")), (&json!("read"), None));
    let claims = jwt_part(body["access_token"].as_str().unwrap(), 1);
    assert_eq!((&claims["sub"], &claims["client_id"]), (&json!("u-1"), &json!("svc")));
    assert_eq!(claims["email"], "alice@example.com");
    let bob = assertion(&server, &key).subject("bob").without("jti").build();
    let body = ask(&server, Some(&svc()), &bob).await.json();
    assert_eq!(jwt_part(body["access_token"].as_str().unwrap(), 1)["sub"], "bob");
    assert_eq!(
        server.journal().of(Endpoint::Token)[1].param("assertion"),
        Some(&*server.journal().fingerprint(&bob))
    );
}

#[tokio::test]
async fn a_service_account_needs_nothing_but_its_own_assertion() {
    let (idp, own) = (TestKey::generate(Alg::Es256), TestKey::generate(Alg::Rs256));
    let server = server(&idp, &own);
    let by_robot = || assertion(&server, &own).issuer("robot");
    let body = ask(&server, None, &by_robot().subject("robot").build()).await.json();
    let claims = jwt_part(body["access_token"].as_str().unwrap(), 1);
    assert_eq!((&claims["sub"], &claims["client_id"]), (&json!("robot"), &json!("robot")));
    let named = |id: &str| format!("{}&client_id={id}", by_robot().build());
    assert_eq!(ask(&server, None, &named("robot")).await.status, 200, "it may say its name");
    assert_eq!(ask(&server, None, &named("svc")).await.error(), "invalid_client", "and of no other client");

    for (wrong, error) in [
        (by_robot().signed_with(&idp), "invalid_grant"),
        (by_robot().issuer("svc"), "invalid_client"), // has no keys
        (assertion(&server, &idp), "invalid_client"), // trusted, but no client
    ] {
        assert_eq!(ask(&server, None, &wrong.build()).await.error(), error);
    }
    let for_another = by_robot().build();
    assert_eq!(ask(&server, Some(&svc()), &for_another).await.error(), "invalid_grant", "robot is not svc");
}

#[tokio::test]
async fn every_wrong_assertion_is_an_invalid_grant() {
    let (key, other) = (TestKey::generate(Alg::Es256), TestKey::generate(Alg::Es256));
    let server = server(&key, &other);
    let good = || assertion(&server, &key);
    let used = good().build();
    assert_eq!(ask(&server, Some(&svc()), &used).await.status, 200);
    let now = server.clock().now_unix();
    #[rustfmt::skip]
    let cases = [
        ("jti", used),
        ("three parts", "x".to_owned()),
        ("iss", good().without("iss").build()),
        ("iss", good().issuer("https://else.test").build()),
        ("signature", good().signed_with(&other).build()),
        ("signature", good().signed_with_secret(Alg::Hs256, "s3cr3t").build()),
        ("signature", good().unsigned().build()),
        ("typ", good().typ("at+jwt").build()),
        ("typ", good().typ("application/client-authentication+jwt").build()),
        ("sub", good().without("sub").build()),
        ("aud", good().audience("orders-api").build()),
        ("exp", good().without("exp").build()),
        ("exp", good().expires_in(0).build()),
        ("exp", good().expires_in(3601).build()),
        ("nbf", good().not_before(now + 61).build()),
    ];
    for (named, wrong) in cases {
        let reply = ask(&server, Some(&svc()), &wrong).await;
        assert_eq!(
            (reply.status.as_u16(), reply.error().as_str()),
            (400, "invalid_grant"),
            "{}",
            reply.text()
        );
        assert!(reply.text().contains(named), "{named}: {}", reply.text());
    }
    let good = || good().build();
    assert_eq!(ask(&server, Some(&basic("plain", "x")), &good()).await.error(), "unauthorized_client");
    assert_eq!(ask(&server, Some(&basic("svc", "no")), &good()).await.error(), "invalid_client");
    assert_eq!(ask(&server, Some(&svc()), "").await.error(), "invalid_request");
}
