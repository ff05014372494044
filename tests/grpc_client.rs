//! A generated tonic client over the token layer in one line, over HTTP/2 on loopback; and what its caller gets when there is
//! no token.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

#[path = "../examples/text_codec/mod.rs"]
mod text_codec;

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{Request, Response, StatusCode, Uri};
use http_body_util::Full;
use hyper::body::{Body as HttpBody, Incoming};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use oauth_client::attach::TokenLayer;
use oauth_client::transport::{HttpClient, RequestBody};
use oauth_client::{Client, ClientAuth, TokenSource, grant};
use tonic::body::Body;
use tonic::client::GrpcService;
use tonic::codegen::StdError;
use tonic::transport::Channel;
use tonic::{Code, Status, client, server};
use tower::{Layer, service_fn};

use self::text_codec::Text;

/// What tonic generates, bounds included.
#[derive(Clone)]
struct EchoClient<T>(client::Grpc<T>);

impl<T> EchoClient<T>
where
    T: GrpcService<Body>,
    T::Error: Into<StdError>,
    T::ResponseBody: HttpBody<Data = Bytes> + Send + 'static,
    <T::ResponseBody as HttpBody>::Error: Into<StdError> + Send,
{
    fn new(inner: T) -> Self {
        Self(client::Grpc::new(inner))
    }

    async fn echo(&mut self, message: &str) -> Result<String, Status> {
        self.0.ready().await.map_err(|error| Status::unknown(format!("not ready: {}", error.into())))?;
        let path = PathAndQuery::from_static("/x.X/Echo");
        Ok(self.0.unary(tonic::Request::new(message.to_owned()), path, Text).await?.into_inner())
    }
}

#[tokio::test]
async fn a_generated_client_takes_the_layer_in_one_line_and_moves_to_another_task() {
    let api = Api::start().await;
    let source = TokenSource::fixed("2YotnFZFEjr1zCsicMWpAA").unwrap();
    let mut echo = EchoClient::new(TokenLayer::new(source).grpc(Body::new).layer(api.channel()));
    let mut other = echo.clone();
    let spawned = tokio::spawn(async move { other.echo("two").await });
    assert_eq!(echo.echo("one").await.unwrap(), "one");
    assert_eq!(spawned.await.unwrap().unwrap(), "two");
    assert_eq!(api.with_token.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn an_outage_of_the_authorization_server_is_unavailable() {
    let api = Api::start().await;
    let away = || answers(StatusCode::SERVICE_UNAVAILABLE, r#"{"error":"temporarily_unavailable"}"#);
    let mut echo = EchoClient::new(TokenLayer::new(away()).grpc(Body::new).layer(api.channel()));
    let status = echo.echo("hello").await.unwrap_err();
    assert_eq!(
        (status.code(), status.message()),
        (Code::Unavailable, "no access token: temporarily_unavailable")
    );
    assert_eq!(api.calls.load(Ordering::SeqCst), 0, "nothing was sent");
}

#[tokio::test]
async fn an_error_that_waiting_does_not_help_is_another_status_without_the_servers_words() {
    let api = Api::start().await;
    let refused = answers(
        StatusCode::UNAUTHORIZED,
        r#"{"error":"invalid_client","error_description":"svc is disabled since Tuesday"}"#,
    );
    let mut echo = EchoClient::new(TokenLayer::new(refused).grpc(Body::new).layer(api.channel()));
    let status = echo.echo("hello").await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::Internal, "no access token: invalid_client"));

    let astray = TokenLayer::new(TokenSource::fixed("2YotnFZFEjr1zCsicMWpAA").unwrap());
    let astray = astray.allowed_origins(["https://api.example.com"]).unwrap();
    let status =
        EchoClient::new(astray.grpc(Body::new).layer(api.channel())).echo("hello").await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::Internal, "no access token: config"));
    assert_eq!(api.calls.load(Ordering::SeqCst), 0, "nothing was sent");
}

/// A source whose token endpoint always answers this.
fn answers(status: StatusCode, body: &'static str) -> TokenSource {
    let endpoint = service_fn(move |_: Request<RequestBody>| async move {
        let response = Response::builder().status(status).header("content-type", "application/json");
        Ok::<_, Infallible>(response.body(Full::new(Bytes::from_static(body.as_bytes()))).unwrap())
    });
    let client = Client::builder()
        .token_endpoint("https://auth.example.com/token")
        .auth(ClientAuth::basic("svc", "s3cr3t"))
        .http(HttpClient::from_service(endpoint))
        .build();
    client.unwrap().source(grant::client_credentials()).build().unwrap()
}

/// Echoes over HTTP/2, and counts.
struct Api {
    origin: Uri,
    calls: Arc<AtomicUsize>,
    with_token: Arc<AtomicUsize>,
}

impl Api {
    fn channel(&self) -> Channel {
        Channel::builder(self.origin.clone()).connect_lazy()
    }

    async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        let (calls, with_token) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let counted = (Arc::clone(&calls), Arc::clone(&with_token));
        let service = service_fn(move |request: Request<Incoming>| {
            counted.0.fetch_add(1, Ordering::SeqCst);
            if request
                .headers()
                .get("authorization")
                .is_some_and(|sent| sent == "Bearer 2YotnFZFEjr1zCsicMWpAA")
            {
                counted.1.fetch_add(1, Ordering::SeqCst);
            }
            async move {
                let echo = service_fn(|message: tonic::Request<String>| async move {
                    Ok::<_, Status>(tonic::Response::new(message.into_inner()))
                });
                Ok::<_, Infallible>(server::Grpc::new(Text).unary(echo, request).await)
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
        Self { origin, calls, with_token }
    }
}
