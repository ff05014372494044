//! Clients by others, in other languages, run against the server: `tests/foreign/README.md` says what they found.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;

use super::support::serve;

/// What each client checks.
const ITEMS: [&str; 17] = [
    "discovery",
    "client_credentials_basic",
    "client_credentials_post",
    "client_credentials_private_key_jwt",
    "authorization_code_with_pkce",
    "id_token",
    "flaws",
    "refresh",
    "device",
    "introspection",
    "revocation",
    "par",
    "dpop",
    "token_exchange",
    "jwt_bearer",
    "logout",
    "registration",
];

fn clients() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../foreign/clients")
}

/// Runs a script against a server of its own, and reads what it printed.
///
/// A machine without its packages prints what to install; where `CI` is set, that is a failure.
async fn run_client(program: PathBuf, script: &str, package: &Path, how: &str) {
    if !package.exists() {
        assert!(std::env::var_os("CI").is_none(), "{script} lacks its packages: {how}");
        // Straight to the terminal: the harness keeps what a test prints that succeeds.
        let _ = writeln!(std::io::stderr(), "skipped: {script} lacks its packages: {how}");
        return;
    }
    let config = clients().join("mock.toml");
    let server = serve(&["--config", config.to_str().unwrap()]).await;
    let mut client = Command::new(program);
    client.arg(clients().join(script)).args([&server.url, &server.control]).kill_on_drop(true);
    let output = timeout(Duration::from_secs(120), client.output()).await.expect("it does not end").unwrap();
    let (said, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    println!("{script}\n{said}");
    let good = ITEMS.map(|item| format!("ok {item}"));
    assert_eq!(said.lines().collect::<Vec<_>>(), good, "{said}\n{errors}");
    assert!(output.status.success(), "{errors}");
}

#[tokio::test]
#[ignore = "needs Node.js, Python and their packages; see tests/README.md"]
async fn openid_client_completes_everything() {
    let package = clients().join("node_modules/openid-client");
    run_client("node".into(), "openid_client.js", &package, "npm ci --prefix tests/foreign/clients").await;
}

#[tokio::test]
#[ignore = "needs Node.js, Python and their packages; see tests/README.md"]
async fn authlib_completes_everything() {
    let python = clients().join(".venv/bin/python");
    let how = "python3 -m venv tests/foreign/clients/.venv && \
               tests/foreign/clients/.venv/bin/pip install -r tests/foreign/clients/requirements.txt";
    run_client(python.clone(), "authlib_client.py", &python, how).await;
}
