//! A mock server and a guard over it, in process and on one paused clock.

use std::convert::Infallible;

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use oauth_guard::clock::TestClock;
use oauth_guard::{Claims, Guard, GuardBuilder, GuardLayer, HttpClient, Issuer};
use oauth_mock::{Alg, MockServer};
use serde::de::DeserializeOwned;
use tower::{Layer, ServiceExt, service_fn};

/// The response.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) challenge: Option<String>,
    pub(crate) retry_after: Option<String>,
    pub(crate) body: String,
}

impl Reply {
    /// Status and RFC 6750 error code, as in the table of rejections.
    pub(crate) fn summary(&self) -> (u16, Option<&str>) {
        let error = self.challenge.as_deref().and_then(|text| text.split_once("error=\""));
        (self.status, error.and_then(|(_, rest)| rest.split('"').next()))
    }

    /// A rejection never repeats the token or a part of it.
    pub(crate) fn leaks_nothing(&self, token: Option<&str>) -> bool {
        let mut parts = token.unwrap_or_default().split('.').filter(|part| part.len() > 16);
        parts.all(|part| !self.mentions(part))
    }

    /// Whether this text is in the challenge or the body.
    pub(crate) fn mentions(&self, text: &str) -> bool {
        self.body.contains(text)
            || self.challenge.as_deref().is_some_and(|challenge| challenge.contains(text))
    }
}

pub(crate) struct Fixture {
    pub(crate) server: MockServer,
    pub(crate) clock: TestClock,
}

impl Fixture {
    pub(crate) fn new() -> Self {
        Self::with(&[Alg::Es256])
    }

    pub(crate) fn with(algorithms: &[Alg]) -> Self {
        let server =
            MockServer::builder().audience("orders-api").algorithms(algorithms.iter().copied()).in_process();
        Self { server, clock: TestClock::new() }
    }

    pub(crate) fn issuer(&self) -> Issuer {
        Issuer::new(self.server.issuer()).audience("orders-api")
    }

    /// A key set with one RSA key that signs no token of the test.
    pub(crate) fn with_rsa_keys(&self) -> String {
        self.server.keys().add(&oauth_mock::TestKey::generate(Alg::Rs256));
        self.server.keys().jwks_json()
    }

    pub(crate) fn builder(&self) -> GuardBuilder {
        Guard::builder().http(HttpClient::from_service(self.server.transport())).clock(self.clock.clone())
    }

    pub(crate) fn guard(&self) -> Guard {
        self.builder().issuer(self.issuer()).build().unwrap()
    }

    pub(crate) fn guard_of(&self, issuer: Issuer) -> Guard {
        self.builder().issuer(issuer).build().unwrap()
    }
}

/// Sends one request with these `Authorization` headers through the layer, to a service that returns the
/// subject.
pub(crate) async fn send<T>(layer: &GuardLayer<T>, authorization: &[&[u8]]) -> Reply
where
    T: DeserializeOwned + Send + Sync + 'static,
{
    let mut request = Request::new(Full::<Bytes>::default());
    for value in authorization {
        request.headers_mut().append(header::AUTHORIZATION, http::HeaderValue::from_bytes(value).unwrap());
    }
    send_request(layer, request).await
}

pub(crate) async fn send_request<T>(layer: &GuardLayer<T>, request: Request<Full<Bytes>>) -> Reply
where
    T: DeserializeOwned + Send + Sync + 'static,
{
    let service = layer.layer(service_fn(|request: Request<Full<Bytes>>| async move {
        let claims = request.extensions().get::<Claims<T>>();
        let who = claims.map_or("no claims", |claims| claims.subject().unwrap_or("no subject"));
        Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(who.to_owned()))))
    }));
    let response = service.oneshot(request).await.unwrap();
    let text = |name| response.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
    let (challenge, retry_after) = (text(header::WWW_AUTHENTICATE), text(header::RETRY_AFTER));
    if response.status() != StatusCode::OK {
        assert_eq!(response.headers()[header::CACHE_CONTROL], "no-store");
    }
    let status = response.status().as_u16();
    let body = String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap();
    Reply { status, challenge, retry_after, body }
}

/// The claims of a token.
pub(crate) async fn claims(guard: &Guard, token: &str) -> Result<Claims, oauth_guard::Rejection> {
    let request =
        Request::get("/").header(header::AUTHORIZATION, format!("Bearer {token}")).body(()).unwrap();
    guard.check(&request).resolve().await.map(|claims| claims.unwrap())
}

/// One request with a bearer token.
pub(crate) async fn call(guard: &Guard, token: &str) -> Reply {
    send(&guard.layer(), &[format!("Bearer {token}").as_bytes()]).await
}

/// Lets detached tasks run to their end.
pub(crate) async fn settle() {
    for _ in 0..64 {
        tokio::task::yield_now().await;
    }
}

/// Numbers that look random and are the same in every run (SplitMix64).
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).unwrap()
    }

    /// In so many of a hundred cases.
    pub(crate) fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    pub(crate) fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }

    pub(crate) fn word(&mut self, from: &[&'static str]) -> &'static str {
        from[self.below(from.len())]
    }
}

/// A file of one test, which removes it.
pub(crate) struct File(pub(crate) std::path::PathBuf);

impl File {
    pub(crate) fn new(name: &str, text: &str) -> Self {
        let path = std::env::temp_dir().join(format!("oauth-guard-{}-{name}", std::process::id()));
        std::fs::write(&path, text).unwrap();
        Self(path)
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}
