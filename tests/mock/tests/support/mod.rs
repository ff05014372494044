//! Two small clients: one through the in-process transport, one over a raw socket.

#![expect(dead_code, reason = "each test file uses its own part of this module")]
#![expect(clippy::unwrap_used, reason = "a helper that fails must fail its test")]

pub(crate) mod flow;

use std::io;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use oauth_mock::{Endpoint, MockServer, TransportError};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tower::ServiceExt as _;

#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn error(&self) -> String {
        self.json()["error"].as_str().unwrap_or_default().to_owned()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

/// Sends any request in process and reads the response whole.
pub(crate) async fn send(
    server: &MockServer,
    request: Request<Full<Bytes>>,
) -> Result<Reply, TransportError> {
    let (parts, body) = server.transport().oneshot(request).await?.into_parts();
    let body = body.collect().await?.to_bytes();
    Ok(Reply { status: parts.status, headers: parts.headers, body })
}

pub(crate) async fn get(server: &MockServer, endpoint: Endpoint) -> Result<Reply, TransportError> {
    send(server, Request::get(server.endpoint(endpoint)).body(Full::default()).unwrap()).await
}

/// Posts a form to an endpoint as the client of the `Authorization` header, if one is given.
pub(crate) async fn post(
    server: &MockServer,
    endpoint: Endpoint,
    authorization: Option<&str>,
    form: &str,
) -> Reply {
    send(server, form_request(&server.endpoint(endpoint), authorization, form)).await.unwrap()
}

pub(crate) fn form_request(url: &str, authorization: Option<&str>, form: &str) -> Request<Full<Bytes>> {
    let mut request = Request::post(url).header("content-type", "application/x-www-form-urlencoded");
    if let Some(value) = authorization {
        request = request.header("authorization", value);
    }
    request.body(Full::new(Bytes::from(form.to_owned()))).unwrap()
}

pub(crate) fn basic(id: &str, secret: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{id}:{secret}")))
}

pub(crate) fn svc() -> String {
    basic("svc", "s3cr3t")
}

/// Asks for a token as `svc` with client_credentials.
pub(crate) async fn token(server: &MockServer) -> Reply {
    post(server, Endpoint::Token, Some(&svc()), "grant_type=client_credentials").await
}

/// Header (0) or claims (1) of a JWT, unverified.
pub(crate) fn jwt_part(token: &str, index: usize) -> Value {
    let part = token.split('.').nth(index).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

/// Sends a GET over a new connection and returns every byte that came back, or how the connection broke.
pub(crate) async fn raw_get(server: &MockServer, endpoint: Endpoint) -> io::Result<Vec<u8>> {
    let (bytes, end) = raw_exchange(server, endpoint).await;
    end.map(|()| bytes)
}

/// What arrived, and how the connection ended.
pub(crate) async fn raw_exchange(server: &MockServer, endpoint: Endpoint) -> (Vec<u8>, io::Result<()>) {
    let host = server.url().strip_prefix("http://").unwrap();
    let path = server.endpoint(endpoint).strip_prefix(server.url()).unwrap().to_owned();
    let mut bytes = Vec::new();
    let end = async {
        let mut stream = TcpStream::connect(host).await?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        stream.read_to_end(&mut bytes).await.map(drop)
    };
    let end = end.await;
    (bytes, end)
}
