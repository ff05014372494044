//! openid-client and dpop (npm) get bound tokens and call the guard with them: `dpop_clients.js`.

use std::path::PathBuf;
use std::process::Stdio;

use oauth_mock::{DpopNonce, MockClient, MockServer};
use serde_json::json;
use tokio::process::Command;

use crate::api::Api;
use crate::provider::Provider;

/// The script; `None` where its packages are missing.
fn script() -> Option<PathBuf> {
    let there = crate::foreign("clients");
    let found = ["dpop", "openid-client"].iter().all(|name| there.join("node_modules").join(name).is_dir());
    let how = "npm ci --prefix tests/foreign/clients";
    crate::is_there(found, "dpop or openid-client (npm)", how).then(|| there.join("dpop_clients.js"))
}

/// Runs the script with these arguments; all its items have to be good.
async fn judged(script: PathBuf, arguments: &[&str]) {
    let mut command = Command::new("node");
    command.arg(script).args(arguments).stdin(Stdio::null()).kill_on_drop(true);
    let output = command.output().await.unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    println!("{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{text}");
    assert_eq!(text.lines().filter(|line| line.starts_with("ok ")).count(), 3, "{text}");
}

const NONCES: &str = "[dpop]\nmode = \"require\"\nnonce = \"require\"\nnonce_seconds = 60";

#[tokio::test]
#[ignore = "needs Node.js and npm packages; see tests/README.md"]
async fn clients_by_others_call_the_guard_with_tokens_of_the_mock() {
    let Some(script) = script() else { return };
    for (name, tables, nonce) in
        [("plain", "[dpop]", DpopNonce::Unused), ("nonces", NONCES, DpopNonce::SingleUse)]
    {
        let client = MockClient::new("service").secret("s3cr3t");
        let mock = MockServer::builder().client(client).audience("orders-api").dpop_nonce(nonce);
        let mock = mock.start().await;
        let api = Api::start(&format!("judge-clients-{name}"), mock.issuer(), "", tables).await;
        judged(script.clone(), &[mock.issuer(), &api.url("/read"), "service", "s3cr3t"]).await;
    }
}

#[tokio::test]
#[ignore = "needs Node.js and npm packages; see tests/README.md"]
async fn clients_by_others_call_the_guard_with_tokens_of_oidc_provider() {
    let Some(script) = script() else { return };
    for (name, tables, nonce) in [("plain", "[dpop]", false), ("nonces", NONCES, true)] {
        let Some(server) = Provider::start(&json!({ "dpop_nonce": nonce })).await else { return };
        let api = Api::start(&format!("judge-provider-{name}"), &server.issuer, "", tables).await;
        let resource = "https://jwt.example.com";
        let arguments = [&server.issuer, &api.url("/read"), "service-dpop", "s3cr3t", resource];
        judged(script.clone(), &arguments).await;
    }
}
