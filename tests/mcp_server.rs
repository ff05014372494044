//! The official MCP client (crate `rmcp`) logs in to a guarded MCP server, which is the example `mcp_server`: it finds
//! the mock by the server's metadata, registers itself, and gets a token by a code with PKCE.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../examples/mcp_server.rs"]
#[expect(dead_code, reason = "its main is not run")]
mod mcp_server;

use oauth_mock::{Endpoint, MockServer, User};
use rmcp::model::{CallToolRequestParams, ClientConfig, ProtocolVersion};
use rmcp::service::{RoleClient, RunningService};
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::auth::{AuthClient, AuthorizationRequest, OAuthState};
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use rmcp::{ClientLifecycleMode, ClientServiceExt};
use tokio::net::TcpListener;

const REDIRECT_URI: &str = "http://127.0.0.1:7777/callback";

type Session = RunningService<RoleClient, ClientConfig>;

/// The mock, and the URL of the MCP server.
async fn start() -> (MockServer, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/mcp", listener.local_addr().unwrap());
    let auth = MockServer::builder().audience(&url).user(User::new("alice", "wonderland")).start().await;
    let app = mcp_server::app(auth.issuer(), &url).unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });
    (auth, url)
}

/// rmcp's whole way from a URL to a session.
async fn log_in(auth: &MockServer, url: &str, scopes: &[&str], lifecycle: ClientLifecycleMode) -> Session {
    let mut state = OAuthState::new(url, None).await.unwrap();
    let request =
        AuthorizationRequest::new(REDIRECT_URI).with_client_name("notes").with_scopes(scopes.to_vec());
    state.start_authorization(request).await.unwrap();
    let page = state.get_authorization_url().await.unwrap();
    let back = auth.log_in(&page, "alice").unwrap();
    state.handle_callback_url(&back).await.unwrap();
    let client = AuthClient::new(reqwest::Client::new(), state.into_authorization_manager().unwrap());
    let config = StreamableHttpClientTransportConfig::with_uri(url);
    let transport = StreamableHttpClientTransport::with_client(client, config);
    ClientConfig::default().serve_with_lifecycle(transport, lifecycle).await.unwrap()
}

fn with_headers() -> ClientLifecycleMode {
    ClientLifecycleMode::Discover { preferred_versions: vec![ProtocolVersion::V_2026_07_28] }
}

async fn call(session: &Session, tool: &'static str) -> Result<String, String> {
    let result =
        session.call_tool(CallToolRequestParams::new(tool)).await.map_err(|error| error.to_string())?;
    Ok(serde_json::to_value(result).unwrap()["content"][0]["text"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn the_official_client_logs_in_and_gets_the_tools_of_its_scopes() {
    let (auth, url) = start().await;
    let session = log_in(&auth, &url, &["notes"], with_headers()).await;
    let tools = session.list_tools(None).await.unwrap().tools;
    assert_eq!(tools.len(), 2, "{tools:?}");
    assert_eq!(call(&session, "list_notes").await.unwrap(), "the notes of alice");
    let refused = call(&session, "delete_notes").await.unwrap_err();
    assert!(
        refused.contains("insufficient_scope") || refused.contains("403") || refused.contains("scope"),
        "{refused}"
    );
    // With the scopes that the challenge names, and with one that includes them.
    for scopes in [&["notes", "notes:delete"][..], &["notes:admin"]] {
        let session = log_in(&auth, &url, scopes, with_headers()).await;
        assert_eq!(call(&session, "delete_notes").await.unwrap(), "deleted the notes of alice", "{scopes:?}");
    }
    // It registered itself each time, and sent a challenge for its code.
    let requests = auth.journal().requests();
    let count = |endpoint| requests.iter().filter(|request| request.endpoint == endpoint).count();
    assert_eq!(count(Endpoint::Register), 3);
    assert_eq!(count(Endpoint::Token), 3);
}

#[tokio::test]
async fn a_client_of_an_older_version_needs_the_scopes_of_every_tool() {
    let (auth, url) = start().await;
    let session = log_in(&auth, &url, &["notes", "notes:delete"], ClientLifecycleMode::Initialize).await;
    assert_eq!(call(&session, "list_notes").await.unwrap(), "the notes of alice");
    assert_eq!(call(&session, "delete_notes").await.unwrap(), "deleted the notes of alice");
}

#[tokio::test]
async fn a_client_without_a_token_learns_where_to_get_one() {
    let (auth, url) = start().await;
    let refused = reqwest::Client::new().post(&url).body("{}").send().await.unwrap();
    assert_eq!(refused.status(), 401);
    let challenge = refused.headers()["www-authenticate"].to_str().unwrap();
    let metadata = challenge.split("resource_metadata=\"").nth(1).unwrap().trim_end_matches('"').to_owned();
    let text = reqwest::get(metadata).await.unwrap().text().await.unwrap();
    let document: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(document["authorization_servers"][0], auth.issuer());
    assert_eq!(document["scopes_supported"], serde_json::json!(["notes", "notes:delete"]));
}
