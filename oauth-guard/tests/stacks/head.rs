//! `HEAD` over one connection of plain hyper in HTTP/2, whose server sends the body that it is given. A client takes content
//! in such a response for an error of the stream (RFC 9110 section 9.3.2, RFC 9113 section 8.1.1).

use std::convert::Infallible;

use ::hyper::body::Incoming;
use ::hyper::client::conn::http2::{SendRequest, handshake};
use ::hyper::server::conn::http2;
use ::tower::{Layer, service_fn};
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, Method, Request, Response};
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use oauth_guard::clock::TestClock;
use oauth_guard::{Guard, GuardBuilder, GuardLayer, HttpClient, Issuer, RejectionBody, Requirement};
use oauth_mock::{Alg, Endpoint, Fault, MockServer};

struct Connection(SendRequest<Empty<Bytes>>);

impl Connection {
    async fn to(layer: GuardLayer) -> Self {
        let (near, far) = tokio::io::duplex(64 * 1024);
        let service = layer.layer(service_fn(|_: Request<Incoming>| async {
            Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
        }));
        let server = http2::Builder::new(TokioExecutor::new());
        tokio::spawn(server.serve_connection(TokioIo::new(far), TowerToHyperService::new(service)));
        let (sender, connection) = handshake(TokioExecutor::new(), TokioIo::new(near)).await.unwrap();
        tokio::spawn(connection);
        Self(sender)
    }

    async fn ask(&mut self, method: Method, token: &str) -> (u16, HeaderMap, Bytes) {
        let mut request = Request::builder().method(method).uri("http://api.example.com/orders");
        if !token.is_empty() {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        self.0.ready().await.unwrap();
        let response = self.0.send_request(request.body(Empty::new()).unwrap()).await.unwrap();
        let (head, body) = response.into_parts();
        (head.status.as_u16(), head.headers, body.collect().await.unwrap().to_bytes())
    }
}

fn builder(server: &MockServer) -> GuardBuilder {
    Guard::builder()
        .http(HttpClient::from_service(server.transport()))
        .clock(TestClock::new())
        .issuer(Issuer::new(server.issuer()).audience("stacks"))
}

#[tokio::test(start_paused = true)]
async fn a_rejected_head_has_the_headers_of_a_get_and_no_content() {
    let server = MockServer::builder().audience("stacks").algorithms([Alg::Es256]).in_process();
    let worded = |builder: GuardBuilder| builder.on_rejection(|_| RejectionBody::text("not you"));
    let wordless = |builder: GuardBuilder| builder.on_rejection(|_| RejectionBody::text(""));
    for (builder, length) in
        [(builder(&server), None), (worded(builder(&server)), Some("7")), (wordless(builder(&server)), None)]
    {
        let guard = builder.build().unwrap();
        let mut connection = Connection::to(guard.layer().require(Requirement::scope("read"))).await;
        server.fault(Endpoint::Jwks, Fault::status(500)).times(1);
        let good = server.mint().scope("read").build();
        // The keys are unavailable for the first token.
        for (token, status) in [(&*good, 503), ("", 401), ("a.b.c", 401)] {
            let (got, got_headers, content) = connection.ask(Method::GET, token).await;
            let (head, headers, nothing) = connection.ask(Method::HEAD, token).await;
            assert_eq!((got, head, nothing.len()), (status, status, 0), "{token}");
            for name in [WWW_AUTHENTICATE, CONTENT_TYPE, RETRY_AFTER] {
                assert_eq!(got_headers.get(&name), headers.get(&name), "{token}: {name}");
            }
            assert_eq!(headers.contains_key(WWW_AUTHENTICATE), status == 401);
            let said = headers.get(CONTENT_LENGTH).map(|value| value.to_str().unwrap().to_owned());
            let has_content = !content.is_empty();
            assert_eq!(said, has_content.then(|| content.len().to_string()), "{token}: {headers:?}");
            assert!(length.is_none_or(|length| said.as_deref() == Some(length)), "{said:?}");
        }
        tokio::time::advance(std::time::Duration::from_secs(60)).await;
        let poor = server.mint().scope("write").build();
        let (status, headers, _) = connection.ask(Method::HEAD, &poor).await;
        assert_eq!(status, 403);
        assert!(headers[WWW_AUTHENTICATE].to_str().unwrap().contains("insufficient_scope"), "{headers:?}");
        assert_eq!(connection.ask(Method::HEAD, &good).await.0, 200, "the connection goes on");
    }
}
