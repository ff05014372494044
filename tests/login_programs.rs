//! `call_api` with a grant that a user gives: it says where to log in, as one JSON line, waits, and goes on. And the web
//! app of the examples, where a user logs in and stays so.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/example.rs"]
mod example;

use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use oauth_mock::{Endpoint, GrantType, MockClient, MockServer, User};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout};

use self::example::example;

/// A directory of this test, gone with it.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("oauth-login-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn config(&self, server: &MockServer, more: &str) -> PathBuf {
        let path = self.0.join("client.toml");
        let store = self.0.join("tokens.json");
        let text = format!(
            "issuer = \"{}\"\nclient_id = \"cli\"\nclient_auth = \"none\"\nscope = [\"read\"]\n{more}\n\
             store = {{ kind = \"file\", path = {store:?} }}\n",
            server.issuer()
        );
        std::fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

async fn server() -> MockServer {
    let cli = MockClient::new("cli")
        .grants([GrantType::AuthorizationCode, GrantType::RefreshToken, GrantType::DeviceCode])
        .scopes(["openid", "read"])
        .redirect_uri("http://127.0.0.1/callback");
    MockServer::builder()
        .client(cli)
        .user(User::new("alice", "wonderland"))
        .device_times(Duration::from_secs(300), Duration::from_secs(1))
        .start()
        .await
}

/// `call_api`, running, and its lines.
struct Program {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Program {
    fn start(config: &Path, url: &str) -> Self {
        let mut command = example("call_api");
        command.arg("--config").arg(config).args(["--url", url]);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    async fn line(&mut self) -> Value {
        serde_json::from_str(&self.lines.next_line().await.unwrap().unwrap()).unwrap()
    }

    async fn end(mut self) -> ExitStatus {
        assert_eq!(self.lines.next_line().await.unwrap(), None);
        self.child.wait().await.unwrap()
    }
}

/// Calls the API once, which responds 200 to a good token, and exits with 0.
async fn calls_and_ends(mut program: Program) {
    let call = program.line().await;
    assert_eq!(call["status"], 200, "{call}");
    assert_eq!(program.line().await["summary"]["ok"], 1);
    assert!(program.end().await.success());
}

#[tokio::test]
async fn a_user_logs_in_by_the_browser_once_and_the_next_start_needs_no_user() {
    let (server, directory) = (server().await, Directory::new("browser"));
    for par in [false, true] {
        let _ = std::fs::remove_file(directory.0.join("tokens.json"));
        let config = directory.config(&server, &format!("grant = \"authorization_code\"\npar = {par}"));
        let userinfo = server.endpoint(Endpoint::Userinfo);
        let config_openid =
            std::fs::read_to_string(&config).unwrap().replace("[\"read\"]", "[\"openid\", \"read\"]");
        std::fs::write(&config, config_openid).unwrap();
        let mut program = Program::start(&config, &userinfo);
        let prompt = program.line().await;
        let members: Vec<_> = prompt.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(members, ["open"]);
        let page = prompt["open"].as_str().unwrap();
        assert_eq!(page.contains("request_uri="), par);
        let back = server.log_in(page, "alice").unwrap();
        let landed = reqwest::get(back).await.unwrap();
        assert!(landed.text().await.unwrap().contains("You are logged in"));
        calls_and_ends(program).await;
        let so_far = server.journal().count(Endpoint::Token);

        calls_and_ends(Program::start(&config, &userinfo)).await;
        assert_eq!(server.journal().count(Endpoint::Token), so_far);
    }
}

#[tokio::test]
async fn a_user_who_says_no_ends_it_with_the_reason() {
    let (server, directory) = (server().await, Directory::new("denied"));
    let config = directory.config(&server, "grant = \"authorization_code\"");
    let mut program = Program::start(&config, &server.endpoint(Endpoint::Userinfo));
    let prompt = program.line().await;
    let back = server.log_in(prompt["open"].as_str().unwrap(), "alice").unwrap();
    let denied = back.replacen("code=", "error=access_denied&was=", 1);
    assert_eq!(reqwest::get(denied).await.unwrap().status(), 400);
    assert_eq!(program.end().await.code(), Some(2));
    assert_eq!(server.journal().count(Endpoint::Token), 0);
}

#[tokio::test]
async fn a_device_is_let_in_once_and_the_next_start_needs_no_user() {
    let (server, directory) = (server().await, Directory::new("device"));
    let config = directory.config(&server, "grant = \"device_code\"");
    let text = std::fs::read_to_string(&config).unwrap().replace("[\"read\"]", "[\"openid\", \"read\"]");
    std::fs::write(&config, text).unwrap();
    let userinfo = server.endpoint(Endpoint::Userinfo);
    let mut program = Program::start(&config, &userinfo);
    let prompt = program.line().await;
    let members: Vec<_> = prompt.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(members, ["user_code", "verification_uri", "verification_uri_complete"]);
    assert_eq!(prompt["verification_uri"], server.endpoint(Endpoint::Device));
    server.approve_device(prompt["user_code"].as_str().unwrap(), "alice").unwrap();
    calls_and_ends(program).await;
    let so_far = server.journal().count(Endpoint::Token);
    calls_and_ends(Program::start(&config, &userinfo)).await;
    assert_eq!(server.journal().count(Endpoint::Token), so_far);
}

#[tokio::test]
async fn no_link_and_no_reload_ends_the_session_of_the_web_app() {
    let run = example("login_web_app").output().await.unwrap();
    let shown = String::from_utf8(run.stdout).unwrap();
    assert!(run.status.success(), "{shown}{}", String::from_utf8_lossy(&run.stderr));
    let has = |line: &str| assert!(shown.lines().any(|shown| shown.starts_with(line)), "{line}: {shown}");
    has("logged in: 303 See Other to /");
    has("at home: hello alice");
    has("the same address again: 401");
    has("after all that: 200 OK");
}
