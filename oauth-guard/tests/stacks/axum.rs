//! An axum router with the guard as a layer.

use ::axum::Router;
use ::axum::body::Body;
use ::axum::extract::Request;
use ::axum::routing::get;
use ::hyper::server::conn::http1;
use ::tower::ServiceExt;
use http::HeaderValue;
use http::header::AUTHORIZATION;
use http_body_util::BodyExt;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use oauth_guard::clock::TestClock;
use oauth_guard::{Claims, Guard, GuardLayer, Issuer, Requirement, Rule};
use oauth_mock::{Alg, MockServer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

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

/// Of the response to this request line, as hyper parses it, the status line.
async fn ask_raw(router: &Router, request_line: &str, token: &str) -> String {
    let (mut near, far) = tokio::io::duplex(64 * 1024);
    let service = TowerToHyperService::new(router.clone());
    tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(far), service));
    let head = format!(
        "{request_line} HTTP/1.1\r\nhost: h\r\nauthorization: Bearer {token}\r\nconnection: close\r\n\r\n"
    );
    near.write_all(head.as_bytes()).await.unwrap();
    let mut response = String::new();
    near.read_to_string(&mut response).await.unwrap();
    response.lines().next().unwrap_or_default().to_owned()
}

/// axum sends a request whose target has no slash at the start to the fallback.
#[tokio::test(start_paused = true)]
async fn a_rule_for_all_covers_every_request_target_that_hyper_takes() {
    let server = MockServer::builder().audience("stacks").algorithms([Alg::Es256]).in_process();
    let issuer = Issuer::new(server.issuer()).audience("stacks").jwks_json(server.keys().jwks_json());
    let guard = Guard::builder()
        .clock(TestClock::new())
        .issuer(issuer)
        .rule(Rule::new("/{*rest}").require(Requirement::scope("admin")));
    let router = Router::new().fallback(async || "served").layer(guard.build().unwrap().layer());
    let (user, admin) = (server.mint().scope("read").build(), server.mint().scope("admin").build());
    for line in [
        "GET /",
        "GET /a",
        "GET http://h/a",
        "GET *",
        "OPTIONS *",
        "GET foo",
        "POST host:80",
        "CONNECT host:443",
    ] {
        assert_eq!(ask_raw(&router, line, &user).await, "HTTP/1.1 403 Forbidden", "{line}");
        assert_eq!(ask_raw(&router, line, &admin).await, "HTTP/1.1 200 OK", "{line}");
    }
}
