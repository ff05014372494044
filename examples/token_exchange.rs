//! Run with `cargo run --example token_exchange`. An API that calls another API as the user who called it: each
//! caller's token is exchanged for one that is meant for the other API (RFC 8693), once for as many requests as they
//! like. Both APIs are guarded; the authorization server is a mock in this same process.

use axum::extract::State;
use axum::{Router, routing::get};
use oauth_client::attach::reqwest::AuthorizedClient;
use oauth_client::source::Exchanger;
use oauth_client::{Client, ClientAuth, grant};
use oauth_guard::{Claims, Guard, Issuer, SubjectToken};
use oauth_mock::{Endpoint, GrantType, MockClient, MockServer};
use tokio::net::TcpListener;

type Failure = Box<dyn std::error::Error>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let orders = MockClient::new("orders-api").secret("s3cr3t").grants([GrantType::TokenExchange]);
    // The callers' tokens are for orders only; what they may be exchanged for, the server decides.
    let orders = orders.exchange_audiences(["billing"]);
    let server = MockServer::builder().client(orders).audience("orders").audience("billing").start().await;
    let billing = start_billing(&server).await?;
    let orders = start_orders(&server, &billing).await?;

    let http = reqwest::Client::new();
    for user in ["alice", "bob"] {
        let token = server.mint().subject(user).audience("orders").scope("read").build();
        for _ in 0..3 {
            let response = http.get(format!("{orders}/orders")).bearer_auth(&token).send().await?;
            println!("{user} asks orders: {} {}", response.status(), response.text().await?);
        }
        // The token for orders is of no use at billing, so a thief there gets no further.
        let refused = http.get(format!("{billing}/invoices")).bearer_auth(&token).send().await?;
        println!("{user} asks billing with the same token: {}", refused.status());
    }
    println!("token requests: {}", server.journal().count(Endpoint::Token));
    Ok(())
}

/// What the handlers of the orders API need to call billing.
#[derive(Clone)]
struct Billing {
    url: String,
    http: reqwest::Client,
    exchanger: Exchanger,
}

async fn start_orders(server: &MockServer, billing: &str) -> Result<String, Failure> {
    let client =
        Client::builder().issuer(server.issuer()).auth(ClientAuth::basic("orders-api", "s3cr3t")).build()?;
    let exchanger =
        client.exchanger(|subject| grant::token_exchange(subject).audience("billing").scope(["read"]));
    let billing = Billing { url: billing.to_owned(), http: reqwest::Client::new(), exchanger };
    let guard = Guard::builder().issuer(Issuer::new(server.issuer()).audience("orders")).build()?;
    serve(
        Router::new()
            .route("/orders", get(orders).with_state(billing))
            .layer(guard.layer().with_subject_token()),
    )
    .await
}

/// Calls billing as our own caller.
async fn orders(State(billing): State<Billing>, caller: SubjectToken) -> Result<String, String> {
    let failed = |error: &dyn std::error::Error| error.to_string();
    // The guard accepted the caller's token, and was told to hand it on.
    let source = billing.exchanger.source(&caller).map_err(|error| failed(&error))?;
    let client = AuthorizedClient::new(billing.http, source)
        .allowed_origins([&billing.url])
        .map_err(|error| failed(&error))?;
    let response =
        client.get(format!("{}/invoices", billing.url)).send().await.map_err(|error| failed(&error))?;
    response.text().await.map_err(|error| failed(&error))
}

async fn start_billing(server: &MockServer) -> Result<String, Failure> {
    let guard = Guard::builder().issuer(Issuer::new(server.issuer()).audience("billing")).build()?;
    let invoices = |claims: Claims| async move {
        format!(
            "invoices of {}, asked by {}",
            claims.subject().unwrap_or("anonymous"),
            claims.client_id().unwrap_or("?")
        )
    };
    serve(Router::new().route("/invoices", get(invoices)).layer(guard.layer())).await
}

async fn serve(app: Router) -> Result<String, Failure> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    tokio::spawn(async move { axum::serve(listener, app).await });
    Ok(url)
}
