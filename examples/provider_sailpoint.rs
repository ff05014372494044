//! Run with `cargo run --example provider_sailpoint`. Creates an OAuth client at SailPoint, gets a token as that
//! client, and shows what an error carries; SailPoint is played in this process.

use std::time::Duration;

use oauth_client::dialect::sailpoint::ErrorBody;
use oauth_client::manage::sailpoint::{AccessType, ClientType, GrantType, NewOAuthClient, OAuthClients};
use oauth_client::transport::HttpClient;
use oauth_client::{Client, ClientAuth, Error, Secret, TokenSource, dialect, grant};
use oauth_mock::{MockServer, Provider};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // In production: https://YOUR-TENANT.api.… and the version's path.
    let server = MockServer::builder().personality(Provider::SailPoint).start().await;
    let base_url = server.url();

    let clients = OAuthClients::new(HttpClient::new()?, source(base_url, "svc", "s3cr3t".into())?, base_url)?;
    let report = NewOAuthClient::new("nightly-report")
        .description("Reads what the nightly report needs")
        .grant_types([GrantType::ClientCredentials])
        .access_type(AccessType::Offline)
        .client_type(ClientType::Confidential)
        .access_token_validity(Duration::from_secs(750))
        .enabled(true); // no scope: it may do all that its owner may
    let created = clients.create(&report).await?;
    println!("created {} with scope {:?}", created.id, created.scope);

    // The secret comes this once: keep it. Debug does not show it.
    println!("its secret is {:?}", created.secret);
    let secret = created.secret.ok_or("no secret in the response")?;
    let token = source(base_url, &created.id, secret)?.token().await?;
    println!("it got a token of its own, good for {:?}", token.tokens().lifetime());

    server.provider_failure("bad_request").times(1);
    let refused = clients.create(&report).await.err().ok_or("this should have been refused")?;
    println!("refused: {refused}");
    let body = refused.provider::<ErrorBody>().ok_or("no error body")?;
    println!(
        "   tracking id {:?}, because {:?}",
        body.tracking_id,
        body.causes.first().map(|cause| &cause.text)
    );

    server.provider_failure("rate_limited").times(1);
    let limited = clients.create(&report).await.err().ok_or("this should have been refused")?;
    println!("refused: {limited}; again in {:?}", limited.retry_after());
    Ok(())
}

fn source(base_url: &str, id: &str, secret: Secret) -> Result<TokenSource, Error> {
    let client = Client::builder()
        .provider(dialect::sailpoint())
        .base_url(base_url)
        .auth(ClientAuth::post(id, secret))
        .build()?;
    client.source(grant::client_credentials()).build()
}
