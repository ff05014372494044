//! A guard over a secret that the targets know, so that what they make up can be signed; and a runtime whose time stands
//! still.

use std::future::Future;

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use oauth_client::transport::{HttpClient, RequestBody};
use oauth_guard::clock::TestClock;
use oauth_guard::{Algorithm, Claims, Guard, GuardBuilder, Issuer, Profile, Rejection};
use serde_json::{Value, json};
use tokio::runtime::{Builder, Handle, Runtime};

pub(crate) const ISSUER: &str = "https://auth.example.com";
pub(crate) const AUDIENCE: &str = "orders-api";
pub(crate) const SECRET: [u8; 32] = [7; 32];
/// The time that stands still.
pub(crate) const NOW: u64 = 1_893_456_000;

thread_local! {
    static RUNTIME: Runtime =
        Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime");
}

/// Runs a future to its end. Whatever it would wait for happens at once.
pub(crate) fn run<F: Future>(future: F) -> F::Output {
    RUNTIME.with(|runtime| runtime.block_on(future))
}

/// Runs what may start tasks or look at the time.
pub(crate) fn within<T>(work: impl FnOnce() -> T) -> T {
    run(async { work() })
}

pub(crate) fn issuer() -> Issuer {
    Issuer::new(ISSUER).audience(AUDIENCE).profile(Profile::Jwt).hmac_secret(Algorithm::Hs256, SECRET)
}

/// A builder at [`NOW`], without a cache so that each token is read.
pub(crate) fn builder() -> GuardBuilder {
    let clock =
        if Handle::try_current().is_ok() { TestClock::at(NOW) } else { within(|| TestClock::at(NOW)) };
    Guard::builder().cache_bytes(0).clock(clock)
}

/// The claims of a good token.
pub(crate) fn claims() -> Value {
    json!({ "iss": ISSUER, "aud": AUDIENCE, "exp": NOW + 600, "iat": NOW - 60, "sub": "ada", "jti": "t1" })
}

/// A token with these claims.
pub(crate) fn token(claims: &Value) -> String {
    sign(br#"{"alg":"HS256"}"#, claims.to_string().as_bytes())
}

/// Whatever header and payload, signed by the issuer.
pub(crate) fn sign(header: &[u8], payload: &[u8]) -> String {
    let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &SECRET), signed.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(tag))
}

/// Asks the guard about a request, and waits if it has to ask others.
pub(crate) fn check<B>(guard: &Guard, request: &Request<B>) -> Result<Option<Claims>, Rejection> {
    run(async { guard.check(request).resolve().await })
}

/// Asks about a bearer token.
pub(crate) fn check_token(guard: &Guard, token: &str) -> Result<Option<Claims>, Rejection> {
    check(guard, &bearer(token))
}

/// A request with a bearer token that is visible ASCII.
pub(crate) fn bearer(token: &str) -> Request<()> {
    let request =
        Request::get("https://api.example.com/orders").header("authorization", format!("Bearer {token}"));
    request.body(()).expect("a request")
}

/// A server that gives this response to every request.
pub(crate) fn server(respond: impl Fn() -> Response<Bytes> + Clone + Send + 'static) -> HttpClient {
    HttpClient::from_service(tower::service_fn(move |_: Request<RequestBody>| {
        let response = respond().map(Full::new);
        async move { Ok::<_, std::io::Error>(response) }
    }))
}

/// A server that gives this body, as JSON, to every request.
pub(crate) fn json_server(body: Bytes) -> HttpClient {
    server(move || {
        let mut response = Response::new(body.clone());
        let json = http::HeaderValue::from_static("application/json");
        response.headers_mut().insert(http::header::CONTENT_TYPE, json);
        response
    })
}
