//! Proofs of possession: DPoP, certificates, and what they are checked against.

mod certificates;
mod checks;
mod clocks;
mod config;
mod explained;
mod grpc;
mod nested;
mod nonces;
mod opaque;
mod reloads;
mod replays;
mod schemes;
mod urls;

use std::convert::Infallible;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, header};
use http_body_util::{BodyExt, Full};
use oauth_guard::{Claims, Dpop, Guard, GuardBuilder, GuardLayer};
use oauth_mock::{Alg, TestKey, TokenBuilder};
use tower::{Layer, ServiceExt, service_fn};

use super::support::Fixture;

pub(crate) const URL: &str = "https://api.example.com/orders";

/// A client with a key, and the guard's side.
pub(crate) struct Bound {
    pub(crate) fixture: Fixture,
    pub(crate) key: TestKey,
    pub(crate) token: String,
}

impl Bound {
    pub(crate) fn new() -> Self {
        Self::with(Alg::Es256)
    }

    pub(crate) fn with(algorithm: Alg) -> Self {
        let fixture = Fixture::new();
        let key = TestKey::generate(algorithm);
        let token = fixture.server.mint().subject("ada").scope("read").bound_to(&key).build();
        Self { fixture, key, token }
    }

    pub(crate) fn builder(&self) -> GuardBuilder {
        self.fixture.builder().issuer(self.fixture.issuer()).public_url("https://api.example.com")
    }

    pub(crate) fn guard(&self, dpop: Dpop) -> Guard {
        self.builder().dpop(dpop).build().unwrap()
    }

    /// A proof for the request that [`call`](Self::call) sends.
    pub(crate) fn proof(&self) -> TokenBuilder {
        self.proof_for(&self.token)
    }

    pub(crate) fn proof_for(&self, token: &str) -> TokenBuilder {
        self.fixture.server.dpop_proof(&self.key, "GET", URL).access_token_hash(token)
    }

    /// `GET /orders` with the bound token and this proof.
    pub(crate) async fn call(&self, guard: &Guard, proof: &TokenBuilder) -> Answer {
        self.send(guard, &proof.clone().build()).await
    }

    pub(crate) async fn send(&self, guard: &Guard, proof: &str) -> Answer {
        ask(&guard.layer(), request("DPoP", &self.token, &[proof])).await
    }
}

/// A response.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn challenges(&self) -> Vec<&str> {
        self.headers.get_all(header::WWW_AUTHENTICATE).iter().map(|value| value.to_str().unwrap()).collect()
    }

    pub(crate) fn nonce(&self) -> Option<&str> {
        let mut values = self.headers.get_all("dpop-nonce").iter();
        let nonce = values.next().map(|value| value.to_str().unwrap());
        assert!(values.next().is_none(), "one nonce");
        nonce
    }

    /// Status, and scheme and error of the first challenge.
    pub(crate) fn summary(&self) -> (u16, String) {
        let Some(challenge) = self.challenges().first().copied() else { return (self.status, String::new()) };
        let scheme = challenge.split(' ').next().unwrap();
        let error = challenge.split_once("error=\"").map(|(_, rest)| rest.split('"').next().unwrap());
        (self.status, error.map_or(scheme.to_owned(), |error| format!("{scheme} {error}")))
    }
}

pub(crate) fn request(scheme: &str, token: &str, proofs: &[&str]) -> Request<Full<Bytes>> {
    let mut request = Request::new(Full::<Bytes>::default());
    *request.uri_mut() = "/orders".parse().unwrap();
    *request.method_mut() = Method::GET;
    let headers = request.headers_mut();
    headers.insert(header::AUTHORIZATION, HeaderValue::try_from(format!("{scheme} {token}")).unwrap());
    for proof in proofs {
        headers.append("dpop", HeaderValue::from_bytes(proof.as_bytes()).unwrap());
    }
    request
}

/// Sends a request to a service that returns the subject and the headers that it sees.
pub(crate) async fn ask(layer: &GuardLayer, request: Request<Full<Bytes>>) -> Answer {
    let service = layer.layer(service_fn(|request: Request<Full<Bytes>>| async move {
        let claims = request.extensions().get::<Claims>();
        let who = claims.map_or("no claims", |claims| claims.subject().unwrap_or("no subject"));
        let mut names: Vec<_> = request.headers().keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(format!("{who}: {}", names.join(" "))))))
    }));
    let response = service.oneshot(request).await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let body = String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap();
    Answer { status, headers, body }
}

/// The reason that the operator reads.
pub(crate) async fn reason(guard: &Guard, request: &Request<Full<Bytes>>) -> String {
    match guard.check(request).resolve().await {
        Ok(claims) => claims.map_or("no token".to_owned(), |_| "accepted".to_owned()),
        Err(rejection) => rejection.reason().to_owned(),
    }
}
