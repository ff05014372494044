//! What arrives over the socket and is no good HTTP.

use oauth_mock::{Endpoint, MockServer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::*;

/// Sends these bytes, and returns everything that came back.
async fn exchange(server: &MockServer, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(server.url().strip_prefix("http://").unwrap()).await.unwrap();
    stream.write_all(request).await.unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.unwrap();
    String::from_utf8(bytes).unwrap()
}

#[tokio::test]
async fn a_request_of_http_1_1_names_one_host() {
    let server = MockServer::start().await;
    for (hosts, status) in [
        ("", "400"),
        ("Host: a\r\nHost: a\r\n", "400"),
        ("Host: a\r\nhost: b\r\n", "400"),
        ("Host: a b\r\n", "400"),
        ("Host: 127.0.0.1\r\n", "200"),
    ] {
        let request = format!("GET /jwks HTTP/1.1\r\n{hosts}Connection: close\r\n\r\n");
        let response = exchange(&server, request.as_bytes()).await;
        assert!(response.starts_with(&format!("HTTP/1.1 {status}")), "{hosts:?} {response}");
    }
    assert!(exchange(&server, b"GET /jwks HTTP/1.0\r\n\r\n").await.starts_with("HTTP/1.0 200"));
    let statuses: Vec<_> =
        server.journal().of(Endpoint::Jwks).iter().map(|one| one.status.unwrap().as_u16()).collect();
    assert_eq!(statuses, [400, 400, 400, 400, 200, 200], "each is in the journal");
}

#[tokio::test]
async fn a_body_that_is_too_long_gets_a_response() {
    let server = MockServer::start().await;
    let host = server.url().strip_prefix("http://").unwrap();
    for length in [(1 << 20) + 1, 8 << 20] {
        let head = format!(
            "POST /token HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n"
        );
        let request = [head.into_bytes(), vec![b'a'; length]].concat();
        let response = exchange(&server, &request).await;
        assert!(response.starts_with("HTTP/1.1 413"), "{length} {response}");
    }
    assert_eq!(server.journal().of(Endpoint::Token)[1].status.unwrap(), 413);
    let in_process = MockServer::builder().in_process();
    let long = "a".repeat((1 << 20) + 1);
    assert_eq!(post(&in_process, Endpoint::Token, None, &long).await.status, 413);
    assert_eq!(post(&in_process, Endpoint::Token, None, &long[..1 << 20]).await.status, 401);
}
