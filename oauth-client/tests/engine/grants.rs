//! `invalid_grant`: what can be asked anew is, and what needs a person says so, once.

use std::error::Error;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use oauth_client::grant::{self, Grant, Renewal, TokenRequest};
use oauth_client::store::{MemoryStore, TokenStore as _};
use oauth_client::token_endpoint::Parameters;
use oauth_client::transport::{HttpClient, RequestBody};
use oauth_client::{Client, ClientAuth};
use oauth_mock::{Endpoint, Fault, GrantType, MockClient};
use tower::ServiceExt as _;

use crate::support::{Events, LIFETIME, Scripted, advance, callers, fixture, fixture_with};

#[tokio::test(start_paused = true)]
async fn a_refresh_token_beside_client_credentials_is_used_and_the_grant_is_asked_anew_once_it_is_refused() {
    let fixture = fixture_with(MockClient::default().with_refresh_token());
    let source = fixture.source();
    let first = source.token().await.unwrap();
    fixture.server.revoke_token(first.tokens().refresh_token().unwrap().expose());
    advance(LIFETIME + 1).await;
    assert!(callers(&source, 100).await.iter().all(Result::is_ok));
    let grants: Vec<_> = fixture
        .server
        .journal()
        .of(Endpoint::Token)
        .iter()
        .map(|request| request.param("grant_type").unwrap().to_owned())
        .collect();
    assert_eq!(grants, ["client_credentials", "refresh_token", "client_credentials"]);
}

#[tokio::test(start_paused = true)]
async fn a_refresh_token_that_may_not_be_used_at_all_does_not_stand_in_the_way_of_the_grant() {
    let fixture =
        fixture_with(MockClient::default().grants([GrantType::ClientCredentials]).with_refresh_token());
    let source = fixture.source();
    assert!(source.token().await.unwrap().tokens().refresh_token().is_some());
    advance(LIFETIME + 1).await;
    assert_eq!(source.token().await.unwrap().generation(), 2);
    assert_eq!(fixture.count(Endpoint::Token), 3, "the refused refresh, and the grant anew");
}

#[tokio::test(start_paused = true)]
async fn a_refused_refresh_token_is_not_sent_again_when_the_grant_itself_fails_for_now() {
    let fixture = fixture_with(MockClient::default().with_refresh_token());
    let source = fixture.source();
    let first = source.token().await.unwrap();
    fixture.server.revoke_token(first.tokens().refresh_token().unwrap().expose());
    advance(LIFETIME + 1).await;
    fixture.server.fault(Endpoint::Token, Fault::status(400)).on_call(2);
    source.token().await.unwrap_err();
    advance(5).await;
    source.token().await.unwrap();
    assert!(!fixture.refresh_token_reused());
}

#[tokio::test(start_paused = true)]
async fn a_lost_grant_of_a_person_says_so_and_asks_the_server_no_more() {
    let fixture = fixture();
    let store = Scripted::default();
    let events = Events::default();
    let source =
        fixture.client.source(fixture.person()).store(store.clone()).on_event(events.hook()).build().unwrap();
    source.token().await.unwrap();
    fixture.server.revoke_token(store.last_written().unwrap().refresh_token().unwrap().expose());
    advance(LIFETIME + 1).await;
    for result in callers(&source, 100).await {
        let error = result.unwrap_err();
        assert!(error.is_reauthorization_required() && !error.is_transient(), "{error}");
        assert_eq!((error.code(), error.status().unwrap().as_u16()), ("reauthorization_required", 400));
    }
    assert_eq!(fixture.count(Endpoint::Token), 2);
    for _ in 0..10 {
        advance(100).await;
        assert!(source.token().await.unwrap_err().is_reauthorization_required());
    }
    assert_eq!(fixture.count(Endpoint::Token), 2, "a token that was refused is not sent again and again");
    assert!(events.take().contains(&"failed reauthorization_required".to_owned()));

    // Started anew, nothing of the lost grant is left in the store.
    let (again, before) = (fixture.person(), fixture.count(Endpoint::Token));
    let source = fixture.client.source(again).store(store).build().unwrap();
    source.token().await.unwrap();
    assert_eq!(fixture.count(Endpoint::Token), before + 1);
}

#[tokio::test(start_paused = true)]
async fn a_person_who_logs_in_again_elsewhere_mends_a_lost_grant() {
    let fixture = fixture();
    let store = MemoryStore::new();
    let lost = fixture.client.source(fixture.person()).store(store.clone()).build().unwrap();
    let token = lost.token().await.unwrap();
    fixture.server.revoke_token(token.tokens().refresh_token().unwrap().expose());
    advance(LIFETIME + 1).await;
    assert!(lost.token().await.unwrap_err().is_reauthorization_required());

    let elsewhere = fixture.client.source(fixture.person()).store(store).build().unwrap();
    let fresh = elsewhere.token().await.unwrap();
    advance(60).await;
    let mended = lost.token().await.unwrap();
    assert_eq!(mended.secret(), fresh.secret());
}

#[tokio::test(start_paused = true)]
async fn after_a_new_login_the_dead_one_in_the_store_does_not_stand_in_its_way() {
    let fixture = fixture();
    let store = Scripted::default();
    let source = fixture.client.source(fixture.person()).store(store.clone()).build().unwrap();
    source.token().await.unwrap();
    fixture.server.revoke_token(store.last_written().unwrap().refresh_token().unwrap().expose());
    advance(LIFETIME + 1).await;

    // A user logs in, puts the new refresh token into the configuration and starts the service again.
    let again = fixture.client.source(fixture.person()).store(store.clone()).build().unwrap();
    let token = again.token().await.unwrap();
    assert_eq!(store.last_written().unwrap().access_token(), token.secret());
    advance(LIFETIME + 1).await;
    again.token().await.unwrap();
    assert!(!fixture.refresh_token_reused());
}

#[tokio::test(start_paused = true)]
async fn a_refresh_token_that_never_worked_is_a_lost_grant() {
    let fixture = fixture();
    let source = fixture.client.source(grant::refresh_token("made-up")).build().unwrap();
    for _ in 0..5 {
        assert!(source.token().await.unwrap_err().is_reauthorization_required());
        advance(100).await;
    }
    assert_eq!(fixture.count(Endpoint::Token), 1);
}

#[tokio::test(start_paused = true)]
async fn a_refresh_token_that_the_server_does_not_rotate_stays_in_use() {
    let fixture = fixture_with(MockClient::default().without_rotation());
    let source = fixture.client.source(fixture.person()).build().unwrap();
    for round in 1..=4 {
        assert_eq!(source.token().await.unwrap().generation(), round);
        advance(LIFETIME + 1).await;
    }
    let requests = fixture.server.journal().of(Endpoint::Token);
    assert_eq!(requests.len(), 4);
    assert!(
        requests.iter().all(|request| request.param("refresh_token") == requests[0].param("refresh_token"))
    );
}

#[tokio::test(start_paused = true)]
async fn a_narrower_scope_asked_of_a_refresh_token_stays_narrow() {
    let fixture = fixture();
    let issued = fixture.server.issue("svc", "alice", "read write").unwrap();
    let request = grant::refresh_token(issued.refresh_token.unwrap()).scope(["read"]);
    let source = fixture.client.source(request).build().unwrap();
    for _ in 0..3 {
        assert_eq!(source.token().await.unwrap().tokens().scope().unwrap(), ["read"]);
        advance(LIFETIME + 1).await;
    }
}

/// Without a lease, two that expire together both refresh, and one of them is late.
#[tokio::test(start_paused = true)]
async fn on_invalid_grant_the_store_is_read_again_before_a_login_is_required() {
    for expired_meanwhile in [false, true] {
        let fixture = fixture();
        let store = Scripted::default();
        let request = fixture.person();
        let source = fixture.client.source(request.clone()).store(store.clone()).build().unwrap();
        source.token().await.unwrap();
        let old = store.last_written().unwrap();
        advance(LIFETIME + 1).await;

        // Another process with a store of the same content rotates the refresh token; ours learns of it only when the
        // server refuses.
        let other = fixture.client.source(grant::refresh_token(old.refresh_token().unwrap().clone()));
        let newer = other.build().unwrap().token().await.unwrap().tokens().clone();
        if expired_meanwhile {
            advance(LIFETIME + 1).await;
        }
        let entry = store.clone();
        let late = newer.clone();
        let key = entry.last_key().unwrap();
        fixture.server.fault(Endpoint::Token, Fault::delay(Duration::from_secs(1))).times(1);
        let caller = tokio::spawn(async move { source.token().await });
        tokio::time::sleep(Duration::from_millis(500)).await;
        let revision = entry.inner.load(&key).await.unwrap().unwrap().revision;
        entry.inner.compare_and_swap(&key, Some(revision), Some(&late)).await.unwrap();

        // The mock takes the second use for theft and revokes the family, so what the store holds is dead by now; but
        // an access token of its own is worth a try, and the refresh token is asked about before giving up.
        let got = caller.await.unwrap();
        if expired_meanwhile {
            assert!(got.unwrap_err().is_reauthorization_required());
            assert_eq!(fixture.count(Endpoint::Token), 4);
        } else {
            assert_eq!(got.unwrap().secret(), newer.access_token());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_password_is_held_back_for_a_quarter_of_an_hour() {
    let fixture = fixture_with(MockClient::default().grants([GrantType::Password, GrantType::RefreshToken]));
    let refused = r#"{"error":"invalid_grant"}"#;
    fixture.server.fault(Endpoint::Token, Fault::body(400, "application/json", refused)).always();
    let source = fixture.client.source(grant::password("alice", "wonderland")).build().unwrap();
    for _ in 0..14 {
        assert_eq!(source.token().await.unwrap_err().code(), "invalid_grant");
        advance(60).await;
    }
    assert_eq!(fixture.count(Endpoint::Token), 1);
    advance(61).await;
    source.token().await.unwrap_err();
    assert_eq!(fixture.count(Endpoint::Token), 2);
    advance(29 * 60).await;
    source.token().await.unwrap_err();
    assert_eq!(fixture.count(Endpoint::Token), 2, "longer the second time");
}

#[tokio::test(start_paused = true)]
async fn a_password_is_held_back_whatever_the_server_calls_its_refusal() {
    let asked = async |status: u16, body: &'static str| {
        let fixture = fixture_with(MockClient::default().grants([GrantType::Password]));
        fixture.server.fault(Endpoint::Token, Fault::body(status, "application/json", body)).always();
        let source = fixture.client.source(grant::password("alice", "wonderland")).build().unwrap();
        for _ in 0..14 {
            source.token().await.unwrap_err();
            advance(60).await;
        }
        fixture.count(Endpoint::Token)
    };
    for (status, body) in [
        (400, r#"{"error":"invalid_credentials"}"#),
        (401, r#"{"error":"access_denied"}"#),
        (403, r#"{"error":"mfa_required"}"#),
        (200, r#"{"error":"bad_password"}"#),
        (401, r#"{"error":"Bad credentials"}"#),
        (401, r#"{"error":"Unauthorized"}"#),
        (401, r#"{"error":"401 Unauthorized"}"#),
        (400, r#"{"error":"INVALID_CREDENTIALS"}"#),
    ] {
        assert_eq!(asked(status, body).await, 1, "{status} {body}");
    }
    for (status, body) in [
        (401, r#"{"error":"invalid_client"}"#),
        (400, r#"{"error":"unauthorized_client"}"#),
        (400, r#"{"error":"invalid_scope"}"#),
        (400, r#"{"error":"invalid_request"}"#),
        (404, r#"{"error":"Not Found"}"#),
        (403, r#"{"error":"Forbidden"}"#),
        (403, r#"{"error":"403 Forbidden"}"#),
        (401, r#"{"error":"Forbidden"}"#),
        (400, r#"{"timestamp":"2030-01-01T00:00:00Z","status":400,"error":"Bad Request","path":"/token"}"#),
        (403, "<html>blocked</html>"),
        (503, r#"{"error":"invalid_credentials"}"#),
    ] {
        assert!(asked(status, body).await > 3, "{status} {body}: it says nothing about the password");
    }
}

/// It may be longer than the time that a refused password is held back for.
#[tokio::test(start_paused = true)]
async fn a_password_is_not_sent_before_retry_after_whatever_the_code() {
    for (code, minutes) in [("rate_limited", 60), ("invalid_grant", 60), ("invalid_grant", 1)] {
        let fixture = fixture_with(MockClient::default().grants([GrantType::Password]));
        let body = format!(r#"{{"error":"{code}"}}"#);
        let refused = Fault::body(403, "application/json", body).retry_after_secs(minutes * 60);
        fixture.server.fault(Endpoint::Token, refused).times(1);
        let source = fixture.client.source(grant::password("alice", "wonderland")).build().unwrap();
        let held_back = minutes.max(15);
        for _ in 0..held_back {
            assert_eq!(source.token().await.unwrap_err().code(), code);
            advance(59).await;
        }
        assert_eq!(fixture.count(Endpoint::Token), 1, "{code}, {minutes} min");
        advance(held_back + 1).await;
        let _ = source.token().await;
        assert_eq!(fixture.count(Endpoint::Token), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_response_to_a_refresh_is_not_asked_for_again_blindly() {
    for fault in [Fault::lost_response(), Fault::truncated(), Fault::reset_mid_body(), Fault::reset()] {
        let fixture = fixture();
        let source = fixture.client.source(fixture.person()).build().unwrap();
        source.token().await.unwrap();
        advance(LIFETIME + 1).await;
        fixture.server.fault(Endpoint::Token, fault).times(1);
        let error = source.token().await.unwrap_err();
        assert_eq!(error.code(), "transport");
        assert!(error.to_string().contains("outcome is unknown"), "{error}");
        assert_eq!(fixture.count(Endpoint::Token), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_response_to_client_credentials_is_asked_for_again() {
    for fault in [Fault::lost_response(), Fault::truncated(), Fault::reset()] {
        let fixture = fixture();
        fixture.server.fault(Endpoint::Token, fault).times(2);
        assert!(callers(&fixture.source(), 50).await.iter().all(Result::is_ok));
        assert_eq!(fixture.count(Endpoint::Token), 3);
    }
}

/// A connection that never stood has carried nothing, so even a refresh token may be sent again.
#[tokio::test(start_paused = true)]
async fn a_refused_connection_is_tried_again_by_every_grant() {
    let fixture = fixture();
    let transport = fixture.server.transport();
    let tries = Arc::new(AtomicUsize::new(0));
    let service = tower::service_fn(move |request: http::Request<RequestBody>| {
        let refused = tries.fetch_add(1, Ordering::SeqCst) < 2;
        let response = transport.clone().oneshot(request);
        async move {
            if refused {
                return Err(Box::from(io::Error::from(io::ErrorKind::ConnectionRefused)));
            }
            response.await.map_err(Box::<dyn Error + Send + Sync>::from)
        }
    });
    let client = Client::builder()
        .token_endpoint(fixture.server.endpoint(Endpoint::Token))
        .auth(ClientAuth::basic("svc", "s3cr3t"))
        .http(HttpClient::from_service(service))
        .clock(fixture.clock.clone())
        .build()
        .unwrap();
    let source = client.source(fixture.person()).build().unwrap();
    source.token().await.unwrap();
    assert_eq!((source.status().token_requests, fixture.count(Endpoint::Token)), (3, 1));
}

/// A grant of the user's own that dies: no caller hangs, and the next call tries again.
#[tokio::test(start_paused = true)]
async fn a_refresh_that_panics_is_restarted_and_then_reported() {
    #[derive(Debug)]
    struct Panicking;
    impl Grant for Panicking {
        fn grant_type(&self) -> &str {
            "urn:example:panics"
        }
        fn parameters(&self, _: &mut Parameters) {
            panic!("the grant panics, as the test wants it to");
        }
        fn renewal(&self) -> Renewal {
            Renewal::Anew
        }
    }
    let fixture = fixture();
    let source = fixture.client.source(TokenRequest::new(Panicking)).build().unwrap();
    for result in callers(&source, 10).await {
        assert_eq!(result.unwrap_err().code(), "interrupted");
    }
    assert!(!source.status().refreshing);
    assert_eq!(fixture.count(Endpoint::Token), 0);
}
