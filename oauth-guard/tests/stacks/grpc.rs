//! tonic over HTTP/2, unary and streaming; the claims are in the extensions of `tonic::Request`.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use ::tower::Service;
use ::tower::service_fn;
use futures_util::stream::{self, BoxStream, StreamExt};
use http::HeaderValue;
use http::uri::PathAndQuery;
use hyper_util::rt::TokioIo;
use oauth_guard::{Claims, GuardLayer};
use tokio::io::DuplexStream;
use tonic::body::Body;
use tonic::server::{Grpc, NamedService, StreamingService, UnaryService};
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Request, Response, Status, Streaming as Messages, client};
use tonic_prost::ProstCodec;

use crate::{Reply, Stack};

const UNARY: PathAndQuery = PathAndQuery::from_static("/stacks.Who/Am");
const STREAMING: PathAndQuery = PathAndQuery::from_static("/stacks.Who/AmIAgainAndAgain");

/// A call with one message each way.
pub(crate) struct Unary(Channel);

/// A call with a stream of messages each way.
pub(crate) struct Streaming(Channel);

impl Stack for Unary {
    const NAME: &'static str = "tonic, unary";

    async fn behind(layer: GuardLayer) -> Self {
        Self(channel(layer).await)
    }

    async fn ask(&mut self, authorization: &[HeaderValue]) -> Reply {
        let mut client = client::Grpc::new(self.0.clone());
        client.ready().await.unwrap();
        let request = with(Request::new("who am I".to_owned()), authorization);
        let reply = client.unary(request, UNARY, ProstCodec::<String, String>::default()).await;
        Reply::grpc(reply.map(Response::into_inner))
    }
}

impl Stack for Streaming {
    const NAME: &'static str = "tonic, streaming";

    async fn behind(layer: GuardLayer) -> Self {
        Self(channel(layer).await)
    }

    async fn ask(&mut self, authorization: &[HeaderValue]) -> Reply {
        let mut client = client::Grpc::new(self.0.clone());
        client.ready().await.unwrap();
        let questions = stream::iter(["who am I", "and now"].map(str::to_owned));
        let request = with(Request::new(questions), authorization);
        let reply = client.streaming(request, STREAMING, ProstCodec::<String, String>::default()).await;
        let replies = match reply {
            Err(status) => return Reply::grpc(Err(status)),
            Ok(replies) => replies.into_inner().map(Result::unwrap).collect::<Vec<_>>().await,
        };
        assert_eq!(replies.len(), 2, "one for each message");
        assert_eq!(replies[0], replies[1]);
        Reply::grpc(Ok(replies[0].clone()))
    }
}

fn with<M>(mut request: Request<M>, authorization: &[HeaderValue]) -> Request<M> {
    for value in authorization {
        request.metadata_mut().append("authorization", value.to_str().unwrap().parse().unwrap());
    }
    request
}

/// A server and a channel to it, over a pipe in memory.
async fn channel(layer: GuardLayer) -> Channel {
    let (near, far) = tokio::io::duplex(64 * 1024);
    let incoming = stream::once(async { Ok::<DuplexStream, io::Error>(far) }).chain(stream::pending());
    tokio::spawn(Server::builder().layer(layer).add_service(Who).serve_with_incoming(incoming));
    let mut near = Some(near);
    let connect = service_fn(move |_: http::Uri| {
        let near = near.take().map(TokioIo::new);
        async { near.ok_or_else(|| io::Error::other("there is one connection only")) }
    });
    Endpoint::from_static("http://stacks.example").connect_with_connector(connect).await.unwrap()
}

/// What generated code would be.
#[derive(Clone)]
struct Who;

impl NamedService for Who {
    const NAME: &'static str = "stacks.Who";
}

type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

impl Service<http::Request<Body>> for Who {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Boxed<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        Box::pin(async move {
            let mut grpc = Grpc::new(ProstCodec::<String, String>::default());
            Ok(match request.uri().path() {
                path if path == UNARY.path() => grpc.unary(Am, request).await,
                _ => grpc.streaming(Am, request).await,
            })
        })
    }
}

struct Am;

/// tonic hands the extensions of the HTTP request on.
fn subject<M>(request: &Request<M>) -> String {
    request.extensions().get::<Claims>().unwrap().subject().unwrap().to_owned()
}

impl UnaryService<String> for Am {
    type Response = String;
    type Future = Boxed<Result<Response<String>, Status>>;

    fn call(&mut self, request: Request<String>) -> Self::Future {
        Box::pin(async move { Ok(Response::new(subject(&request))) })
    }
}

impl StreamingService<String> for Am {
    type Response = String;
    type ResponseStream = BoxStream<'static, Result<String, Status>>;
    type Future = Boxed<Result<Response<Self::ResponseStream>, Status>>;

    fn call(&mut self, request: Request<Messages<String>>) -> Self::Future {
        Box::pin(async move {
            let subject = subject(&request);
            let replies = request.into_inner().map(move |question| question.map(|_| subject.clone()));
            Ok(Response::new(replies.boxed()))
        })
    }
}
