//! The API behind an access token (RFC 6750), and what it says of itself (RFC 9728).

#![expect(clippy::unwrap_used, reason = "a helper that fails must fail its test")]

mod support;

use std::time::Duration;

use http::{Method, Request};
use http_body_util::Full;
use oauth_mock::{Alg, Endpoint, MockClient, MockServer, TestKey};
use serde_json::{Value, json};
use support::*;

async fn call(server: &MockServer, method: Method, path: &str, token: Option<&str>) -> Reply {
    let mut request = Request::builder().method(method).uri(format!("{}{path}", server.url()));
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    send(server, request.body(Full::default()).unwrap()).await.unwrap()
}

async fn read(server: &MockServer, path: &str, token: Option<&str>) -> Reply {
    call(server, Method::GET, path, token).await
}

#[tokio::test]
async fn good_tokens_are_let_in_by_any_method() {
    let server = MockServer::builder().in_process();
    let issued = token(&server).await.json();
    let issued = issued["access_token"].as_str().unwrap();
    let minted = server.mint().subject("alice").scope("read").build();
    assert_eq!(server.endpoint(Endpoint::Api), format!("{}/api", server.url()));
    let me = read(&server, "/api", Some(issued)).await.json();
    assert_eq!(me["client_id"], "svc");
    let made = call(&server, Method::POST, "/api/orders?x=1", Some(&minted)).await;
    let expected = json!({
        "method": "POST", "path": "/api/orders", "sub": "alice", "client_id": "svc", "scope": "read",
        "aud": ["orders-api"],
    });
    assert_eq!((made.status.as_u16(), made.json()), (200, expected));
    let opaque = MockServer::builder().client(MockClient::default().opaque_tokens()).in_process();
    let issued = token(&opaque).await.json();
    assert_eq!(read(&opaque, "/api", issued["access_token"].as_str()).await.status, 200);
    assert_eq!(server.journal().count(Endpoint::Api), 2);
}

#[tokio::test]
async fn other_tokens_are_refused_with_a_challenge_that_leads_to_the_issuer() {
    let server = MockServer::builder().issuer("tenant-a").in_process();
    let metadata = format!("{}/.well-known/oauth-protected-resource/api/orders", server.url());
    let pointer = format!(r#"resource_metadata="{metadata}""#);
    let none = read(&server, "/api/orders", None).await;
    assert_eq!((none.status.as_u16(), none.header("www-authenticate")), (401, &*format!("Bearer {pointer}")));

    let issued = |lifetime| {
        let tokens = server.issue("svc", "alice", "read").unwrap();
        server.clock().advance(Duration::from_secs(lifetime));
        tokens.access_token
    };
    let expired = issued(300);
    let revoked = issued(0);
    server.revoke_token(&revoked);
    let mint = || server.mint().subject("alice");
    for (why, token) in [
        ("guessed", "guessed".to_owned()),
        ("expired", expired),
        ("revoked", revoked),
        ("minted, expired", mint().expires_in(0).build()),
        ("without exp", mint().without("exp").build()),
        ("not yet", mint().not_before(server.clock().now_unix() + 1).build()),
        ("another key", mint().signed_with(&TestKey::generate(Alg::Rs256)).build()),
        ("unsigned", mint().unsigned().build()),
        ("another typ", mint().typ("JWT").build()),
        ("another audience", mint().audience("elsewhere").build()),
        ("another issuer", server.issuer_named("tenant-a").mint().build()),
        ("a refresh token", server.issue("svc", "alice", "read").unwrap().refresh_token.unwrap()),
    ] {
        let reply = read(&server, "/api/orders", Some(&token)).await;
        let challenge = format!(r#"Bearer error="invalid_token", {pointer}"#);
        assert_eq!((reply.status.as_u16(), reply.header("www-authenticate")), (401, &*challenge), "{why}");
    }

    let document =
        send(&server, Request::get(&metadata).body(Full::default()).unwrap()).await.unwrap().json();
    assert_eq!(document["resource"], json!(format!("{}/api/orders", server.url())));
    assert_eq!(document["authorization_servers"], json!([server.issuer()]));
    let tenant = server.issuer_named("tenant-a");
    let metadata = Request::get(tenant.endpoint(Endpoint::ResourceMetadata)).body(Full::default()).unwrap();
    let document = send(&server, metadata).await.unwrap().json();
    assert_eq!(document["authorization_servers"], json!([tenant.issuer()]));
    assert_eq!(document["resource"], json!(tenant.endpoint(Endpoint::Api)));
}

#[tokio::test]
async fn too_little_scope_is_forbidden_with_the_scope_that_is_needed() {
    let server = MockServer::builder().api_scope("/", "read").api_scope("/admin/", "admin").in_process();
    let [reader, admin] = ["read", "admin"].map(|scope| server.mint().scope(scope).build());
    for (path, token, status) in [
        ("/api", &reader, 200),
        ("/api/administrators", &reader, 200),
        ("/api/admin", &reader, 403),
        ("/api/admin/users", &reader, 403),
        ("/api/admin/users", &admin, 200),
        ("/api", &admin, 403),
    ] {
        let reply = read(&server, path, Some(token)).await;
        assert_eq!(reply.status.as_u16(), status, "{path}");
        if status == 403 {
            let scope = if path == "/api" { "read" } else { "admin" };
            let expected =
                format!(r#"Bearer error="insufficient_scope", scope="{scope}", resource_metadata="#);
            assert!(
                reply.header("www-authenticate").starts_with(&expected),
                "{}",
                reply.header("www-authenticate")
            );
        }
    }
    let document: Value = get(&server, Endpoint::ResourceMetadata).await.unwrap().json();
    assert_eq!(document["scopes_supported"], json!(["admin", "read"]));
    assert_eq!(document["bearer_methods_supported"], json!(["header"]));
}

#[tokio::test]
async fn a_token_for_the_resource_itself_is_good_there_and_nowhere_above() {
    let server = MockServer::builder().in_process();
    let orders = format!("{}/api/orders", server.url());
    let form = format!("grant_type=client_credentials&resource={orders}");
    let body = post(&server, Endpoint::Token, Some(&svc()), &form).await.json();
    let token = body["access_token"].as_str();
    assert_eq!(jwt_part(token.unwrap(), 1)["aud"], json!(orders));
    for (path, status) in [("/api/orders", 200), ("/api/orders/7", 200), ("/api/orders2", 401), ("/api", 401)]
    {
        assert_eq!(read(&server, path, token).await.status.as_u16(), status, "{path}");
    }
    for elsewhere in
        ["https://elsewhere.test/api", &format!("{orders}%23x"), &format!("{}/token", server.url())]
    {
        let form = format!("grant_type=client_credentials&resource={elsewhere}");
        let refused = post(&server, Endpoint::Token, Some(&svc()), &form).await;
        assert_eq!(refused.error(), "invalid_target", "{elsewhere}");
    }
}

#[tokio::test]
async fn a_bound_token_needs_its_proof() {
    let server = MockServer::builder().in_process();
    let key = TestKey::generate(Alg::Es256);
    let proof = server.dpop_proof(&key, "POST", &server.endpoint(Endpoint::Token)).build();
    let mut request =
        form_request(&server.endpoint(Endpoint::Token), Some(&svc()), "grant_type=client_credentials");
    request.headers_mut().insert("dpop", proof.parse().unwrap());
    let body = send(&server, request).await.unwrap().json();
    assert_eq!(body["token_type"], "DPoP");
    let token = body["access_token"].as_str().unwrap();
    let as_bearer = read(&server, "/api", Some(token)).await;
    assert!(as_bearer.header("www-authenticate").starts_with(r#"DPoP error="invalid_token""#));
    let proof = server.dpop_proof(&key, "GET", &server.endpoint(Endpoint::Api)).access_token_hash(token);
    let request = Request::get(server.endpoint(Endpoint::Api))
        .header("authorization", format!("DPoP {token}"))
        .header("dpop", proof.build())
        .body(Full::default());
    assert_eq!(send(&server, request.unwrap()).await.unwrap().status, 200);
}
