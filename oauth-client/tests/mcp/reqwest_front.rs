//! The client that authorizes by itself, over sockets.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use oauth_client::clock::TestClock;
use oauth_client::manage::register::ClientMetadata;
use oauth_client::mcp::Authorizer;
use oauth_mock::{Endpoint, MockServer, User};

#[tokio::test]
async fn requests_are_authorized_and_repeated() {
    let server =
        MockServer::builder().api_scope("/", "read").user(User::new("alice", "wonderland")).start().await;
    let server = Arc::new(server);
    let (browser, url) = (Arc::clone(&server), server.endpoint(Endpoint::Api));
    let authorizer = Authorizer::builder(&url)
        .client(ClientMetadata::new().redirect_uris(["https://app.test/callback"]))
        .browser(move |page| {
            let callback = browser.log_in(page.as_str(), "alice");
            async move { callback }
        })
        .build()
        .unwrap();
    let client = authorizer.client(reqwest::Client::new());
    for _ in 0..2 {
        let response = client.send(client.post(&url).body("a message")).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
    }
    let calls: Vec<_> = server.journal().of(Endpoint::Api).iter().map(|call| call.status).collect();
    assert_eq!(calls.len(), 3, "{calls:?}");
    assert_eq!(server.journal().count(Endpoint::Token), 1);

    // Its session ends, and there is no refresh token that is good any longer.
    server.reset();
    let response = client.send(client.get(&url)).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);

    let astray = client.send(client.get("https://evil.example/")).await.unwrap_err();
    assert_eq!(
        (astray.code(), astray.token_error().unwrap().problems()[0].field.as_str()),
        ("config", "url")
    );
}

#[tokio::test]
async fn a_client_that_the_server_forgot_registers_anew() {
    let server = MockServer::builder().user(User::new("alice", "wonderland")).start().await;
    let server = Arc::new(server);
    let (browser, url) = (Arc::clone(&server), server.endpoint(Endpoint::Api));
    let clock = TestClock::new();
    let authorizer = Authorizer::builder(&url)
        .client(ClientMetadata::new().redirect_uris(["https://app.test/callback"]))
        .browser(move |page| {
            let callback = browser.log_in(page.as_str(), "alice");
            async move { callback }
        })
        .clock(clock.clone())
        .build()
        .unwrap();
    let client = authorizer.client(reqwest::Client::new());
    assert_eq!(client.send(client.get(&url)).await.unwrap().status(), StatusCode::OK);
    let first = authorizer.registrations().get(server.issuer()).unwrap().client_id().to_owned();
    server.remove_client(&first);
    clock.suspend(Duration::from_secs(3601));
    assert_eq!(client.send(client.get(&url)).await.unwrap().status(), StatusCode::OK);
    assert_ne!(authorizer.registrations().get(server.issuer()).unwrap().client_id(), first);
}
