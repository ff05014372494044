//! Introspection (RFC 7662) and userinfo (OpenID Connect Core section 5.3), over the wire.

use std::time::Duration;

use oauth_client::token::TokenType;
use oauth_client::{ClientAuth, TokenSource, grant};
use oauth_mock::{Endpoint, Fault, MockClient, MockServer, User};

use crate::support::{Fixture, client_builder, fixture_of, http};

fn fixture() -> Fixture {
    let alice = User::new("alice", "wonderland").claim("name", "Alice").claim("email_verified", true);
    let app = MockClient::default().scopes(["openid", "read"]).with_refresh_token();
    fixture_of(MockServer::builder().client(app).user(alice).in_process())
}

#[tokio::test(start_paused = true)]
async fn an_active_token_is_returned_with_all_its_claims() {
    let fixture = fixture();
    let login = fixture.server.issue("svc", "alice", "read").unwrap();
    let now = fixture.server.clock().now_unix().unsigned_abs();
    let client = fixture.client.clone();
    let token = client.introspect(&login.access_token.clone().into(), None).await.unwrap().unwrap();
    assert_eq!((token.subject.as_deref(), token.client_id.as_deref()), (Some("alice"), Some("svc")));
    assert_eq!((&*token.scope, token.username.as_deref()), (&["read".to_owned()][..], Some("alice")));
    assert_eq!(token.audience, [fixture.server.audience()]);
    assert_eq!(
        (token.issuer.as_deref(), token.token_type.as_deref()),
        (Some(fixture.server.issuer()), Some("Bearer"))
    );
    assert_eq!(
        (token.issued_at, token.expires_at),
        (Some(Duration::from_secs(now)), Some(Duration::from_secs(now + 300)))
    );
    assert!(token.token_id.is_some() && token.not_before.is_none());

    let refresh_token = login.refresh_token.unwrap().into();
    assert!(client.introspect(&refresh_token, Some(TokenType::RefreshToken)).await.unwrap().is_some());
    fixture.server.revoke_token(&login.access_token);
    assert_eq!(client.introspect(&login.access_token.into(), None).await.unwrap(), None);
    let sent = fixture.server.journal().of(Endpoint::Introspect);
    assert_eq!(sent[1].param("token_type_hint"), Some("refresh_token"));
    assert_eq!(sent[0].param("token_type_hint"), None);
}

#[tokio::test(start_paused = true)]
async fn an_unauthorized_client_and_an_outage_are_errors_and_say_nothing_about_the_token() {
    let fixture = fixture();
    let stranger = client_builder(&fixture.server).auth(ClientAuth::basic("svc", "guess"));
    let stranger = stranger.http(http(&fixture.server)).clock(fixture.clock.clone()).build().unwrap();
    let error = stranger.introspect(&"t0k3n-of-alice".into(), None).await.unwrap_err();
    assert_eq!(error.code(), "invalid_client");
    fixture.server.fault(Endpoint::Introspect, Fault::status(503).retry_after_secs(7)).times(1);
    let error = fixture.client.introspect(&"t0k3n-of-alice".into(), None).await.unwrap_err();
    assert_eq!((error.is_transient(), error.retry_after()), (true, Some(Duration::from_secs(7))));
    let echo = r#"{"error":"invalid_request","error_description":"what is t0k3n-of-alice?"}"#;
    fixture.server.fault(Endpoint::Introspect, Fault::body(400, "application/json", echo)).times(1);
    let error = fixture.client.introspect(&"t0k3n-of-alice".into(), None).await.unwrap_err();
    assert!(!format!("{error} {error:?}").contains("t0k3n"), "{error}");
    for response in
        [r#"{"active":true,"exp":"soon"}"#, r#"{"active":true,"active":false}"#, "[]", "", "<html>"]
    {
        fixture.server.fault(Endpoint::Introspect, Fault::body(200, "application/json", response)).times(1);
        let error = fixture.client.introspect(&"t".into(), None).await.unwrap_err();
        assert_eq!(error.code(), "malformed_response", "{response}");
    }
}

#[tokio::test(start_paused = true)]
async fn userinfo_tells_who_the_tokens_are_about() {
    let fixture = fixture();
    let login = fixture.server.issue("svc", "alice", "openid read").unwrap();
    let source = TokenSource::fixed(login.access_token).unwrap();
    let alice = fixture.client.userinfo(&source).await.unwrap();
    assert_eq!((alice.subject(), alice.name(), alice.email_verified()), ("alice", Some("Alice"), true));
    assert_eq!(alice.claims()["sub"], "alice");

    let narrow = fixture.server.issue("svc", "alice", "read").unwrap().access_token;
    let narrow = TokenSource::fixed(narrow).unwrap();
    let error = fixture.client.userinfo(&narrow).await.unwrap_err();
    assert_eq!(error.status().unwrap().as_u16(), 403);
    let error = fixture.client.userinfo(&TokenSource::fixed("unknown").unwrap()).await.unwrap_err();
    assert_eq!(error.code(), "invalid_token");
}

#[tokio::test(start_paused = true)]
async fn userinfo_about_another_subject_and_signed_userinfo_are_rejected() {
    let fixture = fixture();
    let login = fixture.server.issue("svc", "alice", "openid").unwrap();
    // An ID token of Alice's comes with the tokens; its signature does not matter here.
    let id_token = fixture.server.mint().typ("JWT").subject("alice").audience("svc").build();
    let response =
        serde_json::json!({"access_token": login.access_token, "token_type": "Bearer", "id_token": id_token});
    fixture
        .server
        .fault(Endpoint::Token, Fault::body(200, "application/json", response.to_string()))
        .always();
    let source = fixture.client.source(grant::refresh_token("r")).build().unwrap();
    assert_eq!(fixture.client.userinfo(&source).await.unwrap().subject(), "alice");
    let eve = Fault::body(200, "application/json", r#"{"sub":"eve","name":"Alice"}"#);
    fixture.server.fault(Endpoint::Userinfo, eve).times(1);
    let error = fixture.client.userinfo(&source).await.unwrap_err();
    assert!(error.code() == "malformed_response" && error.to_string().contains("another person"), "{error}");
    fixture
        .server
        .fault(Endpoint::Userinfo, Fault::body(200, "application/jwt; charset=utf-8", "eyJ.e30.x"))
        .times(1);
    let error = fixture.client.userinfo(&source).await.unwrap_err();
    assert!(error.code() == "unsupported" && error.to_string().contains("signed"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_token_that_was_revoked_is_replaced_before_userinfo_is_asked_again() {
    let fixture = fixture();
    let login = fixture.server.issue("svc", "alice", "openid").unwrap().refresh_token.unwrap();
    let source = fixture.client.source(grant::refresh_token(login)).build().unwrap();
    let token = source.token().await.unwrap();
    fixture.server.revoke_token(token.secret().expose());
    let outcome = fixture.client.userinfo(&source).await;
    assert_eq!(outcome.unwrap().subject(), "alice");
    assert_eq!(fixture.server.journal().count(Endpoint::Userinfo), 2, "once with each token");
}
