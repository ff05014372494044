//! An axum router with the guard as a layer.

use ::axum::Router;
use ::axum::body::Body;
use ::axum::extract::Request;
use ::axum::routing::get;
use ::tower::ServiceExt;
use http::HeaderValue;
use http::header::AUTHORIZATION;
use http_body_util::BodyExt;
use oauth_guard::{Claims, GuardLayer};

use crate::{Reply, Stack};

pub(crate) struct Axum(Router);

impl Stack for Axum {
    const NAME: &'static str = "axum";

    async fn behind(layer: GuardLayer) -> Self {
        let subject = async |request: Request| {
            let claims = request.extensions().get::<Claims>().unwrap();
            claims.subject().unwrap().to_owned()
        };
        Self(Router::new().route("/orders", get(subject)).layer(layer))
    }

    async fn ask(&mut self, authorization: &[HeaderValue]) -> Reply {
        let mut request = Request::get("/orders").body(Body::empty()).unwrap();
        for value in authorization {
            request.headers_mut().append(AUTHORIZATION, value.clone());
        }
        let (head, body) = self.0.clone().oneshot(request).await.unwrap().into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Reply::http(head.status.as_u16(), &head.headers, &body)
    }
}
