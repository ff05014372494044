//! The API under its own rules, guard.toml, with tokens that the tests make: no authorization server is needed.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::sync::OnceLock;
use std::task::Poll;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::Request;
use http::header::{
    ACCESS_CONTROL_ALLOW_ORIGIN, ALLOW, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, ORIGIN, RETRY_AFTER,
    WWW_AUTHENTICATE,
};
use http::{Response, StatusCode};
use http_body_util::BodyExt;
use metrics_exporter_prometheus::PrometheusHandle;
use oauth_guard::config::GuardConfig;
use oauth_guard::{Guard, HttpClient, Issuer, testing};
use oauth_mock::MockServer;
use orders::service::Service;
use orders::settings::Settings;
use orders::{admin, app};
use serde_json::{Value, json};
use tower::ServiceExt;

fn settings() -> Settings {
    Settings::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("service.toml"), |_| None).unwrap()
}

/// The rules that are deployed, and an issuer of the tests beside the real one.
fn service() -> Service {
    let config = GuardConfig::from_file(settings().guard).unwrap();
    Service::from_builder(config.into_builder().issuer(testing::issuer().unwrap())).unwrap()
}

fn api() -> Router {
    app::app(service(), &settings()).unwrap()
}

fn token(claims: Value) -> String {
    let mut claims = claims;
    if claims.get("tenant").is_none() {
        claims["tenant"] = json!("acme");
    }
    testing::token(claims).unwrap()
}

fn request(method: &str, path: &str, token: Option<&str>) -> Request {
    let builder = Request::builder().method(method).uri(path).header(CONTENT_TYPE, "application/json");
    let builder =
        token.iter().fold(builder, |builder, token| builder.header(AUTHORIZATION, format!("Bearer {token}")));
    let body = if method == "POST" { Body::from(r#"{"item":"tea"}"#) } else { Body::empty() };
    builder.body(body).unwrap()
}

async fn status(api: &Router, method: &str, path: &str, token: Option<&str>) -> StatusCode {
    api.clone().oneshot(request(method, path, token)).await.unwrap().status()
}

async fn text(response: Response<Body>) -> String {
    String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

/// One recorder for all tests of this process.
fn metrics() -> PrometheusHandle {
    static METRICS: OnceLock<PrometheusHandle> = OnceLock::new();
    METRICS.get_or_init(|| admin::record().unwrap()).clone()
}

#[tokio::test]
async fn each_route_wants_what_guard_toml_says() {
    let api = api();
    let read = token(json!({ "scope": "orders:read" }));
    let write = token(json!({ "scope": "orders:write" }));
    let manager = token(json!({ "scope": "orders:write", "roles": ["manager"] }));
    for (method, path, token, expected) in [
        ("GET", "/orders", None, 401),
        ("GET", "/orders", Some("not-a-token"), 401),
        ("GET", "/orders", Some(&*read), 200),
        ("GET", "/orders", Some(&*write), 403),
        ("POST", "/orders", Some(&*read), 403),
        ("POST", "/orders", Some(&*write), 201),
        ("DELETE", "/orders/1", Some(&*write), 403),
        ("DELETE", "/orders/1", Some(&*manager), 204),
        ("DELETE", "/orders/1", Some(&*manager), 404),
    ] {
        assert_eq!(status(&api, method, path, token).await, expected, "{method} {path}");
    }
}

#[tokio::test]
async fn what_has_no_rule_is_closed() {
    let api = api();
    let all = token(json!({ "scope": "orders:read orders:write", "roles": ["manager"] }));
    assert_eq!(status(&api, "GET", "/debug", Some(&all)).await, 403);
    assert_eq!(status(&api, "GET", "/orders/1", Some(&all)).await, 403, "only DELETE has a rule there");
    assert_eq!(status(&api, "GET", "/debug", None).await, 403, "no token would help");
}

#[tokio::test]
async fn tenants_do_not_see_each_other() {
    let api = api();
    let write = token(json!({ "tenant": "acme", "scope": "orders:write", "sub": "ada" }));
    assert_eq!(status(&api, "POST", "/orders", Some(&write)).await, 201);
    for (tenant, expected) in
        [("acme", json!([{ "id": 1, "item": "tea", "by": "ada" }])), ("other", json!([]))]
    {
        let read = token(json!({ "tenant": tenant, "scope": "orders:read" }));
        let response = api.clone().oneshot(request("GET", "/orders", Some(&read))).await.unwrap();
        assert_eq!(serde_json::from_str::<Value>(&text(response).await).unwrap(), expected, "{tenant}");
    }
}

#[tokio::test]
async fn a_token_without_the_claims_of_this_api_is_rejected() {
    let without = testing::token(json!({ "scope": "orders:read" })).unwrap();
    assert_eq!(status(&api(), "GET", "/orders", Some(&without)).await, 401);
}

#[tokio::test]
async fn every_error_is_a_problem_that_tells_no_reason() {
    let api = api();
    let expired = token(json!({ "exp": 1_000_000_000 }));
    let response = api.clone().oneshot(request("GET", "/orders", Some(&expired))).await.unwrap();
    assert_eq!(response.status(), 401);
    assert_eq!(response.headers()[CONTENT_TYPE], "application/problem+json");
    let challenge = response.headers()[WWW_AUTHENTICATE].to_str().unwrap().to_owned();
    assert!(challenge.starts_with(r#"Bearer realm="orders", "#), "{challenge}");
    assert!(challenge.contains(r#"error="invalid_token""#), "{challenge}");
    assert!(
        challenge.contains("https://orders.example.com/.well-known/oauth-protected-resource"),
        "{challenge}"
    );
    let body = text(response).await;
    assert!(body.contains(r#""code":"invalid_token""#), "{body}");
    assert!(!body.contains("expired"), "{body}");

    let manager = token(json!({ "scope": "orders:write", "roles": ["manager"] }));
    let missing = api.oneshot(request("DELETE", "/orders/7", Some(&manager))).await.unwrap();
    assert_eq!(missing.headers()[CONTENT_TYPE], "application/problem+json");
}

/// A body that never ends, or panics.
fn stuck(panics: bool) -> Body {
    Body::from_stream(futures_util::stream::poll_fn(move |_| {
        assert!(!panics, "as a handler might");
        Poll::<Option<Result<Bytes, std::io::Error>>>::Pending
    }))
}

#[tokio::test(start_paused = true)]
async fn so_are_the_errors_of_the_framework() {
    let api = api();
    let all = token(json!({ "scope": "orders:read orders:write", "roles": ["manager"] }));
    let post = |kind: &str, body: Body| {
        let mut request = request("POST", "/orders", Some(&all));
        request.headers_mut().insert(CONTENT_TYPE, kind.parse().unwrap());
        *request.body_mut() = body;
        request
    };
    let json = "application/json";
    for (request, status, code) in [
        (post(json, Body::from("{")), 400, "bad_request"),
        (post(json, Body::from(r#"{"item": 7}"#)), 422, "unprocessable_entity"),
        (post("text/plain", Body::from("tea")), 415, "unsupported_media_type"),
        (post(json, Body::from(vec![b' '; 65 * 1024])), 413, "payload_too_large"),
        (request("DELETE", "/orders/seven", Some(&all)), 400, "bad_request"),
        (request("POST", "/.well-known/oauth-protected-resource", None), 405, "method_not_allowed"),
        (post(json, stuck(true)), 500, "internal_server_error"),
        (post(json, stuck(false)), 503, "service_unavailable"),
    ] {
        let response = api.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), status, "{code}");
        let headers = response.headers().clone();
        let kind = headers.get(CONTENT_TYPE).map(|kind| kind.to_str().unwrap().to_owned());
        assert_eq!(kind.as_deref(), Some("application/problem+json"), "{code}");
        assert!(headers.contains_key(ALLOW) || status != 405);
        assert!(headers.contains_key(RETRY_AFTER) || status != 503, "it may be asked again");
        let text = text(response).await;
        let length = headers.get(CONTENT_LENGTH).map(|length| length.to_str().unwrap().to_owned());
        assert!(length.is_none_or(|length| length == text.len().to_string()));
        let problem: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(problem["code"], code);
        assert!(problem["title"].is_string());
        // What is wrong with a body is for its sender, and what is wrong here is for the log.
        assert_eq!(problem.get("detail").is_some(), status < 500 && status != 405, "{text}");
    }
}

#[tokio::test]
async fn the_metadata_of_the_resource_is_public() {
    let path = "/.well-known/oauth-protected-resource";
    let response = api().oneshot(request("GET", path, None)).await.unwrap();
    let document: Value = serde_json::from_str(&text(response).await).unwrap();
    assert_eq!(document["resource"], "https://orders.example.com");
    assert_eq!(document["scopes_supported"], json!(["orders:read", "orders:write"]));
}

#[tokio::test]
async fn preflight_requests_pass_and_pages_can_read_rejections() {
    let preflight = |origin: &str| {
        Request::options("/orders")
            .header(ORIGIN, origin)
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "authorization")
            .body(Body::empty())
            .unwrap()
    };
    let allowed = api().oneshot(preflight("https://app.example.com")).await.unwrap();
    assert_eq!(allowed.status(), 200);
    assert_eq!(allowed.headers()[ACCESS_CONTROL_ALLOW_ORIGIN], "https://app.example.com");
    let foreign = api().oneshot(preflight("https://evil.example")).await.unwrap();
    assert!(!foreign.headers().contains_key(ACCESS_CONTROL_ALLOW_ORIGIN));

    let mut rejected = request("GET", "/orders", None);
    rejected.headers_mut().insert(ORIGIN, "https://app.example.com".parse().unwrap());
    let rejected = api().oneshot(rejected).await.unwrap();
    assert_eq!(rejected.status(), 401);
    assert_eq!(rejected.headers()[ACCESS_CONTROL_ALLOW_ORIGIN], "https://app.example.com");
}

#[tokio::test]
async fn a_request_keeps_its_id_or_gets_one() {
    let mut named = request("GET", "/orders", None);
    named.headers_mut().insert("x-request-id", "r-17".parse().unwrap());
    let api = api();
    assert_eq!(api.clone().oneshot(named).await.unwrap().headers()["x-request-id"], "r-17");
    let one = api.clone().oneshot(request("GET", "/orders", None)).await.unwrap();
    let other = api.oneshot(request("GET", "/orders", None)).await.unwrap();
    assert_ne!(one.headers()["x-request-id"], other.headers()["x-request-id"]);
}

#[tokio::test]
async fn metrics_count_requests_by_route_and_rejections_by_reason() {
    let admin = admin::admin(service(), metrics());
    let api = api();
    let write = token(json!({ "scope": "orders:write", "roles": ["manager"] }));
    for path in ["/orders/1", "/orders/2"] {
        assert_eq!(status(&api, "DELETE", path, Some(&write)).await, 404);
    }
    assert_eq!(status(&api, "DELETE", "/orders/1", Some("not-a-token")).await, 401);
    let scraped = text(admin.oneshot(request("GET", "/metrics", None)).await.unwrap()).await;
    let has = |start: &str| scraped.lines().any(|line| line.starts_with(start));
    assert!(
        has(r#"http_request_seconds_count{method="DELETE",route="/orders/{id}",status="404"}"#),
        "{scraped}"
    );
    assert!(has(r#"oauth_guard_requests_total{result="accepted""#), "{scraped}");
    assert!(scraped.contains(r#"reason="token_malformed""#), "{scraped}");
    assert!(!scraped.contains("/orders/1"), "a path would be a new time series for each order: {scraped}");
}

#[tokio::test]
async fn callers_do_not_make_up_time_series() {
    let (api, metrics) = (api(), metrics());
    for method in ["AAAAAAA", "AAAAAAB", "get"] {
        status(&api, method, "/orders", None).await;
    }
    let scraped = metrics.render();
    assert!(scraped.contains(r#"method="OTHER""#), "{scraped}");
    assert!(!scraped.contains("AAAAAA") && !scraped.contains(r#"method="get""#), "{scraped}");
}

#[tokio::test]
async fn an_instance_is_ready_with_the_keys_of_its_issuer_and_until_it_ends() {
    let auth = MockServer::builder().audience("https://orders.example.com").in_process();
    let issuer = Issuer::new(auth.issuer()).audience("https://orders.example.com");
    let builder = Guard::builder().issuer(issuer).http(HttpClient::from_service(auth.transport()));
    let service = Service::from_builder(builder).unwrap();
    let admin = admin::admin(service.clone(), metrics());
    assert_eq!(status(&admin, "GET", "/livez", None).await, 200);
    assert_eq!(status(&admin, "GET", "/readyz", None).await, 503, "no keys yet");
    service.guard().warm_up().await;
    assert_eq!(status(&admin, "GET", "/readyz", None).await, 200);
    service.begin_to_end();
    assert_eq!(status(&admin, "GET", "/readyz", None).await, 503);
    assert_eq!(status(&admin, "GET", "/livez", None).await, 200, "requests under way go on");
}

#[tokio::test]
async fn a_reload_with_a_mistake_changes_nothing() {
    let file = std::env::temp_dir().join(format!("orders-guard-{}.toml", std::process::id()));
    let text = std::fs::read_to_string(settings().guard).unwrap();
    std::fs::write(&file, &text).unwrap();
    let service = Service::from_file(file.clone()).unwrap();
    let scopes = |service: &Service| service.guard().resource_metadata().unwrap().scopes_supported;
    std::fs::write(&file, text.replace("orders:read", "orders:list")).unwrap();
    service.reload().unwrap();
    assert!(scopes(&service).contains(&"orders:list".to_owned()));
    std::fs::write(&file, text.replace("[[issuer]]", "[[isuer]]")).unwrap();
    let error = service.reload().unwrap_err();
    assert!(error.problems().iter().any(|problem| problem.field.contains("isuer")), "{error}");
    assert!(scopes(&service).contains(&"orders:list".to_owned()));
    std::fs::remove_file(file).unwrap();
}
