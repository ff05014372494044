//! Run with `cargo run --example reqwest_client`. reqwest with tokens that stay fresh, against a guarded API and an
//! authorization server in this same process.

use axum::{Router, routing::get};
use oauth_client::attach::reqwest::AuthorizedClient;
use oauth_client::{Client, ClientAuth, grant};
use oauth_guard::{Claims, Guard, Issuer};
use oauth_mock::MockServer;

type Failure = Box<dyn std::error::Error>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let server = MockServer::builder().audience("api").start().await;
    let api = start_api(&server).await?;

    let source = Client::builder()
        .issuer(server.issuer())
        .auth(ClientAuth::basic("svc", "s3cr3t"))
        .build()?
        .source(grant::client_credentials().audience("api"))
        .build()?;
    // The token goes to this API and nowhere else.
    let client = AuthorizedClient::new(reqwest::Client::new(), source).allowed_origins([&api])?;

    let response = client.get(format!("{api}/hello")).send().await?;
    println!("with a token:     {} {}", response.status(), response.text().await?);

    // Whatever reqwest's own builder can do is behind `with`: json, form, multipart, by your own features of it.
    let order = client.post(format!("{api}/hello")).with(|request| request.json(&["an order"]));
    println!("posted:           {}", order.send().await?.text().await?);

    let bare = reqwest::get(format!("{api}/hello")).await?;
    println!("without a token:  {}", bare.status());

    let refused = client.get("https://evil.example/").send().await;
    println!("to another place: {}", refused.err().ok_or("the token left")?);
    Ok(())
}

/// Returns who calls, and what they sent.
async fn start_api(server: &MockServer) -> Result<String, Failure> {
    async fn hello(claims: Claims, body: String) -> String {
        format!("hello {}, you sent {body:?}", claims.client_id().unwrap_or("anonymous"))
    }
    let guard = Guard::builder().issuer(Issuer::new(server.issuer()).audience("api")).build()?;
    let app = Router::new().route("/hello", get(hello).post(hello)).layer(guard.layer());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    tokio::spawn(async move { axum::serve(listener, app).await });
    Ok(url)
}
