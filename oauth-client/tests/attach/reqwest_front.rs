//! `AuthorizedClient` over real sockets on loopback; redirects are reqwest's own.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, LOCATION};
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use oauth_client::TokenSource;
use oauth_client::attach::reqwest::AuthorizedClient;
use oauth_client::attach::{AttachError, ReplayPolicy};
use oauth_client::transport::{HttpClient, RequestBody};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::Instant;

use crate::support::{server, source, token_requests, unauthorized};

type Response = http::Response<Full<Bytes>>;

/// An API on a port of its own, until the test's runtime ends.
pub(crate) struct Site {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Request<Bytes>>>>,
}

impl Site {
    pub(crate) async fn start(rule: impl Fn(&Request<Bytes>) -> Response + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let site = Self { address: listener.local_addr().unwrap(), seen: Arc::default() };
        let (seen, rule) = (Arc::clone(&site.seen), Arc::new(rule));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (seen, rule) = (Arc::clone(&seen), Arc::clone(&rule));
                let service = service_fn(move |request: Request<hyper::body::Incoming>| {
                    let (seen, rule) = (Arc::clone(&seen), Arc::clone(&rule));
                    async move {
                        let (head, body) = request.into_parts();
                        let request = Request::from_parts(head, body.collect().await.unwrap().to_bytes());
                        let response = rule(&request);
                        seen.lock().unwrap_or_else(PoisonError::into_inner).push(request);
                        Ok::<_, Infallible>(response)
                    }
                });
                let connection = hyper::server::conn::http1::Builder::new();
                tokio::spawn(connection.serve_connection(TokioIo::new(stream), service));
            }
        });
        site
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn seen(&self) -> Vec<Request<Bytes>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn count(&self) -> usize {
        self.seen().len()
    }
}

fn client(source: TokenSource) -> AuthorizedClient {
    AuthorizedClient::new(reqwest::Client::builder().no_proxy().build().unwrap(), source)
}

fn redirect(status: u16, to: &str) -> Response {
    http::Response::builder().status(status).header(LOCATION, to).body(Full::default()).unwrap()
}

/// Echoes what comes with any token but that one.
fn all_but(revoked: &oauth_client::AccessToken) -> impl Fn(&Request<Bytes>) -> Response + use<> {
    let revoked = revoked.authorization().clone();
    move |request| match request.headers().get(AUTHORIZATION) {
        Some(sent) if *sent != revoked => Response::new(Full::new(request.body().clone())),
        _ => unauthorized(),
    }
}

#[tokio::test]
async fn a_refused_token_is_replaced_and_the_request_sent_once_more() {
    let server = server();
    let source = source(&server);
    let site = Site::start(all_but(&source.token().await.unwrap())).await;
    let client = client(source);

    let response = client.get(site.url("/orders")).header("x-trace", "7").send().await.unwrap();
    assert_eq!((response.status(), site.count(), token_requests(&server)), (StatusCode::OK, 2, 2));
    let response = client.post(site.url("/orders")).body("an order").send().await.unwrap();
    assert_eq!((response.text().await.unwrap().as_str(), site.count()), ("an order", 3));
    assert_eq!(token_requests(&server), 2);
    assert!(site.seen()[..2].iter().all(|seen| seen.headers()["x-trace"] == "7"));
}

#[tokio::test]
async fn a_body_of_bytes_is_repeated_and_a_stream_is_not() {
    for (streamed, status, requests) in [(false, StatusCode::OK, 2), (true, StatusCode::UNAUTHORIZED, 1)] {
        let server = server();
        let source = source(&server);
        let site = Site::start(all_but(&source.token().await.unwrap())).await;
        let body = if streamed { reqwest::Body::wrap(Full::new(Bytes::from("data"))) } else { "data".into() };
        let response = client(source.clone()).put(site.url("/file")).body(body).send().await.unwrap();
        assert_eq!((response.status(), site.count()), (status, requests));
        assert!(site.seen().iter().all(|seen| seen.body() == "data"));
        assert_eq!(source.current().is_some(), !streamed, "dropped either way, and replaced for the replay");
    }
}

#[tokio::test]
async fn the_policy_is_the_layers() {
    let server = server();
    let source = source(&server);
    let site = Site::start(|_| unauthorized()).await;
    let small = ReplayPolicy::when(|request| request.uri().path() == "/twice").with_max_body(4);
    let client = client(source).replay(small);
    for (path, body, requests) in [("/once", "data", 1), ("/twice", "data", 2), ("/twice", "large", 1)] {
        let before = site.count();
        let response = client.post(site.url(path)).body(body).send().await.unwrap();
        assert_eq!(
            (response.status(), site.count() - before),
            (StatusCode::UNAUTHORIZED, requests),
            "{path} {body}"
        );
    }
}

#[tokio::test]
async fn a_401_from_another_origin_says_nothing_of_the_token() {
    let server = server();
    let source = source(&server);
    source.token().await.unwrap();
    let elsewhere = Site::start(|_| unauthorized()).await;
    let there = elsewhere.url("/");
    let site = Site::start(move |_| redirect(307, &there)).await;

    let response = client(source.clone()).get(site.url("/")).send().await.unwrap();
    assert_eq!((response.status(), site.count(), elsewhere.count()), (StatusCode::UNAUTHORIZED, 1, 1));
    assert!(!elsewhere.seen()[0].headers().contains_key(AUTHORIZATION), "the token did not go there");
    assert!(source.current().is_some(), "and it stays in use");
    assert_eq!(token_requests(&server), 1);
}

#[tokio::test]
async fn nothing_is_repeated_across_a_redirect() {
    let server = server();
    let source = source(&server);
    source.token().await.unwrap();
    let site = Site::start(|request| match request.uri().path() {
        "/orders" => redirect(303, "/orders/1"),
        _ => unauthorized(),
    })
    .await;
    let response =
        client(source.clone()).post(site.url("/orders#new")).body("an order").send().await.unwrap();
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    let paths: Vec<_> = site.seen().iter().map(|seen| seen.uri().path().to_owned()).collect();
    assert_eq!(paths, ["/orders", "/orders/1"], "the order was placed once");
    assert!(source.current().is_none(), "the same origin refused the token, so it is dropped");
}

#[tokio::test]
async fn an_api_that_wants_another_login_costs_no_token_and_no_second_request() {
    let server = server();
    let source = source(&server);
    let site = Site::start(|_| {
        let challenge = "Bearer error=\"insufficient_user_authentication\", max_age=\"60\"";
        let head = http::Response::builder().status(401).header("www-authenticate", challenge);
        head.body(Full::default()).unwrap()
    })
    .await;
    let response = client(source.clone()).post(site.url("/orders")).body("an order").send().await.unwrap();
    assert_eq!((response.status(), site.count()), (StatusCode::UNAUTHORIZED, 1));
    assert_eq!((token_requests(&server), source.current().is_some()), (1, true));
}

#[tokio::test(start_paused = true)]
async fn a_timeout_covers_the_wait_for_a_token_and_all_requests() {
    let limit = Duration::from_millis(200);
    let site = Site::start(|_| unauthorized()).await;
    let send = |source: &TokenSource| client(source.clone()).get(site.url("/")).timeout(limit).send();

    // No token in time: nothing is sent.
    let never = slow_source(Duration::from_secs(3600));
    let began = Instant::now();
    let error = send(&never).await.unwrap_err();
    assert_eq!((error.token_error().unwrap().code(), site.count()), ("timeout", 0));
    assert_eq!(began.elapsed().as_millis() / 10, 20, "within the limit, as exact as timers are");

    // A token late in the limit leaves the rest of it to the request.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", silent.local_addr().unwrap());
    let late = slow_source(Duration::from_millis(150));
    let began = Instant::now();
    let error = client(late.clone()).get(&url).timeout(limit).send().await.unwrap_err();
    let AttachError::Inner(error) = error else { panic!("the token was there") };
    assert!(error.is_timeout(), "{error:?}");
    assert_eq!(began.elapsed().as_millis() / 10, 20);
}

/// Its token endpoint takes so long.
fn slow_source(wait: Duration) -> TokenSource {
    let service = tower::service_fn(move |_: Request<RequestBody>| async move {
        tokio::time::sleep(wait).await;
        Ok::<_, Infallible>(Response::new(Full::from(r#"{"access_token":"t","token_type":"Bearer"}"#)))
    });
    let client = oauth_client::Client::builder()
        .token_endpoint("https://auth.example.com/token")
        .auth(oauth_client::ClientAuth::basic("svc", "s3cr3t"))
        .http(HttpClient::from_service(service))
        .build()
        .unwrap();
    client.source(oauth_client::grant::client_credentials()).build().unwrap()
}

#[tokio::test]
async fn a_grpc_status_in_the_trailers_drops_the_token() {
    let server = server();
    let source = source(&server);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/pets.Pets/List", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = [0; 4096];
        assert!(stream.read(&mut head).await.unwrap() > 0);
        let response = "HTTP/1.1 200 OK\r\ncontent-type: application/grpc\r\ntrailer: grpc-status\r\n\
            transfer-encoding: chunked\r\n\r\n9\r\na message\r\n0\r\ngrpc-status: 16\r\n\r\n";
        stream.write_all(response.as_bytes()).await.unwrap();
    });
    let response = client(source.clone()).post(&url).body("a message").send().await.unwrap();
    assert_eq!(response.url().as_str(), url);
    assert!(source.current().is_some(), "nothing is known yet");
    assert_eq!(response.text().await.unwrap(), "a message");
    assert!(source.current().is_none());
}

#[tokio::test]
async fn an_invalid_request_is_reported_and_not_sent() {
    let server = server();
    let source = source(&server);
    let site = Site::start(|_| Response::default()).await;
    let client = client(source).allowed_origins(["https://api.example.com"]).unwrap();
    let error = client.get(site.url("/")).send().await.unwrap_err();
    assert_eq!(error.token_error().unwrap().code(), "config");
    let error = client.get("not a URL").send().await.unwrap_err();
    assert!(error.token_error().is_none());
    assert_eq!((site.count(), token_requests(&server)), (0, 0));

    server.pause();
    let client = AuthorizedClient::new(reqwest::Client::new(), crate::support::impatient(&server));
    let error = client.get(site.url("/")).send().await.unwrap_err();
    assert_eq!((error.token_error().unwrap().code(), site.count()), ("transport", 0));
}

#[tokio::test]
async fn a_request_may_choose_its_token() {
    let site = Site::start(|_| Response::new(Full::default())).await;
    let client = client(TokenSource::fixed("own").unwrap());
    client.get(site.url("/")).without_token().send().await.unwrap();
    client.get(site.url("/")).token_from(&TokenSource::fixed("theirs").unwrap()).send().await.unwrap();
    let other =
        client.clone().source_for(site.url(""), TokenSource::fixed("of this place").unwrap()).unwrap();
    other.get(site.url("/")).send().await.unwrap();
    let carried: Vec<_> = site.seen().iter().map(|seen| seen.headers().get(AUTHORIZATION).cloned()).collect();
    let expected =
        [None, Some("Bearer theirs".parse().unwrap()), Some("Bearer of this place".parse().unwrap())];
    assert_eq!(carried, expected);
    assert!(client.source().current().is_some());
    client.settle().await.unwrap();
}
