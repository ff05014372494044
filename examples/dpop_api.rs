//! Run with `cargo run --example dpop_api`. An API whose tokens are worth nothing to a thief (DPoP, RFC 9449), and a client
//! with its key, over real connections. The authorization server is a mock in this same process.

use axum::{Router, routing::get};
use oauth_client::attach::reqwest::AuthorizedClient;
use oauth_client::dpop::Dpop as ClientKey;
use oauth_client::{Client, ClientAuth, grant};
use oauth_guard::{Claims, Dpop, Guard, Issuer};
use oauth_mock::MockServer;

type Failure = Box<dyn std::error::Error>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let auth = MockServer::builder().audience("api").start().await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let api = format!("http://{}", listener.local_addr()?);

    let guard = Guard::builder()
        .issuer(Issuer::new(auth.issuer()).audience("api"))
        // What callers see: proofs name it.
        .public_url(&api)
        .dpop(Dpop::new().required().require_nonce())
        .build()?;
    let hello = async |claims: Claims| format!("hello {}", claims.client_id().unwrap_or("anonymous"));
    let app = Router::new().route("/hello", get(hello)).layer(guard.layer());
    tokio::spawn(async move { axum::serve(listener, app).await });

    let key = ClientKey::generate()?;
    let source = Client::builder()
        .issuer(auth.issuer())
        .auth(ClientAuth::basic("svc", "s3cr3t"))
        .dpop(key)
        .build()?
        .source(grant::client_credentials().audience("api"))
        .build()?;
    let client = AuthorizedClient::new(reqwest::Client::new(), source.clone()).allowed_origins([&api])?;
    // The first request is asked for a nonce, which the client sees to by itself.
    for _ in 0..2 {
        let response = client.get(format!("{api}/hello")).send().await?;
        println!("with a proof:            {} {}", response.status(), response.text().await?);
    }

    // A thief has the token, and not the key.
    let token = source.token().await?;
    let mut refused = Vec::new();
    for scheme in ["Bearer", "DPoP"] {
        let value = format!("{scheme} {}", token.secret().expose());
        let response =
            reqwest::Client::new().get(format!("{api}/hello")).header("authorization", value).send().await?;
        println!(
            "stolen, sent as {scheme:<7} {} {:?}",
            response.status(),
            response.headers().get("www-authenticate")
        );
        refused.push(response.status().as_u16());
    }
    println!("{}", serde_json::to_string(&guard.health().replay)?);
    if refused == [401, 401] {
        Ok(())
    } else {
        Err(format!("a stolen token was accepted: {refused:?}").into())
    }
}
