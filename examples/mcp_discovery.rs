//! Run with `cargo run --example mcp_discovery`. A client that knows nothing but an API's URL, as MCP clients do: it is
//! refused, is led to the API's metadata (RFC 9728) and on to its authorization server (RFC 8414), registers itself
//! there (RFC 7591), logs a user in (RFC 6749, PKCE) for a token that is good at this API only (RFC 8707), and calls
//! again. The API is guarded; the authorization server is a mock in this same process, and so is the user.

mod user_agent;

use axum::{Router, routing::get};
use oauth_client::attach::reqwest::AuthorizedClient;
use oauth_client::discover::follow;
use oauth_client::login::AuthorizationRequest;
use oauth_client::manage::register::{ClientMetadata, Registrar};
use oauth_client::transport::{HttpClient, Limits};
use oauth_guard::{Claims, Guard, Issuer, Requirement, Rule};
use oauth_mock::{MockServer, User};
use tokio::net::TcpListener;

type Failure = Box<dyn std::error::Error>;

/// Where the browser comes back to: this machine, at any port.
const REDIRECT_URI: &str = "http://127.0.0.1/callback";

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/mcp", listener.local_addr()?);
    let server = MockServer::builder().audience(&url).user(User::new("alice", "wonderland")).start().await;
    start_api(&server, listener, &url)?;

    // From here on, all that is known is the URL.
    let refused = reqwest::get(&url).await?;
    println!("without a token: {}", refused.status());

    let http = HttpClient::new()?;
    let found = follow(&http, &url, refused.headers(), &Limits::metadata()).await?;
    println!("the API:         {}, scopes {:?}", found.resource.resource, found.resource.scopes_supported);
    println!("its server:      {}", found.server.issuer);

    let wanted = ClientMetadata::new()
        .client_name("A client without configuration")
        .redirect_uris([REDIRECT_URI])
        .grant_types(["authorization_code", "refresh_token"])
        .token_endpoint_auth_method("none");
    let registration = Registrar::from_metadata(http, &found.server)?.register(&wanted).await?;
    println!("registered as:   {}", registration.client_id());

    let client = found.client().auth(registration.auth()?).build()?;
    let request = AuthorizationRequest::new(REDIRECT_URI)
        .scope(found.resource.scopes_supported.unwrap_or_default())
        .resource([found.resource.resource]);
    let login = client.login(&request).open(|page| {
        tokio::spawn(user_agent::log_in(page.clone()));
    });
    let source = client.source(&request).starting_with(login.await?).build()?;

    // The token is for this API and goes nowhere else.
    let origin = url::Url::parse(&url)?.origin().ascii_serialization();
    let api = AuthorizedClient::new(reqwest::Client::new(), source).allowed_origins([&origin])?;
    let response = api.get(&*url).send().await?;
    println!("with a token:    {} {}", response.status(), response.text().await?);
    Ok(())
}

/// A guarded API, whose metadata names its authorization server.
fn start_api(server: &MockServer, listener: TcpListener, url: &str) -> Result<(), Failure> {
    let guard = Guard::builder()
        .issuer(Issuer::new(server.issuer()).audience(url))
        .resource(url)
        .rule(Rule::new("/mcp").require(Requirement::scope("read")))
        .build()?;
    let hello = |claims: Claims| async move { format!("hello {}", claims.subject().unwrap_or("anonymous")) };
    let app = Router::new().route("/mcp", get(hello)).layer(guard.layer()).merge(guard.metadata_router());
    tokio::spawn(async move { axum::serve(listener, app).await });
    Ok(())
}
