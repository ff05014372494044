//! The device grant (RFC 8628): a device that waits, a user at the page, and everything that can come between.

#![expect(clippy::unwrap_used, reason = "a helper that fails must fail its test")]

mod support;

use std::time::Duration;

use http::StatusCode;
use oauth_mock::{Alg, AuthorizationDetailsType, Endpoint, GrantType, MockClient, MockServer, TestKey, User};
use serde_json::{Value, json};
use support::flow::{browse, encoded};
use support::*;

fn server() -> MockServer {
    let tv = MockClient::new("tv").grants([GrantType::DeviceCode, GrantType::RefreshToken]);
    MockServer::builder()
        .client(tv.scopes(["openid", "read"]))
        .client(MockClient::default().grants([GrantType::ClientCredentials]))
        .user(User::new("alice", "wonderland").subject("u-1"))
        .authorization_details_type(AuthorizationDetailsType::new("files"))
        .in_process()
}

async fn begin(server: &MockServer) -> Value {
    let form = "client_id=tv&scope=openid+read";
    let response = post(server, Endpoint::DeviceAuthorization, None, form).await;
    assert_eq!((response.status, response.header("cache-control")), (StatusCode::OK, "no-store"));
    response.json()
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap()
}

fn form(device: &Value) -> String {
    let grant = "urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Adevice_code";
    format!("grant_type={grant}&client_id=tv&device_code={}", text(device, "device_code"))
}

async fn poll(server: &MockServer, device: &Value) -> Reply {
    post(server, Endpoint::Token, None, &form(device)).await
}

#[tokio::test]
async fn a_device_gets_its_tokens_when_its_person_says_yes() {
    let server = server();
    let device = begin(&server).await;
    assert_eq!((&device["expires_in"], &device["interval"]), (&json!(600), &json!(5)));
    assert_eq!(text(&device, "verification_uri"), server.endpoint(Endpoint::Device));
    let complete = format!("{}?user_code={}", text(&device, "verification_uri"), text(&device, "user_code"));
    assert_eq!(text(&device, "verification_uri_complete"), complete);

    let waiting = poll(&server, &device).await;
    assert_eq!(
        (waiting.status, waiting.error().as_str()),
        (StatusCode::BAD_REQUEST, "authorization_pending")
    );
    server.approve_device(&text(&device, "user_code").to_lowercase().replace('-', ""), "alice").unwrap();
    server.clock().step(5);
    let tokens = poll(&server, &device).await.json();
    assert_eq!(jwt_part(text(&tokens, "access_token"), 1)["sub"], "u-1");
    assert_eq!(jwt_part(text(&tokens, "id_token"), 1)["aud"], "tv");
    assert_eq!(tokens["scope"], "openid read");
    assert!(tokens["refresh_token"].is_string());
    server.clock().step(5);
    assert_eq!(poll(&server, &device).await.error(), "invalid_grant", "a code is good once");
    assert!(server.approve_device(text(&device, "user_code"), "alice").is_err());

    let metadata = get(&server, Endpoint::OauthMetadata).await.unwrap().json();
    assert_eq!(
        text(&metadata, "device_authorization_endpoint"),
        server.endpoint(Endpoint::DeviceAuthorization)
    );
    let grants = metadata["grant_types_supported"].as_array().unwrap();
    assert!(grants.contains(&json!("urn:ietf:params:oauth:grant-type:device_code")));
}

#[tokio::test]
async fn a_device_that_asks_too_often_is_slowed_down_by_five_seconds_each_time() {
    let server = server();
    let device = begin(&server).await;
    let mut responses = Vec::new();
    for wait in [0, 4, 9, 15, 14, 20] {
        server.clock().step(wait);
        responses.push(poll(&server, &device).await.error());
    }
    let (pending, slow) = ("authorization_pending", "slow_down");
    assert_eq!(responses, [pending, slow, slow, pending, slow, pending]);
    server.approve_device(text(&device, "user_code"), "alice").unwrap();
    assert_eq!(poll(&server, &device).await.error(), slow);
    server.clock().step(25);
    assert_eq!(poll(&server, &device).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_device_can_be_turned_away_or_come_too_late() {
    let server = server();
    let denied = begin(&server).await;
    server.deny_device(text(&denied, "user_code")).unwrap();
    assert_eq!(poll(&server, &denied).await.error(), "access_denied");

    let late = begin(&server).await;
    server.clock().step(600);
    assert_eq!(poll(&server, &late).await.error(), "expired_token");
    assert!(server.approve_device(text(&late, "user_code"), "alice").is_err());
    let unknown = json!({"device_code": "unknown"});
    assert_eq!(poll(&server, &unknown).await.error(), "invalid_grant");

    let device = begin(&server).await;
    assert!(server.approve_device(text(&device, "user_code"), "mallory").is_err());
    let other = post(&server, Endpoint::DeviceAuthorization, Some(&svc()), "").await;
    assert_eq!(other.error(), "unauthorized_client");
    let other = post(&server, Endpoint::DeviceAuthorization, None, "client_id=tv&scope=admin").await;
    assert_eq!(other.error(), "invalid_scope");
}

#[tokio::test]
async fn a_user_lets_a_device_in_at_the_page() {
    let server = server();
    let device = begin(&server).await;
    let page = server.endpoint(Endpoint::Device);
    let code = text(&device, "user_code");
    assert!(browse(&server, &page, "").await.text().contains(r#"name="user_code" value="""#));
    let wrong = browse(&server, &format!("{page}?user_code=%3Cb%3E"), "").await;
    assert!(wrong.text().contains("unknown, used or expired") && !wrong.text().contains("<b>"));
    let shown = browse(&server, text(&device, "verification_uri_complete"), "").await;
    assert!(shown.text().contains(code) && shown.text().contains("<strong>tv</strong>"));

    let submit = |rest: &str| format!("user_code={code}&{rest}");
    let bad =
        post(&server, Endpoint::Device, None, &submit("username=alice&password=no&decision=allow")).await;
    assert!(bad.text().contains("Wrong name or password.") && !bad.text().contains(r#"value="no""#));
    assert_eq!(poll(&server, &device).await.error(), "authorization_pending");
    let yes = submit("username=alice&password=wonderland&decision=allow");
    let done = post(&server, Endpoint::Device, None, &yes).await;
    assert!(done.text().contains("Device connected"));
    server.clock().step(5);
    assert_eq!(poll(&server, &device).await.status, StatusCode::OK);

    // The browser is remembered, and may say no to the next one.
    let second = begin(&server).await;
    let cookie = done.header("set-cookie").split(';').next().unwrap();
    let known = browse(&server, text(&second, "verification_uri_complete"), cookie).await;
    assert!(known.text().contains("Signed in as <strong>alice</strong>"));
    let no = format!("user_code={}&decision=deny", text(&second, "user_code"));
    assert!(post(&server, Endpoint::Device, None, &no).await.text().contains("denied"));
    assert_eq!(poll(&server, &second).await.error(), "access_denied");

    let third = begin(&server).await;
    let form = format!("user_code={}&decision=allow", text(&third, "user_code"));
    let mut request = form_request(&page, None, &form);
    request.headers_mut().insert("cookie", cookie.parse().unwrap());
    assert!(send(&server, request).await.unwrap().text().contains("Device connected"));
}

#[tokio::test]
async fn a_device_binds_its_tokens_and_asks_for_rights_like_any_client() {
    let server = server();
    let key = TestKey::generate(Alg::Es256);
    let details = encoded(r#"[{"type":"files","actions":["read"]}]"#);
    let started = format!("client_id=tv&authorization_details={details}");
    let device = post(&server, Endpoint::DeviceAuthorization, None, &started).await.json();
    server.approve_device(text(&device, "user_code"), "alice").unwrap();
    let url = server.endpoint(Endpoint::Token);
    let mut request = form_request(&url, None, &form(&device));
    let proof = server.dpop_proof(&key, "POST", &url).build();
    request.headers_mut().insert("dpop", proof.parse().unwrap());
    let tokens = send(&server, request).await.unwrap().json();
    assert_eq!(tokens["token_type"], "DPoP");
    assert_eq!(tokens["authorization_details"][0]["type"], "files");
}

#[tokio::test(start_paused = true)]
async fn the_times_can_be_set_and_follow_the_clock() {
    let (lifetime, interval) = (Duration::from_secs(30), Duration::from_secs(1));
    let tv = MockClient::new("tv").grants([GrantType::DeviceCode]).scopes(["openid", "read"]);
    let server = MockServer::builder().client(tv).device_times(lifetime, interval).in_process();
    let device = begin(&server).await;
    assert_eq!((&device["expires_in"], &device["interval"]), (&json!(30), &json!(1)));
    for _ in 0..3 {
        assert_eq!(poll(&server, &device).await.error(), "authorization_pending");
        tokio::time::sleep(interval).await;
    }
    tokio::time::sleep(lifetime).await;
    assert_eq!(poll(&server, &device).await.error(), "expired_token");
}
