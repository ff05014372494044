//! Client spans: put the layer next to the HTTP client, under the token layer. Each request that is sent then has a span,
//! also the second one after a 401; the token is on it by then, and no attribute holds it.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::{Request, Response, Uri};
use tower::{Layer, Service};
use tracing::field::Empty;
use tracing::{Instrument, Span};
use tracing_opentelemetry::OpenTelemetrySpanExt;

use crate::propagation;

/// Makes [`ClientSpans`].
#[derive(Clone, Copy, Debug)]
pub struct ClientSpanLayer;

impl<S> Layer<S> for ClientSpanLayer {
    type Service = ClientSpans<S>;

    fn layer(&self, inner: S) -> ClientSpans<S> {
        ClientSpans { inner }
    }
}

/// An HTTP client with a span for each request.
#[derive(Clone, Debug)]
pub struct ClientSpans<S> {
    inner: S,
}

impl<S, Sent, Received> Service<Request<Sent>> for ClientSpans<S>
where
    S: Service<Request<Sent>, Response = Response<Received>>,
    S::Future: Send + 'static,
    S::Error: fmt::Display,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Sent>) -> Self::Future {
        let span = span(&request);
        propagation::inject(&span.context(), request.headers_mut());
        let sending = span.in_scope(|| self.inner.call(request));
        let outcome = async move {
            let result = sending.await;
            record(&Span::current(), result.as_ref().map(Response::status));
            result
        };
        Box::pin(outcome.instrument(span))
    }
}

fn span<B>(request: &Request<B>) -> Span {
    let uri = request.uri();
    let port = uri.port_u16().unwrap_or(if uri.scheme_str() == Some("https") { 443 } else { 80 });
    tracing::info_span!(
        "request",
        otel.name = request.method().as_str(),
        otel.kind = "client",
        otel.status_code = Empty,
        "http.request.method" = request.method().as_str(),
        "http.response.status_code" = Empty,
        "server.address" = uri.host().unwrap_or_default(),
        "server.port" = i64::from(port),
        "url.full" = url(uri),
        "error.type" = Empty,
    )
}

/// Without the query, which can hold codes and tokens, and without user and password.
fn url(uri: &Uri) -> String {
    let host =
        uri.authority().map_or("", |authority| authority.as_str().rsplit('@').next().unwrap_or_default());
    format!("{}://{host}{}", uri.scheme_str().unwrap_or("http"), uri.path())
}

/// For a client, 4xx is an error as well.
fn record<E: fmt::Display>(span: &Span, result: Result<http::StatusCode, &E>) {
    match result {
        Ok(status) => {
            // A number, as the conventions ask: the exporter writes other integers as text.
            span.record("http.response.status_code", i64::from(status.as_u16()));
            if status.is_client_error() || status.is_server_error() {
                span.record("error.type", status.as_str());
                span.record("otel.status_code", "ERROR");
            }
        }
        Err(error) => {
            tracing::debug!(%error, "no response");
            span.record("error.type", "_OTHER");
            span.record("otel.status_code", "ERROR");
        }
    }
}
