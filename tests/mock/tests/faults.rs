//! The table of faults: each one seen by a client in process and by a client on a socket.

#![expect(clippy::unwrap_used, reason = "a helper that fails must fail its test")]

mod support;

use std::io::{self, Read as _};
use std::time::Duration;

use http::{StatusCode, header};
use oauth_mock::{Endpoint, Fault, MockClient, MockServer, TransportError};
use support::*;
use tokio::time::Instant;

/// What a client in process sees of one request to the key set.
async fn in_process(fault: Fault) -> (MockServer, Result<Reply, TransportError>) {
    let server = MockServer::builder().in_process();
    server.fault(Endpoint::Jwks, fault).times(1);
    let reply = get(&server, Endpoint::Jwks).await;
    assert_eq!(server.journal().count(Endpoint::Jwks), 1);
    let fine = get(&server, Endpoint::Jwks).await.unwrap();
    assert_eq!((fine.status, fine.text()), (StatusCode::OK, server.keys().jwks_json().as_str()));
    (server, reply)
}

/// What a client on a socket sees: all bytes, and how the connection ended.
async fn on_a_socket(fault: Fault) -> (String, io::Result<()>) {
    let server = MockServer::start().await;
    server.fault(Endpoint::Jwks, fault).times(1);
    let (bytes, end) = raw_exchange(&server, Endpoint::Jwks).await;
    assert!(
        raw_get(&server, Endpoint::Jwks).await.unwrap().starts_with(b"HTTP/1.1 200"),
        "only one request fails"
    );
    (String::from_utf8_lossy(&bytes).into_owned(), end)
}

/// The body of a raw response and the length it announced.
fn body(response: &str) -> (&str, usize) {
    let (head, body) = response.split_once("\r\n\r\n").unwrap();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
    (body, length.parse().unwrap())
}

#[tokio::test]
async fn status_with_retry_after_in_seconds() {
    let fault = || Fault::status(503).retry_after_secs(30);
    let reply = in_process(fault()).await.1.unwrap();
    assert_eq!((reply.status, reply.header("retry-after")), (StatusCode::SERVICE_UNAVAILABLE, "30"));
    let (response, _) = on_a_socket(fault()).await;
    assert!(response.starts_with("HTTP/1.1 503") && response.contains("retry-after: 30\r\n"), "{response}");
}

#[tokio::test]
async fn status_with_retry_after_as_a_date() {
    let fault = || Fault::status(429).retry_after_date(Duration::from_secs(120));
    let reply = in_process(fault()).await.1.unwrap();
    assert_eq!(reply.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(reply.header("retry-after"), "Tue, 01 Jan 2030 00:02:00 GMT");
    let (response, _) = on_a_socket(fault()).await;
    assert!(response.contains(" GMT\r\n"), "{response}");
}

#[tokio::test(start_paused = true)]
async fn delay_in_process_takes_virtual_time_only() {
    let server = MockServer::builder().in_process();
    server.fault(Endpoint::Jwks, Fault::delay(Duration::from_secs(3600))).times(1);
    let begin = Instant::now();
    assert_eq!(get(&server, Endpoint::Jwks).await.unwrap().status, StatusCode::OK);
    assert_eq!(begin.elapsed().as_secs(), 3600);
}

#[tokio::test]
async fn delay_on_a_socket() {
    let begin = Instant::now();
    let (response, _) = on_a_socket(Fault::delay(Duration::from_millis(60))).await;
    assert!(response.starts_with("HTTP/1.1 200"));
    assert!(begin.elapsed() >= Duration::from_millis(60));
}

#[tokio::test(start_paused = true)]
async fn drip_in_process() {
    let server = MockServer::builder().in_process();
    server.fault(Endpoint::Jwks, Fault::drip(Duration::from_secs(1))).times(1);
    let begin = Instant::now();
    let reply = get(&server, Endpoint::Jwks).await.unwrap();
    assert_eq!(reply.text(), server.keys().jwks_json());
    assert_eq!(begin.elapsed().as_secs(), reply.body.len() as u64);
}

#[tokio::test]
async fn drip_on_a_socket() {
    let begin = Instant::now();
    let (response, end) = on_a_socket(Fault::drip(Duration::from_micros(50))).await;
    assert_eq!((body(&response).0.len(), end.is_ok()), (body(&response).1, true));
    assert!(begin.elapsed() >= Duration::from_micros(50) * u32::try_from(body(&response).1).unwrap());
}

#[tokio::test(start_paused = true)]
async fn hang_and_hang_in_the_middle_never_end() {
    for fault in [Fault::hang(), Fault::hang_mid_body()] {
        let server = MockServer::builder().in_process();
        server.fault(Endpoint::Jwks, fault).times(1);
        let waited = tokio::time::timeout(Duration::from_secs(86_400), get(&server, Endpoint::Jwks)).await;
        assert!(waited.is_err());
        assert_eq!(server.journal().count(Endpoint::Jwks), 1);
    }
}

#[tokio::test]
async fn hang_and_hang_in_the_middle_on_a_socket() {
    for fault in [Fault::hang(), Fault::hang_mid_body()] {
        let server = MockServer::start().await;
        server.fault(Endpoint::Jwks, fault).times(1);
        let waited = tokio::time::timeout(Duration::from_millis(50), raw_get(&server, Endpoint::Jwks)).await;
        assert!(waited.is_err());
    }
}

#[tokio::test]
async fn reset_before_the_response() {
    assert_eq!(in_process(Fault::reset()).await.1.unwrap_err(), TransportError::Reset);
    let (response, end) = on_a_socket(Fault::reset()).await;
    assert_eq!((response.as_str(), end.unwrap_err().kind()), ("", io::ErrorKind::ConnectionReset));
}

#[tokio::test]
async fn a_lost_response_has_done_its_work() {
    let server = MockServer::builder().client(MockClient::default().with_refresh_token()).in_process();
    let refresh_token = server.issue("svc", "alice", "read").unwrap().refresh_token.unwrap();
    let form = format!("grant_type=refresh_token&refresh_token={refresh_token}");
    let request = || form_request(&server.endpoint(Endpoint::Token), Some(&svc()), &form);
    server.fault(Endpoint::Token, Fault::lost_response()).times(1);
    assert_eq!(send(&server, request()).await.unwrap_err(), TransportError::Reset);
    assert_eq!(send(&server, request()).await.unwrap().error(), "invalid_grant", "the token was rotated");

    let (response, end) = on_a_socket(Fault::lost_response()).await;
    assert_eq!((response.as_str(), end.unwrap_err().kind()), ("", io::ErrorKind::ConnectionReset));
}

#[tokio::test]
async fn reset_in_the_middle_of_the_body() {
    assert_eq!(in_process(Fault::reset_mid_body()).await.1.unwrap_err(), TransportError::Reset);
    let (response, end) = on_a_socket(Fault::reset_mid_body()).await;
    assert_eq!(end.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    assert_eq!(body(&response).0.len(), body(&response).1 / 2);
}

#[tokio::test]
async fn truncated_body() {
    assert_eq!(in_process(Fault::truncated()).await.1.unwrap_err(), TransportError::Incomplete);
    let (response, end) = on_a_socket(Fault::truncated()).await;
    assert!(end.is_ok(), "the connection is closed normally");
    assert_eq!(body(&response).0.len(), body(&response).1 / 2);
}

#[tokio::test]
async fn malformed_json() {
    let reply = in_process(Fault::malformed_json()).await.1.unwrap();
    assert_eq!((reply.status, reply.header("content-type")), (StatusCode::OK, "application/jwk-set+json"));
    assert!(serde_json::from_slice::<serde_json::Value>(&reply.body).is_err());
    let (response, end) = on_a_socket(Fault::malformed_json()).await;
    assert!(end.is_ok());
    assert_eq!(body(&response).0.len(), body(&response).1);
}

#[tokio::test]
async fn html_with_status_200() {
    let reply = in_process(Fault::html_ok()).await.1.unwrap();
    assert_eq!((reply.status, reply.header("content-type")), (StatusCode::OK, "text/html; charset=utf-8"));
    let (response, _) = on_a_socket(Fault::html_ok()).await;
    assert!(
        response.starts_with("HTTP/1.1 200") && response.contains("<title>Sign in</title>"),
        "{response}"
    );
}

#[tokio::test]
async fn oversized_but_valid() {
    let reply = in_process(Fault::oversized(3_000_000)).await.1.unwrap();
    assert_eq!(reply.body.len(), 3_000_000);
    assert!(reply.json()["keys"].is_array());
    let (response, end) = on_a_socket(Fault::oversized(3_000_000)).await;
    assert!(end.is_ok());
    assert_eq!(body(&response).0.len(), 3_000_000);
}

#[tokio::test]
async fn gzip_bomb() {
    let reply = in_process(Fault::gzip_bomb(20_000_000)).await.1.unwrap();
    assert_eq!(reply.header("content-encoding"), "gzip");
    assert!(reply.body.len() < 40_000, "{} bytes sent", reply.body.len());
    let mut unpacked = String::new();
    flate2::read::GzDecoder::new(&reply.body[..]).read_to_string(&mut unpacked).unwrap();
    assert_eq!(unpacked.len(), 20_000_000);
    assert!(unpacked.starts_with("{\"keys\""));
    let (response, _) = on_a_socket(Fault::gzip_bomb(20_000_000)).await;
    assert!(response.contains("content-encoding: gzip\r\n"));
}

#[tokio::test]
async fn redirect() {
    let fault = || Fault::redirect("http://169.254.169.254/latest");
    let reply = in_process(fault()).await.1.unwrap();
    assert_eq!(
        (reply.status, reply.header("location")),
        (StatusCode::FOUND, "http://169.254.169.254/latest")
    );
    let (response, _) = on_a_socket(fault()).await;
    assert!(
        response.starts_with("HTTP/1.1 302")
            && response.contains("location: http://169.254.169.254/latest\r\n")
    );
}

#[tokio::test]
async fn another_content_type() {
    let reply = in_process(Fault::content_type("text/plain")).await.1.unwrap();
    assert_eq!(reply.header("content-type"), "text/plain");
    assert!(reply.json()["keys"].is_array());
    let (response, _) = on_a_socket(Fault::content_type("text/plain")).await;
    assert!(response.contains("content-type: text/plain\r\n"));
}

#[tokio::test]
async fn any_body_and_header() {
    let fault =
        || Fault::body(200, "application/json", r#"{"error":"invalid_grant"}"#).header(header::ETAG, "\"7\"");
    let reply = in_process(fault()).await.1.unwrap();
    assert_eq!(
        (reply.status, reply.error().as_str(), reply.header("etag")),
        (StatusCode::OK, "invalid_grant", "\"7\"")
    );
    let (response, _) = on_a_socket(fault()).await;
    assert_eq!(body(&response).0, r#"{"error":"invalid_grant"}"#);
}

#[tokio::test]
async fn faults_queue_up_and_meet_the_call_they_were_made_for() {
    let server = MockServer::builder().in_process();
    server.fault(Endpoint::Jwks, Fault::status(500)).times(2);
    server.fault(Endpoint::Jwks, Fault::status(501)).times(1);
    server.fault(Endpoint::Jwks, Fault::status(502)).on_call(5);
    server.fault(Endpoint::Token, Fault::status(503)).always();
    let mut statuses = Vec::new();
    for _ in 0..6 {
        statuses.push(get(&server, Endpoint::Jwks).await.unwrap().status.as_u16());
    }
    assert_eq!(statuses, [500, 500, 501, 200, 502, 200]);
    assert_eq!(token(&server).await.status, 503);
    server.clear_faults();
    assert_eq!(token(&server).await.status, 200);
    let met: Vec<_> = server.journal().of(Endpoint::Jwks).into_iter().map(|entry| entry.fault).collect();
    assert_eq!(met[2..5], [Some("status 501".to_owned()), None, Some("status 502".to_owned())]);
}
