//! HTTP metrics by route. The guard counts its own: accepted and rejected requests, with the reason.

use axum::extract::{MatchedPath, Request};
use axum::middleware::Next;
use axum::response::Response;
use tokio::time::Instant;

pub(crate) async fn requests(request: Request, next: Next) -> Response {
    // The pattern, never the path: callers could make up a new time series with each request.
    let route = request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str).to_owned();
    let method = request.method().clone();
    let start = Instant::now();
    let response = next.run(request).await;
    let labels = [
        ("method", if method.as_str().len() > 7 { "OTHER".to_owned() } else { method.to_string() }),
        ("route", route),
        ("status", response.status().as_str().to_owned()),
    ];
    metrics::histogram!("http_request_seconds", &labels).record(start.elapsed());
    response
}
