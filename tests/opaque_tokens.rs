//! Tokens that only the authorization server can read, over the wire: `protected_api` asks `oauth-mock` about them, as a
//! configuration file says.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[path = "support/example.rs"]
mod example;
#[path = "support/file.rs"]
mod file;

use std::process::Stdio;

use oauth_mock::{Endpoint, Fault, MockClient, MockServer};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Child;

use self::example::example;
use self::file::File;

async fn server() -> MockServer {
    MockServer::builder()
        .audience("orders-api")
        .client(MockClient::new("app").secret("s3cr3t").scopes(["read", "write"]).opaque_tokens())
        .client(MockClient::new("orders-api").secret("ap1-s3cr3t"))
        .start()
        .await
}

/// The program, its URL, and the file with the secret that it asks with.
async fn protected_api(server: &MockServer, name: &str, more: &str) -> (Child, String, [File; 2]) {
    let secret = File::new(&format!("{name}-secret"), "ap1-s3cr3t\n");
    let text = format!(
        "[[issuer]]\nissuer = \"{}\"\naudience = [\"orders-api\"]\n[issuer.introspection]\n\
         client_id = \"orders-api\"\nclient_secret = {{ file = {:?} }}\n{more}\n",
        server.issuer(),
        secret.0,
    );
    let config = File::new(name, &text);
    let mut command = example("protected_api");
    command.arg("--config").arg(&config.0).args(["--listen", "127.0.0.1:0"]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let first = lines.next_line().await.unwrap().expect("the program printed nothing");
    let url = format!("{}/whoami", first.strip_prefix("READY ").expect("READY and a URL"));
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    (child, url, [config, secret])
}

async fn get(url: &str, token: &str) -> (u16, String) {
    let response = reqwest::Client::new().get(url).bearer_auth(token).send().await.unwrap();
    (response.status().as_u16(), response.text().await.unwrap())
}

#[tokio::test]
async fn a_server_is_asked_once_about_each_token_and_a_revoked_one_is_rejected() {
    let server = server().await;
    let (_child, url, _files) = protected_api(&server, "opaque.toml", "cache_seconds = 0").await;
    let issued = server.issue("app", "ada", "read").unwrap();
    let (status, body) = get(&url, &issued.access_token).await;
    assert_eq!(status, 200);
    assert!(body.contains("\"ada\"") && !body.contains(&issued.access_token), "{body}");
    server.revoke_token(&issued.access_token);
    assert_eq!(get(&url, &issued.access_token).await.0, 401);
    assert_eq!(server.journal().count(Endpoint::Introspect), 2);
    for request in server.journal().of(Endpoint::Introspect) {
        assert_eq!(request.param("token_type_hint"), Some("access_token"));
    }

    server.fault(Endpoint::Introspect, Fault::status(500)).always();
    assert_eq!(get(&url, "unknown").await.0, 503);
    let jwt = server.mint().subject("eve").build();
    assert_eq!(get(&url, &jwt).await.0, 200, "JWTs are validated by keys");
}

#[tokio::test]
async fn a_new_secret_in_the_file_is_used_without_a_restart() {
    let server = server().await;
    let (_child, url, files) = protected_api(&server, "rotated.toml", "").await;
    let first = server.issue("app", "ada", "read").unwrap();
    assert_eq!(get(&url, &first.access_token).await.0, 200);
    server.set_client(MockClient::new("orders-api").secret("another-s3cr3t"));
    std::fs::write(&files[1].0, "another-s3cr3t\n").unwrap();
    let second = server.issue("app", "eve", "read").unwrap();
    assert_eq!(get(&url, &second.access_token).await.0, 200);
}
