//! Tokens bound to a key: RFC 9449.

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::Full;
use oauth_client::attach::TokenLayer;
use oauth_client::clock::TestClock;
use oauth_client::dpop::Dpop;
use oauth_client::login::AuthorizationRequest;
use oauth_client::token::Scheme;
use oauth_client::transport::HttpClient;
use oauth_client::{Client, ClientAuth, TokenSource, grant};
use oauth_mock::{DpopNonce, Endpoint, Fault, GrantType, MockClient, MockServer, MockServerBuilder, User};
use tower::{Layer, ServiceExt};

crate::rows! {
    "RFC 9449" "4.2" "a proof is new for each request and names it without query" => a_proof_is_new_and_names_its_request,
    "RFC 9449" "5" "the token is bound to the client's key, and stays so when refreshed" => the_token_is_bound,
    "RFC 9449" "5" "a bearer token in place of a bound one is refused" => a_bearer_token_is_refused,
    "RFC 9449" "5" "another key than its own makes no use of a public client's refresh token" => a_refresh_token_is_bound,
    "RFC 9449" "7.1" "the API gets the token in the scheme DPoP, with a proof for it" => the_api_gets_token_and_proof,
    "RFC 9449" "8" "the server's nonce is fetched, remembered, and taken from successes" => the_servers_nonce_is_used,
    "RFC 9449" "9" "an API's nonce costs one more request, and no token" => the_apis_nonce_is_used,
    "RFC 9449" "10" "a code is bound to the key that the authorization request names" => a_code_is_bound,
    "RFC 9449" "10.1" "a pushed authorization request brings a proof" => a_pushed_request_brings_a_proof,
}

const CALLBACK: &str = "https://app.example.com/callback";

/// Checks every proof, and takes none twice.
fn server(change: impl FnOnce(MockServerBuilder) -> MockServerBuilder) -> MockServer {
    tokio::time::pause();
    let svc = MockClient::default().scopes(["openid"]).with_refresh_token().dpop_bound_tokens();
    let mobile = MockClient::new("mobile")
        .grants([GrantType::Password, GrantType::RefreshToken, GrantType::AuthorizationCode])
        .redirect_uri(CALLBACK)
        .scopes(["openid", "read"]);
    change(MockServer::builder().client(svc).client(mobile).user(User::new("alice", "wonderland")))
        .in_process()
}

fn client(server: &MockServer, auth: ClientAuth, dpop: &Dpop) -> Client {
    Client::builder()
        .issuer(server.issuer())
        .auth(auth)
        .http(HttpClient::from_service(server.transport()))
        .clock(TestClock::new())
        .dpop(dpop.clone())
        .build()
        .unwrap()
}

fn service(server: &MockServer) -> Client {
    client(server, ClientAuth::basic("svc", "s3cr3t"), &Dpop::generate().unwrap())
}

fn mobile(server: &MockServer, dpop: &Dpop) -> Client {
    client(server, ClientAuth::none("mobile"), dpop)
}

fn source(server: &MockServer) -> TokenSource {
    service(server).source(grant::client_credentials().scope(["openid"])).build().unwrap()
}

async fn call(server: &MockServer, source: &TokenSource) -> u16 {
    let request = Request::get(format!("{}?a=b", server.endpoint(Endpoint::Userinfo)));
    let request = request.body(Full::<Bytes>::default()).unwrap();
    let client = TokenLayer::new(source.clone()).layer(server.transport());
    client.oneshot(request).await.unwrap().status().as_u16()
}

async fn a_proof_is_new_and_names_its_request() {
    let server = server(|server| server);
    let token = source(&server).token().await.unwrap();
    let uri = "https://API.example.com:443/orders?page=2".parse().unwrap();
    let proof = || {
        use base64::Engine;
        let proof = token.proof(&Method::PUT, &uri).unwrap().unwrap();
        let claims = proof.to_str().unwrap().split('.').nth(1).unwrap().to_owned();
        let claims = base64::prelude::BASE64_URL_SAFE_NO_PAD.decode(claims).unwrap();
        serde_json::from_slice::<serde_json::Value>(&claims).unwrap()
    };
    let (one, two) = (proof(), proof());
    assert_eq!((&one["htm"], &one["htu"]), (&"PUT".into(), &"https://api.example.com/orders".into()));
    assert_ne!(one["jti"], two["jti"]);
}

async fn the_token_is_bound() {
    let server = server(|server| server);
    let source = source(&server);
    let first = source.token().await.unwrap();
    assert_eq!(first.tokens().scheme(), Scheme::Dpop);
    tokio::time::sleep(first.tokens().lifetime().unwrap()).await;
    let second = source.token().await.unwrap();
    assert_ne!(first.secret(), second.secret());
    assert_eq!(first.tokens().key_thumbprint(), second.tokens().key_thumbprint());
}

async fn a_bearer_token_is_refused() {
    let server = server(|server| server);
    let bearer = r#"{"access_token":"2YotnFZFEjr1zCsicMWpAA","token_type":"Bearer"}"#;
    server.fault(Endpoint::Token, Fault::body(200, "application/json", bearer)).always();
    let error = source(&server).token().await.unwrap_err();
    assert_eq!(error.code(), "unsupported_token_type");
}

async fn a_refresh_token_is_bound() {
    let server = server(|server| server);
    let (ours, others) = (Dpop::generate().unwrap(), Dpop::generate().unwrap());
    let tokens = mobile(&server, &ours).request(&grant::password("alice", "wonderland")).await.unwrap();
    let refresh = grant::refresh_token(tokens.refresh_token().unwrap().clone());
    assert_eq!(mobile(&server, &others).request(&refresh).await.unwrap_err().code(), "invalid_grant");
    assert!(mobile(&server, &ours).request(&refresh).await.is_ok());
}

async fn the_api_gets_token_and_proof() {
    let server = server(|server| server);
    let source = source(&server);
    assert_eq!((call(&server, &source).await, call(&server, &source).await), (200, 200));
    let token = source.current().unwrap();
    assert_eq!(token.authorization(), &format!("DPoP {}", token.secret().expose()));
}

async fn the_servers_nonce_is_used() {
    let server = server(|server| server.dpop_nonce(DpopNonce::SingleUse));
    let client = service(&server);
    for _ in 0..3 {
        client.request(&grant::client_credentials()).await.unwrap();
    }
    assert_eq!(server.journal().count(Endpoint::Token), 4);
}

async fn the_apis_nonce_is_used() {
    let server = server(|server| server.dpop_api_nonce(DpopNonce::Required));
    let source = source(&server);
    for _ in 0..3 {
        assert_eq!(call(&server, &source).await, 200);
    }
    assert_eq!(server.journal().count(Endpoint::Userinfo), 4);
    assert_eq!(server.journal().count(Endpoint::Token), 1);
}

async fn a_code_is_bound() {
    let server = server(|server| server);
    let (ours, others) = (Dpop::generate().unwrap(), Dpop::generate().unwrap());
    for (dpop, good) in [(&ours, true), (&others, false)] {
        let request = AuthorizationRequest::new(CALLBACK).scope(["read"]);
        let pending = mobile(&server, &ours).authorize(&request).await.unwrap();
        let callback = server.log_in(pending.url().as_str(), "alice").unwrap();
        assert_eq!(mobile(&server, dpop).finish(pending, &callback).await.is_ok(), good);
    }
}

async fn a_pushed_request_brings_a_proof() {
    let server = server(|server| server.dpop_nonce(DpopNonce::Required));
    let request = AuthorizationRequest::new(CALLBACK).scope(["read"]).pushed();
    let client = mobile(&server, &Dpop::generate().unwrap());
    let pending = client.authorize(&request).await.unwrap();
    let callback = server.log_in(pending.url().as_str(), "alice").unwrap();
    assert_eq!(client.finish(pending, &callback).await.unwrap().tokens().scheme(), Scheme::Dpop);
    let pushed = server.journal().of(Endpoint::Par);
    assert!(pushed.len() == 2 && pushed.iter().all(|request| request.header("dpop").is_some()));
}
