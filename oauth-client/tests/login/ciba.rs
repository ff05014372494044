//! OpenID CIBA 1.0, poll mode.

use std::time::Duration;

use oauth_client::config::ClientConfig;
use oauth_client::login::{BackchannelRequest, Prompt};
use oauth_client::transport::HttpClient;
use oauth_client::{Client, ClientAuth};
use oauth_mock::{Endpoint, Fault, GrantType, MockClient, MockServer, Tamper, User};

use crate::support::Fixture;
use crate::time::advance;

fn fixture() -> Fixture {
    let app =
        MockClient::default().grants([GrantType::Ciba, GrantType::RefreshToken]).scopes(["openid", "read"]);
    let server = MockServer::builder().client(app).user(User::new("alice", "wonderland"));
    let server = server.device_times(Duration::from_secs(120), Duration::from_secs(5)).in_process();
    let client = Client::builder().issuer(server.issuer()).auth(ClientAuth::basic("svc", "s3cr3t"));
    let http = HttpClient::from_service(server.transport());
    Fixture::wire(server, http, client)
}

fn request() -> BackchannelRequest {
    BackchannelRequest::login_hint("alice").scope(["openid", "read"]).binding_message("W4SCT")
}

#[tokio::test(start_paused = true)]
async fn a_person_confirms_on_a_device_of_theirs() {
    let fixture = fixture();
    let waiting = fixture.client.backchannel(&request()).await.unwrap();
    assert_eq!((waiting.expires_in().as_secs(), waiting.interval().as_secs()), (120, 5));
    let sent = fixture.server.journal().of(Endpoint::BackchannelAuthentication).pop().unwrap();
    assert_eq!(sent.param("binding_message"), Some("W4SCT"));
    assert_eq!(sent.param("grant_type"), None);

    let polling = tokio::spawn(waiting.wait());
    advance(12).await;
    assert_eq!(fixture.count(Endpoint::Token), 2, "no faster than the server says");
    fixture.server.approve_backchannel("alice").unwrap();
    let login = polling.await.unwrap().unwrap();
    assert_eq!(login.id_token().unwrap().subject(), "alice");

    let source = fixture.client.source(&request()).starting_with(login).build().unwrap();
    source.token().await.unwrap();
    advance(400).await;
    source.token().await.unwrap();
    assert_eq!(fixture.count(Endpoint::Token), 4, "its refresh token goes on");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_wants_it_slower_gets_it_slower() {
    let fixture = fixture();
    let waiting = fixture.client.backchannel(&request()).await.unwrap();
    let body = r#"{"error":"slow_down"}"#;
    fixture.server.fault(Endpoint::Token, Fault::body(400, "application/json", body)).times(1);
    let polling = tokio::spawn(waiting.wait());
    advance(16).await;
    assert_eq!(fixture.count(Endpoint::Token), 2, "after 5 s, and after 10 s more");
    fixture.server.approve_backchannel("alice").unwrap();
    polling.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_no_and_silence_have_their_own_codes() {
    let fixture = fixture();
    let waiting = fixture.client.backchannel(&request()).await.unwrap();
    fixture.server.deny_backchannel("alice").unwrap();
    assert_eq!(waiting.wait().await.unwrap_err().code(), "access_denied");

    let short = request().requested_expiry(Duration::from_secs(12));
    let waiting = fixture.client.backchannel(&short).await.unwrap();
    assert_eq!(waiting.expires_in().as_secs(), 12);
    assert_eq!(waiting.wait().await.unwrap_err().code(), "expired_token");
}

#[tokio::test(start_paused = true)]
async fn what_the_server_refuses_is_named() {
    let fixture = fixture();
    let unknown = fixture.client.backchannel(&BackchannelRequest::login_hint("nobody")).await.unwrap_err();
    assert_eq!(unknown.code(), "unknown_user_id");
    let without = request().scope(["read"]);
    assert_eq!(fixture.client.backchannel(&without).await.unwrap_err().problems()[0].field, "scope");
    assert_eq!(
        fixture.server.journal().count(Endpoint::BackchannelAuthentication),
        1,
        "the second was not sent"
    );
    assert!(
        !format!("{:?}", BackchannelRequest::login_hint("+44 20 7946").user_code("1234")).contains("1234")
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_asked_for_is_checked_or_refused() {
    let fixture = fixture();
    for name in ["scope", "resource", "max_age", "authorization_details"] {
        let error = fixture.client.backchannel(&request().parameter(name, "60")).await.unwrap_err();
        assert_eq!(error.problems()[0].field, name);
    }
    let details = serde_json::json!([{"type": "payment"}]);
    let request = request().max_age(Duration::from_secs(60)).authorization_details(details).unwrap();
    for (tamper, succeeds) in [(None, true), (Some(Tamper::IdTokenAuthTime), false)] {
        let waiting = fixture.client.backchannel(&request).await.unwrap();
        let sent = fixture.server.journal().of(Endpoint::BackchannelAuthentication).pop().unwrap();
        assert_eq!(sent.param("max_age"), Some("60"));
        assert_eq!(sent.param("authorization_details"), Some(r#"[{"type":"payment"}]"#));
        fixture.server.approve_backchannel("alice").unwrap();
        tamper.into_iter().for_each(|tamper| fixture.server.tamper(tamper).always());
        let login = waiting.wait().await;
        assert_eq!(login.is_ok(), succeeds, "{login:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_id_token_is_a_hint() {
    let fixture = fixture();
    let waiting = fixture.client.backchannel(&request()).await.unwrap();
    fixture.server.approve_backchannel("alice").unwrap();
    let login = waiting.wait().await.unwrap();
    let id_token = login.tokens().id_token().unwrap().clone();
    let waiting = fixture.client.backchannel(&BackchannelRequest::id_token_hint(id_token)).await.unwrap();
    fixture.server.approve_backchannel("alice").unwrap();
    assert_eq!(waiting.wait().await.unwrap().id_token().unwrap().subject(), "alice");
}

#[tokio::test(start_paused = true)]
async fn a_configuration_asks_its_person() {
    let fixture = fixture();
    let config = |more: serde_json::Value| {
        let mut config = serde_json::json!({"issuer": fixture.server.issuer(), "client_id": "svc", "client_secret": "s3cr3t",
            "grant": "ciba"});
        config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        serde_json::from_value::<ClientConfig>(config)
    };
    let read = config(serde_json::json!({"login_hint": "alice", "binding_message": "W4SCT"})).unwrap();
    let read = read.http(HttpClient::from_service(fixture.server.transport())).clock(fixture.clock.clone());
    let login = read.login().unwrap().unwrap();
    let source = read.build().unwrap();
    let approving = async {
        advance(3).await;
        fixture.server.approve_backchannel("alice").unwrap();
    };
    let shown = |prompt: &Prompt| {
        let shown = serde_json::to_value(prompt).unwrap();
        assert_eq!(shown, serde_json::json!({"confirm_within_seconds": 120, "binding_message": "W4SCT"}));
    };
    let (ensured, ()) = tokio::join!(login.ensure(&source, shown), approving);
    ensured.unwrap();
    source.token().await.unwrap();
    for (more, field) in [
        (serde_json::json!({}), "login_hint: is missing"),
        (serde_json::json!({"login_hint": "alice", "scope": ["read"]}), "scope: has no openid"),
        (serde_json::json!({"login_hint": "alice", "grant": "device_code"}), "login_hint: is for grant"),
    ] {
        let error = config(more).unwrap_err().to_string();
        assert!(error.contains(field), "{error}");
    }
}
