//! Probes and metrics, on a port that only the platform reaches.

use std::time::Duration;

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use http::StatusCode;
use http::header::CONTENT_TYPE;
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use oauth_guard::Health;

use crate::service::Service;

/// How often the samples of histograms are condensed.
const UPKEEP: Duration = Duration::from_secs(5);

/// Records metrics from now on, for the whole process. Spawn [`upkeep`] beside it.
///
/// # Errors
/// Another recorder is in place.
pub fn record() -> Result<PrometheusHandle, BuildError> {
    let buckets = [0.001, 0.005, 0.02, 0.1, 0.5, 2.0, 10.0];
    PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &buckets)?
        .install_recorder()
}

/// Condenses what histograms collect, for as long as it is polled. A scrape does that as well; without
/// this, each request would take memory until one comes.
pub async fn upkeep(metrics: PrometheusHandle) {
    loop {
        tokio::time::sleep(UPKEEP).await;
        metrics.run_upkeep();
    }
}

/// `/livez`, `/readyz` and `/metrics`.
pub fn admin(service: Service, metrics: PrometheusHandle) -> Router {
    let scrape = move || async move { ([(CONTENT_TYPE, "text/plain; version=0.0.4")], metrics.render()) };
    Router::new()
        // Alive as long as it answers: an outage of the issuer is no reason to start anew.
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(scrape))
        .with_state(service)
}

/// Ready when the keys of every issuer are there. The probe also starts the fetch of keys that are missing.
async fn ready(State(service): State<Service>) -> (StatusCode, Json<Health>) {
    let status = if service.is_ready() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(service.guard().health()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_histograms_collect_is_condensed_without_any_scrape() {
        let recorder = PrometheusBuilder::new().build_recorder();
        metrics::with_local_recorder(&recorder, || metrics::histogram!("one_seconds").record(1.0));
        let handle = recorder.handle();
        // To render it would condense it, too.
        let is_raw = || format!("{handle:?}").contains("distributions: RwLock { data: {}");
        assert!(is_raw());
        let upkeep = tokio::spawn(upkeep(handle.clone()));
        tokio::time::sleep(UPKEEP * 2).await;
        assert!(!is_raw());
        upkeep.abort();
    }
}
