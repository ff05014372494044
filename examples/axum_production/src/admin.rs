//! Probes and metrics, on a port that only the platform reaches.

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use http::StatusCode;
use http::header::CONTENT_TYPE;
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use oauth_guard::Health;

use crate::service::Service;

/// Records metrics from now on, for the whole process.
///
/// # Errors
/// Another recorder is in place.
pub fn record() -> Result<PrometheusHandle, BuildError> {
    let buckets = [0.001, 0.005, 0.02, 0.1, 0.5, 2.0, 10.0];
    PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &buckets)?
        .install_recorder()
}

/// `/livez`, `/readyz` and `/metrics`.
pub fn admin(service: Service, metrics: PrometheusHandle) -> Router {
    let scrape = move || async move {
        metrics.run_upkeep();
        ([(CONTENT_TYPE, "text/plain; version=0.0.4")], metrics.render())
    };
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
