//! People log in by the browser: RFC 6749 section 4.1 and what makes it safe, and OpenID Connect.

use std::time::Duration;

use oauth_client::clock::TestClock;
use oauth_client::dpop::Dpop;
use oauth_client::id_token::Expect;
use oauth_client::login::{AuthorizationRequest, Login, LogoutRequest, PendingLogin};
use oauth_client::store::MemoryStore;
use oauth_client::transport::HttpClient;
use oauth_client::{Client, ClientAuth, ClientBuilder, Error};
use oauth_mock::{
    AuthorizationDetailsType, Endpoint, Fault, GrantType, MockClient, MockServer, MockServerBuilder, Tamper,
    User,
};
use serde_json::json;
use url::Url;

crate::rows! {
    "RFC 6749" "4.1" "a code is exchanged for tokens, with the same redirect URI to the letter" => a_code_is_exchanged,
    "RFC 6749" "4.1.2" "a code is sent once, whatever happens to its response" => a_code_is_sent_once,
    "RFC 6749" "4.1.2.1" "an error that comes back is typed, and only believed with the right state" => an_error_is_typed,
    "RFC 6749" "10.12" "another state sends no code" => another_state_sends_no_code,
    "RFC 6749" "3.1" "a response with a parameter twice sends no code" => a_parameter_twice_sends_no_code,
    "RFC 6749" "6" "a login is refreshed, and outlives the process in a store" => a_login_outlives_the_process,
    "RFC 7636" "4" "PKCE with S256 protects every login" => pkce_protects_every_login,
    "RFC 8252" "7.3" "a program on one's own machine gets its response at any free loopback port" => loopback_at_any_port,
    "RFC 8707" "2" "resources are named in the authorization and the token request" => resources_are_named,
    "RFC 9126" "2" "an authorization request is pushed, with the client's proof" => requests_are_pushed,
    "RFC 9126" "5" "a server that wants requests pushed gets them so" => a_server_gets_requests_pushed,
    "RFC 9207" "2.4" "a response of another issuer, or of none, sends no code" => another_issuer_sends_no_code,
    "RFC 9396" "2, 7" "details are asked for, and what was granted is read" => details_are_granted,
    "RFC 9449" "10" "the code is bound to the key of the tokens" => the_code_is_bound,
    "RFC 9470" "4" "a login of a class, or as recent as is asked, and no other" => a_login_of_a_class,
    "RFC 9700" "4.4" "a code never goes to another server than the login began at" => mix_up_sends_no_code,
    "OpenID Connect Core" "3.1.3.7" "an ID token with any flaw ends the login" => flawed_id_tokens_end_the_login,
    "OpenID Connect Core" "10.1.1" "keys that rotate are found, and a flood of unknown ones is not followed" => keys_rotate,
    "OpenID Connect Core" "12.2" "a refresh brings an ID token of the same person or fails" => a_refresh_keeps_the_person,
    "OpenID Connect RP-Initiated Logout" "2" "a logout URL that the server takes" => logout_works,
}

const CALLBACK: &str = "https://app.test/callback";

fn server_builder() -> MockServerBuilder {
    let client = MockClient::new("web")
        .secret("s3cr3t")
        .grants([GrantType::AuthorizationCode, GrantType::RefreshToken])
        .scopes(["openid", "read"])
        .redirect_uri(CALLBACK)
        .redirect_uri("http://127.0.0.1/callback")
        .post_logout_redirect_uri("https://app.test/bye");
    MockServer::builder().client(client).user(User::new("alice", "wonderland"))
}

fn builder(server: &MockServer) -> ClientBuilder {
    Client::builder()
        .issuer(server.issuer())
        .auth(ClientAuth::basic("web", "s3cr3t"))
        .http(HttpClient::from_service(server.transport()))
        .clock(TestClock::new())
}

fn set_up() -> (MockServer, Client) {
    let server = server_builder().in_process();
    let client = builder(&server).build().unwrap();
    (server, client)
}

fn request() -> AuthorizationRequest {
    AuthorizationRequest::new(CALLBACK).scope(["openid", "read"]).subject("alice")
}

async fn begin(server: &MockServer, client: &Client, request: &AuthorizationRequest) -> (PendingLogin, Url) {
    let pending = client.authorize(request).await.unwrap();
    let callback = server.log_in(pending.url().as_str(), "alice").unwrap().parse().unwrap();
    (pending, callback)
}

async fn log_in(
    server: &MockServer,
    client: &Client,
    request: &AuthorizationRequest,
) -> Result<Login, Error> {
    let (pending, callback) = begin(server, client, request).await;
    client.finish(pending, callback).await
}

fn token_requests(server: &MockServer) -> usize {
    server.journal().count(Endpoint::Token)
}

async fn a_code_is_exchanged() {
    let (server, client) = set_up();
    let login = log_in(&server, &client, &request()).await.unwrap();
    assert!(login.tokens().refresh_token().is_some());
    let sent = &server.journal().of(Endpoint::Token)[0];
    assert_eq!(sent.param("redirect_uri"), Some(CALLBACK));
}

async fn a_code_is_sent_once() {
    tokio::time::pause();
    for fault in [Fault::lost_response(), Fault::status(503), Fault::reset()] {
        let (server, client) = set_up();
        server.fault(Endpoint::Token, fault).always();
        log_in(&server, &client, &request()).await.unwrap_err();
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(token_requests(&server), 1);
    }
}

async fn an_error_is_typed() {
    let (server, client) = set_up();
    let (pending, callback) = begin(&server, &client, &request()).await;
    let denied = callback.as_str().replacen("code=", "error=access_denied&was=", 1);
    assert_eq!(client.finish(pending, &denied).await.unwrap_err().code(), "access_denied");
    let (pending, _) = begin(&server, &client, &request()).await;
    assert_eq!(client.finish(pending, &denied).await.unwrap_err().code(), "state_mismatch");
}

async fn another_state_sends_no_code() {
    for flaw in [Tamper::StateWrong, Tamper::StateMissing] {
        let (server, client) = set_up();
        server.tamper(flaw).always();
        let error = log_in(&server, &client, &request()).await.unwrap_err();
        assert_eq!((error.code(), token_requests(&server)), ("state_mismatch", 0));
    }
}

async fn a_parameter_twice_sends_no_code() {
    let (server, client) = set_up();
    server.tamper(Tamper::CodeTwice).always();
    let error = log_in(&server, &client, &request()).await.unwrap_err();
    assert_eq!((error.code(), token_requests(&server)), ("invalid_callback", 0));
}

async fn a_login_outlives_the_process() {
    tokio::time::pause();
    let (server, client) = set_up();
    let store = MemoryStore::new();
    let login = log_in(&server, &client, &request()).await.unwrap();
    let first = client.source(request()).store(store.clone()).starting_with(login).build().unwrap();
    first.token().await.unwrap();
    drop(first);
    tokio::time::sleep(Duration::from_secs(301)).await;
    let second = client.source(request()).store(store).build().unwrap();
    second.token().await.unwrap();
    assert_eq!(token_requests(&server), 2, "the login, and one refresh");
}

async fn pkce_protects_every_login() {
    let (server, client) = set_up();
    let (pending, callback) = begin(&server, &client, &request()).await;
    assert!(pending.url().query().unwrap().contains("code_challenge_method=S256"));
    // The mock takes nothing but a verifier that fits the challenge.
    client.finish(pending, callback).await.unwrap();
    assert!(server.journal().of(Endpoint::Token)[0].param("code_verifier").is_some());
    // A code that was injected from elsewhere does not fit this login's verifier.
    let (_, stolen) = begin(&server, &client, &request()).await;
    let (pending, callback) = begin(&server, &client, &request()).await;
    let code = |url: &Url| url.query_pairs().find(|(name, _)| name == "code").unwrap().1.into_owned();
    let injected = callback.as_str().replace(&code(&callback), &code(&stolen));
    assert_eq!(client.finish(pending, injected).await.unwrap_err().code(), "invalid_grant");
}

async fn loopback_at_any_port() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let (server, client) = set_up();
    let request = AuthorizationRequest::new("http://127.0.0.1/callback").scope(["read"]);
    let (sender, receiver) = tokio::sync::oneshot::channel();
    let browser = async {
        let page: Url = receiver.await.unwrap();
        let back: Url = server.log_in(page.as_str(), "alice").unwrap().parse().unwrap();
        let address = format!("127.0.0.1:{}", back.port().unwrap());
        let mut stream = tokio::net::TcpStream::connect(&address).await.unwrap();
        let target = &back[url::Position::BeforePath..];
        stream
            .write_all(format!("GET {target} HTTP/1.1\r\nhost: {address}\r\n\r\n").as_bytes())
            .await
            .unwrap();
        let mut landed = String::new();
        stream.read_to_string(&mut landed).await.unwrap();
        landed
    };
    let login = client.login(&request).open(move |url| sender.send(url.clone()).unwrap());
    let (login, landed) = tokio::join!(login, browser);
    login.unwrap();
    assert!(landed.contains("You are logged in"), "{landed}");
}

async fn resources_are_named() {
    let server = server_builder().audience("urn:orders").in_process();
    let client = builder(&server).build().unwrap();
    let (pending, callback) = begin(&server, &client, &request().resource(["urn:orders"])).await;
    assert!(pending.url().query().unwrap().contains("resource=urn%3Aorders"));
    client.finish(pending, callback).await.unwrap();
    assert_eq!(server.journal().of(Endpoint::Token)[0].param("resource"), Some("urn:orders"));
}

async fn requests_are_pushed() {
    let (server, client) = set_up();
    let (pending, callback) = begin(&server, &client, &request().pushed()).await;
    assert!(!pending.url().query().unwrap().contains("code_challenge"));
    assert!(server.journal().of(Endpoint::Par)[0].header("authorization").is_some());
    client.finish(pending, callback).await.unwrap();
}

async fn a_server_gets_requests_pushed() {
    let server = server_builder().require_pushed_authorization_requests().in_process();
    let client = builder(&server).build().unwrap();
    log_in(&server, &client, &request()).await.unwrap();
    assert_eq!(server.journal().count(Endpoint::Par), 1);
}

async fn another_issuer_sends_no_code() {
    for flaw in [Tamper::IssWrong, Tamper::IssMissing] {
        let (server, client) = set_up();
        server.tamper(flaw).always();
        let error = log_in(&server, &client, &request()).await.unwrap_err();
        assert_eq!((error.code(), token_requests(&server)), ("issuer_mismatch", 0));
    }
}

async fn details_are_granted() {
    let payment = AuthorizationDetailsType::new("payment").required("amount");
    let server = server_builder().authorization_details_type(payment).in_process();
    let client = builder(&server).build().unwrap();
    let wanted = json!([{"type": "payment", "amount": "5"}]);
    let request = request().authorization_details(&wanted).unwrap();
    let login = log_in(&server, &client, &request).await.unwrap();
    assert_eq!(login.tokens().authorization_details(), Some(&wanted));
}

async fn the_code_is_bound() {
    let (server, client) = set_up();
    let bound = builder(&server).dpop(Dpop::generate().unwrap()).build().unwrap();
    let (pending, callback) = begin(&server, &bound, &request()).await;
    assert!(pending.url().query().unwrap().contains("dpop_jkt="));
    client.finish(pending, callback).await.unwrap_err();
    log_in(&server, &bound, &request()).await.unwrap();
}

async fn a_login_of_a_class() {
    let server = server_builder().acr_values(["gold"]).in_process();
    let client = builder(&server).build().unwrap();
    let request = request().require_acr(["gold"]).max_age(Duration::from_secs(60));
    let login = log_in(&server, &client, &request).await.unwrap();
    assert_eq!(login.id_token().unwrap().acr(), Some("gold"));
    for flaw in [Tamper::IdTokenAcr, Tamper::IdTokenAuthTime] {
        server.tamper(flaw).always();
        assert_eq!(log_in(&server, &client, &request).await.unwrap_err().code(), "invalid_id_token");
        server.clear_faults();
    }
}

async fn mix_up_sends_no_code() {
    let ((server, client), (other_server, other)) = (set_up(), set_up());
    let (pending, callback) = begin(&server, &client, &request()).await;
    assert_eq!(other.finish(pending, callback).await.unwrap_err().code(), "issuer_mismatch");
    assert_eq!((token_requests(&server), token_requests(&other_server)), (0, 0));
}

async fn flawed_id_tokens_end_the_login() {
    let flaws = Tamper::ALL.iter().filter(|flaw| format!("{flaw:?}").starts_with("IdToken"));
    for flaw in flaws.copied().filter(|flaw| !matches!(flaw, Tamper::IdTokenAcr | Tamper::IdTokenAuthTime)) {
        let (server, client) = set_up();
        server.tamper(flaw).always();
        let error = log_in(&server, &client, &request()).await.unwrap_err();
        assert_eq!(error.code(), "invalid_id_token", "{flaw:?}");
    }
}

async fn keys_rotate() {
    let (server, client) = set_up();
    log_in(&server, &client, &request()).await.unwrap();
    server.keys().rotate();
    log_in(&server, &client, &request()).await.unwrap();
    for n in 0..50 {
        let token = server.mint().typ("JWT").audience("web").kid(&format!("unknown-{n}")).build();
        let outcome = client.validate_id_token::<serde_json::Value>(&token.into(), &Expect::new()).await;
        assert_eq!(outcome.unwrap_err().code(), "invalid_id_token");
    }
    assert_eq!(server.journal().count(Endpoint::Jwks), 2);
}

async fn a_refresh_keeps_the_person() {
    tokio::time::pause();
    let (server, client) = set_up();
    let login = log_in(&server, &client, &request()).await.unwrap();
    let source = client.source(request()).starting_with(login).build().unwrap();
    source.token().await.unwrap();
    tokio::time::sleep(Duration::from_secs(301)).await;
    let foreign = server.mint().typ("JWT").subject("mallory").audience("web").build();
    let response = json!({"access_token": "a", "token_type": "Bearer", "id_token": foreign}).to_string();
    server.fault(Endpoint::Token, Fault::body(200, "application/json", response)).times(1);
    assert_eq!(source.token().await.unwrap_err().code(), "invalid_id_token");
}

async fn logout_works() {
    let (server, client) = set_up();
    let login = log_in(&server, &client, &request()).await.unwrap();
    let logout = LogoutRequest::new()
        .id_token_hint(login.tokens().id_token().unwrap().clone())
        .post_logout_redirect_uri("https://app.test/bye");
    let url = client.logout_url(&logout).await.unwrap();
    let page = http::Request::get(url.as_str()).body(http_body_util::Empty::<bytes::Bytes>::new()).unwrap();
    let response = tower::ServiceExt::oneshot(server.transport(), page).await.unwrap();
    assert_eq!(response.headers().get("location").unwrap(), "https://app.test/bye");
}
