//! Run with `cargo run --example mcp_server`, then give an MCP client the URL that it prints. An MCP server on `rmcp`,
//! the protocol's official crate, whose users log in: clients find the authorization server by the API's metadata
//! (RFC 9728), and each tool needs scopes of its own. The authorization server is a mock in this same process.

use std::sync::Arc;

use axum::Router;
use http::request::Parts;
use oauth_guard::{BuildError, Claims, Guard, Issuer, Requirement, Rule};
use oauth_mock::{MockServer, User};
use rmcp::handler::server::router::tool::ToolRouter;
use rmcp::handler::server::tool::Extension;
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use rmcp::{ServerHandler, tool, tool_handler, tool_router};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/mcp", listener.local_addr()?);
    let auth = MockServer::builder().audience(&url).user(User::new("alice", "wonderland")).start().await;
    let app = app(auth.issuer(), &url)?;
    println!("READY {url}\n\nLog in as alice, with the password wonderland.");
    axum::serve(listener, app).await?;
    Ok(())
}

/// The whole of the protection.
pub(crate) fn app(issuer: &str, url: &str) -> Result<Router, BuildError> {
    let guard = Guard::builder()
        .issuer(Issuer::new(issuer).audience(url))
        .resource(url)
        .rule(Rule::new("/mcp").require(Requirement::scope("notes")))
        .rule(
            Rule::new("/mcp").mcp("tools/call").name("delete_*").require(Requirement::scope("notes:delete")),
        )
        .implies("notes:admin", ["notes", "notes:delete"])
        .build()?;
    let sessions = Arc::new(LocalSessionManager::default());
    let mcp =
        StreamableHttpService::new(|| Ok(Notes::new()), sessions, StreamableHttpServerConfig::default());
    Ok(Router::new().route_service("/mcp", mcp).layer(guard.layer()).merge(guard.metadata_router()))
}

/// A server with two tools.
#[derive(Clone)]
struct Notes {
    tool_router: ToolRouter<Self>,
}

#[tool_router]
impl Notes {
    fn new() -> Self {
        Self { tool_router: Self::tool_router() }
    }

    #[tool(description = "Lists the notes of the user who logged in.")]
    async fn list_notes(&self, Extension(request): Extension<Parts>) -> String {
        format!("the notes of {}", user(&request))
    }

    #[tool(description = "Deletes the notes of the user who logged in.")]
    async fn delete_notes(&self, Extension(request): Extension<Parts>) -> String {
        format!("deleted the notes of {}", user(&request))
    }
}

#[tool_handler(router = self.tool_router)]
impl ServerHandler for Notes {}

/// The guard's claims are in the request that the tool was called with.
fn user(request: &Parts) -> &str {
    request.extensions.get::<Claims>().and_then(Claims::subject).unwrap_or("nobody")
}
