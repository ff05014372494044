//! A sixth provider, written as data: in code, and as TOML.

use std::time::Duration;

use bytes::Bytes;
use http::Response;
use http_body_util::{BodyExt, Full};
use oauth_client::attach::TokenLayer;
use oauth_client::config::ClientConfig;
use oauth_client::dialect::{Dialect, ErrorShape};
use oauth_client::{Error, grant};
use serde::Deserialize;
use serde_json::json;
use tower::{Layer, ServiceExt};

use crate::rows;
use crate::support::{Wire, json, post, refused};

rows! { "a sixth, in code and as TOML":
    request "JSON, fields and query by other names, a path of its own" => request,
    response "members elsewhere in the response, expiry as Unix time" => response,
    error "code and text elsewhere in the body, codes mapped, later" => error,
    error "the body as a type of the user's" => typed_error,
    error "the API's own \"expired\"" => expired_response,
    error "a preset with something changed" => changed_preset,
    error "an error in the table is reported by its key" => mistakes,
}

const TOML: &str = r#"
    provider = "custom"
    base_url = "https://api.acme.example/eu"
    client_id = "id-1"
    client_secret = "s3cr3t-1"
    client_auth = "client_secret_post"
    params = { tenant = "t 1", colour = "red" }

    [custom]
    token_path = "/v2/login"
    encoding = "json"
    send_grant_type = false
    fields = { client_id = "app", client_secret = "key", tenant = "org" }
    query = ["tenant"]
    answer = { access_token = "data.token", refresh_token = "/data/again" }
    expires_at = "data.valid_until"
    error_code = "fault.id"
    error_description = "fault.text"
    codes = { stale_login = "invalid_grant" }
    transient_codes = ["busy"]
    expired_answer = { "fault.id" = "token_expired" }
"#;

fn acme() -> Dialect {
    Dialect::new("acme")
        .base_url("https://api.acme.example/eu")
        .token_path("/v2/login")
        .json()
        .without_grant_type()
        .parameter_name("client_id", "app")
        .parameter_name("client_secret", "key")
        .parameter_name("tenant", "org")
        .in_query("tenant")
        .response_member("access_token", "data.token")
        .response_member("refresh_token", "/data/again")
        .expires_at("data.valid_until")
        .error(ErrorShape::own().code("fault.id").description("fault.text"))
        .code("stale_login", "invalid_grant")
        .transient("busy")
        .expired_response([("fault.id", "token_expired")])
}

const BODY: &str = r#"{"data":{"token":"t1","again":"r1","valid_until":4102444800}}"#;

fn config(wire: &Wire) -> ClientConfig {
    ClientConfig::from_toml(TOML).unwrap().http(wire.http())
}

/// The same response, by the dialect in code and by the one in TOML.
async fn both(status: u16, body: &str) -> [Result<oauth_client::TokenSet, Error>; 2] {
    let wire = Wire::with(status, body).then(status, body);
    let in_code = wire.client(acme(), post()).request(&grant::client_credentials()).await;
    let as_toml = config(&wire).client().unwrap().request(&grant::client_credentials()).await;
    [in_code, as_toml]
}

async fn request() {
    let wire = Wire::with(200, BODY).then(200, BODY);
    let request = grant::client_credentials().parameter("tenant", "t 1").parameter("colour", "red");
    wire.client(acme(), post()).request(&request).await.unwrap();
    config(&wire).build().unwrap().token().await.unwrap();
    for n in 0..2 {
        let sent = wire.request(n);
        assert_eq!(sent.uri().to_string(), "https://api.acme.example/eu/v2/login?org=t+1");
        assert_eq!(json(&sent), json!({"app": "id-1", "key": "s3cr3t-1", "colour": "red"}));
    }
}

async fn response() {
    for tokens in both(200, BODY).await {
        let tokens = tokens.unwrap();
        assert_eq!(tokens.access_token().expose(), "t1");
        assert_eq!(tokens.refresh_token().unwrap().expose(), "r1");
        let until = tokens.issued_at() + tokens.lifetime().unwrap();
        assert_eq!(until.as_secs(), 4_102_444_800);
        assert!(!format!("{:?}", tokens.extra()).contains("t1"), "no second copy");
    }
}

async fn error() {
    for (id, code, later) in [
        ("stale_login", "invalid_grant", false),
        ("busy", "access_denied", true),
        ("never_heard", "access_denied", false),
        ("invalid_scope", "invalid_scope", false),
    ] {
        for outcome in both(403, &format!(r#"{{"fault":{{"id":"{id}","text":"so it is"}}}}"#)).await {
            let error = outcome.unwrap_err();
            assert_eq!((error.code(), error.is_transient()), (code, later), "{id}");
            assert_eq!((error.provider_code(), error.description()), (Some(id), Some("so it is")));
        }
    }
    // Where neither is there, it says what it can.
    for outcome in both(500, r#"{"oops":1}"#).await {
        let error = outcome.unwrap_err();
        assert_eq!((error.code(), error.unrecognized()), ("server_error", Some(r#"{"oops":1}"#)));
    }
}

#[derive(Debug, PartialEq, Deserialize)]
struct Fault {
    fault: Inner,
}

#[derive(Debug, PartialEq, Deserialize)]
struct Inner {
    id: String,
    attempts_left: u32,
}

async fn typed_error() {
    let body = r#"{"fault":{"id":"bad_key","attempts_left":2,"echo":"s3cr3t-1"}}"#;
    let error = refused(acme().error_type::<Fault>(), 400, body).await;
    let expected = Fault { fault: Inner { id: "bad_key".to_owned(), attempts_left: 2 } };
    assert_eq!(error.provider::<Fault>(), Some(&expected));
    assert!(error.provider::<String>().is_none());
    // What does not fit the type is kept as text, and its code counts all the same.
    let odd = refused(acme().error_type::<Fault>(), 400, r#"{"fault":{"id":"busy"}}"#).await;
    assert_eq!((odd.provider::<Fault>(), odd.is_transient()), (None, true));
    assert_eq!(odd.unrecognized(), Some(r#"{"fault":{"id":"busy"}}"#));
}

async fn expired_response() {
    let wire = Wire::with(200, BODY).then(200, &BODY.replace("t1", "t2"));
    let source = config(&wire).build().unwrap();
    let api =
        tower::service_fn(|request: http::Request<oauth_client::attach::Body<Full<Bytes>>>| async move {
            let expired = request.headers()["authorization"] == "Bearer t1";
            let body = if expired { r#"{"fault":{"id":"token_expired"}}"# } else { r#"{"fine":true}"# };
            Ok::<_, std::io::Error>(
                Response::builder().status(418).body(Full::new(Bytes::from(body))).unwrap(),
            )
        });
    let request = http::Request::get("https://api.acme.example/").body(Full::default()).unwrap();
    let response = TokenLayer::new(source).layer(api).oneshot(request).await.unwrap();
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), r#"{"fine":true}"#);
    assert_eq!(wire.requests(), 2);
}

async fn changed_preset() {
    let toml = r#"
        provider = "teen-quotes"
        client_id = "id-1"
        client_secret = "s3cr3t-1"
        [custom]
        encoding = "form"
        transient_codes = ["invalid_credentials"]
    "#;
    let wire = Wire::with(200, r#"{"access_token":"t1","expires_in":60}"#)
        .then(400, r#"{"error":"invalid_credentials"}"#);
    let client = ClientConfig::from_toml(toml).unwrap().http(wire.http()).client().unwrap();
    let tokens = client.request(&grant::client_credentials()).await.unwrap();
    assert_eq!(tokens.lifetime(), Some(Duration::from_secs(60)));
    assert_eq!(wire.request(0).headers()["content-type"], "application/x-www-form-urlencoded");
    assert!(client.request(&grant::client_credentials()).await.unwrap_err().is_transient());
}

async fn mistakes() {
    let wrong =
        TOML.replace("encoding = \"json\"", "encoding = \"xml\"").replace("fault.text", "fault..text");
    let error = ClientConfig::from_toml(&wrong.replace("token_path", "token_pth")).unwrap_err();
    let mut fields: Vec<_> = error.problems().iter().map(|problem| problem.field.as_str()).collect();
    fields.sort_unstable();
    assert_eq!(fields, ["base_url", "custom.encoding", "custom.error_description", "custom.token_pth"]);
    assert!(!format!("{error} {error:?}").contains("s3cr3t"));
}
