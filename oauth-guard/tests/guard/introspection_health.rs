//! What health and the log say of a server that is asked about tokens.

use std::time::Duration;

use oauth_client::secret;
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

/// Anyone can make a firewall say so, with tokens that it takes for attacks.
#[tokio::test(start_paused = true)]
async fn a_403_that_names_a_time_is_over_after_it() {
    for code in ["", r#"{"error":"access_denied"}"#] {
        let fixture = fixture();
        respond(&fixture, &active(&fixture));
        fixture.server.clear_faults();
        let guard = asking(&fixture, introspection());
        let fault = match code {
            "" => Fault::status(403),
            code => Fault::body(403, "application/json", code),
        };
        fixture.server.fault(Endpoint::Introspect, fault.retry_after_secs(1)).times(1);
        let lines = Log::listen();
        assert_eq!(call(&guard, "opaque-1").await.retry_after.as_deref(), Some("1"));
        let said = lines.take();
        assert!(said.contains("kind=\"server\"") && !said.contains("as a client"), "{said}");
        assert!(!guard.health().ok);
        advance(Duration::from_secs(1)).await;
        assert!(guard.health().ok, "{:?}", guard.health());
    }
}

#[tokio::test(start_paused = true)]
async fn the_advice_about_the_client_is_there_where_the_server_rejects_it_and_not_before() {
    let fixture = fixture();
    let guard = asking(&fixture, introspection());
    let lines = Log::listen();
    let ask = async |token: &str, status: u16| {
        fixture.server.fault(Endpoint::Introspect, Fault::status(status)).times(1);
        assert_eq!(call(&guard, token).await.status, 503);
        lines.take()
    };
    let of_one = ask("opaque-1", 403).await;
    assert!(of_one.contains("WARN") && !of_one.contains("change="), "{of_one}");
    let of_all = ask("opaque-2", 401).await;
    assert!(of_all.contains("WARN") && of_all.contains("rejects this guard as a client"), "{of_all}");
    let again = ask("opaque-3", 401).await;
    assert!(!again.contains("WARN"), "no news: {again}");
}

#[tokio::test(start_paused = true)]
async fn a_secret_that_cannot_be_read_is_named_as_such() {
    let fixture = fixture();
    let vault = || async { Err::<String, _>("the vault is sealed") };
    for (secret, kind, text) in [
        (secret::from_fn(vault), "secret", "the secret cannot be read"),
        (secret::from_file("/does/not/exist"), "configuration", "/does/not/exist cannot be read"),
    ] {
        let guard = asking(&fixture, Introspection::new(ClientAuth::basic("svc", secret)));
        let lines = Log::listen();
        assert_eq!(call(&guard, "opaque-1").await.status, 503);
        let said = lines.take();
        let warning = said.lines().find(|line| line.contains("could not be introspected")).unwrap();
        assert!(warning.contains(text) && !warning.contains("as a client"), "{said}");
        let asked = guard.health().issuers[0].introspection.clone().unwrap();
        assert_eq!((asked.last_error.as_deref(), questions(&fixture)), (Some(kind), 0));
    }
}

#[tokio::test(start_paused = true)]
async fn a_late_401_says_nothing_after_a_newer_success() {
    let fixture = fixture();
    let guard = asking(&fixture, introspection());
    let slow = Fault::status(401).after(Duration::from_secs(3));
    fixture.server.fault(Endpoint::Introspect, slow).times(1);
    let late = tokio::spawn({
        let guard = guard.clone();
        async move { call(&guard, "opaque-1").await.status }
    });
    settle().await;
    fixture.server.fault(Endpoint::Introspect, Fault::status(429).retry_after_secs(1)).times(1);
    assert_eq!(call(&guard, "opaque-2").await.status, 503);
    advance(Duration::from_secs(1)).await;
    assert_eq!(call(&guard, "opaque-3").await.status, 401);
    assert!(guard.health().ok);
    advance(Duration::from_secs(2)).await;
    assert_eq!(late.await.unwrap(), 503);
    assert!(guard.health().ok, "{:?}", guard.health());
}
