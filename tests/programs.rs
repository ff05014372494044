//! The example programs, driven as other programs would drive them: over their command line, files and stdout.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "support/example.rs"]
mod example;
#[path = "support/file.rs"]
mod file;

use std::process::{Output, Stdio};
use std::time::Duration;

use oauth_mock::{Endpoint, MockClient, MockServer};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use self::example::example;
use self::file::File;

async fn server(lifetime: Duration) -> MockServer {
    let svc = MockClient::new("svc").secret("s3cr3t").scopes(["read", "write"]).token_lifetime(lifetime);
    MockServer::builder().client(svc).audience("orders-api").start().await
}

/// Starts a program that says `READY url` first.
async fn ready(mut command: Command) -> (Child, String) {
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let first = lines.next_line().await.unwrap().expect("the program printed nothing");
    let url =
        first.strip_prefix("READY ").unwrap_or_else(|| panic!("expected READY, got {first:?}")).to_owned();
    // Whatever it prints later must not fill the pipe.
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    (child, url)
}

async fn protected_api(server: &MockServer, name: &str, more: &str) -> (Child, String, File) {
    let text = format!("{more}\n[[issuer]]\nissuer = \"{}\"\naudience = [\"orders-api\"]\n", server.issuer());
    let config = File::new(name, &text);
    let mut command = example("protected_api");
    command.arg("--config").arg(&config.0).args(["--listen", "127.0.0.1:0"]);
    let (child, url) = ready(command).await;
    (child, url, config)
}

fn client_toml(server: &MockServer, more: &str) -> String {
    format!("issuer = \"{}\"\nclient_id = \"svc\"\nclient_secret = \"s3cr3t\"\n{more}\n", server.issuer())
}

async fn call_api(config: &File, args: &[&str]) -> Output {
    example("call_api").arg("--config").arg(&config.0).args(args).output().await.unwrap()
}

fn lines(output: &Output) -> Vec<Value> {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

async fn get(url: &str, token: Option<&str>) -> (u16, Option<String>, Value) {
    let client = reqwest::Client::new();
    let request = token.iter().fold(client.get(url), |request, token| request.bearer_auth(token));
    let response = request.send().await.unwrap();
    let challenge =
        response.headers().get("www-authenticate").map(|value| value.to_str().unwrap().to_owned());
    let status = response.status().as_u16();
    (status, challenge, serde_json::from_slice(&response.bytes().await.unwrap()).unwrap_or(Value::Null))
}

#[tokio::test]
async fn a_token_that_expires_in_the_middle_of_a_run_is_replaced_once() {
    let server = server(Duration::from_secs(2)).await;
    let (_api, api, _config) = protected_api(&server, "expiry-guard.toml", "").await;
    let config = File::new(
        "expiry-client.toml",
        &client_toml(&server, "scope = [\"read\"]\nrefresh_margin_seconds = 0"),
    );
    let output =
        call_api(&config, &["--url", &format!("{api}/read"), "--count", "5", "--interval-ms", "700"]).await;
    let lines = lines(&output);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let generations: Vec<_> = lines[..5].iter().map(|line| line["generation"].as_u64().unwrap()).collect();
    assert_eq!((generations.first(), generations.last()), (Some(&1), Some(&2)), "{generations:?}");
    assert!(lines[..5].iter().all(|line| line["status"] == 200 && line["body"]["client_id"] == "svc"));
    assert_eq!(
        lines[5]["summary"],
        serde_json::json!({"calls": 5, "ok": 5, "token_requests": 2, "replays": 0})
    );
    assert_eq!(server.journal().count(Endpoint::Token), 2);
}

#[tokio::test]
async fn the_routes_of_protected_api_respond_as_documented() {
    let server = server(Duration::from_secs(300)).await;
    let (_api, api, _config) = protected_api(
        &server,
        "routes-guard.toml",
        "resource = \"https://api.example.com/orders\"\nrealm = \"orders\"",
    )
    .await;
    let read = server.mint().client_id("svc").subject("ada").scope("read").build();

    let (status, _, body) = get(&format!("{api}/whoami"), Some(&read)).await;
    assert_eq!((status, &body["iss"], &body["sub"]), (200, &server.issuer().into(), &"ada".into()));
    assert_eq!((&body["scope"], &body["claims"]["scope"]), (&serde_json::json!(["read"]), &"read".into()));
    assert_eq!(get(&format!("{api}/read"), Some(&read)).await.0, 200);
    let (status, challenge, _) = get(&format!("{api}/write"), Some(&read)).await;
    assert!(status == 403 && challenge.unwrap().contains(r#"error="insufficient_scope", scope="write""#));

    assert_eq!(get(&format!("{api}/public"), None).await.2, serde_json::json!({"anonymous": true}));
    assert_eq!(get(&format!("{api}/public"), Some(&read)).await.2["sub"], "ada");
    assert_eq!(get(&format!("{api}/public"), Some("bad")).await.0, 401);
    let (status, challenge, _) = get(&format!("{api}/whoami"), None).await;
    let document = "https://api.example.com/.well-known/oauth-protected-resource/orders";
    assert_eq!(status, 401);
    assert_eq!(challenge.unwrap(), format!(r#"Bearer realm="orders", resource_metadata="{document}""#));

    let (status, _, health) = get(&format!("{api}/healthz"), None).await;
    assert_eq!((status, &health["issuers"][0]["keys"]), (200, &1.into()));
    assert!(health["cache"]["hit_ratio"].as_f64().unwrap() > 0.0, "{health}");
    for path in ["/.well-known/oauth-protected-resource", "/.well-known/oauth-protected-resource/orders"] {
        let (status, _, metadata) = get(&format!("{api}{path}"), None).await;
        assert_eq!((status, &metadata["resource"]), (200, &"https://api.example.com/orders".into()));
        assert_eq!(metadata["authorization_servers"], serde_json::json!([server.issuer()]));
    }
}

#[tokio::test]
async fn rules_for_mcp_come_from_the_file() {
    let server = server(Duration::from_secs(300)).await;
    let rules = "allowed_origins = [\"https://app.example.com\"]\n\
        implies = { admin = [\"tools\", \"delete\"] }\n\
        mcp_body_bytes = 200\n\
        [[rule]]\npath = \"/mcp\"\nmcp = \"tools/call\"\nrequire = { scope = \"tools\" }\n\
        [[rule]]\npath = \"/mcp\"\nmcp = \"tools/call\"\nname = \"delete_*\"\nrequire = { scope = \"delete\" }";
    let (_api, api, _config) = protected_api(&server, "mcp-guard.toml", rules).await;
    let call = |tool: &str| {
        format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"{tool}"}}}}"#)
    };
    let ask = async |scope: &str, name: Option<&str>, body: String, origin: Option<&str>| {
        let token = server.mint().client_id("svc").scope(scope).build();
        let mut request = reqwest::Client::new().post(format!("{api}/mcp")).bearer_auth(token).body(body);
        if let Some(name) = name {
            request = request.header("mcp-method", "tools/call").header("mcp-name", name);
        }
        request = origin.iter().fold(request, |request, origin| request.header("origin", *origin));
        let response = request.send().await.unwrap();
        let challenge =
            response.headers().get("www-authenticate").map(|value| value.to_str().unwrap().to_owned());
        (response.status().as_u16(), challenge.unwrap_or_default())
    };
    assert_eq!(ask("tools", Some("get"), call("get"), None).await.0, 200);
    let (status, challenge) = ask("tools", Some("delete_all"), call("delete_all"), None).await;
    assert!(status == 403 && challenge.contains(r#"scope="tools delete""#), "{challenge}");
    assert_eq!(ask("admin", Some("delete_all"), call("delete_all"), None).await.0, 200);
    assert_eq!(ask("tools", Some("get"), call("delete_all"), None).await.0, 400);
    assert_eq!(ask("tools", None, call("get"), None).await.0, 403);
    assert_eq!(ask("tools", Some("get"), call(&"x".repeat(200)), None).await.0, 400);
    assert_eq!(ask("tools", Some("get"), call("get"), Some("https://app.example.com")).await.0, 200);
    assert_eq!(ask("tools", Some("get"), call("get"), Some("https://evil.example")).await.0, 403);
}

#[tokio::test]
async fn keys_from_a_file_judge_without_any_server() {
    let server = server(Duration::from_secs(300)).await;
    let token = server.mint().scope("read").build();
    let keys = File::new("keys.json", &server.keys().jwks_json());
    server.pause();
    let text = format!(
        "[[issuer]]\nissuer = \"{}\"\naudience = [\"orders-api\"]\njwks_file = {:?}\n",
        server.issuer(),
        keys.0.to_str().unwrap()
    );
    let config = File::new("file-guard.toml", &text);
    let mut command = example("protected_api");
    command.arg("--config").arg(&config.0);
    let (_api, api) = ready(command).await;
    assert_eq!(get(&format!("{api}/read"), Some(&token)).await.0, 200);
    assert_eq!(get(&format!("{api}/write"), Some(&token)).await.0, 403);
    let (status, challenge, _) = get(&format!("{api}/read"), Some(&token[..token.len() - 4])).await;
    assert!(status == 401 && challenge.unwrap().contains("error=\"invalid_token\""));
}

#[tokio::test]
async fn an_api_that_refuses_is_exit_code_1_and_one_that_is_gone_is_2() {
    let server = server(Duration::from_secs(300)).await;
    let (mut process, api, _config) = protected_api(&server, "codes-guard.toml", "").await;
    let config = File::new("codes-client.toml", &client_toml(&server, "scope = [\"read\"]"));

    let refused =
        call_api(&config, &["--url", &format!("{api}/write"), "--count", "2", "--concurrency", "2"]).await;
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    assert_eq!(lines(&refused)[2]["summary"]["token_requests"], 1);

    process.kill().await.unwrap();
    let gone = call_api(&config, &["--url", &format!("{api}/read")]).await;
    assert_eq!((gone.status.code(), &lines(&gone)[0]["error"]), (Some(2), &"transport".into()));
    assert!(String::from_utf8_lossy(&gone.stderr).contains("error: transport: "));
}

#[tokio::test]
async fn a_token_that_cannot_be_had_is_exit_code_2_with_the_servers_code_and_no_secret() {
    let server = server(Duration::from_secs(300)).await;
    let text = client_toml(&server, "").replace("\"s3cr3t\"", "\"gu3ss\"");
    let config = File::new("wrong-client.toml", &text);
    let output = call_api(&config, &["--url", "http://127.0.0.1:1/", "--count", "3"]).await;
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(lines(&output)[..3].iter().all(|line| line["error"] == "invalid_client"));
    assert_eq!(lines(&output)[3]["summary"]["token_requests"], 1, "held back after the first");
    assert!(stderr.contains("error: invalid_client: ") && !stderr.contains("gu3ss"), "{stderr}");

    let mismatch = File::new("mismatch.toml", &text.replace("127.0.0.1", "localhost"));
    let output = call_api(&mismatch, &["--url", "http://127.0.0.1:1/"]).await;
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(lines(&output)[0]["error"], "discovery");
    assert_eq!(lines(&output)[1]["summary"]["token_requests"], 0, "none was sent");
    assert!(
        stderr.contains("http://localhost:") && stderr.contains("http://127.0.0.1:"),
        "both issuers: {stderr}"
    );
}

#[tokio::test]
async fn a_store_that_cannot_be_written_is_a_warning_and_costs_no_call() {
    let server = server(Duration::from_secs(300)).await;
    let (_api, api, _config) = protected_api(&server, "store-guard.toml", "").await;
    let in_the_way = File::new("not-a-directory", "");
    let path = in_the_way.0.join("tokens.json");
    let store = format!("store = {{ kind = \"file\", path = {:?} }}", path.to_str().unwrap());
    let config = File::new("store-client.toml", &client_toml(&server, &store));
    let output = call_api(&config, &["--url", &format!("{api}/whoami"), "--count", "2"]).await;
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(stderr.contains("warning: store: "), "{stderr}");
    assert_eq!(lines(&output)[2]["summary"]["token_requests"], 1);
}

#[tokio::test]
async fn what_a_file_store_holds_is_used_by_the_next_run() {
    let server = server(Duration::from_secs(300)).await;
    let (_api, api, _config) = protected_api(&server, "kept-guard.toml", "").await;
    let tokens = std::env::temp_dir().join(format!("oauth-programs-{}-kept", std::process::id()));
    let store =
        format!("store = {{ kind = \"file\", path = {:?} }}", tokens.join("tokens.json").to_str().unwrap());
    let config = File::new("kept-client.toml", &client_toml(&server, &store));
    for run in 1..=2 {
        let output = call_api(&config, &["--url", &format!("{api}/whoami")]).await;
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        assert_eq!(lines(&output)[1]["summary"]["token_requests"], 2 - run, "run {run}");
    }
    std::fs::remove_dir_all(&tokens).unwrap();
    assert_eq!(server.journal().count(Endpoint::Token), 1);
}

#[tokio::test]
async fn a_file_with_six_mistakes_gives_six_lines_in_either_program() {
    let client = File::new(
        "six-client.toml",
        "isuer = \"https://a\"\nclient_id = 5\nclient_secret = \"s3cr3t\"\ngrant = \"magic\"\nscope = \"read\"\n\
         timeout_seconds = 0\nstore = { kind = \"file\" }\n",
    );
    let output = call_api(&client, &["--url", "http://127.0.0.1:1/"]).await;
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), stderr.lines().count()), (Some(2), 6), "{stderr}");
    for key in ["isuer", "client_id", "grant", "scope", "timeout_seconds", "store.path"] {
        assert!(
            stderr.lines().any(|line| line.starts_with(&format!("error: config: {key}: "))),
            "{key}: {stderr}"
        );
    }
    assert!(!stderr.contains("s3cr3t"));

    let guard = File::new(
        "six-guard.toml",
        "relm = \"a\"\n[[issuer]]\nissuer = \"http://auth.example.com\"\naudience = \"a\"\n[[issuer]]\n\
         issuer = \"https://b\"\nprofile = \"any\"\n[keys]\ncooldown_seconds = 0\n",
    );
    let output = example("protected_api").arg("--config").arg(&guard.0).output().await.unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), stderr.lines().count()), (Some(2), 6), "{stderr}");
    let keys = ["relm", "issuer[0].issuer", "issuer[0].audience", "issuer[1].audience", "issuer[1].profile"];
    for key in keys.into_iter().chain(["keys.cooldown_seconds"]) {
        assert!(
            stderr.lines().any(|line| line.starts_with(&format!("error: config: {key}: "))),
            "{key}: {stderr}"
        );
    }
}

#[tokio::test]
async fn both_programs_are_configured_by_the_environment_as_well() {
    let server = server(Duration::from_secs(300)).await;
    let mut api = example("protected_api");
    api.envs([("GUARD_ISSUER_0_ISSUER", server.issuer()), ("GUARD_ISSUER_0_AUDIENCE", "orders-api")]);
    let (_api, url) = ready(api).await;
    let mut call = example("call_api");
    call.args(["--url", &format!("{url}/whoami")]);
    call.envs([
        ("OAUTH_ISSUER", server.issuer()),
        ("OAUTH_CLIENT_ID", "svc"),
        ("OAUTH_CLIENT_SECRET", "s3cr3t"),
    ]);
    let output = call.output().await.unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
}

#[tokio::test]
async fn the_two_servers_without_a_configuration_respond_as_documented() {
    for name in ["axum_server", "hyper_server"] {
        let (_process, url) = ready(example(name)).await;
        let path = if name == "axum_server" { "/orders" } else { "/" };
        let (status, challenge, _) = get(&format!("{url}{path}"), None).await;
        assert_eq!((status, challenge.is_some()), (401, true), "{name}");
    }
}
