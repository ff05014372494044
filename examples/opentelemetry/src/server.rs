//! Server spans: put the layer around the guard, so that requests it rejects have one, too. What the guard logs about them
//! becomes an event of the span.

use std::time::Duration;

use axum::extract::{MatchedPath, Request};
use axum::response::Response;
use http::Method;
use tower_http::classify::{ServerErrorsAsFailures, SharedClassifier};
use tower_http::trace::{DefaultOnBodyChunk, DefaultOnEos, DefaultOnFailure, DefaultOnRequest, TraceLayer};
use tracing::Span;
use tracing::field::Empty;
use tracing_opentelemetry::OpenTelemetrySpanExt;

use crate::propagation;

/// tower-http's layer with spans as the conventions want them.
pub type ServerSpanLayer = TraceLayer<
    SharedClassifier<ServerErrorsAsFailures>,
    fn(&Request) -> Span,
    DefaultOnRequest,
    fn(&Response, Duration, &Span),
    DefaultOnBodyChunk,
    DefaultOnEos,
    DefaultOnFailure,
>;

/// A span for each request, a child of the caller's span.
#[must_use]
pub fn server_spans() -> ServerSpanLayer {
    TraceLayer::new_for_http().make_span_with(span as _).on_response(record as _)
}

fn span(request: &Request) -> Span {
    let known = known(request.method());
    let (name, method) = known.map_or(("HTTP", "_OTHER"), |known| (known, known));
    // The pattern, not the path, and no method that a caller makes up: names of spans have to be few.
    let route = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
    let host =
        request.headers().get(http::header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let (address, port) = host.rsplit_once(':').unwrap_or((host, "80"));
    let span = tracing::info_span!(
        "request",
        otel.name = route.map_or_else(|| name.to_owned(), |route| format!("{name} {route}")),
        otel.kind = "server",
        otel.status_code = Empty,
        "http.request.method" = method,
        "http.request.method_original" = known.is_none().then(|| request.method().as_str()),
        "http.route" = route,
        "http.response.status_code" = Empty,
        "server.address" = address,
        "server.port" = port.parse::<i64>().ok(),
        "url.path" = request.uri().path(),
        "url.scheme" = "http",
        "error.type" = Empty,
    );
    // An error means that the span is sampled by no one.
    let _ = span.set_parent(propagation::extract(request.headers()));
    span
}

/// The method, if it is one that the conventions know.
fn known(method: &Method) -> Option<&'static str> {
    const NAMES: [&str; 9] = ["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "CONNECT", "PATCH", "TRACE"];
    NAMES.into_iter().find(|name| *name == method.as_str())
}

/// For a server, 4xx is the caller's error and none of its own.
fn record(response: &Response, _: Duration, span: &Span) {
    let status = response.status();
    span.record("http.response.status_code", i64::from(status.as_u16()));
    if status.is_server_error() {
        span.record("error.type", status.as_str());
        span.record("otel.status_code", "ERROR");
    }
}
