//! Run with `cargo run --example tonic_client`. A tonic channel under the token layer, unary and streaming, with no
//! protoc: the messages are plain text (`text_codec`). The server is a guarded tonic service in this same process.

mod text_codec;

use std::convert::Infallible;

use http::uri::PathAndQuery;
use http::{Request, Uri};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use oauth_client::attach::TokenLayer;
use oauth_client::{Client, ClientAuth, grant};
use oauth_guard::{Guard, Issuer};
use oauth_mock::MockServer;
use tonic::transport::Channel;
use tonic::{Response, Status, client, server};
use tower::{Layer, service_fn};

use self::text_codec::Text;

type Failure = Box<dyn std::error::Error>;

const GREET: &str = "/hello.Greeter/Greet";
const COUNT: &str = "/hello.Greeter/Count";

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let auth = MockServer::builder().audience("api").start().await;
    let api: Uri = start_server(&auth).await?.parse()?;
    let source = Client::builder()
        .issuer(auth.issuer())
        .auth(ClientAuth::basic("svc", "s3cr3t"))
        .build()?
        .source(grant::client_credentials().audience("api"))
        .build()?;

    // A generated client takes this stack just as well: `GreeterClient::new(stack)`.
    let channel = Channel::builder(api.clone()).connect_lazy();
    let stack = TokenLayer::new(source).grpc(tonic::body::Body::new).layer(channel.clone());
    let mut greeter = client::Grpc::new(stack);

    greeter.ready().await?;
    let path = PathAndQuery::from_static(GREET);
    let greeting = greeter.unary(tonic::Request::new("world".to_owned()), path, Text).await?;
    println!("unary:           {}", greeting.into_inner());

    greeter.ready().await?;
    let path = PathAndQuery::from_static(COUNT);
    let mut numbers =
        greeter.server_streaming(tonic::Request::new("three".to_owned()), path, Text).await?.into_inner();
    while let Some(number) = numbers.message().await? {
        println!("streaming:       {number}");
    }

    let mut without_token = client::Grpc::with_origin(channel, api);
    without_token.ready().await?;
    let path = PathAndQuery::from_static(GREET);
    let refused = without_token.unary(tonic::Request::new("world".to_owned()), path, Text).await;
    println!("without a token: {:?}", refused.err().ok_or("it was accepted")?.code());
    Ok(())
}

async fn start_server(auth: &MockServer) -> Result<String, Failure> {
    let guard = Guard::builder().issuer(Issuer::new(auth.issuer()).audience("api")).build()?;
    let greeter = guard.layer().layer(service_fn(respond));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let greeter = TowerToHyperService::new(greeter.clone());
            tokio::spawn(async move {
                let http = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
                http.serve_connection(TokioIo::new(stream), greeter).await
            });
        }
    });
    Ok(url)
}

/// What generated code does: the path names the method.
async fn respond(
    request: Request<hyper::body::Incoming>,
) -> Result<http::Response<tonic::body::Body>, Infallible> {
    let mut grpc = server::Grpc::new(Text);
    Ok(match request.uri().path() {
        GREET => {
            let greet = service_fn(|name: tonic::Request<String>| async move {
                Ok::<_, Status>(Response::new(format!("hello {}", name.into_inner())))
            });
            grpc.unary(greet, request).await
        }
        COUNT => {
            let count = service_fn(|_: tonic::Request<String>| async {
                let numbers = ["one", "two", "three"].map(|number| Ok::<_, Status>(number.to_owned()));
                Ok::<_, Status>(Response::new(futures_util::stream::iter(numbers)))
            });
            grpc.server_streaming(count, request).await
        }
        _ => Status::unimplemented("no such method").into_http(),
    })
}
