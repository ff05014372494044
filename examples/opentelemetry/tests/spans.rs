//! The spans are those of the semantic conventions, and one call is one trace.

#![expect(clippy::panic, reason = "a test fails by panicking")]

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use http::Request;
use observed::scene;
use observed::server::server_spans;
use observed::telemetry::Telemetry;
use opentelemetry::Value;
use opentelemetry::trace::{SpanId, SpanKind, Status};
use opentelemetry_sdk::metrics::InMemoryMetricExporter;
use opentelemetry_sdk::trace::{InMemorySpanExporter, SpanData};
use tower::ServiceExt;

fn attribute(span: &SpanData, name: &str) -> Option<String> {
    let found = span.attributes.iter().find(|attribute| attribute.key.as_str() == name)?;
    Some(match &found.value {
        Value::String(text) => text.to_string(),
        other => other.to_string(),
    })
}

/// Those spans of a name and kind that have this attribute.
fn find<'a>(spans: &'a [SpanData], kind: SpanKind, name: &str, (key, part): (&str, &str)) -> &'a SpanData {
    let fits = |span: &&SpanData| {
        span.name == name
            && span.span_kind == kind
            && attribute(span, key).is_some_and(|value| value.contains(part))
    };
    let found: Vec<_> = spans.iter().filter(fits).collect();
    let [one] = found[..] else { panic!("{} spans {name} with {part}: {spans:#?}", found.len()) };
    one
}

fn has(span: &SpanData, expected: &[(&str, &str)]) {
    for (name, value) in expected {
        assert_eq!(attribute(span, name).as_deref(), Some(*value), "{name} of {span:#?}");
    }
}

// One thread, so that a default subscriber of this thread sees all tasks.
#[tokio::test]
async fn a_call_is_one_trace_with_the_attributes_of_the_conventions() {
    let (exported, metered) = (InMemorySpanExporter::default(), InMemoryMetricExporter::default());
    let telemetry = Telemetry::new(exported.clone(), metered.clone());
    let default = tracing::subscriber::set_default(telemetry.subscriber());
    metrics::set_global_recorder(telemetry.recorder()).unwrap();
    assert_eq!(scene::play().await.unwrap().map(|status| status.as_u16()), [200, 403]);
    drop(default);
    let spans = exported.get_finished_spans().unwrap();

    // The call that is granted.
    let job = find(&spans, SpanKind::Internal, "job", ("path", "orders/7"));
    let client = find(&spans, SpanKind::Client, "GET", ("url.full", "/orders/7"));
    let server = find(&spans, SpanKind::Server, "GET /orders/{id}", ("url.path", "/orders/7"));
    has(
        client,
        &[
            ("http.request.method", "GET"),
            ("http.response.status_code", "200"),
            ("server.address", "127.0.0.1"),
        ],
    );
    has(
        server,
        &[
            ("http.request.method", "GET"),
            ("http.route", "/orders/{id}"),
            ("http.response.status_code", "200"),
            ("url.scheme", "http"),
            ("server.address", "127.0.0.1"),
        ],
    );
    assert_eq!(attribute(client, "server.port"), attribute(server, "server.port"));
    for name in ["http.response.status_code", "server.port"] {
        for span in [client, server] {
            let found = span.attributes.iter().find(|attribute| attribute.key.as_str() == name).unwrap();
            assert!(matches!(found.value, Value::I64(_)), "{name} is a number: {found:?}");
        }
    }
    for (child, parent) in [(client, job), (server, client)] {
        assert_eq!(child.parent_span_id, parent.span_context.span_id());
        assert_eq!(child.span_context.trace_id(), job.span_context.trace_id());
        assert_eq!(attribute(child, "error.type"), None);
    }

    // The call that is not: an error for the client, and none for the server, which has the guard's reason.
    let client = find(&spans, SpanKind::Client, "GET", ("url.full", "/reports"));
    let server = find(&spans, SpanKind::Server, "GET /reports", ("url.path", "/reports"));
    has(client, &[("http.response.status_code", "403"), ("error.type", "403")]);
    has(server, &[("http.response.status_code", "403")]);
    assert!(matches!(client.status, Status::Error { .. }), "{client:#?}");
    assert_eq!(server.status, Status::Unset);
    let reasons = server.events.iter().flat_map(|event| &event.attributes);
    let reason = reasons.into_iter().find(|attribute| attribute.key.as_str() == "reason");
    assert_eq!(reason.unwrap().value.as_str(), "insufficient_scope");

    // The token: a trace of its own, because others use it too, with a link to who asked first.
    let refresh = find(&spans, SpanKind::Internal, "oauth_client.refresh", ("client_id", "svc"));
    assert_eq!(refresh.parent_span_id, SpanId::INVALID);
    assert_ne!(refresh.span_context.trace_id(), job.span_context.trace_id());
    let linked: Vec<_> = refresh.links.iter().map(|link| link.span_context.span_id()).collect();
    assert_eq!(linked, [job.span_context.span_id()]);
    let token = find(&spans, SpanKind::Client, "POST", ("url.full", "/token"));
    assert_eq!(token.parent_span_id, refresh.span_context.span_id());
    has(token, &[("http.response.status_code", "200")]);

    // No span holds a token or a secret.
    let all = format!("{spans:?}");
    assert!(!all.contains(scene::SECRET) && !all.contains("eyJ") && !all.contains("Bearer "), "{all}");

    // The metrics of both crates.
    telemetry.shutdown().unwrap();
    let metrics = format!("{:?}", metered.get_finished_metrics().unwrap());
    for name in [
        "oauth_guard_requests_total",
        "oauth_guard_key_fetches_total",
        "oauth_client_token_requests_total",
        "oauth_client_refresh_seconds",
    ] {
        assert!(metrics.contains(name), "{name}: {metrics}");
    }
}

#[tokio::test]
async fn callers_do_not_make_up_names_of_spans() {
    let exported = InMemorySpanExporter::default();
    let telemetry = Telemetry::new(exported.clone(), InMemoryMetricExporter::default());
    let default = tracing::subscriber::set_default(telemetry.subscriber());
    let app = Router::new().route("/orders/{id}", get(|| async {})).layer(server_spans());
    let request = Request::builder().method("AAAAAAA").uri("/orders/7").body(Body::empty()).unwrap();
    assert_eq!(app.oneshot(request).await.unwrap().status(), 405);
    drop(default);
    let spans = exported.get_finished_spans().unwrap();
    let span = find(&spans, SpanKind::Server, "HTTP /orders/{id}", ("url.path", "/orders/7"));
    has(span, &[("http.request.method", "_OTHER"), ("http.request.method_original", "AAAAAAA")]);
}
