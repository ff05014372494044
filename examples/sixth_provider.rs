//! Run with `cargo run --example sixth_provider`. A provider without a preset, described as data: once in
//! code and once as TOML. It speaks JSON, calls everything something else, and is played in this process.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use axum::{Json, Router};
use oauth_client::attach::reqwest::AuthorizedClient;
use oauth_client::config::ClientConfig;
use oauth_client::dialect::{Dialect, ErrorShape};
use oauth_client::{Client, ClientAuth, TokenSource, grant};
use serde_json::{Value, json};

type Failure = Box<dyn std::error::Error>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let acme = start_acme().await?;
    println!("in code:");
    use_it(in_code(&acme)?, &acme).await?;
    println!("as TOML:");
    use_it(as_toml(&acme)?, &acme).await
}

fn in_code(acme: &str) -> Result<TokenSource, oauth_client::Error> {
    let dialect = Dialect::new("acme")
        .token_path("/v2/login")
        .json()
        .without_grant_type()
        .parameter_name("client_id", "app")
        .parameter_name("client_secret", "key")
        .response_member("access_token", "data.token")
        .response_member("expires_in", "data.ttl")
        .error(ErrorShape::own().code("fault.id").description("fault.text"))
        .code("WHO_ARE_YOU", "invalid_client")
        .expired_response([("fault.id", "TOKEN_EXPIRED")]);
    let client =
        Client::builder().provider(dialect).base_url(acme).auth(ClientAuth::post("orders", "s3cr3t"));
    client.build()?.source(grant::client_credentials()).build()
}

fn as_toml(acme: &str) -> Result<TokenSource, oauth_client::Error> {
    let toml = format!(
        r#"
        provider = "custom"
        base_url = "{acme}"
        client_id = "orders"
        client_secret = "s3cr3t"        # better: {{ env = "ACME_KEY" }}
        client_auth = "client_secret_post"

        [custom]
        token_path = "/v2/login"
        encoding = "json"
        send_grant_type = false
        fields = {{ client_id = "app", client_secret = "key" }}
        response_member = {{ access_token = "data.token", expires_in = "data.ttl" }}
        error_code = "fault.id"
        error_description = "fault.text"
        codes = {{ WHO_ARE_YOU = "invalid_client" }}
        expired_response = {{ "fault.id" = "TOKEN_EXPIRED" }}
        "#
    );
    ClientConfig::from_toml(&toml)?.build()
}

async fn use_it(source: TokenSource, acme: &str) -> Result<(), Failure> {
    let client = AuthorizedClient::new(reqwest::Client::new(), source.clone()).allowed_origins([acme])?;
    for _ in 0..3 {
        let response = client.get(format!("{acme}/orders")).send().await?;
        let orders: Value = serde_json::from_slice(&response.bytes().await?)?;
        println!("   {orders}");
        if orders.get("orders").is_none() {
            return Err("the token should have been replaced".into());
        }
    }
    println!("   {} token requests", source.status().token_requests);

    let wrong_secret = Client::builder()
        .provider(
            Dialect::new("acme")
                .token_path("/v2/login")
                .json()
                .code("WHO_ARE_YOU", "invalid_client")
                .error(ErrorShape::own().code("fault.id").description("fault.text")),
        )
        .base_url(acme)
        .auth(ClientAuth::post("orders", "wr0ng"))
        .build()?;
    let refused =
        wrong_secret.request(&grant::client_credentials()).await.err().ok_or("it accepted a wrong secret")?;
    println!("   {}: {:?} says {:?}", refused.code(), refused.provider_code(), refused.description());
    Ok(())
}

/// Acme. Each of its tokens is good for two calls, whatever lifetime it announced.
async fn start_acme() -> Result<String, Failure> {
    let router = Router::new()
        .route("/v2/login", post(login))
        .route("/orders", get(orders))
        .with_state(Arc::<AtomicU64>::default());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok(url)
}

async fn login(State(calls): State<Arc<AtomicU64>>, Json(asked): Json<Value>) -> (StatusCode, Json<Value>) {
    if asked == json!({ "app": "orders", "key": "s3cr3t" }) {
        let token = format!("token-{}", calls.load(Ordering::Relaxed) / 2);
        (StatusCode::OK, Json(json!({ "data": { "token": token, "ttl": 3600 } })))
    } else {
        (StatusCode::FORBIDDEN, Json(json!({ "fault": { "id": "WHO_ARE_YOU", "text": "never met you" } })))
    }
}

/// Says "expired" with a 200.
async fn orders(State(calls): State<Arc<AtomicU64>>, headers: HeaderMap) -> Json<Value> {
    let good = format!("Bearer token-{}", calls.load(Ordering::Relaxed) / 2);
    if headers.get("authorization").is_none_or(|sent| sent != good.as_str()) {
        return Json(json!({ "fault": { "id": "TOKEN_EXPIRED", "text": "log in again" } }));
    }
    let n = calls.fetch_add(1, Ordering::Relaxed);
    Json(json!({ "orders": n }))
}
