//! Dry runs: requests that rules would reject are logged and forwarded; all other rejections stay.

use bytes::Bytes;
use http::{Request, header};
use http_body_util::Full;
use oauth_guard::{GuardLayer, Requirement, Rule};

use crate::log::Log;
use crate::support::{Fixture, send_request};

async fn get(layer: &GuardLayer, path: &str, token: Option<&str>) -> u16 {
    let mut request = Request::get(path);
    if let Some(token) = token {
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
    send_request(layer, request.body(Full::<Bytes>::default()).unwrap()).await.status
}

#[tokio::test(start_paused = true)]
async fn a_guard_in_a_dry_run_logs_what_rules_and_layers_would_reject() {
    let fixture = Fixture::new();
    let log = Log::listen();
    let rule =
        Rule::new("/orders/{id}").require(Requirement::scope("write") & Requirement::claim("tenant", "acme"));
    let guard = fixture.builder().issuer(fixture.issuer()).rule(rule).dry_run().build().unwrap();
    let layer = guard.layer().require(Requirement::scope("beta"));
    let token = fixture.server.mint().subject("ada").scope("read").claim("tenant", "hidden").build();
    log.take();
    assert_eq!(get(&layer, "/orders/secret-7", Some(&token)).await, 200);
    let line = log.take();
    for field in [
        r#"code="insufficient_scope""#,
        r#"rule="/orders/{id}""#,
        r#"needed="write beta""#,
        "dry_run=true",
        "issuer=",
    ] {
        assert!(line.contains(field), "{field} is missing in {line}");
    }
    for secret in ["secret-7", "hidden", "acme", "ada", token.as_str()] {
        assert!(!line.contains(secret), "{secret} is in {line}");
    }
    assert_eq!(get(&layer, "/orders/../admin", Some(&token)).await, 200);
    assert!(log.take().contains(r#"code="invalid_request""#));
    let rich = fixture.server.mint().scope("write beta").claim("tenant", "acme").build();
    assert_eq!(get(&layer, "/orders/7", Some(&rich)).await, 200);
    assert!(!log.take().contains("dry_run"));
}

#[tokio::test(start_paused = true)]
async fn invalid_and_missing_tokens_are_rejected_in_a_dry_run() {
    let fixture = Fixture::new();
    let rule = Rule::new("/orders").require(Requirement::scope("write"));
    let layer = fixture.builder().issuer(fixture.issuer()).rule(rule).dry_run().build().unwrap().layer();
    assert_eq!(get(&layer, "/orders", None).await, 401);
    assert_eq!(get(&layer, "/orders", Some("a.b.c")).await, 401);
    let expired = fixture.server.mint().expires_in(-3600).build();
    assert_eq!(get(&layer, "/orders", Some(&expired)).await, 401);
}

#[tokio::test(start_paused = true)]
async fn one_rule_can_be_in_a_dry_run_beside_enforced_ones() {
    let fixture = Fixture::new();
    let log = Log::listen();
    let guard = fixture
        .builder()
        .issuer(fixture.issuer())
        .rule(Rule::new("/new").require(Requirement::scope("write")).dry_run())
        .rule(Rule::new("/old").require(Requirement::scope("write")));
    let guard = guard.build().unwrap();
    let token = fixture.server.mint().scope("read").build();
    log.take();
    assert_eq!(get(&guard.layer(), "/new", Some(&token)).await, 200);
    assert!(log.take().contains(r#"rule="/new""#));
    assert_eq!(get(&guard.layer(), "/old", Some(&token)).await, 403);
    let strict = guard.layer().require(Requirement::scope("admin"));
    assert_eq!(get(&strict, "/new", Some(&token)).await, 403, "the layer is not on a dry run");
}

#[tokio::test(start_paused = true)]
async fn with_both_dry_runs_one_line_names_what_rule_and_layer_would_reject() {
    let fixture = Fixture::new();
    let log = Log::listen();
    let rule = Rule::new("/new").require(Requirement::scope("write")).dry_run();
    let guard = fixture.builder().issuer(fixture.issuer()).rule(rule).dry_run().build().unwrap();
    let layer = guard.layer().require(Requirement::scope("beta"));
    let token = fixture.server.mint().scope("read").build();
    log.take();
    assert_eq!(get(&layer, "/new", Some(&token)).await, 200);
    let line = log.take();
    assert!(line.contains(r#"needed="write beta""#) && line.matches("dry_run=true").count() == 1, "{line}");
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_from_a_file_covers_the_rules_only() {
    let fixture = Fixture::new();
    let log = Log::listen();
    let config: oauth_guard::config::GuardConfig = serde_json::from_value(serde_json::json!({
        "issuer": [{ "issuer": fixture.server.issuer(), "audience": ["orders-api"] }],
        "rule": [{ "path": "/orders", "require": { "scope": "write" } }],
        "dry_run": true,
    }))
    .unwrap();
    let http = oauth_guard::HttpClient::from_service(fixture.server.transport());
    let guard = config.into_builder().http(http).clock(fixture.clock.clone()).build().unwrap();
    let token = fixture.server.mint().scope("read").build();
    log.take();
    assert_eq!(get(&guard.layer(), "/orders", Some(&token)).await, 200);
    assert!(log.take().contains(r#"needed="write""#));
    // What stands next to the handler is enforced, in layers and in handlers.
    let strict = guard.layer().require(Requirement::scope("admin"));
    assert_eq!(get(&strict, "/orders", Some(&token)).await, 403);
    let request = Request::get("/orders").header(header::AUTHORIZATION, format!("Bearer {token}"));
    let claims = guard.check(&request.body(()).unwrap()).resolve().await.unwrap().unwrap();
    assert!(guard.require(&Requirement::scope("admin"), &claims).is_err());
    assert!(guard.require(&Requirement::scope("read"), &claims).is_ok());
}
