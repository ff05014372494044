//! Run with `cargo run --example hyper_server`, then call it as it says. Plain hyper behind the guard, no framework.
//! The authorization server is a mock in this same process.

use std::convert::Infallible;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use oauth_guard::{Claims, Guard, Issuer};
use oauth_mock::MockServer;
use tower::{Layer, service_fn};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let auth = MockServer::builder().audience("orders-api").start().await;
    let guard = Guard::builder().issuer(Issuer::new(auth.issuer()).audience("orders-api")).build()?;
    let service = guard.layer().layer(service_fn(hello));

    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    let token = auth.mint().subject("ada").expires_in(3600).build();
    println!("READY {url}\n\ncurl -i {url}\ncurl -i -H 'Authorization: Bearer {token}' {url}");
    loop {
        let (stream, _) = listener.accept().await?;
        let service = TowerToHyperService::new(service.clone());
        tokio::spawn(async move {
            let http = auto::Builder::new(TokioExecutor::new());
            // A connection that breaks off affects no other.
            let _ = http.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn hello(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    // Behind a layer that is not optional the claims are always there.
    let who = request.extensions().get::<Claims>().and_then(|claims| claims.subject()).unwrap_or("anonymous");
    Ok(Response::new(Full::from(format!("hello {who}\n"))))
}
