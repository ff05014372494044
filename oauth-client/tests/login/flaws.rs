//! Malformed responses of a server, one at a time, and what a login makes of each.

use std::time::Duration;

use oauth_client::discover::Endpoint as ClientEndpoint;
use oauth_client::dpop::Dpop;
use oauth_client::login::{AuthorizationRequest, LogoutRequest};
use oauth_client::store::MemoryStore;
use oauth_mock::{AuthorizationDetailsType, Endpoint, MockServer, Tamper, User};
use serde_json::json;

use crate::support::{CALLBACK, builder, fixture, fixture_with, parameter, request, web_client};
use oauth_client::clock::TestClock;

#[tokio::test(start_paused = true)]
async fn each_flaw_of_a_server_is_noticed_by_its_own_name() {
    // What introspection says is of no concern to a login.
    let of_logins = |flaw: &Tamper| !flaw.as_str().starts_with("introspection");
    for flaw in Tamper::ALL.iter().copied().filter(of_logins) {
        let server = MockServer::builder()
            .client(web_client())
            .user(User::new("alice", "wonderland"))
            .acr_values(["gold"])
            .in_process();
        let client = builder(&server, &TestClock::new()).build().unwrap();
        let request = request().max_age(Duration::from_secs(60)).require_acr(["gold"]);
        server.tamper(flaw).always();
        let pending = client.authorize(&request).await.unwrap();
        let callback = server.log_in(pending.url().as_str(), "alice").unwrap();
        let outcome = client.finish(pending, callback).await;
        let expected = match flaw {
            Tamper::IssWrong | Tamper::IssMissing => "issuer_mismatch",
            Tamper::StateWrong | Tamper::StateMissing => "state_mismatch",
            Tamper::CodeTwice | Tamper::CodeMissing => "invalid_callback",
            Tamper::CodeWithError => "access_denied",
            // Of no concern to a login.
            Tamper::UserinfoSubject => {
                outcome.unwrap();
                continue;
            }
            _ => "invalid_id_token",
        };
        let error = outcome.unwrap_err();
        let before_the_code = expected != "invalid_id_token";
        assert_eq!(error.code(), expected, "{flaw:?}: {error}");
        assert_eq!(server.journal().count(Endpoint::Token), usize::from(!before_the_code), "{flaw:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_only_an_id_token_can_show_needs_openid() {
    let fixture = fixture();
    let request = AuthorizationRequest::new(CALLBACK).scope(["read"]);
    for (request, field) in [
        (request.clone().max_age(Duration::from_secs(60)), "max_age"),
        (request.require_acr(["gold"]), "require_acr"),
    ] {
        assert_eq!(fixture.client.authorize(&request).await.unwrap_err().problems()[0].field, field);
    }
}

#[tokio::test(start_paused = true)]
async fn a_pushed_request_leaves_the_browser_a_reference_only() {
    let fixture = fixture();
    let pending = fixture.client.authorize(&request().pushed()).await.unwrap();
    let names: Vec<_> = pending.url().query_pairs().map(|(name, _)| name.into_owned()).collect();
    assert_eq!(names, ["client_id", "request_uri"]);
    let pushed = &fixture.server.journal().of(Endpoint::Par)[0];
    assert!(pushed.header("authorization").is_some(), "the client proves itself");
    assert_eq!(pushed.param("code_challenge_method"), Some("S256"));
    let callback = fixture.log_in(&pending);
    fixture.client.finish(pending, callback).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_server_that_wants_requests_pushed_gets_them_so_without_being_asked() {
    let server = MockServer::builder()
        .client(web_client())
        .user(User::new("alice", "wonderland"))
        .require_pushed_authorization_requests()
        .in_process();
    let client = builder(&server, &TestClock::new()).build().unwrap();
    let pending = client.authorize(&request()).await.unwrap();
    assert!(parameter(pending.url(), "request_uri").is_some());
    let callback = server.log_in(pending.url().as_str(), "alice").unwrap();
    client.finish(pending, callback).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_push_that_is_refused_or_makes_no_sense_begins_no_login() {
    let fixture = fixture();
    let error =
        fixture.client.authorize(&request().scope(["openid", "nonsense"]).pushed()).await.unwrap_err();
    assert_eq!((error.code(), error.status().map(|s| s.as_u16())), ("invalid_scope", Some(400)));
    let sentence = "the server refused: invalid_scope (HTTP 400) for the scope \"openid nonsense\"";
    assert_eq!(error.to_string(), sentence);
    for body in ["{}", r#"{"request_uri":""}"#, r#"{"request_uri":7}"#, "<html>"] {
        fixture.server.fault(Endpoint::Par, oauth_mock::Fault::body(201, "application/json", body)).times(1);
        let error = fixture.client.authorize(&request().pushed()).await.unwrap_err();
        assert_eq!(error.code(), "malformed_response", "{body}");
    }
}

#[tokio::test(start_paused = true)]
async fn details_are_asked_for_and_what_was_granted_can_be_read() {
    let payment = AuthorizationDetailsType::new("payment").required("amount");
    let server = MockServer::builder()
        .client(web_client())
        .user(User::new("alice", "wonderland"))
        .authorization_details_type(payment)
        .in_process();
    let client = builder(&server, &TestClock::new()).build().unwrap();
    let wanted = json!([{"type": "payment", "amount": "5"}]);
    for pushed in [false, true] {
        let request = request().authorization_details(&wanted).unwrap();
        let request = if pushed { request.pushed() } else { request };
        let pending = client.authorize(&request).await.unwrap();
        let callback = server.log_in(pending.url().as_str(), "alice").unwrap();
        let login = client.finish(pending, callback).await.unwrap();
        assert_eq!(login.tokens().authorization_details(), Some(&wanted));
    }
    let request = request().authorization_details(json!([{"type": "unknown"}])).unwrap().pushed();
    assert_eq!(client.authorize(&request).await.unwrap_err().code(), "invalid_authorization_details");
}

#[tokio::test(start_paused = true)]
async fn the_code_is_bound_to_the_key_of_the_tokens() {
    let fixture = fixture();
    let dpop = Dpop::generate().unwrap();
    let client = builder(&fixture.server, &fixture.clock).dpop(dpop.clone()).build().unwrap();
    let pending = client.authorize(&request()).await.unwrap();
    assert_eq!(parameter(pending.url(), "dpop_jkt").as_deref(), Some(dpop.thumbprint()));
    let callback = fixture.log_in(&pending);
    // A client that sends the code with another key, or none, gets nothing.
    let stolen: oauth_client::login::PendingLogin =
        serde_json::from_value(serde_json::to_value(&pending).unwrap()).unwrap();
    fixture.client.finish(stolen, &callback).await.unwrap_err();

    let pending = client.authorize(&request()).await.unwrap();
    let callback = fixture.log_in(&pending);
    let login = client.finish(pending, callback).await.unwrap();
    let source = client.source(request()).starting_with(login).build().unwrap();
    assert!(source.token().await.unwrap().authorization().to_str().unwrap().starts_with("DPoP "));
}

#[tokio::test(start_paused = true)]
async fn the_logout_url_is_one_that_the_server_takes() {
    let fixture = fixture_with(|client| client.post_logout_redirect_uri("https://app.test/bye"));
    let login = fixture.login(&request()).await.unwrap();
    let logout = LogoutRequest::new()
        .id_token_hint(login.tokens().id_token().unwrap().clone())
        .post_logout_redirect_uri("https://app.test/bye")
        .state("s1");
    let url = fixture.client.logout_url(&logout).await.unwrap();
    assert_eq!(follow(&fixture.server, &url).await, "https://app.test/bye?state=s1");
    let nowhere = builder(&fixture.server, &fixture.clock);
    let by_hand = nowhere.endpoint(ClientEndpoint::EndSession, "https://as.test/bye").build().unwrap();
    assert_eq!(by_hand.logout_url(&LogoutRequest::new()).await.unwrap().host_str(), Some("as.test"));
}

#[tokio::test(start_paused = true)]
async fn what_is_revoked_after_a_restart_still_ends_the_session_at_the_server() {
    let fixture = fixture_with(|client| client.post_logout_redirect_uri("https://app.test/bye"));
    let store = MemoryStore::new();
    let source = || fixture.client.source(request()).store(store.clone()).build().unwrap();
    let logout_url = async |logout: LogoutRequest| {
        let logout = logout.post_logout_redirect_uri("https://app.test/bye").state("s1");
        fixture.client.logout_url(&logout).await.unwrap()
    };
    for forgets in [true, false] {
        let login = fixture.login(&request()).await.unwrap();
        let id_token = login.tokens().id_token().unwrap().expose().to_owned();
        source().log_in(login).await.unwrap();

        // After a restart, only the store knows of the login.
        let restarted = source();
        let logout = match forgets {
            true => restarted.revoke().await.unwrap(),
            // Another process may just have refreshed it.
            false => {
                restarted.token().await.unwrap();
                restarted.log_out().await.unwrap()
            }
        };
        let shown = format!("{logout:?}");
        assert!(!shown.contains(&id_token), "{shown}");
        assert!(source().token().await.unwrap_err().is_reauthorization_required());
        let url = logout_url(logout).await;
        assert_eq!(parameter(&url, "id_token_hint").as_deref(), Some(&*id_token));
        assert_eq!(follow(&fixture.server, &url).await, "https://app.test/bye?state=s1");
    }
    // There is no login any more, so nothing names the session.
    let nothing = logout_url(source().revoke().await.unwrap()).await;
    assert_eq!(parameter(&nothing, "id_token_hint"), None);
}

/// Where the server sends the browser from there.
async fn follow(server: &MockServer, url: &url::Url) -> String {
    let request =
        http::Request::get(url.as_str()).body(http_body_util::Empty::<bytes::Bytes>::new()).unwrap();
    let response = tower::ServiceExt::oneshot(server.transport(), request).await.unwrap();
    response.headers()["location"].to_str().unwrap().to_owned()
}
