//! `reqwest-middleware`, with its retry policy on top.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::StatusCode;
use http::header::AUTHORIZATION;
use http_body_util::Full;
use oauth_client::TokenSource;
use oauth_client::attach::TokenChoice;
use oauth_client::attach::reqwest_middleware::TokenMiddleware;
use reqwest_middleware::{ClientBuilder, ClientWithMiddleware};
use reqwest_retry::RetryTransientMiddleware;
use reqwest_retry::policies::ExponentialBackoff;

use crate::reqwest_front::Site;
use crate::support::{server, source, token_requests, unauthorized};

fn stack(tokens: TokenMiddleware) -> ClientWithMiddleware {
    let quick = ExponentialBackoff::builder()
        .retry_bounds(Duration::from_millis(1), Duration::from_millis(5))
        .build_with_max_retries(3);
    ClientBuilder::new(reqwest::Client::builder().no_proxy().build().unwrap())
        .with(RetryTransientMiddleware::new_with_policy(quick))
        .with(tokens)
        .build()
}

#[tokio::test]
async fn each_attempt_of_a_retry_carries_the_token_of_its_moment() {
    let server = server();
    let source = source(&server);
    let first = source.token().await.unwrap().authorization().clone();
    let calls = AtomicUsize::new(0);
    let site = Site::start(move |request| {
        let refused = request.headers().get(AUTHORIZATION) == Some(&first);
        match calls.fetch_add(1, Ordering::SeqCst) {
            // Twice the API is down; then it refuses the first token.
            0 | 1 => http::Response::builder().status(503).body(Full::default()).unwrap(),
            _ if refused => unauthorized(),
            _ => http::Response::new(Full::new(request.body().clone())),
        }
    })
    .await;
    let client = stack(TokenMiddleware::new(source));
    let response = client.post(site.url("/orders")).body("an order").send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.text().await.unwrap(), "an order");
    assert_eq!((site.seen().len(), token_requests(&server)), (4, 2));
}

#[tokio::test]
async fn a_request_that_gets_no_token_is_not_sent_nor_repeated() {
    let server = server();
    server.fault(oauth_mock::Endpoint::Token, oauth_mock::Fault::status(400)).always();
    let site = Site::start(|_| http::Response::new(Full::default())).await;
    let client = stack(TokenMiddleware::new(source(&server)));
    let error = client.get(site.url("/orders")).send().await.unwrap_err();
    assert!(error.is_middleware(), "{error}");
    assert_eq!((site.seen().len(), token_requests(&server)), (0, 1));
}

#[tokio::test]
async fn a_choice_is_an_extension() {
    let site = Site::start(|_| http::Response::new(Full::default())).await;
    let client = stack(TokenMiddleware::new(TokenSource::fixed("own").unwrap()));
    client.get(site.url("/")).with_extension(TokenChoice::NoToken).send().await.unwrap();
    let theirs = TokenChoice::From(TokenSource::fixed("theirs").unwrap());
    client.get(site.url("/")).with_extension(theirs).send().await.unwrap();
    client.get(site.url("/")).send().await.unwrap();
    let carried: Vec<_> = site.seen().iter().map(|seen| seen.headers().get(AUTHORIZATION).cloned()).collect();
    assert_eq!(carried, [None, Some("Bearer theirs".parse().unwrap()), Some("Bearer own".parse().unwrap())]);
}
