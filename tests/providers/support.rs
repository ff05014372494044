//! Responses as the pages print them, and the requests they belong to.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full};
use oauth_client::grant::{self, TokenRequest};
use oauth_client::transport::{HttpClient, RequestBody};
use oauth_client::{Client, ClientAuth, Dialect, Error, TokenSet};
use serde_json::Value;
use tower::{Layer, ServiceExt};
use url::form_urlencoded;

/// A server that sends the given responses, in that order, and records the requests.
#[derive(Clone, Default)]
pub(crate) struct Wire(Arc<Mutex<Seen>>);

#[derive(Default)]
struct Seen {
    responses: VecDeque<Response<Bytes>>,
    requests: Vec<Request<Bytes>>,
}

impl Wire {
    pub(crate) fn with(status: u16, body: &str) -> Self {
        Self::default().then(status, body)
    }

    pub(crate) fn then(self, status: u16, body: &str) -> Self {
        let response = Response::builder().status(status).header("content-type", "application/json");
        self.then_response(response.body(Bytes::copy_from_slice(body.as_bytes())).unwrap())
    }

    pub(crate) fn then_response(self, response: Response<Bytes>) -> Self {
        self.0.lock().unwrap().responses.push_back(response);
        self
    }

    pub(crate) fn http(&self) -> HttpClient {
        let seen = Arc::clone(&self.0);
        HttpClient::from_service(tower::service_fn(move |request: Request<RequestBody>| {
            let seen = Arc::clone(&seen);
            async move {
                let (head, body) = request.into_parts();
                let body = body.collect().await.unwrap().to_bytes();
                let mut seen = seen.lock().unwrap();
                seen.requests.push(Request::from_parts(head, body));
                let response = seen.responses.pop_front().expect("one request more than responses");
                Ok::<_, std::io::Error>(response.map(Full::new))
            }
        }))
    }

    pub(crate) fn client(&self, dialect: Dialect, auth: ClientAuth) -> Client {
        let builder = Client::builder().provider(dialect).auth(auth).http(self.http());
        builder.clone().build().or_else(|_| builder.base_url("https://api.example").build()).unwrap()
    }

    pub(crate) fn request(&self, n: usize) -> Request<Bytes> {
        self.0.lock().unwrap().requests[n].clone()
    }

    pub(crate) fn requests(&self) -> usize {
        self.0.lock().unwrap().requests.len()
    }
}

pub(crate) fn post() -> ClientAuth {
    ClientAuth::post("id-1", "s3cr3t-1")
}

/// What a token endpoint's response is read as.
pub(crate) async fn read_as(dialect: Dialect, status: u16, body: &str) -> Result<TokenSet, Error> {
    let none = dialect.name() == "comm100";
    let auth = if none { ClientAuth::none("id-1") } else { post() };
    Wire::with(status, body).client(dialect, auth).request(&request(none)).await
}

fn request(comm100: bool) -> TokenRequest {
    match comm100 {
        true => grant::password("a@b.example", "pa55word").parameter("partnerId", "10000"),
        false => grant::client_credentials(),
    }
}

/// The error that a token endpoint's response is read as. It shows none of the secrets that were sent.
pub(crate) async fn refused(dialect: Dialect, status: u16, body: &str) -> Error {
    let error = read_as(dialect, status, body).await.unwrap_err();
    for secret in ["s3cr3t-1", "pa55word"] {
        assert!(!format!("{error} {error:?}").contains(secret));
    }
    assert_eq!(error.status().unwrap(), status);
    error
}

pub(crate) fn form(request: &Request<Bytes>) -> Vec<(String, String)> {
    assert_eq!(request.headers()["content-type"], "application/x-www-form-urlencoded");
    form_urlencoded::parse(request.body()).into_owned().collect()
}

pub(crate) fn pairs<const N: usize>(pairs: [(&str, &str); N]) -> Vec<(String, String)> {
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec()
}

pub(crate) fn json(request: &Request<Bytes>) -> Value {
    assert_eq!(request.headers()["content-type"], "application/json");
    serde_json::from_slice(request.body()).unwrap()
}

/// The status of the response to a request with these headers through a guard.
pub(crate) async fn through<T>(layer: oauth_guard::GuardLayer<T>, headers: HeaderMap) -> u16
where
    T: serde::de::DeserializeOwned + Send + Sync + 'static,
{
    let mut request = Request::new(Full::<Bytes>::default());
    *request.headers_mut() = headers;
    let service = layer.layer(tower::service_fn(|_: Request<Full<Bytes>>| async {
        Ok::<_, std::io::Error>(Response::new(Full::<Bytes>::default()))
    }));
    service.oneshot(request).await.unwrap().status().as_u16()
}
