//! Run with `cargo run --example device_login`. A device without a browser shows a code, and a user approves it
//! elsewhere (RFC 8628). The server is a mock in this same process, and so is the user; with `--wait` it is you: open
//! the page that is printed, compare the code, and log in as alice, whose password is wonderland.

mod user_agent;

use std::error::Error;
use std::time::Duration;

use oauth_client::login::DeviceRequest;
use oauth_client::{Client, ClientAuth};
use oauth_mock::{GrantType, MockClient, MockServer, User};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let waits_for_you = std::env::args().any(|argument| argument == "--wait");
    let tv = MockClient::new("tv")
        .grants([GrantType::DeviceCode, GrantType::RefreshToken])
        .scopes(["openid", "read"]);
    let server = MockServer::builder()
        .client(tv)
        .user(User::new("alice", "wonderland"))
        .device_times(Duration::from_secs(300), Duration::from_secs(1))
        .start()
        .await;

    let client = Client::builder().issuer(server.issuer()).auth(ClientAuth::none("tv")).build()?;
    let request = DeviceRequest::new().scope(["openid", "read"]);
    let device = client.device(&request).await?;
    println!("go to: {}", device.verification_uri());
    println!("enter: {}", device.user_code());
    if let Some(complete) = device.verification_uri_complete() {
        println!("or to: {complete}");
        if !waits_for_you {
            tokio::spawn(user_agent::log_in(complete.clone()));
        }
    }

    // Polls as often as the server says, and no more.
    let login = device.wait().await?;
    println!("logged in: {}", login.id_token().map_or("unknown", |token| token.subject()));
    let source = client.source(&request).starting_with(login).build()?;
    let token = source.token().await?;
    println!("a token with scope {:?}", token.tokens().scope().unwrap_or_default());
    source.settle().await?;
    Ok(())
}
