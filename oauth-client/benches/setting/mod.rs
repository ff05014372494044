//! What the benches of the client work on: a server without a socket, a request, and a client that sends nothing.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::FutureExt;
use http::{HeaderName, HeaderValue, Request, Response};
use http_body_util::Full;
use oauth_client::clock::TestClock;
use oauth_client::transport::{HttpClient, RequestBody};
use oauth_client::{Client, ClientAuth, ClientBuilder, TokenSource, grant};
use tower_service::Service;

/// An authorization server that gives out a token for an hour, and counts.
#[derive(Default)]
pub(crate) struct Server {
    pub(crate) requests: Arc<AtomicU32>,
}

impl Server {
    /// On the machine's clock, unless another is given.
    pub(crate) fn source(&self, clock: Option<TestClock>) -> TokenSource {
        let builder = match clock {
            Some(clock) => Client::builder().clock(clock),
            None => Client::builder(),
        };
        self.source_of(builder, "Bearer")
    }

    /// For a client that is to have what this one has besides, and tokens of this type.
    pub(crate) fn source_of(&self, builder: ClientBuilder, token_type: &'static str) -> TokenSource {
        let requests = Arc::clone(&self.requests);
        let server = tower::service_fn(move |_: Request<RequestBody>| {
            let count = requests.fetch_add(1, Ordering::Relaxed);
            let response = format!(
                r#"{{"access_token":"2YotnFZFEjr1zCsicMWpAA{count}","token_type":"{token_type}","expires_in":3600}}"#
            );
            ready(Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(response)))))
        });
        let client = builder
            .token_endpoint("https://auth.example.com/token")
            .auth(ClientAuth::basic("svc", "s3cr3t"))
            .http(HttpClient::from_service(server))
            .build()
            .expect("a client");
        client.source(grant::client_credentials()).build().expect("a source")
    }

    pub(crate) fn source_with_token(&self) -> TokenSource {
        with_token(self.source(None))
    }
}

/// The same source, with a token in hand.
pub(crate) fn with_token(source: TokenSource) -> TokenSource {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    runtime.block_on(source.token()).expect("a token");
    source
}

/// A GET with eight headers, made as programs make them: names from constants, values at run time.
pub(crate) fn request() -> Request<Full<Bytes>> {
    let mut request = Request::new(Full::default());
    *request.uri_mut() = "https://api.example.com/v1/orders/42?expand=lines".parse().expect("a URI");
    for (name, value) in [
        ("accept", "application/json"),
        ("accept-encoding", "gzip, br"),
        ("accept-language", "en"),
        ("content-type", "application/json"),
        ("idempotency-key", "6f1c2f6e-7f0b-4f0e-9a53-0d8d0b9b2f11"),
        ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
        ("user-agent", "bench/1.0"),
        ("x-request-id", "0123456789abcdef"),
    ] {
        let value = HeaderValue::from_str(value).expect("a value");
        request.headers_mut().insert(HeaderName::from_static(name), value);
    }
    request
}

/// `None` when it did not response at once.
pub(crate) fn call<S: Service<Request<Full<Bytes>>>>(
    service: &mut S,
    request: Request<Full<Bytes>>,
) -> Option<S::Response> {
    service.call(request).now_or_never()?.ok()
}

/// An HTTP client as far as the layer can see.
#[derive(Clone)]
pub(crate) struct Sink;

impl<B> Service<Request<B>> for Sink {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Full<Bytes>>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        black_box(&request);
        ready(Ok(Response::new(Full::default())))
    }
}
