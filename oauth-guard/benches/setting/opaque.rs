//! A guard that introspects its tokens, and an endpoint that responds at once, in process.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::{Request, Response, header};
use http_body_util::{BodyExt, Full};
use oauth_client::transport::RequestBody;
use oauth_guard::{ClientAuth, Guard, GuardService, HttpClient, Introspection, Issuer};
use tokio::runtime::Runtime;
use tower::{Layer, Service, ServiceExt, service_fn};

use super::setting::{AUDIENCE, Bare, Body, ISSUER, TENANT};

pub(crate) const ENDPOINT: &str = "https://auth.example.com/introspect";

/// The endpoint knows tokens that begin so.
const KNOWN: &str = "token=known";

pub(crate) struct Opaque {
    pub(crate) runtime: Runtime,
    pub(crate) guard: Guard,
    /// Made once, as in an app: what it takes to make a layer is no part of a request.
    service: GuardService<Bare>,
    asked: Arc<AtomicUsize>,
}

impl Opaque {
    pub(crate) fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let asked = Arc::new(AtomicUsize::new(0));
        let http = endpoint(Arc::clone(&asked));
        let introspection = Introspection::new(ClientAuth::basic("orders-api", "s3cr3t")).endpoint(ENDPOINT);
        let issuer = Issuer::new(ISSUER).audience(AUDIENCE).introspection(introspection);
        let inside = runtime.enter();
        let guard = Guard::builder().http(http).issuer(issuer).build().expect("a guard");
        drop(inside);
        let service = guard.layer().layer(Bare);
        Self { runtime, guard, service, asked }
    }

    pub(crate) fn questions(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }

    /// The status of the response, waiting for it.
    pub(crate) fn status(&self, request: Request<Body>) -> u16 {
        let mut service = self.service.clone();
        self.runtime.block_on(async {
            let ready = service.ready().await.unwrap_or_else(|never| match never {});
            ready.call(request).await.unwrap_or_else(|never| match never {}).status().as_u16()
        })
    }
}

/// A token that the endpoint calls active, as long as many servers make them.
pub(crate) fn known(number: usize) -> String {
    format!("known_at_{number:034}")
}

/// Counts the questions.
pub(crate) fn endpoint(asked: Arc<AtomicUsize>) -> HttpClient {
    let active = format!(
        r#"{{"active":true,"iss":"{ISSUER}","aud":"{AUDIENCE}","sub":"7f3b2c1e-5b0f-4c2a-9a3e-2f1d0c9b8a77","client_id":"orders-frontend-production","scope":"orders:read orders:write customers:read profile email","exp":9000000000,"iat":1700000000,"tenant":"{TENANT}","token_type":"Bearer"}}"#
    );
    let active = Bytes::from(active);
    HttpClient::from_service(service_fn(move |request: Request<RequestBody>| {
        asked.fetch_add(1, Ordering::Relaxed);
        let active = active.clone();
        async move {
            let body = request.into_body().collect().await.map(http_body_util::Collected::to_bytes);
            let is_known = body.is_ok_and(|body| body.starts_with(KNOWN.as_bytes()));
            let said = if is_known { active } else { Bytes::from_static(br#"{"active":false}"#) };
            let response = Response::builder().header(header::CONTENT_TYPE, "application/json");
            Ok::<_, Infallible>(response.body(Full::new(said)).expect("a response"))
        }
    }))
}
