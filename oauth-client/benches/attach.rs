//! What the layer adds to a request while the token is valid: `cargo bench -p tower-oauth-client --bench attach`.
//!
//! Compare each line with `bare` of the same body: the same service, called with the same request of eight headers,
//! without the layer. The service does nothing, so all that is left of the difference is ours. `live` is a source that
//! watches the clock, as programs have it; `fixed` is one that does not.

#![expect(clippy::expect_used, reason = "a bench that cannot be set up should say so and stop")]

mod setting;

use std::fmt;

use bytes::Bytes;
use divan::{AllocProfiler, Bencher, black_box};
use http::header::AUTHORIZATION;
use http::{HeaderValue, Method, Request};
use http_body_util::Full;
use oauth_client::attach::{ReplayPolicy, TokenLayer};
use oauth_client::dpop::Dpop;
use oauth_client::{Client, TokenSource};
use tower_layer::Layer;
use tower_service::Service;

use self::setting::{Server, Sink, call, with_token};

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
    run(bencher, layer.allowed_origins(["https://api.example.com"]).expect("an origin").layer(Sink), case);
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

fn request(case: &Case) -> Request<Full<Bytes>> {
    let mut request = setting::request().map(|_| Full::new(Bytes::from_static(case.body.as_bytes())));
    *request.method_mut() = case.method.clone();
    request
}

/// A source with a token in hand, got from a server without a socket.
fn live() -> TokenSource {
    Server::default().source_with_token()
}

/// The same, with a token that is bound to a key.
fn bound() -> TokenSource {
    let builder = Client::builder().dpop(Dpop::generate().expect("a key"));
    with_token(Server::default().source_of(builder, "DPoP"))
}
