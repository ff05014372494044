//! Run with `cargo run --example mcp_client -- https://mcp.example.com/mcp`. A client of the Model Context Protocol that
//! knows nothing but the server's URL: it lists the server's tools and calls the first one. Which authorization server
//! to ask, as which client, for which scopes, and what to do when a tool needs more, is up to `oauth_client::mcp`; the
//! messages of the protocol are in `mcp_client/messages.rs`.
//!
//! The protocol's conformance suite drives it as well: `conformance client --command "mcp_client …"` passes what the
//! client knows beforehand in the environment. See `tests/foreign/README.md`.

#[path = "mcp_client/messages.rs"]
mod messages;

use clap::Parser;
use messages::Session;
use oauth_client::discover::{Found, follow};
use oauth_client::grant::{self, IdJag};
use oauth_client::manage::register::ClientMetadata;
use oauth_client::mcp::{Authorizer, AuthorizerBuilder};
use oauth_client::sign::SigningKey;
use oauth_client::transport::{HttpClient, Limits};
use oauth_client::{Client, ClientAuth};
use serde::Deserialize;
use url::Url;

type Failure = Box<dyn std::error::Error>;

#[derive(Parser)]
struct Arguments {
    /// The https URL where authorization servers read this client's metadata, if there is one.
    #[arg(long)]
    client_document: Option<String>,
    /// The URL of the MCP server.
    url: String,
}

/// What the client was given beforehand, as JSON in `MCP_CONFORMANCE_CONTEXT`.
#[derive(Default, Deserialize)]
struct Known {
    client_id: Option<String>,
    client_secret: Option<String>,
    /// Where that client was registered.
    issuer: Option<String>,
    /// The key of a client that has no secret.
    private_key_pem: Option<String>,
    /// What the platform says of this workload.
    valid_jwt: Option<String>,
    /// Who is logged in at the enterprise's identity provider.
    idp_id_token: Option<String>,
    idp_client_id: Option<String>,
    idp_token_endpoint: Option<String>,
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let arguments = Arguments::parse();
    let known = match std::env::var("MCP_CONFORMANCE_CONTEXT") {
        Ok(json) => serde_json::from_str(&json)?,
        Err(_) => Known::default(),
    };
    let mut builder = Authorizer::builder(&arguments.url)
        .default_endpoints()
        .client(ClientMetadata::new().client_name("mcp_client").redirect_uris(["http://127.0.0.1/callback"]));
    if let Some(url) = &arguments.client_document {
        builder = builder.client_id_document(url);
    }
    let authorizer = how(builder, known, &arguments.url).await?.build()?;
    let client = authorizer.client(reqwest::Client::new());

    let session = Session::begin(client, arguments.url).await?;
    let tools = session.call("tools/list", None, serde_json::json!({})).await?;
    println!("tools: {tools}");
    if let Some(tool) = tools["tools"][0]["name"].as_str() {
        let call = serde_json::json!({ "name": tool, "arguments": {} });
        println!("{tool}: {}", session.call("tools/call", Some(tool), call).await?);
    }
    if let Some(issuer) = authorizer.issuer() {
        println!("authorized by {issuer}");
    }
    Ok(())
}

/// How tokens are obtained, by what is known.
async fn how(builder: AuthorizerBuilder, known: Known, url: &str) -> Result<AuthorizerBuilder, Failure> {
    let Some(id) = known.client_id.clone() else { return Ok(builder.open(browse)) };
    if let (Some(issuer), Some(secret)) = (&known.issuer, &known.client_secret) {
        // A client that was registered by hand, at this issuer and no other.
        return Ok(builder.registered(issuer, ClientAuth::basic(id, secret.as_str())).open(browse));
    }
    // Who was given credentials without a word on where they are good trusts the API in that, once.
    let issuer = discovered(url).await?.server.issuer;
    if let Some(token) = known.valid_jwt {
        return Ok(builder
            .registered(issuer, ClientAuth::none(id))
            .grant(move |_| grant::jwt_bearer(token.as_str())));
    }
    let auth = match (&known.private_key_pem, &known.client_secret) {
        (Some(pem), _) => ClientAuth::private_key_jwt(id, SigningKey::from_pem(pem)?),
        (None, Some(secret)) => ClientAuth::basic(id, secret.as_str()),
        (None, None) => ClientAuth::none(id),
    };
    let builder = builder.registered(issuer, auth);
    let Some(id_token) = known.idp_id_token else {
        return Ok(builder.grant(|_| grant::client_credentials()));
    };

    // The enterprise decides: its identity provider exchanges the login for an assertion to this server.
    let provider = Client::builder()
        .token_endpoint(known.idp_token_endpoint.ok_or("idp_token_endpoint is missing")?)
        .auth(ClientAuth::none(known.idp_client_id.ok_or("idp_client_id is missing")?))
        .build()?;
    Ok(builder.grant(move |_| grant::id_jag(IdJag::new(&provider, id_token.as_str()))))
}

/// The authorization server that the API names.
async fn discovered(url: &str) -> Result<Found, Failure> {
    let refused = reqwest::Client::new().post(url).send().await?;
    Ok(follow(&HttpClient::new()?, url, refused.headers(), &Limits::metadata()).await?)
}

/// A browser for this page: that of the person who runs this, or that of the suite's user, who agrees to everything.
fn browse(page: &Url) {
    if std::env::var_os("MCP_CONFORMANCE_SCENARIO").is_none() {
        return println!("Open this page: {page}");
    }
    let page = page.clone();
    tokio::spawn(async move {
        if let Err(error) = reqwest::get(page).await {
            eprintln!("the browser: {error}");
        }
    });
}
