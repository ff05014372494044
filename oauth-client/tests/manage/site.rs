//! Servers as a table of documents by URL, and what was asked of them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use oauth_client::transport::{HttpClient, PublicOnly, RequestBody};

/// Responds with the entry for a method and URL, `GET https://a.test/x`; everything else is 404.
#[derive(Clone, Default)]
pub(crate) struct Site {
    responses: Arc<Mutex<HashMap<String, Response<Bytes>>>>,
    asked: Arc<Mutex<Vec<Asked>>>,
}

/// A request that came.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) line: String,
    pub(crate) authorization: Option<String>,
    /// Whether the transport may reach public addresses only.
    pub(crate) public_only: bool,
    pub(crate) body: String,
}

impl Site {
    pub(crate) fn with(self, line: &str, body: &str) -> Self {
        self.response(line, Response::new(Bytes::from(body.to_owned())));
        self
    }

    pub(crate) fn response(&self, line: &str, response: Response<Bytes>) {
        self.responses.lock().unwrap().insert(line.to_owned(), response);
    }

    pub(crate) fn http(&self) -> HttpClient {
        let site = self.clone();
        HttpClient::from_service(tower::service_fn(move |request| {
            let site = site.clone();
            async move { Ok::<_, std::io::Error>(site.serve(request).await) }
        }))
    }

    async fn serve(&self, request: Request<RequestBody>) -> Response<Full<Bytes>> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let line = format!("{} {}", head.method, head.uri);
        self.asked.lock().unwrap().push(Asked {
            line: line.clone(),
            authorization: head.headers.get("authorization").map(|value| value.to_str().unwrap().to_owned()),
            public_only: head.extensions.get::<PublicOnly>().is_some(),
            body: String::from_utf8(body.to_vec()).unwrap(),
        });
        let known = self.responses.lock().unwrap().get(&line).cloned();
        let nothing = || Response::builder().status(404).body(Bytes::new()).unwrap();
        known.unwrap_or_else(nothing).map(Full::new)
    }

    /// What came since the last call.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }

    /// The same, as method and URL.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.asked().into_iter().map(|asked| asked.line).collect()
    }
}
