//! Run with `cargo run --example hyper_client`. A hyper-util client under the token layer. When the API refuses a token
//! it is replaced, and the request sent once more.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::{Router, extract::State, http::StatusCode, routing::post};
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::{Client as HyperClient, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use oauth_client::attach::{Attached, Body, ReplayPolicy, TokenLayer};
use oauth_client::{Client, ClientAuth, grant};
use oauth_mock::{Endpoint, MockServer};
use tower::{Service, ServiceBuilder, ServiceExt};

type Failure = Box<dyn std::error::Error>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let server = MockServer::start().await;
    let (api, revoked) = start_api().await?;

    let source = Client::builder()
        .issuer(server.issuer())
        .auth(ClientAuth::basic("svc", "s3cr3t"))
        .timeout(Duration::from_secs(5))
        .build()?
        .source(grant::client_credentials())
        .build()?;
    let hyper: HyperClient<HttpConnector, Body<Full<Bytes>>> =
        HyperClient::builder(TokioExecutor::new()).build_http();
    let mut client = ServiceBuilder::new()
        .layer(TokenLayer::new(source).replay(ReplayPolicy::default().with_max_body(1024)).report())
        .service(hyper);

    for round in ["a token in hand", "that token revoked", "the new one"] {
        revoked.store(round == "that token revoked", Ordering::SeqCst);
        let request = Request::post(format!("{api}/orders")).body(Full::from("an order"))?;
        let response = client.ready().await?.call(request).await?;
        let how = response.extensions().get::<Attached>().copied().ok_or("the layer was asked to report")?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        println!(
            "{round}: {status} {:?}, token {}{}",
            String::from_utf8_lossy(&body),
            how.generation,
            if how.replayed { ", sent once more" } else { "" }
        );
    }
    println!("token requests: {}", server.journal().count(Endpoint::Token));
    Ok(())
}

/// An API that rejects one request on demand, as if the token were revoked a moment ago.
async fn start_api() -> Result<(String, Arc<AtomicBool>), Failure> {
    async fn order(State(revoked): State<Arc<AtomicBool>>, body: String) -> (StatusCode, String) {
        if revoked.swap(false, Ordering::SeqCst) {
            return (StatusCode::UNAUTHORIZED, "revoked".to_owned());
        }
        (StatusCode::OK, format!("took {body}"))
    }
    let revoked = Arc::new(AtomicBool::new(false));
    let app = Router::new().route("/orders", post(order)).with_state(Arc::clone(&revoked));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    tokio::spawn(async move { axum::serve(listener, app).await });
    Ok((url, revoked))
}
