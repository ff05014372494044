//! The messages of the Model Context Protocol, as far as this client needs them: JSON-RPC over HTTP.

use oauth_client::mcp::reqwest::AuthorizingClient;
use reqwest::Response;
use serde_json::{Value, json};

use super::Failure;

/// From this revision on there is no session: each message says what the first one said before.
const STATELESS: &str = "2026-07-28";

/// A conversation with one server.
pub(crate) struct Session {
    client: AuthorizingClient,
    url: String,
    version: String,
    /// The server's name for the session, where it has one.
    id: Option<String>,
}

impl Session {
    pub(crate) async fn begin(client: AuthorizingClient, url: String) -> Result<Self, Failure> {
        let version =
            std::env::var("MCP_CONFORMANCE_PROTOCOL_VERSION").unwrap_or_else(|_| "2025-11-25".to_owned());
        let mut session = Self { client, url, version, id: None };
        if session.version.as_str() < STATELESS {
            let hello = json!({ "protocolVersion": session.version, "capabilities": {}, "clientInfo": client_info() });
            let response = session.send("initialize", None, Some(1), hello).await?;
            session.id =
                response.headers().get("mcp-session-id").and_then(|id| Some(id.to_str().ok()?.to_owned()));
            result(response).await?;
            session.send("notifications/initialized", None, None, json!({})).await?;
        }
        Ok(session)
    }

    /// Calls a method, and returns its result.
    pub(crate) async fn call(
        &self,
        method: &str,
        name: Option<&str>,
        mut params: Value,
    ) -> Result<Value, Failure> {
        if self.version.as_str() >= STATELESS {
            params["_meta"] = json!({
                "io.modelcontextprotocol/protocolVersion": self.version,
                "io.modelcontextprotocol/clientInfo": client_info(),
                "io.modelcontextprotocol/clientCapabilities": {},
            });
        }
        result(self.send(method, name, Some(2), params).await?).await
    }

    async fn send(
        &self,
        method: &str,
        name: Option<&str>,
        id: Option<u32>,
        params: Value,
    ) -> Result<Response, Failure> {
        let mut message = json!({ "jsonrpc": "2.0", "method": method, "params": params });
        if let Some(id) = id {
            message["id"] = id.into();
        }
        let mut request = self
            .client
            .post(&self.url)
            .header("content-type", "application/json")
            .header("accept", "application/json, text/event-stream")
            .header("mcp-method", method)
            .body(message.to_string());
        if method != "initialize" {
            request = request.header("mcp-protocol-version", &self.version);
        }
        if let Some(name) = name {
            request = request.header("mcp-name", name);
        }
        if let Some(id) = &self.id {
            request = request.header("mcp-session-id", id);
        }
        let response = self.client.send(request).await?;
        match response.status() {
            status if status.is_success() => Ok(response),
            status => Err(format!("{method}: {status}: {}", response.text().await?).into()),
        }
    }
}

fn client_info() -> Value {
    json!({ "name": "mcp_client", "version": env!("CARGO_PKG_VERSION") })
}

/// The result of a call: a JSON object, or the first event of a stream with one.
async fn result(response: Response) -> Result<Value, Failure> {
    let text = response.text().await?;
    let event = text.lines().find_map(|line| line.strip_prefix("data:"));
    let mut message: Value = serde_json::from_str(event.unwrap_or(&text))?;
    match message.get("error") {
        Some(error) => Err(format!("the server responded with an error: {error}").into()),
        None => Ok(message["result"].take()),
    }
}
