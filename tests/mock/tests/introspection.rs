//! Introspection (RFC 7662), revocation (RFC 7009), userinfo and the password grant.

mod support;

use std::time::Duration;

use http::{Request, StatusCode};
use http_body_util::Full;
use oauth_mock::{Alg, Endpoint, GrantType, MockClient, MockServer, Tamper, User};
use serde_json::{Value, json};
use support::*;

fn server() -> MockServer {
    MockServer::builder()
        .client(MockClient::default().opaque_tokens().token_lifetime(Duration::from_secs(60)))
        .client(MockClient::new("other").secret("x"))
        .client(MockClient::new("public"))
        .user(User::new("alice", "wonderland"))
        .in_process()
}

async fn introspect(server: &MockServer, token: &str) -> Value {
    let reply = post(server, Endpoint::Introspect, Some(&svc()), &format!("token={token}")).await;
    assert_eq!(reply.status, StatusCode::OK);
    reply.json()
}

#[tokio::test]
async fn an_active_token_is_explained_and_an_expired_one_is_not() {
    let server = server();
    let issued = server.issue("svc", "alice", "read").unwrap();
    assert!(!issued.access_token.contains('.'), "opaque");
    let now = server.clock().now_unix();
    let mut seen = introspect(&server, &issued.access_token).await;
    assert_eq!(seen.as_object_mut().unwrap().remove("jti").unwrap().as_str().unwrap().len(), 22);
    let expected = json!({
        "active": true, "scope": "read", "client_id": "svc", "username": "alice", "token_type": "Bearer",
        "sub": "alice", "aud": ["orders-api"], "iss": server.issuer(), "iat": now, "exp": now + 60,
    });
    assert_eq!(seen, expected);
    assert_eq!(introspect(&server, issued.refresh_token.as_deref().unwrap()).await["active"], true);
    server.clock().step(60);
    assert_eq!(introspect(&server, &issued.access_token).await, json!({"active": false}));
    assert_eq!(introspect(&server, "unknown").await, json!({"active": false}));
    assert_eq!(
        introspect(&server, &server.mint().build()).await,
        json!({"active": false}),
        "minted, not issued"
    );
}

#[tokio::test]
async fn only_confidential_clients_may_introspect() {
    let server = server();
    for (authorization, form, status, error) in [
        (None, "token=x", 401, "invalid_client"),
        (None, "token=x&client_id=public", 401, "invalid_client"),
        (Some(basic("svc", "no")), "token=x", 401, "invalid_client"),
        (Some(svc()), "", 400, "invalid_request"),
    ] {
        let reply = post(&server, Endpoint::Introspect, authorization.as_deref(), form).await;
        assert_eq!((reply.status.as_u16(), reply.error().as_str()), (status, error), "{form}");
    }
}

#[tokio::test]
async fn revocation_ends_a_token_or_a_whole_grant() {
    let server = server();
    let issued = server.issue("svc", "alice", "read").unwrap();
    let refresh = issued.refresh_token.unwrap();
    let revoke = |client: String, token: String| {
        let server = &server;
        async move { post(server, Endpoint::Revoke, Some(&client), &format!("token={token}")).await }
    };
    let stolen = revoke(basic("other", "x"), issued.access_token.clone()).await;
    assert_eq!((stolen.status.as_u16(), stolen.error().as_str()), (400, "unauthorized_client"));
    assert_eq!(revoke(svc(), "unknown".to_owned()).await.status, StatusCode::OK);

    assert_eq!(revoke(svc(), issued.access_token.clone()).await.status, StatusCode::OK);
    assert_eq!(introspect(&server, &issued.access_token).await["active"], false);
    assert_eq!(introspect(&server, &refresh).await["active"], true, "the grant goes on");

    let form = format!("grant_type=refresh_token&refresh_token={refresh}");
    let fresh = post(&server, Endpoint::Token, Some(&svc()), &form).await.json();
    let text = |name: &str| fresh[name].as_str().unwrap().to_owned();
    assert_eq!(revoke(svc(), text("refresh_token")).await.status, StatusCode::OK);
    assert_eq!(introspect(&server, &text("access_token")).await["active"], false, "with all its tokens");
}

#[tokio::test]
async fn the_test_itself_can_revoke() {
    let server = server();
    let issued = server.issue("svc", "alice", "read").unwrap();
    server.revoke_token(&issued.access_token);
    assert_eq!(introspect(&server, &issued.access_token).await["active"], false);
    assert!(server.issue("unknown", "alice", "read").is_none());
}

#[tokio::test]
async fn userinfo_wants_a_token_with_openid() {
    let server = server();
    let ask = |authorization: Option<String>| {
        let mut request = Request::get(server.endpoint(Endpoint::Userinfo));
        if let Some(value) = authorization {
            request = request.header("authorization", value);
        }
        send(&server, request.body(Full::default()).unwrap())
    };
    let bearer =
        |scope: &str| format!("Bearer {}", server.issue("svc", "alice", scope).unwrap().access_token);
    let none = ask(None).await.unwrap();
    assert_eq!((none.status.as_u16(), none.header("www-authenticate")), (401, "Bearer"));
    let bad = ask(Some("Bearer x".to_owned())).await.unwrap();
    assert_eq!(
        (bad.status.as_u16(), bad.header("www-authenticate")),
        (401, r#"Bearer error="invalid_token""#)
    );
    assert_eq!(ask(Some(bearer("read"))).await.unwrap().status, StatusCode::FORBIDDEN);
    assert_eq!(ask(Some(bearer("openid"))).await.unwrap().json(), json!({"sub": "alice"}));
}

#[tokio::test]
async fn the_password_grant_checks_the_password() {
    let client =
        MockClient::default().grants([GrantType::Password, GrantType::RefreshToken]).token_alg(Alg::Es384);
    let user = User::new("alice", "wonder land").subject("u-1").claim("role", "admin");
    let server = MockServer::builder().client(client).user(user).in_process();
    let ask = |password: &'static str| {
        let server = &server;
        async move {
            let form = format!("grant_type=password&username=alice&password={password}");
            post(server, Endpoint::Token, Some(&svc()), &form).await
        }
    };
    let good = ask("wonder%20land").await.json();
    let token = good["access_token"].as_str().unwrap();
    assert_eq!((&jwt_part(token, 0)["alg"], &jwt_part(token, 1)["sub"]), (&"ES384".into(), &"u-1".into()));
    assert_eq!(jwt_part(token, 1)["role"], "admin");
    assert!(good["refresh_token"].is_string());
    let bad = ask("x").await;
    assert_eq!((bad.status.as_u16(), bad.error().as_str()), (400, "invalid_grant"));
}

/// A response as it came.
#[expect(clippy::unwrap_used, reason = "a helper that fails must fail its test")]
async fn signed(server: &MockServer, token: &str) -> (String, String) {
    let request = Request::post(server.endpoint(Endpoint::Introspect))
        .header("authorization", svc())
        .header("accept", "application/token-introspection+jwt")
        .header("content-type", "application/x-www-form-urlencoded")
        .body(Full::from(format!("token={token}")))
        .unwrap();
    let reply = send(server, request).await.unwrap();
    assert_eq!(reply.status, StatusCode::OK);
    (reply.header("content-type").to_owned(), reply.text().to_owned())
}

#[tokio::test]
async fn a_response_is_signed_for_who_asks_for_that() {
    let server = server();
    let issued = server.issue("svc", "alice", "read").unwrap();
    let (content_type, jwt) = signed(&server, &issued.access_token).await;
    assert_eq!(content_type, "application/token-introspection+jwt");
    let (header, claims) = (jwt_part(&jwt, 0), jwt_part(&jwt, 1));
    assert_eq!(
        (&header["typ"], &header["kid"]),
        (&json!("token-introspection+jwt"), &json!(server.keys().current_kid()))
    );
    let plain = introspect(&server, &issued.access_token).await;
    let now = server.clock().now_unix();
    assert_eq!(
        claims,
        json!({"iss": server.issuer(), "aud": "svc", "iat": now, "token_introspection": plain})
    );
    let (_, jwt) = signed(&server, "unknown").await;
    assert_eq!(jwt_part(&jwt, 1)["token_introspection"], json!({"active": false}));
}

#[tokio::test]
async fn each_tamper_changes_one_point_of_an_active_response() {
    let server = server();
    let now = server.clock().now_unix();
    for (tamper, member, expected) in [
        (Tamper::IntrospectionActiveText, "active", json!("true")),
        (Tamper::IntrospectionActiveMissing, "active", Value::Null),
        (Tamper::IntrospectionExpired, "exp", json!(now - 3600)),
        (Tamper::IntrospectionFuture, "nbf", json!(now + 3600)),
        (Tamper::IntrospectionIssuer, "iss", json!("https://attacker.example")),
        (Tamper::IntrospectionAudience, "aud", json!("another-api")),
        (Tamper::IntrospectionScopeList, "scope", json!(["read"])),
        (Tamper::IntrospectionTokenType, "token_type", json!("mac")),
    ] {
        let issued = server.issue("svc", "alice", "read").unwrap();
        server.tamper(tamper).times(1);
        assert_eq!(introspect(&server, "unknown").await, json!({"active": false}), "not used up by that");
        let tampered = introspect(&server, &issued.access_token).await;
        assert_eq!(tampered[member], expected, "{tamper:?}");
        assert_eq!(introspect(&server, &issued.access_token).await["active"], true, "{tamper:?}, once");
    }
    let issued = server.issue("svc", "alice", "read").unwrap();
    server.tamper(Tamper::IntrospectionBound).times(1);
    assert!(introspect(&server, &issued.access_token).await["cnf"]["jkt"].is_string());
    server.tamper(Tamper::IntrospectionDuplicate).times(1);
    let reply =
        post(&server, Endpoint::Introspect, Some(&svc()), &format!("token={}", issued.access_token)).await;
    assert!(reply.text().starts_with("{\"active\":false,") && reply.text().contains("\"active\":true"));
}

#[tokio::test]
async fn each_tamper_of_a_signed_response_changes_one_point() {
    let server = server();
    let issued = server.issue("svc", "alice", "read").unwrap();
    for (tamper, part, member, expected) in [
        (Tamper::IntrospectionJwtType, 0, "typ", json!("JWT")),
        (Tamper::IntrospectionJwtIssuer, 1, "iss", json!("https://attacker.example")),
        (Tamper::IntrospectionJwtAudience, 1, "aud", json!("another-client")),
        (Tamper::IntrospectionJwtMember, 1, "active", json!(true)),
        (Tamper::IntrospectionJwtKey, 0, "kid", json!(server.keys().current_kid())),
        (Tamper::IntrospectionJwtSignature, 0, "kid", json!(server.keys().current_kid())),
    ] {
        server.tamper(tamper).times(1);
        let (_, jwt) = signed(&server, &issued.access_token).await;
        assert_eq!(jwt_part(&jwt, part)[member], expected, "{tamper:?}");
    }
    server.tamper(Tamper::IntrospectionUnsigned).times(1);
    let (content_type, body) = signed(&server, &issued.access_token).await;
    assert_eq!((&*content_type, body.starts_with("{")), ("application/json", true));
}
