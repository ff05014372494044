//! Key servers as a test wants them: responses by URL, and a record of what was asked.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::Full;
use oauth_client::transport::RequestBody;
use oauth_guard::clock::TestClock;
use oauth_guard::{Guard, GuardBuilder, HttpClient};
use oauth_mock::MockServer;
use serde_json::{Value, json};
use tower::service_fn;

type Reply = Arc<dyn Fn(&HeaderMap) -> Response<Full<Bytes>> + Send + Sync>;

/// Any number of hosts. What has no response is 404.
#[derive(Clone, Default)]
pub(crate) struct Site {
    replies: Arc<Mutex<HashMap<String, Reply>>>,
    asked: Arc<Mutex<Vec<(String, HeaderMap)>>>,
}

impl Site {
    pub(crate) fn serve(&self, url: &str, status: u16, content_type: &str, body: impl Into<Bytes>) {
        let (content_type, body) = (content_type.to_owned(), body.into());
        self.serve_by(url, move |_| {
            let response = Response::builder().status(status).header("content-type", &content_type);
            let response = if (300..400).contains(&status) {
                response.header("location", "https://login.example/")
            } else {
                response
            };
            response.body(Full::new(body.clone())).unwrap()
        });
    }

    pub(crate) fn serve_by(
        &self,
        url: &str,
        reply: impl Fn(&HeaderMap) -> Response<Full<Bytes>> + Send + Sync + 'static,
    ) {
        self.replies.lock().unwrap().insert(url.to_owned(), Arc::new(reply));
    }

    /// A JSON document.
    pub(crate) fn json(&self, url: &str, document: &Value) {
        self.serve(url, 200, "application/json", document.to_string());
    }

    /// The keys of a mock server.
    pub(crate) fn keys(&self, url: &str, server: &MockServer) {
        self.serve(url, 200, "application/json", server.keys().jwks_json());
    }

    pub(crate) fn metadata(&self, url: &str, issuer: &str, jwks_uri: &str) {
        self.json(url, &json!({"issuer": issuer, "jwks_uri": jwks_uri}));
    }

    /// The URLs that were asked for, in order.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().iter().map(|(url, _)| url.clone()).collect()
    }

    /// One header of the requests for this URL, in order.
    pub(crate) fn header(&self, url: &str, name: &str) -> Vec<Option<String>> {
        let text = |headers: &HeaderMap| Some(headers.get(name)?.to_str().unwrap().to_owned());
        let asked = self.asked.lock().unwrap();
        asked.iter().filter(|(asked, _)| asked == url).map(|(_, headers)| text(headers)).collect()
    }

    pub(crate) fn http(&self) -> HttpClient {
        let site = self.clone();
        HttpClient::from_service(service_fn(move |request: Request<RequestBody>| {
            let (url, headers) = (request.uri().to_string(), request.headers().clone());
            site.asked.lock().unwrap().push((url.clone(), headers.clone()));
            let reply = site.replies.lock().unwrap().get(&url).cloned();
            async move {
                let none = || Response::builder().status(404).body(Full::default()).unwrap();
                Ok::<_, Infallible>(reply.map_or_else(none, |reply| reply(&headers)))
            }
        }))
    }

    pub(crate) fn builder(&self) -> GuardBuilder {
        Guard::builder().http(self.http()).clock(TestClock::new())
    }
}
