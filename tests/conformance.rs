//! The conformance suite of the Model Context Protocol, run against the example `mcp_client` and against the mock.
//! `tests/foreign/README.md` has the score, and says how to install the suite.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/example.rs"]
mod example;
#[path = "support/installed.rs"]
mod installed;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use oauth_mock::{GrantType, MockClient, MockServer, User};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;
use tokio::time::timeout;

use self::example::example;
use self::installed::is_there;

/// The scenarios for the authorization of clients, extensions included: all that the suite has under `auth/`.
const CLIENT: [&str; 33] = [
    "2025-03-26-oauth-endpoint-fallback",
    "2025-03-26-oauth-metadata-backcompat",
    "authorization-server-migration",
    "basic-cimd",
    "client-credentials-basic",
    "client-credentials-jwt",
    "dpop",
    "dpop-nonce",
    "enterprise-managed-authorization",
    "iss-normalized",
    "iss-not-advertised",
    "iss-supported",
    "iss-supported-missing",
    "iss-unexpected",
    "iss-wrong-issuer",
    "metadata-default",
    "metadata-issuer-mismatch",
    "metadata-var1",
    "metadata-var2",
    "metadata-var3",
    "offline-access-not-supported",
    "offline-access-scope",
    "pre-registration",
    "resource-mismatch",
    "scope-from-scopes-supported",
    "scope-from-www-authenticate",
    "scope-omitted-when-undefined",
    "scope-retry-limit",
    "scope-step-up",
    "token-endpoint-auth-basic",
    "token-endpoint-auth-none",
    "token-endpoint-auth-post",
    "wif-jwt-bearer",
];

/// How many of them exist in an earlier revision and in this one, and run at the earlier one unless told.
const IN_BOTH: usize = 14;

const LATER: &str = "2026-07-28";

const SERVER: [&str; 2] = ["authorization-server-metadata-endpoint", "authorization-code-grant"];

/// Where the suite expects that the client's metadata are.
const CLIENT_DOCUMENT: &str = "https://conformance-test.local/client-metadata.json";

/// How long one scenario may take, on a crowded machine.
const PATIENCE: Duration = Duration::from_secs(90);

/// As many at once as keep two cores busy.
const AT_ONCE: usize = 3;

#[tokio::test]
#[ignore = "needs Node.js and npm packages; see tests/README.md"]
async fn the_client_passes_every_scenario() {
    let Some(suite) = Suite::installed("client") else { return };
    let program = example("mcp_client").as_std().get_program().to_str().unwrap().to_owned();
    assert!(Path::new(&program).exists(), "{program} is missing; cargo build --example mcp_client");
    let listed = suite.listed().await;
    let names: Vec<_> = listed.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, CLIENT, "the suite has other scenarios by now");
    let in_both = listed.iter().filter(|(_, in_both)| *in_both).map(|(name, _)| (name.as_str(), Some(LATER)));
    let runs: Vec<_> = CLIENT.map(|name| (name, None)).into_iter().chain(in_both).collect();
    assert_eq!(runs.len(), CLIENT.len() + IN_BOTH);

    let command = format!("{program} --client-document {CLIENT_DOCUMENT}");
    let mut rows: Vec<_> = stream::iter(runs)
        .map(|(name, revision)| {
            let (suite, command) = (&suite, &command);
            async move {
                let scenario = format!("auth/{name}");
                let results = suite.results.join(format!("{name}-{}", revision.unwrap_or("default")));
                let mut run = suite.run([
                    "client",
                    "--command",
                    command,
                    "--scenario",
                    &scenario,
                    "--timeout",
                    "60000",
                ]);
                run.args(revision.iter().flat_map(|revision| ["--spec-version", *revision]));
                let output = timeout(PATIENCE, suite.to(run, &results).output()).await;
                let output = output.expect("a scenario ends").unwrap();
                let checks = checks(&scenario, &results);
                let at = revision.map(|revision| format!(" at {revision}")).unwrap_or_default();
                Row::of(format!("{scenario}{at}"), &checks, output)
            }
        })
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    rows.sort_by(|one, other| one.scenario.cmp(&other.scenario));
    judge(&rows);
}

#[tokio::test]
#[ignore = "needs Node.js and npm packages; see tests/README.md"]
async fn the_mock_passes_every_scenario_for_authorization_servers() {
    let Some(suite) = Suite::installed("authorization") else { return };
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let client = MockClient::new("conformance")
        .grants([GrantType::AuthorizationCode])
        .redirect_uri(format!("http://127.0.0.1:{port}/callback"));
    let document = json!({ "client_id": CLIENT_DOCUMENT, "redirect_uris": ["http://127.0.0.1/callback"] });
    let server = MockServer::builder()
        .client(client)
        .client_document(CLIENT_DOCUMENT, document)
        .user(User::new("alice", "wonderland"))
        .start()
        .await;

    let port = port.to_string();
    let run =
        suite.run(["authorization", "--url", server.issuer(), "--client-id", "conformance", "--port", &port]);
    let mut child =
        suite.to(run, &suite.results).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // The suite prints the page to open, and waits for the browser.
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let authorize = format!("{}?", server.endpoint(oauth_mock::Endpoint::Authorize));
    let mut said = Vec::new();
    let browsing = async {
        while let Some(line) = lines.next_line().await.unwrap() {
            said.extend(line.bytes().chain([b'\n']));
            if line.starts_with(&authorize) {
                let callback = server.log_in(&line, "alice").unwrap();
                assert!(reqwest::get(callback).await.unwrap().status().is_success());
            }
        }
        child.wait_with_output().await.unwrap()
    };
    let mut output = timeout(PATIENCE, browsing).await.expect("the suite ends");
    output.stdout = said;
    judge(&SERVER.map(|name| Row::of(name.to_owned(), &checks(name, &suite.results), output.clone())));
}

/// The suite where it is installed, and where one run of it leaves its results.
struct Suite {
    directory: PathBuf,
    results: PathBuf,
}

impl Suite {
    /// A machine without it prints what to install; where `CI` is set, that is a failure.
    fn installed(what: &str) -> Option<Self> {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/foreign/conformance");
        let found = directory.join("node_modules/@modelcontextprotocol/conformance").exists();
        if !is_there(found, "the suite", "npm ci --prefix tests/foreign/conformance") {
            return None;
        }
        let results = std::env::temp_dir().join(format!("oauth-conformance-{}-{what}", std::process::id()));
        std::fs::create_dir_all(&results).unwrap();
        Some(Self { directory, results })
    }

    /// The suite wants a newer Node.js than many machines have, so one is installed beside it.
    fn run<const N: usize>(&self, arguments: [&str; N]) -> Command {
        let modules = self.directory.join("node_modules");
        let mut command = Command::new(modules.join("node/bin/node"));
        command.arg(modules.join("@modelcontextprotocol/conformance/dist/index.js")).args(arguments);
        command.env("NO_COLOR", "1").kill_on_drop(true).stdin(Stdio::null());
        command
    }

    fn to(&self, mut command: Command, results: &Path) -> Command {
        command.arg("--output-dir").arg(results);
        command
    }

    /// The scenarios that it has for the authorization of clients, sorted; and whether each exists at [`LATER`] and before.
    async fn listed(&self) -> Vec<(String, bool)> {
        let output = self.run(["list", "--client"]).output().await.unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let read = |line: &str| {
            let (name, revisions) = line.trim().strip_prefix("- auth/")?.split_once(' ')?;
            Some((name.to_owned(), revisions.contains(LATER) && revisions.contains(',')))
        };
        let mut names: Vec<_> = text.lines().filter_map(read).collect();
        names.sort_unstable();
        names
    }
}

impl Drop for Suite {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.results);
    }
}

/// One scenario and what came of it.
struct Row {
    scenario: String,
    /// How many checks ended how.
    checks: BTreeMap<String, usize>,
    succeeded: bool,
    said: String,
}

impl Row {
    fn of(scenario: String, checks: &[Value], output: Output) -> Self {
        let mut counts = BTreeMap::new();
        for check in checks {
            *counts.entry(check["status"].as_str().unwrap_or("?").to_owned()).or_default() += 1;
        }
        let said = format!(
            "{}\n{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        // The suite counts a check that it skipped as no failure.
        let is_good = |status: &String| matches!(status.as_str(), "SUCCESS" | "INFO");
        let succeeded =
            output.status.success() && counts.contains_key("SUCCESS") && counts.keys().all(is_good);
        Self { scenario, checks: counts, succeeded, said }
    }
}

/// The checks of a scenario, from the directory that is named after it and the time.
fn checks(scenario: &str, results: &Path) -> Vec<Value> {
    let mut checks = Vec::new();
    let mut left = vec![results.to_path_buf()];
    while let Some(directory) = left.pop() {
        for entry in std::fs::read_dir(directory).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                left.push(path);
            } else if path.ends_with("checks.json") && path.to_string_lossy().contains(scenario) {
                let text = std::fs::read_to_string(&path).unwrap();
                checks.extend(serde_json::from_str::<Vec<Value>>(&text).unwrap());
            }
        }
    }
    checks
}

/// Prints the table, and fails on any miss.
fn judge(rows: &[Row]) {
    let mut table = String::new();
    for row in rows {
        let verdict = if row.succeeded { "passed" } else { "FAILED" };
        let counts: Vec<_> = row.checks.iter().map(|(status, count)| format!("{count} {status}")).collect();
        writeln!(table, "{verdict}  {:<45} {}", row.scenario, counts.join(", ")).unwrap();
    }
    let passed = rows.iter().filter(|row| row.succeeded).count();
    writeln!(table, "{passed} of {} scenarios", rows.len()).unwrap();
    // Past the capture of the test harness, so that the table is seen when all is well, too.
    std::io::stdout().lock().write_all(table.as_bytes()).unwrap();
    let failed: Vec<_> = rows.iter().filter(|row| !row.succeeded).map(|row| row.said.as_str()).collect();
    assert!(failed.is_empty(), "{table}\n{}", failed.join("\n\n"));
}
