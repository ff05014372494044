//! What health and the log say of a server that is asked about tokens.

use std::time::Duration;

use oauth_guard::{ClientAuth, IntrospectedTokens, Introspection};
use oauth_mock::{Endpoint, Fault};
use tokio::time::advance;

use super::introspection::{active, asking, fixture, introspection, questions, respond};
use crate::log::Log;
use crate::support::{call, settle};

#[tokio::test(start_paused = true)]
async fn health_tells_our_own_credentials_from_the_network() {
    let fixture = fixture();
    let guard = asking(&fixture, Introspection::new(ClientAuth::basic("svc", "wrong")));
    let issued = fixture.server.issue("app", "ada", "read").unwrap();
    assert_eq!(call(&guard, &issued.access_token).await.status, 503);
    let health = guard.health();
    let asked = health.issuers[0].introspection.as_ref().unwrap();
    assert_eq!(asked.last_error.as_deref(), Some("credentials"));
    assert_eq!((asked.questions, asked.failures, asked.active), (1, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn wrong_credentials_are_not_ok_at_once_and_the_log_says_what_to_change() {
    let fixture = fixture();
    let guard = asking(&fixture, Introspection::new(ClientAuth::basic("svc", "wrong")));
    let lines = Log::listen();
    assert_eq!(call(&guard, "opaque-1").await.status, 503);
    let said = lines.take();
    let warning = said.lines().find(|line| line.contains("could not be introspected")).unwrap();
    assert!(
        warning.contains("WARN") && warning.contains("change=") && warning.contains("client_secret"),
        "{said}"
    );
    assert!(!guard.health().ok && !guard.health().issuers[0].ok, "{:?}", guard.health());
    // Others are asked on, and it is over by itself: a service that is out of rotation asks no question that could end it.
    assert_eq!(call(&guard, "opaque-2").await.status, 503);
    assert_eq!(questions(&fixture), 2);
    advance(Duration::from_secs(31)).await;
    assert!(guard.health().ok);
    assert_eq!(call(&guard, "opaque-3").await.status, 503);
    assert!(!guard.health().ok);
    // One good response ends it as well.
    respond(&fixture, &active(&fixture));
    advance(Duration::from_secs(2)).await;
    assert_eq!(call(&guard, "opaque-4").await.status, 200);
    assert!(guard.health().ok);
    // A firewall's 403 may be about one token, and network trouble may be over with the next question.
    for fault in [Fault::status(403), Fault::status(500)] {
        fixture.server.clear_faults();
        fixture.server.fault(Endpoint::Introspect, fault).times(1);
        assert_eq!(call(&guard, "opaque-5").await.status, 503);
        assert!(guard.health().ok);
    }
}

/// Otherwise a service stays in rotation that answers each of its callers with 503.
#[tokio::test(start_paused = true)]
async fn health_looks_at_the_keys_where_jwts_need_them() {
    for (tokens, needs_keys) in [
        (IntrospectedTokens::Both, true),
        (IntrospectedTokens::Opaque, false),
        (IntrospectedTokens::Any, false),
    ] {
        let fixture = fixture();
        respond(&fixture, &active(&fixture));
        let guard = asking(&fixture, introspection().tokens(tokens));
        for answer in [Fault::status(500), Fault::body(200, "application/json", r#"{"keys":[]}"#)] {
            fixture.server.clear_faults();
            fixture.server.fault(Endpoint::Jwks, answer).always();
            let _ = guard.health();
            settle().await;
            advance(Duration::from_secs(60)).await;
            assert_eq!(guard.health().ok, !needs_keys, "{tokens:?}");
            assert_eq!(guard.health().issuers[0].ok, !needs_keys, "{tokens:?}");
        }
    }
}
