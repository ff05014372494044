//! Run with `cargo run --example provider_infolink`. Calls InfoLink's API with tokens that stay fresh, although it says
//! "expired" in its own way; InfoLink is played in this process.

use oauth_client::attach::reqwest::AuthorizedClient;
use oauth_client::{Client, ClientAuth, dialect, grant};
use oauth_mock::{Endpoint, MockServer, Provider};
use serde_json::{Value, json};

type Failure = Box<dyn std::error::Error>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    // In production: the address of your InfoLink server, with https.
    let server = MockServer::builder().personality(Provider::InfoLink).start().await;
    let host = server.url().to_owned();

    let source = Client::builder()
        .provider(dialect::infolink())
        .base_url(&host)
        .auth(ClientAuth::post(
            "9605c5d5-2a1b-49cc-8aaa-b350ee9d86b6",
            "eebb17b2-9ce4-4c73-a23f-d23739bf99b4",
        ))
        .build()?
        .source(grant::client_credentials())
        .build()?;
    let infolink = AuthorizedClient::new(reqwest::Client::new(), source.clone()).allowed_origins([&host])?;

    println!("first job:   {}", execute_job(&infolink, &host).await?);

    // The server forgets the token while we take it for fresh. It will not send 401 but respond to the job with
    // {"result":{"code":"invalid_grant",…},"status":"error"}, and we shall not notice.
    server.revoke_token(source.token().await?.secret().expose());
    println!("second job:  {}", execute_job(&infolink, &host).await?);

    let journal = server.journal();
    let (tokens, jobs) = (journal.count(Endpoint::Token), journal.count(Endpoint::Api));
    println!("{tokens} token requests, {jobs} job requests: one refresh, one job sent once more");
    if (tokens, jobs) == (2, 3) { Ok(()) } else { Err("that is not how it should go".into()) }
}

/// `POST /api/v1/executeJob`, as InfoLink's page shows it.
async fn execute_job(infolink: &AuthorizedClient, host: &str) -> Result<Value, Failure> {
    let job = json!({
        "appId": "170",
        "isAsync": false,
        "responseFormat": "text",
        "operation": {
            "opName": "RunScenario",
            "opParams": { "scenario": "LoadData", "parameters": {}, "data": null },
        },
    });
    let request = infolink.post(format!("{host}/api/v1/executeJob"));
    let response = request.header("content-type", "application/json").body(job.to_string()).send().await?;
    let result: Value = serde_json::from_slice(&response.bytes().await?)?;
    if result["status"] == "error" { Err(result.to_string().into()) } else { Ok(result) }
}
