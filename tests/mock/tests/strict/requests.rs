//! What the token endpoint and the tokens themselves insist on.

use std::time::Duration;

use http::Request;
use http_body_util::Full;
use oauth_mock::{Alg, Endpoint, GrantType, MockClient, MockServer, TestKey, User};
use serde_json::json;

use crate::support::flow::*;
use crate::support::*;

fn server() -> MockServer {
    let grants = [GrantType::AuthorizationCode, GrantType::RefreshToken, GrantType::Password];
    MockServer::builder()
        .client(MockClient::new("app").grants(grants).redirect_uri(CALLBACK).scopes(["openid", "read"]))
        .client(MockClient::default())
        .user(User::new("alice", "wonderland"))
        .audience("orders-api")
        .audience("stock-api")
        .in_process()
}

#[tokio::test]
async fn a_proof_for_another_server_is_worth_nothing_whatever_host_says() {
    let server = server();
    let key = TestKey::generate(Alg::Es256);
    for (host, htu) in [
        ("evil.test", "http://evil.test/token"),
        ("evil.test", "https://evil.test/token"),
        ("evil.test:8443", "https://evil.test:8443/token"),
        ("evil.test", &server.endpoint(Endpoint::Token).replace(".test/", ".test.evil.test/")),
    ] {
        let proof = server.dpop_proof(&key, "POST", htu).build();
        let request = Request::post("/token")
            .header("host", host)
            .header("content-type", "application/x-www-form-urlencoded")
            .header("authorization", svc())
            .header("dpop", proof)
            .body(Full::from("grant_type=client_credentials"));
        let reply = send(&server, request.unwrap()).await.unwrap();
        assert_eq!(reply.error(), "invalid_dpop_proof", "{host} {htu}");
    }
    let own = server.dpop_proof(&key, "POST", &server.endpoint(Endpoint::Token)).build();
    let request = Request::post("/token").header("host", "evil.test").header("authorization", svc());
    let request = request.header("content-type", "application/x-www-form-urlencoded").header("dpop", own);
    let reply =
        send(&server, request.body(Full::from("grant_type=client_credentials")).unwrap()).await.unwrap();
    assert_eq!(reply.status, 200, "{}", reply.text());
}

#[tokio::test]
async fn a_target_is_narrowed_at_the_token_endpoint_and_never_widened() {
    let server = server();
    let granted = [("resource", Some("orders-api")), ("audience", Some("stock-api"))];
    let audience = |reply: &Reply| jwt_part(reply.json()["access_token"].as_str().unwrap(), 1)["aud"].clone();
    let redeem = async |change: &[(&str, Option<&str>)], more: &str| {
        let code = parameter(&back(&server, &authorize_url(&server, change)), "code").unwrap();
        post(&server, Endpoint::Token, None, &(redemption(&code) + more)).await
    };
    assert_eq!(redeem(&[], "&resource=stock-api").await.error(), "invalid_target");
    assert_eq!(redeem(&granted, "&resource=https%3A%2F%2Felsewhere.test").await.error(), "invalid_target");
    assert_eq!(audience(&redeem(&granted, "").await), json!(["stock-api", "orders-api"]));
    let narrowed = redeem(&granted, "&resource=stock-api").await;
    assert_eq!(audience(&narrowed), "stock-api");

    let all = redeem(&granted, "").await.json();
    let refresh = async |token: &str, more: &str| {
        let form = format!("grant_type=refresh_token&client_id=app&refresh_token={token}{more}");
        post(&server, Endpoint::Token, None, &form).await
    };
    let token = all["refresh_token"].as_str().unwrap();
    for parameter in ["resource", "audience"] {
        let refused = refresh(token, &format!("&resource=orders-api&{parameter}=elsewhere")).await.json();
        assert_eq!(refused["error"], "invalid_target");
        assert_eq!(refused["error_description"], format!("{parameter}: not one that was granted"));
    }
    let one = refresh(token, "&resource=orders-api").await;
    assert_eq!(audience(&one), "orders-api");
    let again = refresh(one.json()["refresh_token"].as_str().unwrap(), "").await;
    assert_eq!(audience(&again), json!(["stock-api", "orders-api"]), "the grant stays what it is");
}

#[tokio::test]
async fn a_wrong_secret_is_challenged_wherever_it_was_sent() {
    let server = server();
    let form = "grant_type=client_credentials&client_id=svc&client_secret=guess";
    let reply = post(&server, Endpoint::Token, None, form).await;
    assert_eq!((reply.status.as_u16(), reply.error().as_str()), (401, "invalid_client"));
    assert_eq!(reply.header("www-authenticate"), r#"Basic realm="oauth-mock""#);
}

#[tokio::test]
async fn the_claims_of_a_user_replace_none_of_the_servers() {
    let user = [
        "iss",
        "sub",
        "aud",
        "exp",
        "nbf",
        "iat",
        "jti",
        "client_id",
        "scope",
        "cnf",
        "acr",
        "active",
        "token_type",
    ]
    .into_iter()
    .fold(User::new("alice", "wonderland"), |user, name| user.claim(name, json!({"jkt": "evil"})));
    let server = MockServer::builder()
        .client(MockClient::default().grants([GrantType::Password]))
        .user(user.claim("email", "alice@example.com"))
        .in_process();
    let form = "grant_type=password&username=alice&password=wonderland";
    let token = post(&server, Endpoint::Token, Some(&svc()), form).await.json();
    assert_eq!(token["token_type"], "Bearer");
    let token = token["access_token"].as_str().unwrap().to_owned();
    let claims = jwt_part(&token, 1);
    assert!(!claims.to_string().contains("evil"), "{claims}");
    assert_eq!((&claims["iss"], &claims["email"]), (&json!(server.issuer()), &json!("alice@example.com")));
    let seen = post(&server, Endpoint::Introspect, Some(&svc()), &format!("token={token}")).await.json();
    assert!(!seen.to_string().contains("evil") && seen["active"] == true, "{seen}");
    let request =
        Request::get(server.endpoint(Endpoint::Api)).header("authorization", format!("Bearer {token}"));
    assert_eq!(send(&server, request.body(Full::default()).unwrap()).await.unwrap().status, 200);
}

#[tokio::test]
async fn nothing_breaks_at_the_end_of_time() {
    let server = server();
    server.clock().set(u64::MAX);
    assert_eq!(token(&server).await.status, 200);
    assert_eq!(get(&server, Endpoint::Jwks).await.unwrap().status, 200);
    server
        .fault(Endpoint::Jwks, oauth_mock::Fault::status(503).retry_after_date(Duration::from_secs(9)))
        .times(1);
    assert!(get(&server, Endpoint::Jwks).await.unwrap().header("retry-after").contains("9999"));
}
