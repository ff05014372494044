//! Pages, looked at and used as a user would, in headless Chromium. `browser/harness.rs` says what that needs.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/example.rs"]
mod example;
#[path = "browser/harness.rs"]
mod harness;
#[path = "support/installed.rs"]
mod installed;

use std::process::Stdio;

use oauth_mock::{MockServer, User};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout};

use self::example::example;
use self::harness::browse;

#[tokio::test]
#[ignore = "needs Node.js and Chromium; see tests/README.md"]
async fn the_page_of_the_mock_is_usable_without_documentation() {
    let server = MockServer::builder().user(User::new("alice", "wonderland")).start().await;
    let control = server.control(([127, 0, 0, 1], 0).into(), &[]).await.unwrap();
    for (name, url) in [("server", server.url()), ("control", control.url())] {
        // The page shows seconds since a token expired. The script ends with a reset, which starts the clock again.
        server.clock().stop();
        let input =
            json!({"name": name, "url": format!("{url}/"), "issuer": server.url(), "control": control.url()});
        let Some(seen) = browse("mock_page.mjs", &input).await else { return };
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();

        assert!(text(&seen["clients"]).contains("s3cr3t"), "{seen}");
        let claims: Value = serde_json::from_str(&text(&seen["good"]["claims"])).unwrap();
        assert_eq!(
            (&claims["sub"], &claims["scope"], &claims["roles"]),
            (&json!("bob"), &json!("read write"), &json!(["admin"]))
        );
        assert!(text(&seen["good"]["verdict"]).starts_with(&format!("Signed by {}", server.url())), "{seen}");
        assert!(text(&seen["expired"]["verdict"]).contains("expired 60 seconds ago"), "{seen}");
        assert!(text(&seen["unsigned"]["token"]).ends_with('.'), "{seen}");
        assert!(text(&seen["unknown"]["verdict"]).starts_with("No published key"), "{seen}");

        assert_eq!(seen["statuses"], json!([429, 200]));
        let journal = text(&seen["journal"]);
        assert!(journal.contains("client_credentials · read") && journal.contains("[redacted:"), "{journal}");
        assert!(!journal.contains("c3ZjOnMzY3IzdA"), "{journal}");
        assert_eq!(seen["keys"], 2);

        assert_eq!((&seen["scrollsSideways"], &seen["nameless"]), (&json!(false), &json!([])));
        assert_eq!((&seen["paused"], &seen["resumed"]), (&json!("refused"), &json!(200)));
        assert_eq!(seen["foreign"], "blocked");
    }
}

/// An example that waits for a user, and what it prints.
struct Waiting {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Waiting {
    fn start(name: &str) -> Self {
        let mut child = example(name).arg("--wait").stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    /// What it prints after this word.
    async fn says(&mut self, word: &str) -> String {
        loop {
            let line = self.lines.next_line().await.unwrap().unwrap();
            if let Some(rest) = line.strip_prefix(word) {
                return rest.trim().to_owned();
            }
        }
    }

    async fn ends_well(mut self) {
        while self.lines.next_line().await.unwrap().is_some() {}
        assert!(self.child.wait().await.unwrap().success());
    }
}

#[tokio::test]
#[ignore = "needs Node.js and Chromium; see tests/README.md"]
async fn a_user_logs_in_by_the_browser_and_lands_on_a_plain_page() {
    let mut program = Waiting::start("login_with_browser");
    let url = program.says("open:").await;
    let input = json!({"name": "login", "url": url, "decision": "Allow", "lands": "You are logged in"});
    let Some(seen) = browse("login.mjs", &input).await else { return };
    let text = |name: &str| seen[name].as_str().unwrap_or_default().to_owned();
    assert!(text("asks").contains("my-cli") && text("asks").contains("openid"), "{seen}");
    assert!(text("alert").contains("Wrong name or password"), "{seen}");
    assert!(text("landed").contains("You can close this window"), "{seen}");
    assert!(
        text("address").starts_with("http://127.0.0.1:") && !seen["scrollsSideways"].as_bool().unwrap(),
        "{seen}"
    );
    assert_eq!(program.says("logged in:").await, "alice");
    program.ends_well().await;
}

#[tokio::test]
#[ignore = "needs Node.js and Chromium; see tests/README.md"]
async fn a_user_who_denies_sees_the_error() {
    let mut program = Waiting::start("login_with_browser");
    let url = program.says("open:").await;
    let input =
        json!({"name": "login-denied", "url": url, "decision": "Deny", "lands": "You are not logged in"});
    let Some(seen) = browse("login.mjs", &input).await else { return };
    assert!(seen["landed"].as_str().unwrap().contains("access_denied"), "{seen}");
    assert!(!program.child.wait().await.unwrap().success());
}

#[tokio::test]
#[ignore = "needs Node.js and Chromium; see tests/README.md"]
async fn a_user_approves_a_device() {
    let mut program = Waiting::start("device_login");
    let code = program.says("enter:").await;
    let url = program.says("or to:").await;
    let input = json!({"name": "device", "url": url, "decision": "Allow", "lands": "Device connected"});
    let Some(seen) = browse("login.mjs", &input).await else { return };
    assert!(seen["asks"].as_str().unwrap().contains(&code), "the page shows the device's code: {seen}");
    assert_eq!(program.says("logged in:").await, "alice");
    program.ends_well().await;
}
