//! What a guard adds to a request, and what a new token costs beside its bare signature check.
//!
//! `cargo bench -p oauth-guard --bench request`: compare `guarded` with `bare`, and `new_token` with
//! `raw_signature`, within one run.
#![expect(clippy::unwrap_used, reason = "a bench that cannot be set up has nothing to measure")]

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::hint::black_box;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use aws_lc_rs::signature::{self, ParsedPublicKey, RsaPublicKeyComponents};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use divan::{AllocProfiler, Bencher};
use http::{Method, Request, Response, header};
use http_body_util::Empty;
use oauth_guard::{Check, Guard, GuardBuilder, GuardService, Issuer, Requirement, Rule};
use oauth_mock::{Alg, MockServer};
use tower::{Layer, Service, ServiceExt};

#[global_allocator]
static ALLOCATIONS: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
}

type Body = Empty<Bytes>;

/// The service behind the guard: as little as a service can be.
#[derive(Clone)]
struct Bare;

impl Service<Request<Body>> for Bare {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        black_box(request.headers().len());
        ready(Ok(Response::new(Empty::new())))
    }
}

#[divan::bench(sample_count = 500)]
fn bare(bencher: Bencher<'_, '_>) {
    let setting = Setting::new(Alg::Rs256);
    let token = setting.token();
    bencher.with_inputs(|| request(&token)).bench_local_values(|request| run(Bare, request));
}

#[divan::bench(sample_count = 500)]
fn guarded_known_token(bencher: Bencher<'_, '_>) {
    let setting = Setting::new(Alg::Rs256);
    let token = setting.token();
    let service = setting.service(64 * 1024 * 1024);
    assert_eq!(run(service.clone(), request(&token)), 200);
    bencher.with_inputs(|| request(&token)).bench_local_values(|request| run(service.clone(), request));
}

/// The same, with a thousand rules, one of which asks for a scope and a claim of this request.
#[divan::bench(sample_count = 500)]
fn guarded_known_token_by_rule(bencher: Bencher<'_, '_>) {
    let setting = Setting::new(Alg::Rs256);
    let token = setting.token();
    let rules =
        (0..1000).map(|n| Rule::new(format!("/things{n}/{{id}}")).require(Requirement::scope("other")));
    let orders = Requirement::scope("orders:read") & Requirement::claim("tenant", TENANT);
    let rules = rules.chain([Rule::new("/orders").methods([Method::GET]).require(orders)]);
    let guard = rules.fold(setting.builder(), GuardBuilder::rule).build().unwrap();
    let service = guard.layer().layer(Bare);
    assert_eq!(run(service.clone(), request(&token)), 200);
    bencher.with_inputs(|| request(&token)).bench_local_values(|request| run(service.clone(), request));
}

/// A requirement of eight terms, all of which have to be looked at.
#[divan::bench(sample_count = 500)]
fn requirement_of_eight_terms(bencher: Bencher<'_, '_>) {
    let setting = Setting::new(Alg::Rs256);
    let token = setting.token();
    let guard = setting.builder().build().unwrap();
    let Check::Now(outcome) = guard.check(&request(&token)) else { return };
    let claims = outcome.unwrap().unwrap();
    let requirement = Requirement::scope("orders:read")
        & Requirement::scope("orders:write")
        & Requirement::scope("email")
        & (Requirement::role("admin") | Requirement::client("orders-frontend-production"))
        & Requirement::claim("tenant", TENANT)
        & !Requirement::claim("suspended", true)
        & !Requirement::role("guest");
    bencher.bench_local(|| black_box(&guard).require(black_box(&requirement), &claims).unwrap());
}

/// Without a cache each token is a new one.
#[divan::bench(args = [Alg::Rs256, Alg::Es256, Alg::EdDsa], sample_count = 500)]
fn guarded_new_token(bencher: Bencher<'_, '_>, algorithm: Alg) {
    let setting = Setting::new(algorithm);
    let token = setting.token();
    let service = setting.service(0);
    assert_eq!(run(service.clone(), request(&token)), 200);
    bencher.with_inputs(|| request(&token)).bench_local_values(|request| run(service.clone(), request));
}

#[divan::bench(args = [Alg::Rs256, Alg::Es256, Alg::EdDsa], sample_count = 500)]
fn raw_signature(bencher: Bencher<'_, '_>, algorithm: Alg) {
    let setting = Setting::new(algorithm);
    let token = setting.token();
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    let key = setting.raw_key(algorithm);
    bencher.bench_local(|| key.verify_sig(black_box(signed.as_bytes()), &signature).unwrap());
}

#[divan::bench(sample_count = 500)]
fn guarded_forged_signature(bencher: Bencher<'_, '_>) {
    let setting = Setting::new(Alg::Rs256);
    let service = setting.service(64 * 1024 * 1024);
    let token = setting.token();
    let (signed, _) = token.rsplit_once('.').unwrap();
    let forged = format!("{signed}.{}", URL_SAFE_NO_PAD.encode([7; 256]));
    assert_eq!(run(service.clone(), request(&forged)), 401);
    bencher.with_inputs(|| request(&forged)).bench_local_values(|request| run(service.clone(), request));
}

const TENANT: &str = "3c1f0b52-8a6e-4d0e-8f2b-6f0a7f4d9e11";

struct Setting {
    server: MockServer,
}

impl Setting {
    fn new(algorithm: Alg) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let _inside = runtime.enter();
        Self { server: MockServer::builder().audience("orders-api").algorithms([algorithm]).in_process() }
    }

    /// Nine claims; with RS256, about 900 bytes.
    fn token(&self) -> String {
        self.server
            .mint()
            .issuer("https://auth.example.com/realms/main")
            .subject("7f3b2c1e-5b0f-4c2a-9a3e-2f1d0c9b8a77")
            .client_id("orders-frontend-production")
            .scope("orders:read orders:write customers:read profile email")
            .claim("tenant", TENANT)
            .claim("exp", 9_000_000_000_i64)
            .claim("iat", 1_700_000_000_i64)
            .build()
    }

    fn builder(&self) -> GuardBuilder {
        let issuer = Issuer::new("https://auth.example.com/realms/main")
            .audience("orders-api")
            .jwks_json(self.server.keys().jwks_json());
        Guard::builder().issuer(issuer)
    }

    fn service(&self, cache_bytes: u64) -> GuardService<Bare> {
        self.builder().cache_bytes(cache_bytes).build().unwrap().layer().layer(Bare)
    }

    fn raw_key(&self, algorithm: Alg) -> ParsedPublicKey {
        let jwk = self.server.keys().current().public_jwk();
        let part = |name: &str| URL_SAFE_NO_PAD.decode(jwk[name].as_str().unwrap()).unwrap();
        match algorithm {
            Alg::Rs256 => RsaPublicKeyComponents { n: part("n"), e: part("e") }
                .to_parsed_public_key(&signature::RSA_PKCS1_2048_8192_SHA256)
                .unwrap(),
            Alg::Es256 => {
                let point = [vec![4], part("x"), part("y")].concat();
                ParsedPublicKey::new(&signature::ECDSA_P256_SHA256_FIXED, point).unwrap()
            }
            _ => ParsedPublicKey::new(&signature::ED25519, part("x")).unwrap(),
        }
    }
}

/// Eight headers, as a browser's API call has them.
fn request(token: &str) -> Request<Body> {
    Request::get("https://api.example.com/orders")
        .header(header::HOST, "api.example.com")
        .header(header::USER_AGENT, "bench/1.0")
        .header(header::ACCEPT, "application/json")
        .header(header::ACCEPT_ENCODING, "gzip, br")
        .header(header::CONTENT_TYPE, "application/json")
        .header("x-request-id", "b1946ac92492d2347c6235b4d2611184")
        .header("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
        .header(header::AUTHORIZATION, format!("Bearer {token}"))
        .body(Empty::new())
        .unwrap()
}

fn run<S, B>(service: S, request: Request<Body>) -> u16
where
    S: Service<Request<Body>, Response = Response<B>, Error = Infallible>,
{
    let call = pin!(service.oneshot(request));
    match call.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(Ok(response)) => response.status().as_u16(),
        _ => 0,
    }
}
