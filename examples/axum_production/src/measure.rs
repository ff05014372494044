//! HTTP metrics by route. The guard counts its own: accepted and rejected requests, with the reason.

use axum::extract::{MatchedPath, Request};
use axum::middleware::Next;
use axum::response::Response;
use http::Method;
use tokio::time::Instant;

pub(crate) async fn requests(request: Request, next: Next) -> Response {
    // The pattern, never the path: callers could make up a new time series with each request.
    let route = request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str).to_owned();
    let method = request.method().clone();
    let start = Instant::now();
    let response = next.run(request).await;
    let labels = [
        ("method", known(&method).to_owned()),
        ("route", route),
        ("status", response.status().as_str().to_owned()),
    ];
    metrics::histogram!("http_request_seconds", &labels).record(start.elapsed());
    response
}

/// A method that HTTP names: one that callers make up would be a new time series, too.
fn known(method: &Method) -> &'static str {
    const NAMES: [&str; 9] = ["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "CONNECT", "PATCH", "TRACE"];
    NAMES.into_iter().find(|name| *name == method.as_str()).unwrap_or("OTHER")
}
