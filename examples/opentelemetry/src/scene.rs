//! What is observed: an API behind a guard, a client with a token, and an authorization server that both use.

use std::error::Error;

use axum::Router;
use axum::routing::get;
use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::Empty;
use hyper_util::client::legacy::Client as Hyper;
use hyper_util::rt::TokioExecutor;
use oauth_client::attach::TokenLayer;
use oauth_client::transport::HttpClient;
use oauth_client::{Client, ClientAuth, grant};
use oauth_guard::{Claims, Guard, Issuer, Requirement, Rule};
use oauth_mock::{MockClient, MockServer};
use tower::{Service, ServiceBuilder, ServiceExt};
use tracing::Instrument;

use crate::client::ClientSpanLayer;
use crate::server::server_spans;

/// The secret of the client. No span may hold it.
pub const SECRET: &str = "s3cr3t-of-the-client";

/// Requests to the authorization server with spans, too.
fn http() -> HttpClient {
    let hyper = Hyper::builder(TokioExecutor::new()).build_http();
    HttpClient::from_service(ServiceBuilder::new().layer(ClientSpanLayer).service(hyper))
}

/// Calls the API for what the token grants, and for what it does not: the two statuses.
///
/// # Errors
/// Something could not be built or reached.
pub async fn play() -> Result<[StatusCode; 2], Box<dyn Error>> {
    let svc = MockClient::new("svc").secret(SECRET).scopes(["read"]);
    let auth = MockServer::builder().audience("orders-api").client(svc).start().await;
    let api = serve(&auth).await?;
    let source = Client::builder()
        .issuer(auth.issuer())
        .auth(ClientAuth::basic("svc", SECRET))
        .http(http())
        .build()?
        .source(grant::client_credentials().scope(["read"]))
        .build()?;
    let mut client = ServiceBuilder::new()
        .layer(TokenLayer::new(source.clone()))
        .layer(ClientSpanLayer)
        .service(Hyper::builder(TokioExecutor::new()).build_http());

    let mut statuses = [StatusCode::OK; 2];
    for (status, path) in statuses.iter_mut().zip(["orders/7", "reports"]) {
        let request = Request::get(format!("{api}/{path}")).body(Empty::<Bytes>::new())?;
        // What the program is doing: the trace begins here, and not with the request.
        let job = tracing::info_span!("job", path);
        let call = async { client.ready().await?.call(request).await };
        *status = call.instrument(job).await?.status();
    }
    source.settle().await?;
    Ok(statuses)
}

async fn serve(auth: &MockServer) -> Result<String, Box<dyn Error>> {
    let guard = Guard::builder()
        .issuer(Issuer::new(auth.issuer()).audience("orders-api"))
        .http(http())
        .rule(Rule::new("/reports").require(Requirement::scope("reports")))
        .build()?;
    let order = |claims: Claims| async move { claims.subject().unwrap_or("nobody").to_owned() };
    let app = Router::new()
        .route("/orders/{id}", get(order))
        .route("/reports", get(order))
        .layer(guard.layer())
        .layer(server_spans());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    tokio::spawn(async move { axum::serve(listener, app).await });
    Ok(url)
}
