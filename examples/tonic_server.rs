//! Run with `cargo run --example tonic_server`. A tonic service behind the guard, without protoc, and a client that is
//! accepted, rejected for its missing token (16) and for its missing scope (7). The authorization server is a mock.

use std::convert::Infallible;
use std::task::{Context, Poll};

use http::uri::PathAndQuery;
use oauth_guard::{Claims, Guard, Issuer, Requirement, Rule};
use oauth_mock::MockServer;
use tonic::body::Body;
use tonic::server::NamedService;
use tonic::transport::{Channel, Server, server::TcpIncoming};
use tonic::{Code, Request, Response, Status};
use tonic_prost::ProstCodec;
use tower::{Service, service_fn};

/// What `tonic-prost-build` would make of `message Hello { string name = 1; }`.
#[derive(Clone, PartialEq, prost::Message)]
struct Hello {
    #[prost(string, tag = "1")]
    name: String,
}

const GREET: PathAndQuery = PathAndQuery::from_static("/hello.Greeter/Greet");

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let auth = MockServer::builder().audience("greeter").start().await;
    let guard = Guard::builder()
        .issuer(Issuer::new(auth.issuer()).audience("greeter"))
        .rule(Rule::grpc("hello.Greeter/Greet").require(Requirement::scope("read")))
        .deny_by_default()
        .build()?;

    let incoming = TcpIncoming::bind("127.0.0.1:0".parse()?)?;
    let url = format!("http://{}", incoming.local_addr()?);
    tokio::spawn(Server::builder().layer(guard.layer()).add_service(Greeter).serve_with_incoming(incoming));

    let channel = Channel::from_shared(url)?.connect().await?;
    let good = auth.mint().subject("ada").scope("read").audience("greeter").build();
    let poor = auth.mint().subject("ada").scope("other").audience("greeter").build();
    println!("with the scope:    {:?}", greet(&channel, Some(good)).await?.name);
    let refused = greet(&channel, None).await.err().ok_or("accepted without a token")?;
    println!("without a token:   {:?} {:?}", refused.code(), refused.metadata().get("www-authenticate"));
    let lacking = greet(&channel, Some(poor)).await.err().ok_or("accepted without the scope")?;
    println!("without the scope: {:?} {:?}", lacking.code(), lacking.metadata().get("www-authenticate"));
    match (refused.code(), lacking.code()) {
        (Code::Unauthenticated, Code::PermissionDenied) => Ok(()),
        other => Err(format!("expected 16 and 7, got {other:?}").into()),
    }
}

/// The service, as generated code would have it: a tower service that picks the method by its path.
#[derive(Clone)]
struct Greeter;

impl NamedService for Greeter {
    const NAME: &'static str = "hello.Greeter";
}

impl Service<http::Request<Body>> for Greeter {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = std::pin::Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        Box::pin(async move {
            if *request.uri().path() != *GREET.path() {
                return Ok(Status::unimplemented("no such method").into_http());
            }
            let method = service_fn(|request: Request<Hello>| async move {
                // tonic hands the extensions of the HTTP request on.
                let claims = request.extensions().get::<Claims>().and_then(|claims| claims.subject());
                let name =
                    format!("hello {}, I am {:?}", request.get_ref().name, claims.unwrap_or("anonymous"));
                Ok::<_, Status>(Response::new(Hello { name }))
            });
            Ok(tonic::server::Grpc::new(ProstCodec::default()).unary(method, request).await)
        })
    }
}

async fn greet(channel: &Channel, token: Option<String>) -> Result<Hello, Status> {
    let mut client = tonic::client::Grpc::new(channel.clone());
    client.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
    let mut request = Request::new(Hello { name: "server".to_owned() });
    if let Some(token) = token {
        let value = format!("Bearer {token}").parse().map_err(|_| Status::internal("not a header value"))?;
        request.metadata_mut().insert("authorization", value);
    }
    let codec: ProstCodec<Hello, Hello> = ProstCodec::default();
    Ok(client.unary(request, GREET, codec).await?.into_inner())
}
