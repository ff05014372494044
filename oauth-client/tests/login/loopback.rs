//! A program on the person's own machine: the listener that the browser comes back to. Real sockets, short times.

use std::time::Duration;

use oauth_client::login::{AuthorizationRequest, Login, LoopbackLogin};
use oauth_client::transport::HttpClient;
use oauth_client::{Client, ClientAuth, Error};
use oauth_mock::{Endpoint, GrantType, MockClient, MockServer, User};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use url::Url;

use crate::support::{parameter, with_parameter};

fn server() -> MockServer {
    server_with("http://127.0.0.1:8080/other")
}

/// A server that knows this redirect URI, too.
fn server_with(redirect_uri: &str) -> MockServer {
    let cli = MockClient::new("cli")
        .grants([GrantType::AuthorizationCode, GrantType::RefreshToken])
        .scopes(["openid", "read"])
        .redirect_uri("http://127.0.0.1/callback")
        .redirect_uri("http://[::1]/callback")
        .redirect_uri(redirect_uri);
    MockServer::builder().client(cli).user(User::new("alice", "wonderland")).in_process()
}

fn client(server: &MockServer) -> Client {
    Client::builder()
        .issuer(server.issuer())
        .auth(ClientAuth::none("cli"))
        .http(HttpClient::from_service(server.transport()))
        // The mock's clock stands in 2030 when it is in process.
        .clock(oauth_client::clock::TestClock::new())
        .build()
        .unwrap()
}

fn request() -> AuthorizationRequest {
    AuthorizationRequest::new("http://127.0.0.1/callback").scope(["openid", "read"])
}

/// A login that waits, and the page it wants opened.
async fn opened(login: LoopbackLogin) -> (JoinHandle<Result<Login, Error>>, Url) {
    let (sender, receiver) = oneshot::channel();
    let waiting = tokio::spawn(login.open(move |url| sender.send(url.clone()).unwrap()));
    (waiting, receiver.await.unwrap())
}

/// Where alice's browser comes back to.
fn callback(server: &MockServer, url: &Url) -> Url {
    server.log_in(url.as_str(), "alice").unwrap().parse().unwrap()
}

fn address(url: &Url) -> String {
    format!("{}:{}", url.host_str().unwrap(), url.port().unwrap())
}

/// What the listener responses to raw bytes; empty when it closes without a word.
async fn raw(url: &Url, bytes: &str) -> String {
    let mut stream = TcpStream::connect(address(url)).await.unwrap();
    stream.write_all(bytes.as_bytes()).await.unwrap();
    let mut response = String::new();
    let _ = stream.read_to_string(&mut response).await;
    response
}

async fn get(url: &Url) -> String {
    let target = &url[url::Position::BeforePath..url::Position::AfterQuery];
    raw(url, &format!("GET {target} HTTP/1.1\r\nhost: {}\r\n\r\n", address(url))).await
}

#[tokio::test]
async fn the_browser_comes_back_to_a_free_port_and_sees_a_plain_page() {
    let server = server();
    for redirect_uri in ["http://127.0.0.1/callback", "http://127.0.0.1:0/callback", "http://[::1]/callback"]
    {
        let request = AuthorizationRequest::new(redirect_uri).scope(["openid", "read"]);
        let (waiting, url) = opened(client(&server).login(&request)).await;
        let back = callback(&server, &url);
        assert_eq!(parameter(&url, "redirect_uri").unwrap(), back[..url::Position::AfterPath]);
        let page = get(&back).await;
        let login = waiting.await.unwrap().unwrap();
        assert_eq!(login.id_token().unwrap().subject(), "alice");
        assert!(page.starts_with("HTTP/1.1 200 OK\r\n") && page.contains("You are logged in"), "{page}");
        assert!(
            page.contains("cache-control: no-store\r\n") && page.contains("referrer-policy: no-referrer")
        );
        for secret in ["code", "state"] {
            assert!(!page.contains(&parameter(&back, secret).unwrap()), "{secret} is not in the page");
        }
        assert!(TcpStream::connect(address(&back)).await.is_err(), "the listener is closed");
    }
}

#[tokio::test]
async fn what_is_not_the_browser_coming_back_does_not_end_the_wait() {
    let server = server();
    let (waiting, url) = opened(client(&server).login(&request())).await;
    let back = callback(&server, &url);
    let host = address(&back);
    let query = back.query().unwrap();
    for (request, status) in [
        (format!("GET /favicon.ico HTTP/1.1\r\nhost: {host}\r\n\r\n"), "404"),
        (format!("GET / HTTP/1.1\r\nhost: {host}\r\n\r\n"), "404"),
        (format!("GET /callback HTTP/1.1\r\nhost: {host}\r\n\r\n"), "404"),
        // The right query, but by a name that an attacker made resolve to this machine.
        (format!("GET /callback?{query} HTTP/1.1\r\nhost: evil.test\r\n\r\n"), "400"),
        (format!("GET /callback?{query} HTTP/1.1\r\n\r\n"), "400"),
        (format!("POST /callback?{query} HTTP/1.1\r\nhost: {host}\r\n\r\n"), "400"),
        // An attacker's attempt to end this login, and a tab that was left open.
        (format!("GET /callback?error=access_denied HTTP/1.1\r\nhost: {host}\r\n\r\n"), "400"),
        (format!("GET /callback?code=guess&state=guess HTTP/1.1\r\nhost: {host}\r\n\r\n"), "400"),
        (format!("GET /callback?{query}&code=twice HTTP/1.1\r\nhost: {host}\r\n\r\n"), "400"),
        ("\u{1}\u{2}garbage\r\n\r\n".to_owned(), "400"),
    ] {
        let response = raw(&back, &request).await;
        assert!(response.starts_with(&format!("HTTP/1.1 {status} ")), "{request:?}: {response}");
    }
    assert_eq!(
        raw(&back, &format!("GET /{} HTTP/1.1\r\n", "x".repeat(100_000))).await,
        "",
        "too long to read"
    );
    assert_eq!(server.journal().count(Endpoint::Token), 0);
    assert!(!waiting.is_finished());
    get(&back).await;
    waiting.await.unwrap().unwrap();
    assert_eq!(server.journal().count(Endpoint::Token), 1);
}

#[tokio::test]
async fn silent_and_slow_connections_do_not_block_the_browser() {
    let server = server();
    let (waiting, url) = opened(client(&server).login(&request())).await;
    let back = callback(&server, &url);
    let mut silent = Vec::new();
    for _ in 0..200 {
        let mut stream = TcpStream::connect(address(&back)).await.unwrap();
        stream.write_all(b"GET /callb").await.unwrap();
        silent.push(stream);
    }
    let page = tokio::time::timeout(Duration::from_secs(5), get(&back)).await.unwrap();
    assert!(page.contains("You are logged in"), "{page}");
    waiting.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_browser_may_send_its_request_in_pieces() {
    let server = server();
    let (waiting, url) = opened(client(&server).login(&request())).await;
    let back = callback(&server, &url);
    let target = &back[url::Position::BeforePath..];
    let request = format!("GET {target} HTTP/1.1\r\nHOST:  {}\r\ncookie: a=b\r\n\r\n", address(&back));
    let mut stream = TcpStream::connect(address(&back)).await.unwrap();
    for piece in request.as_bytes().chunks(7) {
        stream.write_all(piece).await.unwrap();
        tokio::task::yield_now().await;
    }
    waiting.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_denied_login_is_reported_to_the_person_and_the_program() {
    let server = server();
    let (waiting, url) = opened(client(&server).login(&request())).await;
    let mut back = with_parameter(&callback(&server, &url), "code", None);
    back.query_pairs_mut()
        .append_pair("error", "access_denied")
        .append_pair("error_description", "<b>no</b>");
    let page = get(&back).await;
    assert!(page.starts_with("HTTP/1.1 400 ") && page.contains("access_denied"), "{page}");
    assert!(!page.contains("<b>no"), "what a stranger wrote is not shown: {page}");
    assert_eq!(waiting.await.unwrap().unwrap_err().code(), "access_denied");
}

#[tokio::test]
async fn a_login_refused_for_its_scope_names_the_scope() {
    let server = server();
    let (waiting, url) = opened(client(&server).login(&request().scope(["openid", "admin"]))).await;
    let mut back = Url::parse(&parameter(&url, "redirect_uri").unwrap()).unwrap();
    let state = parameter(&url, "state").unwrap();
    back.query_pairs_mut()
        .append_pair("error", "invalid_scope")
        .append_pair("state", &state)
        .append_pair("iss", server.issuer());
    get(&back).await;
    let error = waiting.await.unwrap().unwrap_err();
    assert_eq!(
        error.to_string(),
        "the authorization was refused: invalid_scope for the scope \"openid admin\""
    );
}

#[tokio::test]
async fn a_login_without_a_callback_times_out() {
    let server = server();
    let login = client(&server).login(&request()).timeout(Duration::from_millis(300));
    let (waiting, url) = opened(login).await;
    let back = callback(&server, &url);
    get(&with_parameter(&back, "state", Some("of-an-old-tab"))).await;
    let error = waiting.await.unwrap().unwrap_err();
    assert_eq!(error.code(), "login_timeout");
    assert!(error.to_string().contains("another login"), "{error}");
    let registered = format!("check that the redirect URI http://{}/callback is registered", address(&back));
    assert!(error.to_string().contains(&registered), "{error}");
    assert!(TcpStream::connect(address(&back)).await.is_err());
}

#[tokio::test]
async fn a_person_may_be_given_all_the_time_there_is() {
    let server = server();
    // What the listener waits for is good for as long.
    let request = request().valid_for(Duration::from_millis(1));
    let login = client(&server).login(&request).timeout(Duration::MAX);
    let (waiting, url) = opened(login).await;
    tokio::time::sleep(Duration::from_millis(5)).await;
    assert!(get(&callback(&server, &url)).await.contains("You are logged in"));
    waiting.await.unwrap().unwrap();
}

#[tokio::test]
async fn giving_up_is_dropping_it_and_the_port_is_free_at_once() {
    let server = server();
    let (waiting, url) = opened(client(&server).login(&request())).await;
    let back = callback(&server, &url);
    let held = TcpStream::connect(address(&back)).await.unwrap();
    waiting.abort();
    assert!(waiting.await.unwrap_err().is_cancelled());
    let mut rest = Vec::new();
    let mut held = held;
    let closed = tokio::time::timeout(Duration::from_secs(5), held.read_to_end(&mut rest)).await;
    assert!(closed.is_ok() && rest.is_empty(), "its connections are closed, too");
    assert!(TcpStream::connect(address(&back)).await.is_err());
}

#[tokio::test]
async fn the_error_for_a_taken_port_names_the_field() {
    let server = server();
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uri = format!("http://{}/callback", taken.local_addr().unwrap());
    let error = client(&server).login(&AuthorizationRequest::new(uri)).open(|_| ()).await.unwrap_err();
    assert_eq!(error.problems()[0].field, "redirect_uri");
    let error = client(&server).login(&AuthorizationRequest::new("https://app.test/cb")).open(|_| ()).await;
    assert_eq!(error.unwrap_err().problems()[0].field, "redirect_uri");
}

#[tokio::test]
async fn two_browsers_at_once_get_one_login() {
    let server = server();
    let (waiting, url) = opened(client(&server).login(&request())).await;
    let back = callback(&server, &url);
    let (one, other) = tokio::join!(get(&back), get(&back));
    waiting.await.unwrap().unwrap();
    assert!([&one, &other].iter().any(|page| page.contains("You are logged in")), "{one} {other}");
    assert_eq!(server.journal().count(Endpoint::Token), 1);
}

/// Browsers and machines differ in what they resolve the name to.
#[tokio::test]
async fn a_browser_that_resolves_localhost_to_either_family_comes_back() {
    if TcpListener::bind("[::1]:0").await.is_err() {
        println!("left out: this machine has no IPv6 loopback");
        return;
    }
    for family in ["127.0.0.1", "[::1]"] {
        // RFC 8252 section 7.3 lets servers allow any port for addresses, not for the name.
        let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
        let redirect_uri = format!("http://localhost:{free}/callback");
        let server = server_with(&redirect_uri);
        let request = AuthorizationRequest::new(redirect_uri).scope(["openid", "read"]);
        let (waiting, url) = opened(client(&server).login(&request)).await;
        let back = callback(&server, &url);
        assert_eq!(back.host_str(), Some("localhost"));
        let port = back.port().unwrap();
        let mut stream = TcpStream::connect(format!("{family}:{port}")).await.unwrap();
        let line = format!(
            "GET {}?{} HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n",
            back.path(),
            back.query().unwrap()
        );
        stream.write_all(line.as_bytes()).await.unwrap();
        let mut page = String::new();
        stream.read_to_string(&mut page).await.unwrap();
        assert!(page.starts_with("HTTP/1.1 200"), "{family}: {page}");
        assert!(waiting.await.unwrap().unwrap().id_token().is_some());
    }
    // A port that another program has on either family is not shared with it.
    let taken = TcpListener::bind("[::1]:0").await.unwrap();
    let port = taken.local_addr().unwrap().port();
    let uri = format!("http://localhost:{port}/callback");
    let error = client(&server()).login(&AuthorizationRequest::new(uri)).open(|_| {}).await.unwrap_err();
    assert_eq!(error.problems()[0].field, "redirect_uri");
}
