//! Run with `cargo run --example login_with_browser`. A user logs in by the browser, and the program goes on with
//! tokens that stay fresh; the next start needs no user. The server is a mock in this same process, and so is the
//! user, who fills in the form of its login page; with `--wait` it is you: open the page that is printed, and log in
//! as alice, whose password is wonderland.

mod user_agent;

use std::error::Error;

use oauth_client::login::AuthorizationRequest;
use oauth_client::store::FileStore;
use oauth_client::{Client, ClientAuth};
use oauth_mock::{GrantType, MockClient, MockServer, User};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let waits_for_you = std::env::args().any(|argument| argument == "--wait");
    let app = MockClient::new("my-cli")
        .grants([GrantType::AuthorizationCode, GrantType::RefreshToken])
        .scopes(["openid", "read"])
        .redirect_uri("http://127.0.0.1/callback");
    let server = MockServer::builder().client(app).user(User::new("alice", "wonderland")).start().await;

    // A program on a user's machine has no secret; PKCE proves that the response is for it.
    let client = Client::builder().issuer(server.issuer()).auth(ClientAuth::none("my-cli")).build()?;
    let request = AuthorizationRequest::new("http://127.0.0.1/callback").scope(["openid", "read"]);
    let path = std::env::temp_dir().join(format!("login-with-browser-{}.json", std::process::id()));

    for start in ["first", "second"] {
        let source = client.source(&request).store(FileStore::new(&path)).build()?;
        match source.token().await {
            Err(error) if error.is_reauthorization_required() => {
                let login = client.login(&request).open(|url| {
                    println!("open: {url}");
                    if !waits_for_you {
                        tokio::spawn(user_agent::log_in(url.clone()));
                    }
                });
                let login = login.await?;
                println!("logged in: {}", login.id_token().map_or("unknown", |token| token.subject()));
                source.log_in(login).await?;
            }
            other => drop(other?),
        }
        let token = source.token().await?;
        println!("{start} start: a token with scope {:?}", token.tokens().scope().unwrap_or_default());
        // Before a program ends: a refresh that is under way may have spent the refresh token in the file.
        source.settle().await?;
    }
    // The user logs out, at the server as well. To end the session in the browser, too, open the page of `logout_url`.
    let source = client.source(&request).store(FileStore::new(&path)).build()?;
    let logout = source.revoke().await?;
    println!("logged out; the browser's session ends at {}", client.logout_url(&logout).await?);
    std::fs::remove_file(path)?;
    Ok(())
}
