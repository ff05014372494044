//! Pages, looked at and used as a person would, in headless Chromium. `browser/harness.rs` says what that needs.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "browser/harness.rs"]
mod harness;

use harness::browse;
use oauth_mock::{MockServer, User};
use serde_json::{Value, json};

#[tokio::test]
async fn the_page_of_the_mock_is_usable_without_documentation() {
    let server = MockServer::builder().user(User::new("alice", "wonderland")).start().await;
    let control = server.control(([127, 0, 0, 1], 0).into(), &[]).await.unwrap();
    for (name, url) in [("server", server.url()), ("control", control.url())] {
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
