//! Clients that are named by the URL of their metadata (OAuth Client ID Metadata Document).

#![expect(clippy::unwrap_used, reason = "a helper that fails must fail its test")]

mod support;

use http::StatusCode;
use oauth_mock::{Alg, Config, Endpoint, MockServer, TestKey, User};
use serde_json::{Value, json};
use support::flow::*;
use support::*;

const URL: &str = "https://editor.example/client.json";

fn document() -> Value {
    json!({ "client_id": URL, "redirect_uris": [CALLBACK], "scope": "read" })
}

fn server(document: Value) -> MockServer {
    MockServer::builder().client_document(URL, document).user(User::new("alice", "wonderland")).in_process()
}

const AS_DOCUMENTED: [(&str, Option<&str>); 2] = [("client_id", Some(URL)), ("scope", Some("read"))];

fn redemption_by(server: &MockServer, more: &str) -> String {
    let code = parameter(&back(server, &authorize_url(server, &AS_DOCUMENTED)), "code").unwrap();
    redemption(&code).replace("client_id=app", &format!("client_id={}{more}", encoded(URL)))
}

#[tokio::test]
async fn the_document_says_who_the_client_is() {
    let server = server(document());
    let metadata = get(&server, Endpoint::OauthMetadata).await.unwrap().json();
    assert_eq!(metadata["client_id_metadata_document_supported"], true);

    let granted = post(&server, Endpoint::Token, None, &redemption_by(&server, "")).await;
    assert_eq!(granted.status, StatusCode::OK, "{}", granted.text());
    let token = granted.json()["access_token"].as_str().unwrap().to_owned();
    assert_eq!(
        (&jwt_part(&token, 1)["client_id"], &jwt_part(&token, 1)["scope"]),
        (&json!(URL), &json!("read"))
    );

    let refused = |change: &[(&str, Option<&str>)]| {
        let change = [&AS_DOCUMENTED[..], change].concat();
        server.log_in(&authorize_url(&server, &change), "alice").unwrap_err()
    };
    assert!(refused(&[("redirect_uri", Some("https://evil.test/cb"))]).contains("redirect_uri"));
    assert!(refused(&[("client_id", Some("https://editor.example/other.json"))]).contains("unknown"));
    server.reset();
    assert!(back(&server, &authorize_url(&server, &AS_DOCUMENTED)).contains("code="), "it is still there");
}

#[tokio::test]
async fn a_client_with_keys_in_its_document_has_to_use_them() {
    let key = TestKey::generate(Alg::Es256);
    let mut with_key = document();
    with_key["token_endpoint_auth_method"] = json!("private_key_jwt");
    with_key["jwks"] = json!({ "keys": [key.public_jwk()] });
    let server = server(with_key);
    let unproved = post(&server, Endpoint::Token, None, &redemption_by(&server, "")).await;
    assert_eq!((unproved.status, unproved.error().as_str()), (StatusCode::UNAUTHORIZED, "invalid_client"));
}

#[tokio::test]
async fn what_is_wrong_with_a_document_is_said_to_the_user() {
    let mut other = document();
    other["client_id"] = json!("https://editor.example/other.json");
    let mut with_secret = document();
    with_secret["client_secret"] = json!("s3cr3t");
    for (document, field) in [(other, "client_id"), (with_secret, "client_secret"), (json!({}), "client_id")]
    {
        let server = server(document);
        let reported = server.log_in(&authorize_url(&server, &AS_DOCUMENTED), "alice").unwrap_err();
        assert!(reported.contains(field) && !reported.contains("s3cr3t"), "{reported}");
    }
}

#[tokio::test]
async fn without_documents_nothing_is_promised_and_with_a_file_they_are_written() {
    let plain = MockServer::builder().in_process();
    let metadata = get(&plain, Endpoint::OauthMetadata).await.unwrap().json();
    assert_eq!(metadata.get("client_id_metadata_document_supported"), None);

    let written = json!({ "client_documents": [{ "url": URL, "document": document() }] }).to_string();
    let server = Config::from_json(&written).unwrap().into_builder().in_process();
    assert!(back(&server, &authorize_url(&server, &AS_DOCUMENTED)).contains("code="));
    let reported = Config::from_json(r#"{"client_documents": [{ "url": "x" }]}"#).unwrap_err().to_string();
    assert!(reported.starts_with("client_documents[0].document: "), "{reported}");
}
