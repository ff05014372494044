//! Run with `cargo run --example opaque_tokens`. An API whose tokens only the authorization server can read: the guard asks
//! it (RFC 7662), once for each token, and hands the same claims to the handlers. The server is a mock in this process.

use axum::Router;
use axum::routing::get;
use oauth_guard::{Claims, ClientAuth, Guard, Introspection, Issuer, Requirement};
use oauth_mock::{Endpoint, MockClient, MockServer};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // `shop` gets opaque tokens; this API is the client `orders-api` when it asks about them.
    let auth = MockServer::builder()
        .audience("orders-api")
        .client(MockClient::new("shop").secret("s3cr3t").scopes(["read", "write"]).opaque_tokens())
        .client(MockClient::new("orders-api").secret("ap1-s3cr3t"))
        .start()
        .await;
    let guard = Guard::builder()
        .issuer(
            Issuer::new(auth.issuer())
                .audience("orders-api")
                .introspection(Introspection::new(ClientAuth::basic("orders-api", "ap1-s3cr3t"))),
        )
        .build()?;
    let app =
        Router::new().route("/orders", get(orders)).layer(guard.layer().require(Requirement::scope("read")));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/orders", listener.local_addr()?);
    tokio::spawn(async move { axum::serve(listener, app).await });

    let issued = auth.issue("shop", "ada", "read").ok_or("the mock does not know the client")?;
    println!("a token that says nothing to us: {}", issued.access_token);
    let http = reqwest::Client::new();
    for _ in 0..3 {
        let response = http.get(&url).bearer_auth(&issued.access_token).send().await?;
        println!("{} {}", response.status(), response.text().await?);
    }
    println!("questions asked for three requests: {}", auth.journal().count(Endpoint::Introspect));

    // Another one, as far as the guard can tell: the server says that it is not active.
    let guessed = http.get(&url).bearer_auth("guessed").send().await?;
    println!("a guessed token: {}", guessed.status());
    println!("{}", serde_json::to_string_pretty(&guard.health())?);
    assert_eq!((guessed.status().as_u16(), auth.journal().count(Endpoint::Introspect)), (401, 2));
    Ok(())
}

async fn orders(claims: Claims) -> String {
    format!("orders of {}", claims.subject().unwrap_or("a client"))
}
