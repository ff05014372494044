//! What every bench of the guard works on: one issuer, its tokens, and a service that does nothing.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::hint::black_box;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::{Request, Response, header};
use http_body_util::Empty;
use oauth_guard::{Guard, GuardBuilder, Issuer};
use oauth_mock::{Alg, MockServer, TokenBuilder};
use tower::Service;

pub(crate) const ISSUER: &str = "https://auth.example.com/realms/main";
pub(crate) const AUDIENCE: &str = "orders-api";
/// As long as it takes for a token of 905 bytes.
pub(crate) const TENANT: &str = "3c1f0b52-8a6e-4d0e-8f2b-6f0a7f4d9e11-eu-west-1-production-customers";

pub(crate) type Body = Empty<Bytes>;

/// An authorization server with one key.
pub(crate) struct Setting {
    pub(crate) server: MockServer,
}

impl Setting {
    pub(crate) fn new(algorithm: Alg) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let _inside = runtime.enter();
        Self { server: MockServer::builder().audience(AUDIENCE).algorithms([algorithm]).in_process() }
    }

    /// Nine claims. Each call brings another token.
    pub(crate) fn mint(&self) -> TokenBuilder {
        self.server
            .mint()
            .issuer(ISSUER)
            .subject("7f3b2c1e-5b0f-4c2a-9a3e-2f1d0c9b8a77")
            .client_id("orders-frontend-production")
            .scope("orders:read orders:write customers:read profile email")
            .claim("exp", 9_000_000_000_i64)
            .claim("iat", 1_700_000_000_i64)
            .claim("tenant", TENANT)
    }

    /// A token of exactly 905 bytes with RS256, and of the same claims with others.
    pub(crate) fn token(&self) -> String {
        self.mint().build()
    }

    pub(crate) fn issuer(&self) -> Issuer {
        Issuer::new(ISSUER).audience(AUDIENCE).jwks_json(self.server.keys().jwks_json())
    }

    pub(crate) fn builder(&self) -> GuardBuilder {
        Guard::builder().issuer(self.issuer())
    }
}

/// Eight headers, as a browser's API call has them.
pub(crate) fn request(token: &str) -> Request<Body> {
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
        .expect("a request")
}

/// Sends one request and returns the status of the response, which must be ready at once.
///
/// Not by `oneshot`, which moves the request several times: the compiler removes these moves for a service as small as
/// [`Bare`], and a guard would be charged with them.
pub(crate) fn run<S, B>(mut service: S, request: Request<Body>) -> u16
where
    S: Service<Request<Body>, Response = Response<B>, Error = Infallible>,
{
    let mut context = Context::from_waker(Waker::noop());
    assert!(service.poll_ready(&mut context).is_ready(), "a service that is always ready");
    match pin!(service.call(request)).poll(&mut context) {
        Poll::Ready(Ok(response)) => response.status().as_u16(),
        _ => 0,
    }
}

/// The service behind the guard: as little as a service can be.
#[derive(Clone, Debug)]
pub(crate) struct Bare;

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
