//! Tokens that the guard asks their server about (RFC 7662).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use oauth_client::transport::RequestBody;
use oauth_guard::{ClientAuth, Guard, HttpClient, IntrospectedTokens, Introspection, Issuer};
use oauth_mock::{Endpoint, Fault, Gate, MockClient, MockServer};
use serde_json::{Value, json};
use tokio::time::advance;

use crate::support::{Fixture, call, settle};

const TOKEN: &str = "ory_at_2YotnFZFEjr1zCsicMWpAA";

pub(crate) fn introspection() -> Introspection {
    Introspection::new(ClientAuth::basic("svc", "s3cr3t"))
}

pub(crate) fn fixture() -> Fixture {
    let server = MockServer::builder()
        .audience("orders-api")
        .client(MockClient::new("svc").secret("s3cr3t"))
        .client(MockClient::new("app").secret("s3cr3t").scopes(["read", "write"]).opaque_tokens())
        .in_process();
    Fixture { server, clock: oauth_guard::clock::TestClock::new() }
}

pub(crate) fn asking(fixture: &Fixture, introspection: Introspection) -> Guard {
    fixture.guard_of(fixture.issuer().introspection(introspection))
}

/// Makes the server say this about every token.
pub(crate) fn respond(fixture: &Fixture, body: &Value) {
    fixture.server.clear_faults();
    let fault = Fault::body(200, "application/json", body.to_string());
    fixture.server.fault(Endpoint::Introspect, fault).always();
}

pub(crate) fn active(fixture: &Fixture) -> Value {
    let now = fixture.server.clock().now_unix();
    json!({
        "active": true, "iss": fixture.server.issuer(), "aud": "orders-api", "sub": "ada", "client_id": "app",
        "scope": "read write", "token_type": "Bearer", "iat": now, "exp": now + 3600
    })
}

pub(crate) fn questions(fixture: &Fixture) -> usize {
    fixture.server.journal().count(Endpoint::Introspect)
}

#[tokio::test(start_paused = true)]
async fn an_opaque_token_of_the_server_is_asked_about_once_and_a_revoked_one_is_rejected() {
    let fixture = fixture();
    let guard = asking(&fixture, introspection());
    let issued = fixture.server.issue("app", "ada", "read").unwrap();
    for _ in 0..3 {
        let reply = call(&guard, &issued.access_token).await;
        assert_eq!((reply.status, &*reply.body), (200, "ada"));
    }
    assert_eq!(questions(&fixture), 1);
    assert_eq!(fixture.server.journal().count(Endpoint::Jwks), 0);

    fixture.server.revoke_token(&issued.access_token);
    advance(Duration::from_secs(59)).await;
    assert_eq!(call(&guard, &issued.access_token).await.status, 200, "cached for a minute");
    advance(Duration::from_secs(2)).await;
    assert_eq!(call(&guard, &issued.access_token).await.summary(), (401, Some("invalid_token")));
    assert_eq!(questions(&fixture), 2);
    assert_eq!(call(&guard, &issued.access_token).await.status, 401);
    assert_eq!(questions(&fixture), 2, "a no is remembered");
    advance(Duration::from_secs(10)).await;
    assert_eq!(call(&guard, &issued.access_token).await.status, 401);
    assert_eq!(questions(&fixture), 3);
}

/// Every violation singly: what the response says, and what comes of it. Printed with `--nocapture`.
#[tokio::test(start_paused = true)]
async fn each_member_of_a_response_is_validated() {
    let fixture = fixture();
    let now = fixture.server.clock().now_unix();
    type Row = (&'static str, Value, (u16, Option<&'static str>));
    let table: Vec<Row> = vec![
        ("active", json!(false), (401, Some("invalid_token"))),
        ("active", json!("true"), (503, None)),
        ("active", json!(1), (503, None)),
        ("active", Value::Null, (503, None)),
        ("exp", json!(now - 61), (401, Some("invalid_token"))),
        ("exp", json!(now - 59), (200, None)),
        ("exp", json!("soon"), (503, None)),
        ("exp", Value::Null, (200, None)),
        ("nbf", json!(now + 61), (401, Some("invalid_token"))),
        ("nbf", json!(now + 59), (200, None)),
        ("iat", json!(now + 61), (401, Some("invalid_token"))),
        ("iat", json!([now]), (503, None)),
        ("iss", json!("https://other.example"), (401, Some("invalid_token"))),
        ("iss", Value::Null, (200, None)),
        ("iss", json!([fixture.server.issuer()]), (503, None)),
        ("aud", json!("other-api"), (401, Some("invalid_token"))),
        ("aud", json!(["other-api", "orders-api"]), (200, None)),
        ("aud", json!([]), (401, Some("invalid_token"))),
        ("aud", Value::Null, (401, Some("invalid_token"))),
        ("aud", json!({}), (503, None)),
        ("aud", json!(["orders-api", 1]), (503, None)),
        ("token_type", json!("bearer"), (200, None)),
        ("token_type", json!("mac"), (401, Some("invalid_token"))),
        ("token_type", json!("DPoP"), (401, Some("invalid_token"))),
        ("token_type", Value::Null, (200, None)),
        ("cnf", json!({"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}), (401, Some("invalid_token"))),
        ("cnf", json!({}), (401, Some("invalid_token"))),
        ("cnf", Value::Null, (200, None)),
        ("cnf", json!("x"), (503, None)),
        ("scope", json!(["read"]), (200, None)),
        ("scope", json!(7), (503, None)),
        ("sub", json!(7), (503, None)),
        ("client_id", json!({}), (503, None)),
    ];
    for (member, value, expected) in table {
        let mut body = active(&fixture);
        body[member] = value;
        respond(&fixture, &body);
        let guard = asking(&fixture, introspection());
        let reply = call(&guard, TOKEN).await;
        let (status, error) = reply.summary();
        println!("{:52} {status} {}", format!("{member}: {}", body[member]), error.unwrap_or_default());
        assert_eq!(reply.summary(), expected, "{member}: {body}");
        assert_eq!(reply.retry_after.is_some(), expected.0 == 503, "{body}");
        assert!(reply.leaks_nothing(Some(TOKEN)));
    }
    for (body, status) in [
        (r#"{"active":false,"active":true}"#, 503),
        (r#"{"active":true,"aud":"orders-api","x":{"a":1,"a":2}}"#, 503),
        ("[]", 503),
        ("", 503),
        ("<html>", 503),
        (r#"{"active":true,"aud":"orders-api"}"#, 200),
    ] {
        fixture.server.clear_faults();
        fixture.server.fault(Endpoint::Introspect, Fault::body(200, "application/json", body)).always();
        println!("{:52} {status}", format!("{body:?}"));
        assert_eq!(call(&asking(&fixture, introspection()), TOKEN).await.status, status, "{body}");
    }
    for status in [201, 204, 302, 400, 401, 403, 404, 429, 500, 503] {
        fixture.server.clear_faults();
        let fault = Fault::body(status, "application/json", active(&fixture).to_string());
        fixture.server.fault(Endpoint::Introspect, fault).always();
        let guard = asking(&fixture, introspection());
        assert_eq!(call(&guard, TOKEN).await.status, 503, "{status}");
        respond(&fixture, &active(&fixture));
        advance(Duration::from_secs(1)).await;
        assert_eq!(call(&guard, TOKEN).await.status, 200, "trouble is not cached, {status}");
    }
    let mut large = active(&fixture);
    large["padding"] = json!("x".repeat(64 * 1024));
    respond(&fixture, &large);
    assert_eq!(call(&asking(&fixture, introspection()), TOKEN).await.status, 503);
}

#[tokio::test(start_paused = true)]
async fn a_cached_token_ends_with_its_exp_whatever_the_cache_allows() {
    let fixture = fixture();
    let mut body = active(&fixture);
    body["exp"] = json!(fixture.server.clock().now_unix() + 20);
    respond(&fixture, &body);
    let guard = asking(&fixture, introspection());
    assert_eq!(call(&guard, TOKEN).await.status, 200);
    advance(Duration::from_secs(19)).await;
    assert_eq!((call(&guard, TOKEN).await.status, questions(&fixture)), (200, 1));
    advance(Duration::from_secs(2)).await;
    assert_eq!(
        (call(&guard, TOKEN).await.status, questions(&fixture)),
        (200, 2),
        "within the leeway, asked anew"
    );
    advance(Duration::from_secs(60)).await;
    assert_eq!(call(&guard, TOKEN).await.status, 401);
}

#[tokio::test(start_paused = true)]
async fn with_no_cache_every_request_is_a_question() {
    let fixture = fixture();
    respond(&fixture, &active(&fixture));
    let guard = asking(&fixture, introspection().cache(Duration::ZERO).negative_cache(Duration::ZERO));
    for asked in 1..=3 {
        assert_eq!((call(&guard, TOKEN).await.status, questions(&fixture)), (200, asked));
    }
    respond(&fixture, &json!({"active": false}));
    for asked in 4..=5 {
        assert_eq!((call(&guard, TOKEN).await.status, questions(&fixture)), (401, asked));
    }
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_callers_with_one_new_token_ask_once_and_share_a_failure() {
    let fixture = fixture();
    let gate = Gate::new();
    respond(&fixture, &active(&fixture));
    fixture.server.fault(Endpoint::Introspect, Fault::hold(&gate)).always();
    let guard = asking(&fixture, introspection());
    let callers = |guard: &Guard| -> Vec<_> {
        (0..10_000)
            .map(|_| {
                let guard = guard.clone();
                tokio::spawn(async move { call(&guard, TOKEN).await.status })
            })
            .collect()
    };
    let waiting = callers(&guard);
    settle().await;
    // The one whose request it was goes away.
    waiting[0].abort();
    gate.open();
    for caller in waiting.into_iter().skip(1) {
        assert_eq!(caller.await.unwrap(), 200);
    }
    assert_eq!(questions(&fixture), 1);

    fixture.server.clear_faults();
    fixture.server.fault(Endpoint::Introspect, Fault::status(500)).always();
    let guard = asking(&fixture, introspection());
    for caller in callers(&guard) {
        assert_eq!(caller.await.unwrap(), 503);
    }
    let asked = questions(&fixture) - 1;
    assert!((1..=4).contains(&asked), "{asked} questions: one, and no more than the tries before a pause");
}

/// The response comes at once: the first caller has it before the next one has validated the token.
#[tokio::test(start_paused = true)]
async fn callers_that_wait_for_keys_together_ask_once() {
    for status in [200, 401] {
        let fixture = fixture();
        let body = if status == 200 { active(&fixture) } else { json!({"active": false}) }.to_string();
        let asked = Arc::new(AtomicUsize::new(0));
        let http = HttpClient::from_service(tower::service_fn({
            let asked = Arc::clone(&asked);
            move |_: Request<RequestBody>| {
                asked.fetch_add(1, Ordering::SeqCst);
                let response = Response::builder().header("content-type", "application/json");
                std::future::ready(response.body(Full::<Bytes>::from(body.clone())))
            }
        }));
        let introspection = introspection().tokens(IntrospectedTokens::Both).http(http);
        let guard = asking(&fixture, introspection.endpoint("https://auth.example.com/introspect"));
        let gate = Gate::new();
        fixture.server.fault(Endpoint::Jwks, Fault::hold(&gate)).always();
        let jwt = fixture.server.mint().subject("ada").build();
        let callers: Vec<_> = (0..20)
            .map(|_| {
                let (guard, jwt) = (guard.clone(), jwt.clone());
                tokio::spawn(async move { call(&guard, &jwt).await.status })
            })
            .collect();
        settle().await;
        gate.open();
        for caller in callers {
            assert_eq!(caller.await.unwrap(), status);
        }
        assert_eq!(asked.load(Ordering::SeqCst), 1, "{status}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_in_trouble_is_left_alone_and_its_retry_after_is_obeyed() {
    let fixture = fixture();
    let guard = asking(&fixture, introspection());
    fixture.server.fault(Endpoint::Introspect, Fault::status(503).retry_after_secs(20)).times(1);
    let reply = call(&guard, TOKEN).await;
    assert_eq!((reply.status, reply.retry_after.as_deref()), (503, Some("20")));
    advance(Duration::from_secs(19)).await;
    assert_eq!((call(&guard, TOKEN).await.status, questions(&fixture)), (503, 1));
    respond(&fixture, &active(&fixture));
    advance(Duration::from_secs(2)).await;
    assert_eq!((call(&guard, TOKEN).await.status, questions(&fixture)), (200, 2));

    fixture.server.clear_faults();
    fixture.server.fault(Endpoint::Introspect, Fault::hang()).always();
    for nth in 0..20 {
        assert_eq!(call(&guard, &format!("opaque-{nth}")).await.status, 503);
    }
    assert_eq!(questions(&fixture), 2 + 3, "three failures, then a pause");
    let health = guard.health();
    let asked = health.issuers[0].introspection.as_ref().unwrap();
    assert_eq!((health.ok, asked.ok, asked.last_error.as_deref()), (false, false, Some("network")));
    assert_eq!(call(&guard, TOKEN).await.status, 200, "what is known is still accepted");
}

/// A probe that fails takes the traffic away, and with it the questions.
#[tokio::test(start_paused = true)]
async fn the_probe_alone_brings_a_guard_back_whose_server_may_be_asked_again() {
    let fixture = fixture();
    let guard = asking(&fixture, introspection());
    let ok = || {
        let health = guard.health();
        assert_eq!(health.ok, health.issuers[0].introspection.as_ref().unwrap().ok);
        health.ok
    };
    fixture.server.fault(Endpoint::Introspect, Fault::status(500)).always();
    for nth in 0..3 {
        assert!(ok(), "{nth}");
        assert_eq!(call(&guard, &format!("opaque-{nth}")).await.status, 503);
    }
    assert!(!ok(), "left alone");
    advance(Duration::from_millis(1_001)).await;
    assert!(ok(), "the next question is asked");
    // It fails, too: left alone for longer.
    assert_eq!((call(&guard, TOKEN).await.status, questions(&fixture)), (503, 4));
    assert!(!ok());
    advance(Duration::from_millis(1_001)).await;
    assert!(!ok(), "two seconds this time");
    advance(Duration::from_secs(1)).await;
    assert!(ok());
    respond(&fixture, &active(&fixture));
    assert_eq!((call(&guard, TOKEN).await.status, ok()), (200, true));
    // A server that asks to be left alone is, too.
    fixture.server.clear_faults();
    fixture.server.fault(Endpoint::Introspect, Fault::status(503).retry_after_secs(20)).times(1);
    assert_eq!(call(&guard, "another-opaque-token").await.status, 503);
    assert!(!ok());
    advance(Duration::from_secs(20)).await;
    assert!(ok());
}

#[tokio::test(start_paused = true)]
async fn a_token_that_the_server_chokes_on_does_not_close_the_way_for_others() {
    let fixture = fixture();
    let guard = asking(&fixture, introspection());
    for fault in [Fault::status(400), Fault::body(200, "text/html", "<html>")] {
        fixture.server.clear_faults();
        fixture.server.fault(Endpoint::Introspect, fault).always();
        for nth in 0..20 {
            assert_eq!(call(&guard, &format!("odd-{nth}")).await.status, 503);
        }
        respond(&fixture, &active(&fixture));
        let token = format!("good-{}", questions(&fixture));
        assert_eq!(call(&guard, &token).await.status, 200);
    }
}

#[tokio::test(start_paused = true)]
async fn jwts_are_validated_by_keys_and_asked_about_where_that_is_configured() {
    let fixture = fixture();
    let jwt = fixture.server.mint().subject("ada").build();
    let guard = asking(&fixture, introspection());
    assert_eq!((call(&guard, &jwt).await.status, questions(&fixture)), (200, 0));

    let both = || asking(&fixture, introspection().tokens(IntrospectedTokens::Both));
    for (change, status) in [
        (json!({}), 200),
        (json!({"active": false}), 401),
        (json!({"sub": "eve"}), 401),
        (json!({"iss": "https://other.example"}), 401),
        (json!({"aud": "other-api"}), 200), // The claims of the JWT count.
        (json!({"exp": "soon"}), 503),
    ] {
        let mut body = active(&fixture);
        body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        respond(&fixture, &body);
        let guard = both();
        let before = questions(&fixture);
        assert_eq!(call(&guard, &jwt).await.status, status, "{change}");
        assert_eq!(questions(&fixture), before + 1);
        let forged = fixture.server.mint().signature("AAAA").build();
        assert_eq!(call(&guard, &forged).await.status, 401);
        assert_eq!(questions(&fixture), before + 1, "a forged JWT is not asked about");
    }

    respond(&fixture, &active(&fixture));
    let keys = fixture.server.journal().count(Endpoint::Jwks);
    let any = asking(&fixture, introspection().tokens(IntrospectedTokens::Any));
    let odd = fixture.server.mint().expires_in(-120).build();
    for token in [&jwt, &odd, TOKEN] {
        assert_eq!(call(&any, token).await.status, 200, "the server's word counts");
    }
    assert_eq!(fixture.server.journal().count(Endpoint::Jwks), keys, "no keys are used");
}

#[tokio::test(start_paused = true)]
async fn a_jwt_that_names_another_issuer_is_never_sent_to_this_one() {
    let fixture = fixture();
    let other = Fixture::new();
    respond(&fixture, &active(&fixture));
    let guard = fixture
        .builder()
        .issuer(fixture.issuer().introspection(introspection().tokens(IntrospectedTokens::Any)))
        .issuer(
            Issuer::new("https://other.example")
                .audience("orders-api")
                .jwks_json(other.server.keys().jwks_json()),
        )
        .build()
        .unwrap();
    let theirs = other.server.mint().issuer("https://other.example").build();
    assert_eq!((call(&guard, &theirs).await.status, questions(&fixture)), (200, 0));
    let forged = fixture.server.mint().issuer("https://other.example").build();
    assert_eq!((call(&guard, &forged).await.status, questions(&fixture)), (401, 0));
}

#[tokio::test(start_paused = true)]
async fn a_prefix_decides_who_is_asked_and_what_is_malformed_is_never_sent() {
    let fixture = fixture();
    respond(&fixture, &active(&fixture));
    let guard = fixture.guard_of(fixture.issuer().introspection(introspection()).token_prefix("ory_at_"));
    assert_eq!((call(&guard, TOKEN).await.status, questions(&fixture)), (200, 1));
    assert_eq!(call(&guard, "other_2YotnFZFEjr1zCsicMWpAA").await.summary(), (401, Some("invalid_token")));
    for (bad, status) in [("ory_at_a=b", 400), ("ory_at_ä", 400), ("ory_at_a,b", 400)] {
        assert_eq!(call(&guard, bad).await.status, status, "{bad}");
    }
    let long = format!("ory_at_{}", "a".repeat(9000));
    assert_eq!(call(&guard, &long).await.status, 401);
    assert_eq!(questions(&fixture), 1);
}

#[test]
fn two_issuers_that_could_take_one_token_are_an_error_that_names_both() {
    let issuer = |name: &str| Issuer::new(name).audience("orders-api").introspection(introspection());
    let build = |one: Issuer, two: Issuer| Guard::builder().issuer(one).issuer(two).build();
    for (one, two) in [
        (issuer("https://a.example"), issuer("https://b.example")),
        (issuer("https://a.example").token_prefix("a_"), issuer("https://b.example")),
        (issuer("https://a.example").token_prefix("a_"), issuer("https://b.example").token_prefix("a_b_")),
    ] {
        let error = build(one, two).unwrap_err().to_string();
        assert!(
            error.contains("issuer[1].token_prefix")
                && error.contains("a.example")
                && error.contains("b.example")
        );
    }
    let (one, two) =
        (issuer("https://a.example").token_prefix("a_"), issuer("https://b.example").token_prefix("b_"));
    build(one, two).unwrap();
    let alone = Issuer::new("https://a.example").audience("orders-api").token_prefix("a_");
    assert!(Guard::builder().issuer(alone).build().unwrap_err().to_string().contains("token_prefix"));
    for (wrong, field) in [
        (introspection().timeout(Duration::ZERO), "issuer[0].introspection.timeout_seconds"),
        (introspection().max_concurrent(0), "issuer[0].introspection.max_concurrent"),
        (introspection().endpoint("not a url"), "issuer[0].introspection.endpoint"),
        (introspection().endpoint("http://auth.example.com/introspect"), "issuer[0].introspection.endpoint"),
    ] {
        let issuer = Issuer::new("https://a.example").audience("orders-api").introspection(wrong);
        let error = Guard::builder().issuer(issuer).build().unwrap_err();
        assert!(error.to_string().contains(field), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn invented_tokens_push_no_valid_one_out() {
    let fixture = fixture();
    respond(&fixture, &active(&fixture));
    let guard = asking(&fixture, introspection());
    assert_eq!(call(&guard, TOKEN).await.status, 200);
    respond(&fixture, &json!({"active": false}));
    for nth in 0..2_000 {
        assert_eq!(call(&guard, &format!("invented-{nth}")).await.status, 401);
    }
    let before = questions(&fixture);
    assert_eq!((call(&guard, TOKEN).await.status, questions(&fixture)), (200, before));
}

#[tokio::test(start_paused = true)]
async fn a_reload_ends_what_was_learnt() {
    let fixture = fixture();
    respond(&fixture, &active(&fixture));
    let guard = asking(&fixture, introspection());
    assert_eq!(call(&guard, TOKEN).await.status, 200);
    guard.reload(fixture.builder().issuer(fixture.issuer().introspection(introspection()))).unwrap();
    assert_eq!((call(&guard, TOKEN).await.status, questions(&fixture)), (200, 2));
}

#[tokio::test(start_paused = true)]
async fn a_reload_ends_no_pause_that_the_server_asked_for() {
    let fixture = fixture();
    let guard = asking(&fixture, introspection());
    fixture.server.fault(Endpoint::Introspect, Fault::status(503).retry_after_secs(20)).times(1);
    assert_eq!(call(&guard, TOKEN).await.status, 503);
    let reload = |introspection| {
        guard.reload(fixture.builder().issuer(fixture.issuer().introspection(introspection))).unwrap();
    };
    reload(introspection());
    advance(Duration::from_secs(5)).await;
    let reply = call(&guard, TOKEN).await;
    assert_eq!((reply.status, reply.retry_after.as_deref(), questions(&fixture)), (503, Some("15"), 1));
    // Another server, or another client, did not ask for it.
    reload(introspection().endpoint(fixture.server.endpoint(Endpoint::Introspect)));
    respond(&fixture, &active(&fixture));
    assert_eq!((call(&guard, TOKEN).await.status, questions(&fixture)), (200, 2));
    // What was wrong may be mended by the reload, so our own pauses end.
    fixture.server.clear_faults();
    fixture.server.fault(Endpoint::Introspect, Fault::status(500)).always();
    reload(introspection());
    for nth in 0..5 {
        assert_eq!(call(&guard, &format!("opaque-{nth}")).await.status, 503);
    }
    assert_eq!(questions(&fixture), 5, "three more, then a pause");
    respond(&fixture, &active(&fixture));
    reload(introspection());
    assert_eq!((call(&guard, TOKEN).await.status, questions(&fixture)), (200, 6));
}

#[tokio::test(start_paused = true)]
async fn an_explanation_says_what_is_known_and_asks_only_where_that_is_wanted() {
    let fixture = fixture();
    respond(&fixture, &active(&fixture));
    let guard = asking(&fixture, introspection());
    let before = guard.explain(TOKEN);
    assert_eq!((before.code, questions(&fixture)), (Some("introspection_unavailable"), 0));
    let fetched = guard.explain_fetching(TOKEN).await;
    assert_eq!((fetched.code, questions(&fixture)), (None, 1));
    assert!(fetched.claims.iter().any(|claim| claim.name == "sub" && claim.value == "\"ada\""));
    let cached = guard.explain(TOKEN).to_string();
    assert!(cached.contains("asked again in 60 s"), "{cached}");
    assert!(!cached.contains(TOKEN));
    respond(&fixture, &json!({"active": false}));
    let inactive = guard.explain_fetching("opaque").await;
    assert_eq!((inactive.code, inactive.reason), (Some("invalid_token"), Some("token_inactive")));
}

#[cfg(feature = "toml")]
#[test]
fn the_table_of_a_configuration_is_read_and_its_errors_are_named() {
    let read = |table: &str| {
        let issuer = "[[issuer]]\nissuer = \"https://auth.example.com\"\naudience = [\"orders-api\"]\n";
        let text = format!("{issuer}token_prefix = \"ory_at_\"\n[issuer.introspection]\n{table}");
        oauth_guard::config::GuardConfig::from_toml(&text).and_then(|config| config.build())
    };
    read("client_id = \"a\"\nclient_secret = \"s3cr3t\"\ntokens = \"both\"\ncache_seconds = 0").unwrap();
    read("client_id = \"a\"\nclient_auth = \"none\"\nendpoint = \"https://auth.example.com/i\"").unwrap();
    let complete = |more: &str| format!("client_id = \"a\"\nclient_secret = \"s\"\n{more}");
    for (table, field) in [
        ("client_secret = \"s3cr3t\"".to_owned(), "client_id"),
        ("client_id = \"a\"".to_owned(), "client_secret"),
        (
            "client_id = \"a\"\nclient_secret = { env = \"OAUTH_GUARD_NOT_SET\" }".to_owned(),
            "client_secret.env",
        ),
        ("client_id = \"a\"\nclient_auth = \"private_key_jwt\"".to_owned(), "private_key"),
        (complete("tokens = \"all\""), "tokens"),
        (complete("timeout_seconds = 0"), "timeout_seconds"),
        (complete("max_concurrent = 0"), "max_concurrent"),
        (complete("endpiont = \"x\""), "endpiont"),
        (complete("tls = { ca = \"/none/ca.crt\" }"), "tls.ca"),
    ] {
        let error = read(&table).unwrap_err().to_string();
        assert!(error.contains(&format!("issuer[0].introspection.{field}")), "{field}: {error}");
    }
}
