//! The program as a platform runs it: from a file and the environment, with signals.

#![cfg(unix)]
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::process::Stdio;

use oauth_mock::MockServer;
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

struct Program {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    api: String,
    admin: String,
}

async fn start(guard: &std::path::Path) -> Program {
    let mut child = Command::new(env!("CARGO_BIN_EXE_orders"))
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/service.toml"))
        .env("ORDERS_LISTEN", "127.0.0.1:0")
        .env("ORDERS_ADMIN_LISTEN", "127.0.0.1:0")
        .env("ORDERS_DRAIN_SECONDS", "0")
        .env("ORDERS_GUARD", guard)
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let ready = lines.next_line().await.unwrap().expect("it ended at once");
    let mut parts = ready.split(' ').skip(1).map(str::to_owned);
    let (api, admin) = (parts.next().unwrap(), parts.next().unwrap());
    Program { child, lines, api, admin }
}

impl Program {
    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id().unwrap().cast_signed()).unwrap();
        kill_process(pid, signal).unwrap();
    }
}

async fn get(url: String, token: &str) -> u16 {
    reqwest::Client::new().get(url).bearer_auth(token).send().await.unwrap().status().as_u16()
}

#[tokio::test]
async fn it_serves_reloads_at_sighup_and_ends_at_sigterm() {
    let auth = MockServer::builder().audience("https://orders.example.com").start().await;
    let rules = include_str!("../guard.toml").replace("https://auth.example.com", auth.issuer());
    let file = std::env::temp_dir().join(format!("orders-program-{}.toml", std::process::id()));
    std::fs::write(&file, &rules).unwrap();
    let mut program = start(&file).await;
    let token = auth.mint().scope("orders:read").claim("tenant", "acme").build();

    assert_eq!(get(format!("{}/orders", program.api), &token).await, 200);
    assert_eq!(get(format!("{}/readyz", program.admin), "").await, 200);

    std::fs::write(&file, rules.replace("\"orders:read\"", "\"orders:list\"")).unwrap();
    program.signal(Signal::HUP);
    assert_eq!(program.lines.next_line().await.unwrap().unwrap(), "RELOADED");
    assert_eq!(get(format!("{}/orders", program.api), &token).await, 403);

    program.signal(Signal::TERM);
    assert!(program.child.wait().await.unwrap().success());
    std::fs::remove_file(file).unwrap();
}

#[tokio::test]
async fn a_mistake_in_a_file_ends_it_with_the_key() {
    let output = Command::new(env!("CARGO_BIN_EXE_orders"))
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/service.toml"))
        .env("ORDERS_LISTEN", "everywhere")
        .output()
        .await
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("listen"), "{text}");
}
