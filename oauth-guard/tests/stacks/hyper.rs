//! Plain hyper, one HTTP/1 connection, no framework.

use std::convert::Infallible;

use ::hyper::body::Incoming;
use ::hyper::client::conn::http1::{SendRequest, handshake};
use ::hyper::server::conn::http1;
use ::tower::{Layer, service_fn};
use bytes::Bytes;
use http::header::{AUTHORIZATION, HOST};
use http::{HeaderValue, Request, Response};
use http_body_util::{BodyExt, Empty, Full};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use oauth_guard::{Claims, GuardLayer};

use crate::{Reply, Stack};

pub(crate) struct Hyper(SendRequest<Empty<Bytes>>);

impl Stack for Hyper {
    const NAME: &'static str = "hyper";

    async fn behind(layer: GuardLayer) -> Self {
        let (near, far) = tokio::io::duplex(64 * 1024);
        let service = layer.layer(service_fn(|request: Request<Incoming>| async move {
            let claims = request.extensions().get::<Claims>().unwrap();
            let subject = Bytes::from(claims.subject().unwrap().to_owned());
            Ok::<_, Infallible>(Response::new(Full::new(subject)))
        }));
        let service = TowerToHyperService::new(service);
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(far), service));
        let (sender, connection) = handshake(TokioIo::new(near)).await.unwrap();
        tokio::spawn(connection);
        Self(sender)
    }

    async fn ask(&mut self, authorization: &[HeaderValue]) -> Reply {
        let mut request = Request::get("/orders").header(HOST, "api.example.com").body(Empty::new()).unwrap();
        for value in authorization {
            request.headers_mut().append(AUTHORIZATION, value.clone());
        }
        self.0.ready().await.unwrap();
        let (head, body) = self.0.send_request(request).await.unwrap().into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Reply::http(head.status.as_u16(), &head.headers, &body)
    }
}
