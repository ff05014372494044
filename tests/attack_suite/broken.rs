//! APIs with one hole each, which the suite has to find, by the case that is made for it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::header::AUTHORIZATION;
use http_body_util::Full;
use oauth_client::transport::RequestBody;
use oauth_guard::{Guard, GuardBuilder, HttpClient, Issuer, KeyPolicy};
use oauth_mock::suite::{Report, Suite, Verdict};
use serde_json::{Value, json};
use tokio::sync::Notify;

/// Attacks a guard over `issuer` and `http`, with `wrap` around the API; only with cases that begin so.
async fn attacked(
    only: &[&str],
    issuer: impl FnOnce(Issuer) -> Issuer,
    build: impl FnOnce(GuardBuilder) -> GuardBuilder,
    wrap: impl FnOnce(Router) -> Router,
    crash: Arc<Notify>,
) -> Report {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let suite = Suite::new(format!("http://{}/", listener.local_addr().unwrap())).quick();
    let suite = only.iter().fold(suite, |suite, case| suite.only(*case));
    let attacker = suite.key_wait(Duration::from_secs(20)).start().await.unwrap();
    let keys = KeyPolicy { cooldown: Duration::from_secs(1), ..KeyPolicy::default() };
    let issuer = issuer(Issuer::new(attacker.issuer()));
    let guard = Guard::builder().issuer(issuer).keys(keys);
    let guard = build(guard).build().unwrap();
    let app = wrap(Router::new().route("/", get(async || "hello")).layer(guard.layer()));
    let serving = tokio::spawn(async move {
        tokio::select! {
            ended = axum::serve(listener, app) => ended.unwrap(),
            () = crash.notified() => {}
        }
    });
    let report = super::run(attacker).await;
    serving.abort();
    report
}

fn ours(issuer: Issuer) -> Issuer {
    issuer.audience("orders-api")
}

/// The attacks that the API accepted, each once.
fn let_in(report: &Report) -> Vec<&str> {
    let mut ids: Vec<_> = report.with(Verdict::LetIn).map(|case| case.id).collect();
    ids.dedup();
    ids
}

fn token(request: &Request) -> &str {
    let value = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    value.and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default()
}

fn header(token: &str) -> Option<Value> {
    let bytes = URL_SAFE_NO_PAD.decode(token.split('.').next()?).ok()?;
    serde_json::from_slice(&bytes).ok()
}

#[tokio::test]
async fn an_api_without_a_hole_shows_none() {
    let only = ["alg-", "aud-", "time-", "structure-", "keys-withdrawn"];
    let report = attacked(&only, ours, |guard| guard, |app| app, Arc::default()).await;
    assert_eq!((report.exit_code(), report.summary.incorrect), (0, 0), "{report}");
    assert!(report.summary.judged > 80, "{report}");
}

#[tokio::test]
async fn unsigned_tokens_are_found_to_be_let_in() {
    async fn lenient(request: Request, next: Next) -> Response {
        match header(token(&request)).and_then(|header| Some(header.get("alg")?.as_str()?.to_lowercase())) {
            Some(alg) if alg == "none" => "hello".into_response(),
            _ => next.run(request).await,
        }
    }
    let wrap = |app: Router| app.layer(from_fn(lenient));
    let report = attacked(&["alg-"], ours, |guard| guard, wrap, Arc::default()).await;
    assert_eq!(report.exit_code(), 1);
    let expected = ["alg-none", "alg-none-in-another-case", "alg-none-with-a-signature"];
    assert_eq!(let_in(&report), expected, "{report}");
    assert!(report.to_string().contains("it holds nothing that only the issuer has"), "{report}");
}

#[tokio::test]
async fn tokens_for_others_are_found_to_be_let_in() {
    let any = |issuer: Issuer| issuer.danger_accept_any_audience();
    let report = attacked(&["aud-", "iss-"], any, |guard| guard, |app| app, Arc::default()).await;
    assert_eq!(report.exit_code(), 1);
    assert!(let_in(&report).contains(&"aud-nearly"), "{report}");
    assert!(!let_in(&report).iter().any(|id| id.starts_with("iss-")), "{report}");
}

#[tokio::test]
async fn tokens_that_are_over_are_found_to_be_let_in() {
    let patient = |issuer: Issuer| ours(issuer).leeway(Duration::from_secs(100 * 365 * 86_400));
    let report = attacked(&["time-"], patient, |guard| guard, |app| app, Arc::default()).await;
    assert_eq!(report.exit_code(), 1);
    assert!(let_in(&report).contains(&"time-exp-past"), "{report}");
    assert!(!report.traits.leeway_is_exact || report.traits.leeway_seconds == 300);
}

#[tokio::test]
async fn an_api_that_falls_over_is_found_out_and_the_run_ends() {
    let crash = Arc::new(Notify::new());
    let falls = Arc::clone(&crash);
    let wrap = move |app: Router| {
        app.layer(from_fn(move |request: Request, next: Next| {
            let falls = Arc::clone(&falls);
            async move {
                if token(&request) == ".." {
                    falls.notify_one();
                    std::future::pending::<()>().await;
                }
                next.run(request).await
            }
        }))
    };
    let report = attacked(&["structure-", "time-"], ours, |guard| guard, wrap, crash).await;
    assert_eq!((report.exit_code(), report.summary.broke), (1, 1), "{report}");
    let broke: Vec<_> = report.with(Verdict::Broke).map(|case| case.id).collect();
    assert_eq!(broke, ["structure-empty-parts"]);
    assert!(report.cut_short.is_some() && !report.cases.iter().any(|case| case.id.starts_with("time-")));
}

#[tokio::test]
async fn keys_that_are_kept_for_ever_are_found_out() {
    let seen = Arc::new(Mutex::new(Vec::<Value>::new()));
    let client = reqwest::Client::new();
    // A key cache that only ever grows.
    let hoarding = tower::service_fn(move |request: http::Request<RequestBody>| {
        let (client, seen) = (client.clone(), Arc::clone(&seen));
        async move {
            let url = request.uri().to_string();
            let text = client.get(url).send().await?.bytes().await?;
            let mut document: Value = serde_json::from_slice(&text).unwrap_or_default();
            if let Some(keys) = document.get_mut("keys").and_then(Value::as_array_mut) {
                let mut seen = seen.lock().unwrap();
                keys.iter().for_each(|key| {
                    if !seen.contains(key) {
                        seen.push(key.clone());
                    }
                });
                document = json!({ "keys": *seen });
            }
            Ok::<_, reqwest::Error>(http::Response::new(Full::<Bytes>::from(document.to_string())))
        }
    });
    let http = HttpClient::from_service(hoarding);
    let report = attacked(&["keys-"], ours, |guard| guard.http(http), |app| app, Arc::default()).await;
    assert_eq!(report.exit_code(), 1);
    assert_eq!(let_in(&report), ["keys-withdrawn"], "{report}");
}
