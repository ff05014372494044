//! What is counted, in names that stay.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use metrics::{Counter, Gauge, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use oauth_client::store::MemoryStore;
use oauth_mock::{Endpoint, Fault};

use crate::support::{LIFETIME, advance, fixture};

#[test]
fn events_requests_and_durations_are_counted() {
    let counts = Counts::default();
    let server = metrics::with_local_recorder(&counts, || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
        runtime.unwrap().block_on(async {
            let fixture = fixture();
            let source = fixture.source_builder().store(MemoryStore::new()).build().unwrap();
            source.token().await.unwrap();
            source.reject(1);
            let odd = r#"{"error":"a code of this server alone"}"#;
            fixture.server.fault(Endpoint::Token, Fault::body(400, "application/json", odd)).times(1);
            source.token().await.unwrap_err();
            advance(LIFETIME).await;
            fixture.server.fault(Endpoint::Token, Fault::status(503)).times(1);
            source.token().await.unwrap();
            // The client knows this, and no issuer.
            fixture.server.endpoint(Endpoint::Token)
        })
    });
    // Every one names the server and the client.
    let labels = format!(" issuer={server} client_id=svc");
    let counted: BTreeMap<_, _> = counts.take();
    let shown = |name: String| name.strip_suffix(&labels).unwrap_or_else(|| panic!("{name}")).to_owned();
    let counted: BTreeMap<_, _> = counted.into_iter().map(|(name, count)| (shown(name), count)).collect();
    let expected = [
        ("oauth_client_events_total event=persisted code=", 2),
        ("oauth_client_events_total event=refresh_failed code=other", 1),
        ("oauth_client_events_total event=refreshed code=", 2),
        ("oauth_client_events_total event=rejected code=", 1),
        ("oauth_client_refresh_seconds", 3),
        ("oauth_client_token_requests_total", 4),
    ];
    assert_eq!(counted, expected.map(|(name, count)| (name.to_owned(), count)).into());
}

#[derive(Default)]
struct Counts(Mutex<BTreeMap<String, Arc<AtomicU64>>>);

impl Counts {
    fn take(self) -> BTreeMap<String, u64> {
        let counts = self.0.into_inner().unwrap();
        counts.into_iter().map(|(name, count)| (name, count.load(Ordering::SeqCst))).collect()
    }

    fn of(&self, key: &Key) -> Arc<AtomicU64> {
        let mut name = key.name().to_owned();
        for label in key.labels() {
            name += &format!(" {}={}", label.key(), label.value());
        }
        Arc::clone(self.0.lock().unwrap().entry(name).or_default())
    }
}

struct Occasions(Arc<AtomicU64>);

impl HistogramFn for Occasions {
    fn record(&self, _: f64) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Recorder for Counts {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.of(key))
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(Arc::new(Occasions(self.of(key))))
    }
}
