//! A tonic channel under the token layer, over HTTP/2 on loopback: a unary call that is refused for its token is sent
//! once more, a stream that still runs is not.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

#[path = "../examples/text_codec/mod.rs"]
mod text_codec;

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::{StreamExt, stream};
use http::uri::PathAndQuery;
use http::{Request, Uri};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use oauth_client::attach::{Body, TokenLayer};
use oauth_client::transport::HttpClient;
use oauth_client::{Client, ClientAuth, TokenSource, grant};
use oauth_mock::{Endpoint, MockServer};
use tonic::transport::Channel;
use tonic::{Code, Response, Status, client, server};
use tower::{Service, ServiceBuilder, service_fn};

use self::text_codec::Text;

#[tokio::test]
async fn a_unary_call_refused_with_status_16_is_sent_once_more() {
    let auth = MockServer::builder().in_process();
    let source = source(&auth);
    let revoked = source.token().await.unwrap();
    let api = Api::start(revoked.authorization().as_bytes().to_vec()).await;

    let mut grpc = client::Grpc::with_origin(with_token(&api, source), api.origin.clone());
    grpc.ready().await.unwrap();
    let sent = tonic::Request::new("hello".to_owned());
    let response = grpc.unary(sent, PathAndQuery::from_static("/x.X/Echo"), Text).await.unwrap();
    assert_eq!(response.into_inner(), "hello", "the message arrived with the second request too");
    assert_eq!((api.calls.load(Ordering::SeqCst), auth.journal().count(Endpoint::Token)), (2, 2));
}

#[tokio::test]
async fn a_stream_that_still_runs_is_not_sent_once_more() {
    let auth = MockServer::builder().in_process();
    let source = source(&auth);
    let revoked = source.token().await.unwrap();
    let api = Api::start(revoked.authorization().as_bytes().to_vec()).await;

    let mut grpc = client::Grpc::with_origin(with_token(&api, source.clone()), api.origin.clone());
    grpc.ready().await.unwrap();
    let endless = stream::once(async { "hello".to_owned() }).chain(stream::pending());
    let sent = tonic::Request::new(endless);
    let refused = grpc.streaming(sent, PathAndQuery::from_static("/x.X/Echo"), Text).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
    assert_eq!(api.calls.load(Ordering::SeqCst), 1);
    assert!(
        source.current().is_none(),
        "the token is dropped all the same, so that the next call fares better"
    );
}

fn source(auth: &MockServer) -> TokenSource {
    let client = Client::builder()
        .issuer(auth.issuer())
        .auth(ClientAuth::basic("svc", "s3cr3t"))
        .http(HttpClient::from_service(auth.transport()))
        .clock(oauth_client::clock::TestClock::new())
        .build();
    client.unwrap().source(grant::client_credentials()).build().unwrap()
}

fn with_token(
    api: &Api,
    source: TokenSource,
) -> impl Service<
    Request<tonic::body::Body>,
    Response = http::Response<Body<tonic::body::Body>>,
    Error = impl std::error::Error + Send + Sync + 'static,
> {
    ServiceBuilder::new()
        .layer(TokenLayer::new(source))
        .map_request(|request: Request<Body<tonic::body::Body>>| request.map(tonic::body::Body::new))
        .service(Channel::builder(api.origin.clone()).connect_lazy())
}

/// Echoes, and refuses one token as a gRPC server does: HTTP 200, and the status among the headers.
struct Api {
    origin: Uri,
    calls: Arc<AtomicUsize>,
}

impl Api {
    async fn start(revoked: Vec<u8>) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&calls);
        let service = service_fn(move |request: Request<Incoming>| {
            counted.fetch_add(1, Ordering::SeqCst);
            let refused =
                request.headers().get("authorization").is_none_or(|sent| sent.as_bytes() == revoked);
            async move {
                if refused {
                    return Ok::<_, Infallible>(Status::unauthenticated("revoked").into_http());
                }
                let echo = service_fn(|message: tonic::Request<String>| async move {
                    Ok::<_, Status>(Response::new(message.into_inner()))
                });
                Ok(server::Grpc::new(Text).unary(echo, request).await)
            }
        });
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let service = TowerToHyperService::new(service.clone());
                tokio::spawn(async move {
                    let http = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
                    http.serve_connection(TokioIo::new(socket), service).await
                });
            }
        });
        Self { origin, calls }
    }
}
