//! What the layer adds to a request while the token is valid: `cargo bench -p oauth-client --bench attach`.
//!
//! Compare each line with `bare` of the same body: the same service, called with the same request of eight headers,
//! without the layer. The service does nothing, so all that is left of the difference is ours. `live` is a source that
//! watches the clock, as programs have it; `fixed` is one that does not.

#![expect(clippy::expect_used, reason = "a bench that cannot be set up should say so and stop")]

use std::convert::Infallible;
use std::fmt;
use std::future::{Ready, ready};
use std::task::{Context, Poll};

use bytes::Bytes;
use divan::{AllocProfiler, Bencher, black_box};
use futures_util::FutureExt;
use http::header::AUTHORIZATION;
use http::{HeaderName, HeaderValue, Method, Request, Response};
use http_body_util::{Empty, Full};
use oauth_client::attach::{ReplayPolicy, TokenLayer};
use oauth_client::dpop::Dpop;
use oauth_client::transport::{HttpClient, RequestBody};
use oauth_client::{Client, ClientAuth, ClientBuilder, TokenSource, grant};
use tower_layer::Layer;
use tower_service::Service;

#[global_allocator]
static ALLOC: AllocProfiler = AllocProfiler::system();

const ORDER: &str = r#"{"lines":[{"article":"2YotnFZFEjr1","count":3}]}"#;
const CASES: [Case; 2] = [Case { method: Method::GET, body: "" }, Case { method: Method::POST, body: ORDER }];

#[derive(Clone)]
struct Case {
    method: Method,
    body: &'static str,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.method.as_str())
    }
}

fn main() {
    divan::main();
}

#[divan::bench(args = CASES, sample_size = 32, sample_count = 3000)]
fn bare(bencher: Bencher<'_, '_>, case: &Case) {
    run(bencher, Sink, case);
}

/// The floor: a header set by hand, with no token source, no layer and no error to tell.
#[divan::bench(args = CASES, sample_size = 32, sample_count = 3000)]
fn by_hand(bencher: Bencher<'_, '_>, case: &Case) {
    let value = live().current().expect("a token").authorization().clone();
    run(bencher, tower::util::MapRequest::new(Sink, by_hand_with(value)), case);
}

fn by_hand_with<B>(value: HeaderValue) -> impl FnMut(Request<B>) -> Request<B> {
    move |mut request| {
        request.headers_mut().insert(AUTHORIZATION, value.clone());
        request
    }
}

#[divan::bench(args = CASES, sample_size = 32, sample_count = 3000)]
fn live_never_replayed(bencher: Bencher<'_, '_>, case: &Case) {
    run(bencher, TokenLayer::new(live()).replay(ReplayPolicy::never()).layer(Sink), case);
}

#[divan::bench(args = CASES, sample_size = 32, sample_count = 3000)]
fn live_default_policy(bencher: Bencher<'_, '_>, case: &Case) {
    run(bencher, TokenLayer::new(live()).layer(Sink), case);
}

#[divan::bench(args = CASES, sample_size = 32, sample_count = 3000)]
fn live_never_replayed_only_to_one_origin(bencher: Bencher<'_, '_>, case: &Case) {
    let layer = TokenLayer::new(live()).replay(ReplayPolicy::never());
    run(bencher, layer.only_to(["https://api.example.com"]).expect("an origin").layer(Sink), case);
}

#[divan::bench(args = CASES, sample_size = 32, sample_count = 3000)]
fn fixed_never_replayed(bencher: Bencher<'_, '_>, case: &Case) {
    let source = TokenSource::fixed("2YotnFZFEjr1zCsicMWpAA").expect("a token");
    run(bencher, TokenLayer::new(source).replay(ReplayPolicy::never()).layer(Sink), case);
}

/// The proof that goes with a bound token: nearly all of it is the signature.
#[divan::bench(args = CASES, sample_size = 4, sample_count = 500)]
fn bound_never_replayed(bencher: Bencher<'_, '_>, case: &Case) {
    run(bencher, TokenLayer::new(bound()).replay(ReplayPolicy::never()).layer(Sink), case);
}

fn run<S: Service<Request<Full<Bytes>>>>(bencher: Bencher<'_, '_>, mut service: S, case: &Case) {
    bencher
        .with_inputs(|| request(case))
        .bench_local_values(|request| call(black_box(&mut service), request));
}

fn call<S: Service<Request<Full<Bytes>>>>(
    service: &mut S,
    request: Request<Full<Bytes>>,
) -> Option<S::Response> {
    service.call(request).now_or_never()?.ok()
}

fn request(case: &Case) -> Request<Full<Bytes>> {
    let mut request = Request::new(Full::new(Bytes::from_static(case.body.as_bytes())));
    *request.method_mut() = case.method.clone();
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
        // As programs make them: names from constants, values at run time.
        let value = HeaderValue::from_str(value).expect("a value");
        request.headers_mut().insert(HeaderName::from_static(name), value);
    }
    request
}

/// A source with a token in hand, got from a server without a socket.
fn live() -> TokenSource {
    source("Bearer", Client::builder())
}

/// The same, with a token that is bound to a key.
fn bound() -> TokenSource {
    source("DPoP", Client::builder().dpop(Dpop::generate().expect("a key")))
}

fn source(token_type: &'static str, builder: ClientBuilder) -> TokenSource {
    let server = tower::service_fn(move |_: Request<RequestBody>| {
        let answer = format!(
            r#"{{"access_token":"2YotnFZFEjr1zCsicMWpAA","token_type":"{token_type}","expires_in":3600}}"#
        );
        ready(Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(answer)))))
    });
    let client = builder
        .token_endpoint("https://auth.example.com/token")
        .auth(ClientAuth::basic("svc", "s3cr3t"))
        .http(HttpClient::from_service(server))
        .build()
        .expect("a client");
    let source = client.source(grant::client_credentials()).build().expect("a source");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    runtime.block_on(source.token()).expect("a token");
    source
}

/// An HTTP client as far as the layer can see.
#[derive(Clone)]
struct Sink;

impl<B> Service<Request<B>> for Sink {
    type Response = Response<Empty<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Empty<Bytes>>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        black_box(&request);
        ready(Ok(Response::new(Empty::new())))
    }
}
