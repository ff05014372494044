//! Run with `cargo run --example axum_server`, then call it as it says. An axum API with typed claims and a scope for
//! one of its routes. The authorization server is a mock in this same process.

use axum::routing::get;
use axum::{Json, Router};
use oauth_guard::{Claims, Guard, Issuer, Scoped, Scopes};
use oauth_mock::MockServer;
use serde::{Deserialize, Serialize};

/// What this API wants out of its tokens, besides what every token has.
#[derive(Clone, Debug, Deserialize, Serialize)]
struct Mine {
    #[serde(default)]
    tenant: Option<String>,
}

/// The scopes of the handler that writes.
struct Write;

impl Scopes for Write {
    const SCOPES: &[&str] = &["write"];
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let auth = MockServer::builder().audience("orders-api").start().await;
    let guard = Guard::builder()
        .claims::<Mine>()
        .issuer(Issuer::new(auth.issuer()).audience("orders-api"))
        .realm("orders")
        .build()?;

    let app = Router::new()
        .route("/orders", get(list).post(create))
        .layer(guard.layer())
        // Behind an optional layer a request without a token comes through, without claims; a bad token never does.
        .route("/", get(greet).layer(guard.layer().optional()));

    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    let token = auth.mint().scope("read").claim("tenant", "acme").expires_in(3600).build();
    println!("READY {url}\n\ncurl -i {url}/orders\ncurl -i -H 'Authorization: Bearer {token}' {url}/orders");
    println!("curl -i {url}/\ncurl -i -H 'Authorization: Bearer {token}' {url}/");
    println!("curl -i -X POST -H 'Authorization: Bearer {token}' {url}/orders");
    axum::serve(listener, app).await?;
    Ok(())
}

/// The claims come from the layer; reading them costs a pointer.
async fn list(claims: Claims<Mine>) -> Json<Vec<String>> {
    let tenant = claims.custom().tenant.as_deref().unwrap_or("anonymous");
    Json(vec![format!("first order of {tenant}"), format!("second order of {tenant}")])
}

async fn greet(claims: Option<Claims<Mine>>) -> String {
    match claims {
        Some(claims) => format!("hello {}\n", claims.subject().unwrap_or("anonymous")),
        None => "hello, anonymous caller\n".to_owned(),
    }
}

/// A token without the scope gets 403 with a challenge that names it.
async fn create(claims: Scoped<Write, Mine>) -> String {
    format!("created by {:?}\n", claims.subject())
}
