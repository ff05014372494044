//! What a hundred thousand requests and as many tokens cost: a process of its own, so that nothing else is measured.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a helper that fails must fail its test")]

mod support;

use std::time::Duration;

use http::Request;
use http_body_util::Full;
use oauth_mock::{Endpoint, MockClient, MockServer};
use support::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// MiB of memory that the process holds now.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() / 1024
}

/// A hundred thousand requests, and what the process then holds: printed for the curious, bounded for all.
#[tokio::test]
async fn a_hundred_thousand_requests_take_no_more_than_the_limit() {
    let server = MockServer::start().await;
    let control = server.control(([127, 0, 0, 1], 0).into(), &[]).await.unwrap();
    let before = resident();
    for n in 0..100_000 {
        let request = Request::get(format!("{}/nothing?n={n}", server.url()))
            .header("user-agent", "a client of some length/1.0")
            .header("accept", "application/json")
            .header("x-request-id", format!("0123456789abcdef-{n}"));
        send(&server, request.body(Full::default()).unwrap()).await.unwrap();
    }
    let kept = resident();
    let host = control.url().strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(host).await.unwrap();
    let request = format!("GET /v1/journal HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let (mut read, mut most, mut buffer, mut head) = (0, 0, vec![0; 64 << 10], Vec::new());
    loop {
        let some = stream.read(&mut buffer).await.unwrap();
        if some == 0 {
            break;
        }
        if head.len() < 300 {
            head.extend_from_slice(&buffer[..some]);
        }
        read += some;
        most = most.max(resident());
    }
    println!(
        "resident: {before} MiB before, {kept} MiB with 100,000 requests, {most} MiB while {read} bytes are read"
    );
    let head = String::from_utf8_lossy(&head[..300]);
    assert!(head.contains(r#""oldest":80000,"total":100000,"requests":["#), "{head}");
    assert!(kept < before + 48, "{before} MiB before, {kept} MiB after");
    assert!(most < kept + 16, "{kept} MiB before it is read, {most} MiB while it is");

    // Tokens that have ended are forgotten as well; of those that have not, none is.
    let client = MockClient::new("svc").secret("s3cr3t").opaque_tokens().scopes(["read"]);
    let minute = Duration::from_secs(60);
    server.set_client(client.token_lifetime(minute).refresh_lifetime(minute));
    let before = resident();
    let mut first = None;
    for n in 0..100_000_u32 {
        let tokens =
            server.issue("svc", &format!("a user whose subject has some length, {n}"), "read").unwrap();
        first.get_or_insert(tokens.access_token);
        if n % 1_000 == 999 {
            server.clock().advance(Duration::from_secs(3_700));
        }
    }
    let kept = resident();
    println!("resident: {before} MiB before, {kept} MiB with 100,000 tokens");
    assert!(kept < before + 24, "{before} MiB before, {kept} MiB after");
    let form = |token: &str| format!("token={token}&client_id=svc&client_secret=s3cr3t");
    let last = server.issue("svc", "alice", "read").unwrap().access_token;
    assert_eq!(post(&server, Endpoint::Introspect, None, &form(&last)).await.json()["active"], true);
    assert_eq!(
        post(&server, Endpoint::Introspect, None, &form(&first.unwrap())).await.json()["active"],
        false
    );
}
