//! An authorization server by others: `tests/foreign/provider/oidc_provider.js`, which tells what it can.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::installed::is_there;

/// One that runs; it ends with this.
pub(crate) struct Provider {
    pub(crate) issuer: String,
    _child: Child,
}

impl Provider {
    /// Starts it with this configuration. `None` where its packages are missing, which is an error in CI.
    pub(crate) async fn start(configuration: &Value) -> Option<Self> {
        let there = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/foreign/provider");
        let node = there.join("node_modules/node/bin/node");
        let found = node.is_file() && there.join("node_modules/oidc-provider").is_dir();
        if !is_there(found, "oidc-provider", "npm ci --prefix tests/foreign/provider") {
            return None;
        }
        let mut command = Command::new(node);
        command.arg(there.join("oidc_provider.js")).arg("0").arg(configuration.to_string());
        command.kill_on_drop(true).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let first = tokio::time::timeout(Duration::from_secs(60), lines.next_line()).await;
        let first = first.expect("oidc-provider says READY within a minute").unwrap();
        let issuer = first.as_deref().and_then(|line| line.strip_prefix("READY ")).expect("READY and a URL");
        let issuer = issuer.to_owned();
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Some(Self { issuer, _child: child })
    }

    /// Posts a form as a client of the server, such as to `/token`, and returns the response.
    pub(crate) async fn post(&self, path: &str, client: [&str; 2], form: &[(&str, &str)]) -> (u16, Value) {
        let url = format!("{}{path}", self.issuer);
        let mut body = url::form_urlencoded::Serializer::new(String::new());
        body.extend_pairs(form);
        let request = reqwest::Client::new().post(url).basic_auth(client[0], Some(client[1]));
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        let response = request.body(body.finish()).send().await.unwrap();
        let status = response.status().as_u16();
        let text = response.text().await.unwrap();
        (status, serde_json::from_str(&text).unwrap_or(Value::Null))
    }

    /// An access token for `service` by its credentials.
    pub(crate) async fn token(&self, form: &[(&str, &str)]) -> String {
        let form = [&[("grant_type", "client_credentials")], form].concat();
        let (status, body) = self.post("/token", ["service", "s3cr3t"], &form).await;
        assert_eq!(status, 200, "{body}");
        body["access_token"].as_str().unwrap().to_owned()
    }

    /// One of the commands under `/control/`.
    pub(crate) async fn control(&self, command: &str, body: &Value) -> Value {
        let url = format!("{}/control/{command}", self.issuer);
        let response = reqwest::Client::new().post(url).body(body.to_string()).send().await.unwrap();
        let (status, text) = (response.status().as_u16(), response.text().await.unwrap());
        assert_eq!(status, 200, "{command}: {text}");
        serde_json::from_str(&text).unwrap()
    }
}
