//! Which token a request carries, and how long it waits for one.

use std::time::Duration;

use http::header::AUTHORIZATION;
use http::{Request, StatusCode};
use http_body_util::Full;
use oauth_client::TokenSource;
use oauth_client::attach::{AttachError, TokenChoice, TokenLayer};
use oauth_mock::{Endpoint, Fault};
use tokio::time::Instant;
use tower::{Layer, ServiceExt};

use crate::support::{Api, Seen, get, server, source, token_requests};

fn fixed(token: &str) -> TokenSource {
    TokenSource::fixed(token).unwrap()
}

fn authorization(seen: &Seen) -> Option<&str> {
    seen.headers().get(AUTHORIZATION).map(|value| value.to_str().unwrap())
}

#[tokio::test(start_paused = true)]
async fn a_request_may_carry_none_or_another_sources_token() {
    let api = Api::new();
    let layer = TokenLayer::new(fixed("own")).allowed_origins(["https://api.example.com"]).unwrap();
    let client = layer.layer(api.clone());
    let send = |request: Request<_>| client.clone().oneshot(request);
    send(get()).await.unwrap();

    let mut open = get();
    open.extensions_mut().insert(TokenChoice::NoToken);
    *open.uri_mut() = "https://elsewhere.example/".parse().unwrap();
    send(open).await.unwrap();

    let mut theirs = get();
    theirs.extensions_mut().insert(TokenChoice::From(fixed("theirs")));
    send(theirs.clone()).await.unwrap();
    *theirs.uri_mut() = "https://elsewhere.example/".parse().unwrap();
    let astray = send(theirs).await.unwrap_err();
    assert_eq!(astray.token_error().unwrap().code(), "config", "where tokens may go holds for it, too");

    let seen = api.seen();
    let carried: Vec<_> = seen.iter().map(authorization).collect();
    assert_eq!(carried, [Some("Bearer own"), None, Some("Bearer theirs")]);
}

#[tokio::test(start_paused = true)]
async fn a_chosen_source_gets_the_refusal_of_its_own_token() {
    let (ours, theirs) = (server(), server());
    let (own, other) = (source(&ours), source(&theirs));
    let api = Api::new();
    api.refuse(&other.token().await.unwrap());
    own.token().await.unwrap();
    let client = TokenLayer::new(own).layer(api.clone());
    let mut request = get();
    request.extensions_mut().insert(TokenChoice::From(other));
    let response = client.oneshot(request).await.unwrap();
    assert_eq!((response.status(), api.count()), (StatusCode::OK, 2), "it was sent once more");
    assert_eq!((token_requests(&ours), token_requests(&theirs)), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn an_open_requests_401_says_nothing_of_a_token() {
    let server = server();
    let own = source(&server);
    let token = own.token().await.unwrap();
    let api = Api::with(|_| Some(crate::support::unauthorized()));
    let mut request = get();
    request.extensions_mut().insert(TokenChoice::NoToken);
    let response = TokenLayer::new(own.clone()).layer(api.clone()).oneshot(request).await.unwrap();
    assert_eq!((response.status(), api.count()), (StatusCode::UNAUTHORIZED, 1));
    assert_eq!(own.current().unwrap().generation(), token.generation());
}

#[tokio::test(start_paused = true)]
async fn each_origin_has_its_source() {
    let (ours, theirs) = (server(), server());
    let (own, billing) = (source(&ours), source(&theirs));
    let api = Api::new();
    api.refuse(&billing.token().await.unwrap());
    let layer = TokenLayer::new(own).source_for("https://billing.example.com", billing).unwrap();
    // What is set later holds for all of them; where tokens may go does not take the second origin away.
    let layer = layer.report().allowed_origins(["https://api.example.com"]).unwrap();
    let client = layer.layer(api.clone());
    client.clone().oneshot(get()).await.unwrap();
    let invoice = Request::get("https://billing.example.com/invoices").body(Full::default()).unwrap();
    let response = client.clone().oneshot(invoice).await.unwrap();
    assert!(response.extensions().get::<oauth_client::attach::Attached>().unwrap().replayed);
    assert_eq!((token_requests(&ours), token_requests(&theirs), api.count()), (1, 2, 3));
    let elsewhere = Request::get("https://elsewhere.example/").body(Full::default()).unwrap();
    assert!(client.oneshot(elsewhere).await.is_err());
    assert!(TokenLayer::new(fixed("t")).source_for("billing", fixed("t")).is_err());
}

#[tokio::test(start_paused = true)]
async fn a_token_endpoint_that_hangs_does_not_eat_the_callers_deadline() {
    let server = server();
    let source = source(&server);
    server.fault(Endpoint::Token, Fault::delay(Duration::from_secs(3))).always();
    let api = Api::new();
    let limit = Duration::from_millis(200);
    let client = TokenLayer::new(source.clone()).max_wait(limit).layer(api.clone());
    let began = Instant::now();
    let error = client.clone().oneshot(get()).await.unwrap_err();
    assert_eq!(began.elapsed().as_millis() / 10, 20, "the paused clock counts whole milliseconds");
    assert!(matches!(&error, AttachError::Token(error) if error.code() == "timeout"), "{error}");
    assert_eq!(api.count(), 0, "nothing was sent");
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert!(source.current().is_some(), "what was under way went on");
    let token = source.current().unwrap();

    // Sent once more: the API's own response is there, and is the better one.
    api.refuse(&token);
    let began = Instant::now();
    let response = client.oneshot(get()).await.unwrap();
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    assert!(began.elapsed() < Duration::from_millis(350), "{:?}", began.elapsed());
    assert_eq!(api.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_went_wrong_is_said_once() {
    let error = TokenLayer::new(fixed("t"))
        .allowed_origins(["https://a.example"])
        .unwrap()
        .layer(Api::new())
        .oneshot(get())
        .await
        .unwrap_err();
    let shown = error.to_string();
    assert!(shown.contains("no token could be put on it: ") && shown.contains("allowed_origins"), "{shown}");
    assert!(std::error::Error::source(&error).is_none(), "its cause is shown already");
}
