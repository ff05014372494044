//! Run with `cargo run --example client_credentials`. The client alone: a token for a service, fetched once by hand
//! and then kept fresh by a source. The authorization server is a mock in this same process.

use oauth_client::{Client, ClientAuth, grant};
use oauth_mock::MockServer;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let server = MockServer::start().await;

    let client =
        Client::builder().issuer(server.issuer()).auth(ClientAuth::basic("svc", "s3cr3t")).build()?;
    let request = grant::client_credentials().scope(["read"]);

    let tokens = client.request(&request).await?;
    println!("once:   scope {:?}, good for {:?}", tokens.scope(), tokens.lifetime());

    // A source fetches when it is first asked, and from then on in time.
    let source = client.source(request).build()?;
    let token = source.token().await?;
    println!("source: generation {}, header {:?}", token.generation(), token.authorization());
    println!("        {:?}", source.status());

    // Every failure is one error type, with methods for its kind.
    let wrong = Client::builder().issuer(server.issuer()).auth(ClientAuth::basic("svc", "guess")).build()?;
    let error = wrong.request(&grant::client_credentials()).await.err().ok_or("the guess was right")?;
    println!("wrong:  {} (transient: {}) - {}", error.code(), error.is_transient(), error.with_causes());
    Ok(())
}
