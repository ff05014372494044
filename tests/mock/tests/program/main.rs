//! The program, driven as others drive it: over its command line, files, stdout, signals and HTTP.

#![cfg(feature = "cli")]
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a helper that fails must fail its test"
)]

mod control;
mod foreign;
mod python;
mod steering;
mod support;

use serde_json::Value;
use support::*;

#[tokio::test]
async fn it_is_usable_at_once_and_ends_when_it_is_told_to() {
    for signal in ["-TERM", "-INT"] {
        let server = serve(&[]).await;
        let metadata = server.get("/.well-known/oauth-authorization-server").await.json();
        assert_eq!(metadata["issuer"], server.url);
        assert_eq!(server.token().await.json()["token_type"], "Bearer");
        let (code, log) = server.stop(signal).await;
        assert_eq!(code, Some(0));
        assert!(log.contains("issuer http://127.0.0.1:"), "{log}");
    }
}

#[tokio::test]
async fn help_has_examples_and_the_default_accounts() {
    for args in [&["--help"][..], &["serve", "--help"]] {
        let output = run(args).await;
        assert_eq!(output.status.code(), Some(0));
        let text = String::from_utf8(output.stdout).unwrap();
        let wanted = if args.len() == 1 { ["serve", "attack"] } else { ["curl -u svc:s3cr3t", "wonderland"] };
        assert!(wanted.iter().all(|word| text.contains(word)), "{text}");
    }
}

#[tokio::test]
async fn every_mistake_of_a_configuration_is_told_before_anything_runs() {
    let config = File::new(
        "mistakes.toml",
        "listen = \"9000\"\nport = 1\n[[clients]]\nclient_id = \"a\"\ngrant_types = [\"code\"]\n[[users]]\nname = \"bob\"\n",
    );
    let output = run(&["serve", "--config", config.path()]).await;
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{errors}");
    for part in [
        config.path(),
        "listen: \"9000\" is no address",
        "port: unknown",
        "clients[0].grant_types[0]: \"code\"",
        "users[0].password: missing",
    ] {
        assert!(errors.contains(part), "{part} in {errors}");
    }
}

#[tokio::test]
async fn what_cannot_be_read_or_listened_on_is_said() {
    let bad = File::new("bad.toml", "listen = \n");
    let server = serve(&["--no-control"]).await;
    let taken = server.url.strip_prefix("http://").unwrap();
    for (args, wanted) in [
        (vec!["serve", "--config", "/nowhere/mock.toml"], "/nowhere/mock.toml"),
        (vec!["serve", "--config", bad.path()], "not valid TOML: TOML parse error at line 1"),
        (vec!["serve", "--listen", taken], taken),
        (vec!["serve", "--control", taken], taken),
        (vec!["serve", "--listen", "here"], "--listen"),
    ] {
        let output = run(&args).await;
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}: {errors}");
        assert!(errors.contains(wanted), "{wanted} in {errors}");
    }
}

/// The example of the documentation, in both formats.
#[tokio::test]
async fn the_documented_configuration_runs() {
    let toml =
        include_str!("../../CONFIG.md").split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
    let json = toml::from_str::<Value>(toml).unwrap().to_string();
    for file in [File::new("documented.toml", toml), File::new("documented.json", &json)] {
        let server = serve(&["--config", file.path()]).await;
        let state = server.order("GET", "/v1/state", Value::Null).await;
        assert_eq!(state["issuers"][1]["issuer"], format!("{}/tenant-a", server.url));
        assert_eq!(state["audiences"], serde_json::json!(["orders-api", "billing-api"]));
        assert_eq!(state["clients"][1]["scope"], serde_json::json!(["openid", "read"]));
        assert!(state["clock"].as_i64().unwrap() < 1_893_456_000 + 100);
        let failed = server.token().await;
        assert_eq!((failed.status, failed.header("retry-after")), (503, Some("1")));
        server.token().await;
        assert_eq!(server.token().await.json()["expires_in"], 60);
    }
}

#[tokio::test]
async fn arguments_go_before_the_configuration() {
    let config = File::new("order.json", r#"{"listen": "127.0.0.1:1", "control": "127.0.0.1:1"}"#);
    let server =
        serve(&["--config", config.path(), "--listen", "127.0.0.1:0", "--control", "127.0.0.1:0"]).await;
    assert!(!server.url.ends_with(":1") && !server.control.ends_with(":1"));
}

#[tokio::test]
async fn an_unmet_expectation_is_the_exit_code() {
    let server = serve(&[]).await;
    let order = serde_json::json!({"endpoint": "token", "at_least": 2});
    server.order("POST", "/v1/expectations", order).await;
    server.token().await;
    let (code, log) = server.stop("-TERM").await;
    assert_eq!(code, Some(1));
    assert!(
        log.contains("- expected at least 2 request(s) to Token") && log.contains("POST /token"),
        "{log}"
    );
}

#[tokio::test]
async fn each_request_is_a_line_of_the_log() {
    for (args, logged) in [(&[][..], true), (&["--quiet"], false)] {
        let server = serve(args).await;
        server.token().await;
        let order = serde_json::json!({"endpoint": "jwks", "fault": "reset"});
        server.order("POST", "/v1/faults", order).await;
        server.get("/jwks").await;
        send(&server.url, "GET", "/%0Afaked?code=c0de", &[], "").await;
        let (_, log) = server.stop("-TERM").await;
        for line in [
            r#"POST /token 200 token client="svc" grant="client_credentials" "#,
            r#"GET /jwks no response jwks fault="reset" "#,
            "GET /%0Afaked 404 other ",
        ] {
            assert_eq!(log.lines().any(|logged| logged.starts_with(line)), logged, "{line} in {log}");
        }
        assert!(!log.contains("s3cr3t") && !log.contains("c0de"), "{log}");
    }
}

#[tokio::test]
async fn a_container_is_reached_by_the_name_of_its_issuer() {
    let text = include_str!("../../container/mock.toml")
        .replace(":9000\"\ncontrol", ":0\"\ncontrol")
        .replace(":9001", ":0");
    let config = File::new("container.toml", &text);
    let server = serve(&["--config", config.path(), "--control-host", "mock"]).await;
    assert!(server.url.starts_with("http://127.0.0.1:"), "{}", server.url);
    let port = server.url.rsplit(':').next().unwrap();
    for (host, endpoints) in [
        ("mock:9000".to_owned(), "http://mock:9000".to_owned()),
        (format!("localhost:{port}"), format!("http://localhost:{port}")),
        (format!("127.0.0.1:{port}"), server.url.clone()),
    ] {
        let path = "/.well-known/openid-configuration";
        let metadata = send(&server.url, "GET", path, &[("host", &host)], "").await.json();
        assert_eq!(metadata["issuer"], "http://mock:9000");
        assert_eq!(metadata["token_endpoint"], format!("{endpoints}/token"));
        assert_eq!(metadata["jwks_uri"], format!("{endpoints}/jwks"));
    }
    let state = send(&server.control, "GET", "/v1/health", &[("host", "mock:9001")], "").await;
    assert_eq!(state.status, 200);
}
