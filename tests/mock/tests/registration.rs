//! Clients that register themselves (RFC 7591) and manage their registration (RFC 7592).
#![expect(clippy::unwrap_used, reason = "a helper that fails must fail its test")]

mod support;

use http::{Method, Request};
use http_body_util::Full;
use oauth_mock::{Alg, Endpoint, MockServer, Registration, TestKey, TrustedIssuer, User};
use serde_json::{Value, json};
use support::*;

/// Sends JSON with a bearer token, if one is given.
async fn send_json(
    server: &MockServer,
    method: Method,
    url: &str,
    token: Option<&str>,
    body: &Value,
) -> Reply {
    let mut request = Request::builder().method(method).uri(url).header("content-type", "application/json");
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    send(server, request.body(Full::from(body.to_string())).unwrap()).await.unwrap()
}

async fn register(server: &MockServer, metadata: Value) -> Reply {
    send_json(server, Method::POST, &server.endpoint(Endpoint::Register), None, &metadata).await
}

/// The parts of a client's information that its management needs.
fn managed(information: &Value) -> (String, String) {
    let text = |name: &str| information[name].as_str().unwrap().to_owned();
    (text("registration_client_uri"), text("registration_access_token"))
}

async fn token_of(server: &MockServer, information: &Value) -> Reply {
    let [id, secret] = ["client_id", "client_secret"].map(|name| information[name].as_str().unwrap());
    post(server, Endpoint::Token, Some(&basic(id, secret)), "grant_type=client_credentials").await
}

fn machine() -> Value {
    json!({"grant_types": ["client_credentials"], "scope": "orders:read", "client_name": "Orders"})
}

#[tokio::test]
async fn a_registered_client_gets_tokens() {
    let server = MockServer::builder().in_process();
    let metadata = get(&server, Endpoint::OauthMetadata).await.unwrap().json();
    assert_eq!(metadata["registration_endpoint"], json!(server.endpoint(Endpoint::Register)));
    let mut asked = machine();
    asked["client_name#fr"] = json!("Commandes");
    asked["favourite_colour"] = json!("blue");
    let reply = register(&server, asked).await;
    assert_eq!((reply.status.as_u16(), reply.header("cache-control")), (201, "no-store"));
    let registered = reply.json();
    assert_eq!(registered["client_id_issued_at"], json!(server.clock().now_unix()));
    assert_eq!(registered["client_secret_expires_at"], 0);
    for (name, value) in [
        ("token_endpoint_auth_method", json!("client_secret_basic")),
        ("grant_types", json!(["client_credentials"])),
        ("response_types", json!([])),
        ("scope", json!("orders:read")),
        ("client_name", json!("Orders")),
        ("client_name#fr", json!("Commandes")),
    ] {
        assert_eq!(registered[name], value, "{name}");
    }
    assert_eq!(registered.get("favourite_colour"), None, "what is unknown is not registered");
    assert_eq!(token_of(&server, &registered).await.json()["scope"], "orders:read");
    let secret = registered["client_secret"].as_str().unwrap();
    assert!(!format!("{:?}", server.journal()).contains(secret));
}

#[tokio::test]
async fn what_other_standards_register_counts_too() {
    let server = MockServer::builder().in_process();
    let asked = json!({
        "redirect_uris": ["https://app.test/cb"], "require_pushed_authorization_requests": true,
        "dpop_bound_access_tokens": true, "post_logout_redirect_uris": ["https://app.test/bye"],
        "grant_types": ["authorization_code", "client_credentials"],
    });
    let registered = register(&server, asked.clone()).await.json();
    for (name, value) in asked.as_object().unwrap() {
        assert_eq!(&registered[name], value, "{name}");
    }
    assert_eq!(token_of(&server, &registered).await.error(), "invalid_dpop_proof");
    let id = registered["client_id"].as_str().unwrap();
    let logout = format!(
        "{}?client_id={id}&post_logout_redirect_uri=https://app.test/bye",
        server.endpoint(Endpoint::EndSession)
    );
    let sent = send(&server, Request::get(logout).body(Full::default()).unwrap()).await.unwrap();
    assert_eq!((sent.status.as_u16(), sent.header("location")), (302, "https://app.test/bye"));
    let url = format!(
        "{}?response_type=code&client_id={id}&code_challenge_method=S256&code_challenge={}",
        server.endpoint(Endpoint::Authorize),
        "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
    );
    let unpushed = send(&server, Request::get(url).body(Full::default()).unwrap()).await.unwrap();
    assert!(unpushed.header("location").contains("error=invalid_request"), "{unpushed:?}");
}

#[tokio::test]
async fn defaults_are_those_of_the_rfc() {
    let server = MockServer::builder().user(User::new("alice", "wonderland")).in_process();
    let registered = register(&server, json!({"redirect_uris": ["https://app.test/cb"]})).await.json();
    for (name, value) in [
        ("token_endpoint_auth_method", json!("client_secret_basic")),
        ("grant_types", json!(["authorization_code"])),
        ("response_types", json!(["code"])),
        ("redirect_uris", json!(["https://app.test/cb"])),
    ] {
        assert_eq!(registered[name], value, "{name}");
    }
    let public = json!({"token_endpoint_auth_method": "none", "redirect_uris": ["http://127.0.0.1/cb"]});
    let registered = register(&server, public).await.json();
    assert_eq!((registered.get("client_secret"), registered.get("client_secret_expires_at")), (None, None));
    let url = format!(
        "{}?response_type=code&client_id={}&redirect_uri=http://127.0.0.1:5000/cb&code_challenge_method=S256\
         &code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
        server.endpoint(Endpoint::Authorize),
        registered["client_id"].as_str().unwrap()
    );
    assert!(server.log_in(&url, "alice").unwrap().contains("code="));
}

#[tokio::test]
async fn a_client_registers_its_key_and_authenticates_with_it() {
    let server = MockServer::builder().in_process();
    let key = TestKey::generate(Alg::Es256);
    let mut asked = machine();
    asked["token_endpoint_auth_method"] = json!("private_key_jwt");
    asked["token_endpoint_auth_signing_alg"] = json!("ES256");
    asked["jwks"] = json!({"keys": [key.public_jwk()]});
    let registered = register(&server, asked).await.json();
    assert_eq!((&registered["jwks"]["keys"][0], registered.get("client_secret")), (&key.public_jwk(), None));
    let id = registered["client_id"].as_str().unwrap();
    let assertion =
        server.mint().typ("JWT").signed_with(&key).issuer(id).subject(id).audience(server.issuer());
    let kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
    let form = format!(
        "grant_type=client_credentials&client_assertion_type={kind}&client_assertion={}",
        assertion.build()
    );
    assert_eq!(post(&server, Endpoint::Token, None, &form).await.status, 200);
}

#[tokio::test]
async fn metadata_that_cannot_be_is_refused_by_name() {
    let server = MockServer::builder().in_process();
    let key = TestKey::generate(Alg::Es256).public_jwk();
    let mut private = key.clone();
    private["d"] = json!("AA");
    let jwt = |jwks: Value| json!({"token_endpoint_auth_method": "private_key_jwt", "jwks": jwks});
    #[rustfmt::skip]
    let cases = [
        ("client_name", json!({"client_name": 7})),
        ("contacts", json!({"contacts": "me"})),
        ("scope", json!({"scope": ["read"]})),
        ("scope", json!({"scope": "a\"b"})),
        ("grant_types", json!({"grant_types": ["implicit"]})),
        ("grant_types", json!({"grant_types": "client_credentials"})),
        ("response_types", json!({"response_types": ["code"]})),
        ("response_types", json!({"response_types": ["token"]})),
        ("token_endpoint_auth_method", json!({"token_endpoint_auth_method": "magic"})),
        ("token_endpoint_auth_method", json!({"token_endpoint_auth_method": "tls_client_auth"})), // no such port
        ("token_endpoint_auth_signing_alg", json!({"token_endpoint_auth_signing_alg": "ES256"})),
        ("token_endpoint_auth_signing_alg", json!({
            "token_endpoint_auth_method": "client_secret_jwt", "token_endpoint_auth_signing_alg": "none",
        })),
        ("dpop_bound_access_tokens", json!({"dpop_bound_access_tokens": "yes"})),
        ("jwks", json!({"token_endpoint_auth_method": "private_key_jwt"})),
        ("jwks", jwt(json!([]))),
        ("jwks", jwt(json!({"keys": []}))),
        ("jwks", jwt(json!({"keys": [private]}))),
        ("jwks", jwt(json!({"keys": [{"kty": "oct", "k": "AA"}]}))),
        ("jwks_uri", json!({"jwks_uri": "https://app.test/jwks"})),
    ];
    for (name, more) in cases {
        let mut asked = machine();
        asked.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let reply = register(&server, asked).await;
        assert_eq!(
            (reply.status.as_u16(), reply.error().as_str()),
            (400, "invalid_client_metadata"),
            "{more}"
        );
        let description = reply.json()["error_description"].as_str().unwrap().to_owned();
        assert!(description.starts_with(&format!("{name}: ")), "{description}");
    }
    for uri in [
        "http://app.test/cb",
        "https://app.test/cb#x",
        "/cb",
        "javascript:alert(1)",
        "myapp:/cb",
        "http://127.0.0.1.evil.test/",
    ] {
        let reply = register(&server, json!({"redirect_uris": [uri]})).await;
        assert_eq!((reply.status.as_u16(), reply.error().as_str()), (400, "invalid_redirect_uri"), "{uri}");
    }
    assert_eq!(register(&server, json!({})).await.error(), "invalid_redirect_uri", "code needs an address");
    assert_eq!(register(&server, json!([])).await.error(), "invalid_client_metadata");
    let form = post(&server, Endpoint::Register, None, "client_name=x").await;
    assert_eq!(form.error(), "invalid_client_metadata");
    let fine = json!({"redirect_uris": ["com.example.app:/cb", "http://localhost:80/cb"]});
    assert_eq!(register(&server, fine).await.status, 201);
}

#[tokio::test]
async fn registration_may_need_a_token_or_be_closed() {
    let registration = Registration::new().initial_access_token("first").initial_access_token("second");
    assert!(!format!("{registration:?}").contains("first"));
    let server = MockServer::builder().registration(registration).in_process();
    let url = server.endpoint(Endpoint::Register);
    for (token, status, challenge) in [
        (None, 401, "Bearer"),
        (Some("third"), 401, r#"Bearer error="invalid_token""#),
        (Some("second"), 201, ""),
    ] {
        let reply = send_json(&server, Method::POST, &url, token, &machine()).await;
        assert_eq!((reply.status.as_u16(), reply.header("www-authenticate")), (status, challenge));
    }
    assert!(
        server.journal().of(Endpoint::Register)[2].header("authorization").unwrap().starts_with("[redacted")
    );
    let server = MockServer::builder().registration(Registration::closed()).in_process();
    let metadata = get(&server, Endpoint::OauthMetadata).await.unwrap().json();
    assert_eq!(metadata.get("registration_endpoint"), None);
    assert_eq!(register(&server, machine()).await.status, 404);
}

#[tokio::test]
async fn a_software_statement_counts_more_than_the_client() {
    let (key, other) = (TestKey::generate(Alg::Es256), TestKey::generate(Alg::Es256));
    let issuer = "https://vendor.test";
    let trusted = TrustedIssuer::new(issuer).key(&key);
    let server = MockServer::builder().trusted_issuer(trusted).in_process();
    let statement = || {
        let claims = server.mint().typ("JWT").signed_with(&key).issuer(issuer);
        claims.claim("client_name", "Signed").claim("software_id", "4NRB1").without("scope")
    };
    let ask = |statement: String| {
        let mut asked = machine();
        asked["software_statement"] = json!(statement);
        register(&server, asked)
    };
    let signed = statement().build();
    let registered = ask(signed.clone()).await.json();
    assert_eq!((&registered["client_name"], &registered["software_id"]), (&json!("Signed"), &json!("4NRB1")));
    assert_eq!((&registered["software_statement"], registered.get("iss")), (&json!(signed), None));
    for (wrong, error) in [
        (statement().signed_with(&other), "invalid_software_statement"),
        (statement().unsigned(), "invalid_software_statement"),
        (statement().expires_in(0), "invalid_software_statement"),
        (statement().without("iss"), "invalid_software_statement"),
        (statement().issuer("https://else.test"), "unapproved_software_statement"),
        (statement().claim("grant_types", json!(["implicit"])), "invalid_client_metadata"),
    ] {
        let reply = ask(wrong.build()).await;
        assert_eq!((reply.status.as_u16(), reply.error().as_str()), (400, error));
    }
}

#[tokio::test]
async fn a_client_reads_changes_and_deletes_its_registration() {
    let server = MockServer::builder().in_process();
    let first = register(&server, machine()).await.json();
    let (url, access) = managed(&first);
    let read = send_json(&server, Method::GET, &url, Some(&access), &Value::Null).await;
    assert_eq!((read.status.as_u16(), read.json()), (200, first.clone()));

    let id = first["client_id"].clone();
    let update = json!({"client_id": id, "grant_types": ["client_credentials"], "scope": "orders:write"});
    let changed = send_json(&server, Method::PUT, &url, Some(&access), &update).await;
    let changed = changed.json();
    assert_eq!((&changed["scope"], changed.get("client_name")), (&json!("orders:write"), None));
    assert_eq!(changed["client_secret"], first["client_secret"]);
    assert_eq!(
        changed["registration_access_token"], first["registration_access_token"],
        "unless configured to rotate"
    );
    let tokens = token_of(&server, &changed).await.json();
    assert_eq!(tokens["scope"], "orders:write");

    #[rustfmt::skip]
    let wrong = [
        ("client_id", json!({"grant_types": ["client_credentials"]})),
        ("client_id", json!({"client_id": "svc", "grant_types": ["client_credentials"]})),
        ("client_secret", json!({"client_id": id, "client_secret": "mine"})),
        ("registration_access_token", json!({"client_id": id, "registration_access_token": access})),
        ("registration_client_uri", json!({"client_id": id, "registration_client_uri": url})),
        ("client_id_issued_at", json!({"client_id": id, "client_id_issued_at": 1})),
        ("client_secret_expires_at", json!({"client_id": id, "client_secret_expires_at": 1})),
        ("grant_types", json!({"client_id": id, "grant_types": ["magic"]})),
    ];
    for (name, update) in wrong {
        let reply = send_json(&server, Method::PUT, &url, Some(&access), &update).await;
        assert_eq!(
            (reply.status.as_u16(), reply.error().as_str()),
            (400, "invalid_client_metadata"),
            "{name}"
        );
        assert!(reply.text().contains(&format!("\"{name}: ")), "{}", reply.text());
    }
    assert_eq!(send_json(&server, Method::POST, &url, Some(&access), &Value::Null).await.status, 405);

    let second = register(&server, machine()).await.json();
    let (_, others) = managed(&second);
    for token in [None, Some("guessed"), Some(&*others), first["client_secret"].as_str()] {
        let reply = send_json(&server, Method::GET, &url, token, &Value::Null).await;
        assert_eq!(reply.status.as_u16(), 401, "{token:?}");
    }
    let gone = send_json(&server, Method::DELETE, &url, Some(&access), &Value::Null).await;
    assert_eq!((gone.status.as_u16(), gone.text()), (204, ""));
    assert_eq!(send_json(&server, Method::GET, &url, Some(&access), &Value::Null).await.status, 401);
    assert_eq!(token_of(&server, &changed).await.error(), "invalid_client");
    let form = format!("token={}", tokens["access_token"].as_str().unwrap());
    let described = post(&server, Endpoint::Introspect, Some(&svc()), &form).await.json();
    assert_eq!(described, json!({"active": false}));
}

#[tokio::test]
async fn registration_access_tokens_rotate_when_told_to() {
    let server = MockServer::builder().registration(Registration::new().rotate_access_tokens()).in_process();
    let first = register(&server, machine()).await.json();
    let (url, access) = managed(&first);
    let update = json!({
        "client_id": first["client_id"], "client_secret": first["client_secret"],
        "grant_types": ["client_credentials"], "token_endpoint_auth_method": "client_secret_post",
    });
    let changed = send_json(&server, Method::PUT, &url, Some(&access), &update).await.json();
    let (_, rotated) = managed(&changed);
    assert_ne!(rotated, access);
    assert_eq!(send_json(&server, Method::GET, &url, Some(&access), &Value::Null).await.status, 401);
    assert_eq!(send_json(&server, Method::GET, &url, Some(&rotated), &Value::Null).await.status, 200);
    assert_eq!(token_of(&server, &changed).await.error(), "invalid_client", "no longer by Basic");
    server.reset();
    assert_eq!(send_json(&server, Method::GET, &url, Some(&rotated), &Value::Null).await.status, 401);
}
