//! What is counted, in names that stay.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use metrics::{
    Counter, Gauge, GaugeFn, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit,
    with_local_recorder,
};
use oauth_guard::{Introspection, Issuer, Requirement, Rule};
use oauth_mock::{Endpoint, Fault, MockClient};

use crate::rules::{get, guard, scope};
use crate::support::{Fixture, call, send};

/// Runs a test on one thread, where the recorder is, and returns what was counted.
fn counted(run: impl Future<Output = ()>) -> BTreeMap<String, u64> {
    let counts = Counts::default();
    with_local_recorder(&counts, || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
        runtime.unwrap().block_on(run);
    });
    let counts = counts.0.into_inner().unwrap();
    counts.into_iter().map(|(name, count)| (name, count.load(Ordering::SeqCst))).collect()
}

fn expected<const N: usize>(rows: [(&str, u64); N]) -> BTreeMap<String, u64> {
    rows.map(|(name, count)| (name.to_owned(), count)).into()
}

#[test]
fn requests_are_counted_once_by_result_code_and_reason() {
    let mut issuer = String::new();
    let found = counted(async {
        let fixture = Fixture::new();
        issuer = fixture.server.issuer().to_owned();
        let rules = [Rule::new("/health").public(), Rule::new("/admin").require(scope("admin"))];
        let layer = guard(&fixture, rules).layer();
        let token = fixture.server.mint().build();
        let expired = fixture.server.mint().expires_in(-3600).build();
        assert_eq!(get(&layer, "/", Some(&token)).await.0, 200); // waits for keys
        assert_eq!(get(&layer, "/", Some(&token)).await.0, 200); // from the cache
        assert_eq!(get(&layer, "/health", None).await.0, 200); // without a look at a token
        assert_eq!(get(&layer, "/", None).await.0, 401);
        assert_eq!(get(&layer, "/", Some(&expired)).await.0, 401);
        assert_eq!(get(&layer, "/admin", Some(&token)).await.0, 403);
        assert_eq!(get(&layer, "//admin", Some(&token)).await.0, 400);
    });
    let wanted = expected([
        ("oauth_guard_cache_lookups_total result=hit", 2),
        ("oauth_guard_cache_lookups_total result=miss", 2),
        ("oauth_guard_key_fetches_total issuer=https://auth.mock result=fetched code=", 1),
        ("oauth_guard_keys_fetched_timestamp_seconds issuer=https://auth.mock", 1_893_456_000),
        ("oauth_guard_requests_total result=accepted code= reason=", 3),
        ("oauth_guard_requests_total result=rejected code=insufficient_scope reason=insufficient_scope", 1),
        ("oauth_guard_requests_total result=rejected code=invalid_request reason=invalid_request", 1),
        ("oauth_guard_requests_total result=rejected code=invalid_token reason=expired", 1),
        ("oauth_guard_requests_total result=rejected code=missing_token reason=missing_token", 1),
    ]);
    let found: BTreeMap<_, _> =
        found.into_iter().map(|(name, count)| (name.replace(&issuer, "https://auth.mock"), count)).collect();
    assert_eq!(found, wanted);
}

#[test]
fn failed_fetches_tell_the_code_and_resolved_issuers_share_a_label() {
    let found = counted(async {
        let fixture = Fixture::new();
        fixture.server.fault(Endpoint::Jwks, Fault::status(500)).times(1);
        let builder = fixture.builder();
        let guard = builder
            .resolve_issuers(|name: String| async move {
                Ok::<_, std::io::Error>(Some(Issuer::new(name).audience("orders-api")))
            })
            .build()
            .unwrap();
        assert_eq!(call(&guard, &fixture.server.mint().build()).await.status, 503);
        tokio::time::advance(Duration::from_secs(60)).await;
        assert_eq!(call(&guard, &fixture.server.mint().build()).await.status, 200);
    });
    let fetches: BTreeMap<_, _> = found.into_iter().filter(|(name, _)| name.contains("_key")).collect();
    let wanted = expected([
        ("oauth_guard_key_fetches_total issuer=resolved result=failed code=server_error", 1),
        ("oauth_guard_key_fetches_total issuer=resolved result=fetched code=", 1),
    ]);
    assert_eq!(fetches, wanted);
}

#[test]
fn questions_about_tokens_are_counted_by_their_outcome() {
    let mut issuer = String::new();
    let found = counted(async {
        let client = MockClient::new("orders-api").secret("s3cr3t");
        let server = oauth_mock::MockServer::builder().client(client).audience("orders-api").in_process();
        issuer = server.issuer().to_owned();
        let asked = Introspection::new(oauth_guard::ClientAuth::basic("orders-api", "s3cr3t"));
        let guard = oauth_guard::Guard::builder()
            .http(oauth_guard::HttpClient::from_service(server.transport()))
            .clock(oauth_guard::clock::TestClock::new())
            .issuer(Issuer::new(server.issuer()).audience("orders-api").introspection(asked))
            .build()
            .unwrap();
        let layer = guard.layer().require(Requirement::scope("read"));
        for _ in 0..2 {
            assert_eq!(send(&layer, &[b"Bearer unknown-opaque-token"]).await.status, 401);
        }
        server.fault(Endpoint::Introspect, Fault::status(500)).times(1);
        assert_eq!(send(&layer, &[b"Bearer another-opaque-token"]).await.status, 503);
    });
    let asked: BTreeMap<_, _> =
        found.into_iter().filter(|(name, _)| name.contains("introspections")).collect();
    let name = |result: &str| format!("oauth_guard_introspections_total issuer={issuer} result={result}");
    assert_eq!(asked, [(name("inactive"), 1), (name("failed"), 1)].into());
}

#[test]
fn questions_to_resolved_issuers_share_a_label() {
    let found = counted(async {
        let client = MockClient::new("orders-api").secret("s3cr3t");
        let server = oauth_mock::MockServer::builder().client(client).audience("orders-api").in_process();
        let guard = oauth_guard::Guard::builder()
            .http(oauth_guard::HttpClient::from_service(server.transport()))
            .clock(oauth_guard::clock::TestClock::new())
            .resolve_issuers(|name: String| async move {
                let asked = Introspection::new(oauth_guard::ClientAuth::basic("orders-api", "s3cr3t"));
                let asked = asked.tokens(oauth_guard::IntrospectedTokens::Both);
                Ok::<_, std::io::Error>(Some(Issuer::new(name).audience("orders-api").introspection(asked)))
            })
            .build()
            .unwrap();
        assert_eq!(call(&guard, &server.mint().build()).await.status, 401);
    });
    let asked: Vec<_> = found.into_iter().filter(|(name, _)| name.contains("introspections")).collect();
    assert_eq!(asked, [("oauth_guard_introspections_total issuer=resolved result=inactive".to_owned(), 1)]);
}

#[derive(Default)]
struct Counts(Mutex<BTreeMap<String, Arc<AtomicU64>>>);

impl Counts {
    fn of(&self, key: &Key) -> Arc<AtomicU64> {
        let mut name = key.name().to_owned();
        for label in key.labels() {
            name += &format!(" {}={}", label.key(), label.value());
        }
        Arc::clone(self.0.lock().unwrap().entry(name).or_default())
    }
}

/// A gauge that holds whole numbers.
struct Level(Arc<AtomicU64>);

impl GaugeFn for Level {
    fn increment(&self, _: f64) {}
    fn decrement(&self, _: f64) {}
    fn set(&self, value: f64) {
        self.0.store(format!("{value:.0}").parse().unwrap(), Ordering::SeqCst);
    }
}

impl Recorder for Counts {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.of(key))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(Arc::new(Level(self.of(key))))
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}
