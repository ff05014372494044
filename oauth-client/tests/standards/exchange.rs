//! Grants without a browser: credentials, passwords, assertions (RFC 7523), tokens (RFC 8693); and grants of one's own.

use std::collections::HashSet;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use oauth_client::clock::TestClock;
use oauth_client::grant::{self, Assertion, Grant, Renewal, TokenExchange, TokenRequest};
use oauth_client::sign::{Algorithm, SigningKey};
use oauth_client::token::TokenType;
use oauth_client::token_endpoint::Parameters;
use oauth_client::transport::HttpClient;
use oauth_client::{Client, ClientAuth, Secret};
use oauth_mock::{Endpoint, Fault, GrantType, MockClient, MockServer, TrustedIssuer, User};
use serde_json::{Value, json};

crate::rows! {
    "RFC 6749" "4.3" "a user's password gets a token about the user" => a_password_gets_a_token,
    "RFC 6749" "4.4" "a client's own credentials get a token, and the next one when it expires" => credentials_get_tokens,
    "RFC 6749" "4.5" "a grant of one's own is a type with three methods" => a_grant_of_ones_own,
    "RFC 7523" "2.1" "an assertion by a trusted issuer gets a token about its subject" => an_assertion_gets_a_token,
    "RFC 7523" "3" "each request has an assertion of its own, retries included" => no_assertion_is_sent_twice,
    "RFC 8693" "2.1" "a token is exchanged for one of the next API" => a_token_is_exchanged,
    "RFC 8693" "4.1" "with an actor's token, the new one names both" => the_actor_is_named,
    "RFC 8693" "2.2.1" "what is no access token (N_A) is kept, and never sent as one" => no_access_token_is_none,
    "RFC 8693" "2.2.2" "a subject token that is refused is not sent again; a person has to log in" => a_refused_subject_token_is_the_end,
    "RFC 8693" "2" "a thousand requests for ten people cost ten exchanges" => a_thousand_requests_for_ten_people,
}

const IDP: &str = "https://idp.test";

fn server(key: &SigningKey) -> MockServer {
    let grants = [GrantType::JwtBearer, GrantType::TokenExchange, GrantType::ClientCredentials];
    MockServer::builder()
        .client(MockClient::default().grants(grants))
        .trusted_issuer(TrustedIssuer::new(IDP).jwks(&json!({"keys": [key.public_jwk()]})))
        .in_process()
}

fn key() -> SigningKey {
    SigningKey::generate(Algorithm::Es256).unwrap()
}

fn client(server: &MockServer) -> Client {
    let http = HttpClient::from_service(server.transport());
    let auth = ClientAuth::basic("svc", "s3cr3t");
    Client::builder().issuer(server.issuer()).auth(auth).http(http).clock(TestClock::new()).build().unwrap()
}

fn claims(token: &Secret) -> Value {
    let payload = token.expose().split('.').nth(1).unwrap();
    serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}

async fn a_password_gets_a_token() {
    let server = MockServer::builder()
        .client(MockClient::default().grants([GrantType::Password]))
        .user(User::new("alice", "wonderland"))
        .in_process();
    let request = |password: &str| grant::password("alice", password).scope(["read"]);
    let tokens = client(&server).request(&request("wonderland")).await.unwrap();
    assert_eq!(claims(tokens.access_token())["sub"], "alice");
    let refused = client(&server).request(&request("looking-glass")).await.unwrap_err();
    assert_eq!(refused.code(), "invalid_grant");
}

async fn credentials_get_tokens() {
    tokio::time::pause();
    let server = server(&key());
    let source = client(&server).source(grant::client_credentials().scope(["read"])).build().unwrap();
    let first = source.token().await.unwrap();
    assert_eq!(claims(first.secret())["scope"], "read");
    tokio::time::sleep(Duration::from_secs(400)).await;
    let second = source.token().await.unwrap();
    assert_ne!(first.secret(), second.secret());
    assert_eq!(server.journal().count(Endpoint::Token), 2);
}

async fn a_grant_of_ones_own() {
    #[derive(Debug)]
    struct ApiKey(Secret);
    impl Grant for ApiKey {
        fn grant_type(&self) -> &str {
            "urn:example:api-key"
        }
        fn parameters(&self, parameters: &mut Parameters) {
            parameters.set_secret("api_key", self.0.clone());
        }
        fn renewal(&self) -> Renewal {
            Renewal::Anew
        }
    }
    let server = server(&key());
    let response = r#"{"access_token":"t","token_type":"Bearer","expires_in":300}"#;
    server.fault(Endpoint::Token, Fault::body(200, "application/json", response)).always();
    let source =
        client(&server).source(TokenRequest::new(ApiKey("k3y".into())).scope(["read"])).build().unwrap();
    assert_eq!(source.token().await.unwrap().secret().expose(), "t");
    let sent = server.journal().of(Endpoint::Token);
    assert_eq!(sent[0].param("grant_type"), Some("urn:example:api-key"));
    assert!(sent[0].param("api_key").is_some() && sent[0].param("scope") == Some("read"));
}

async fn an_assertion_gets_a_token() {
    let key = key();
    let server = server(&key);
    let request = grant::jwt_bearer(Assertion::signed(key, IDP).subject("alice")).scope(["read"]);
    let tokens = client(&server).request(&request).await.unwrap();
    assert_eq!(claims(tokens.access_token())["sub"], "alice");
}

async fn no_assertion_is_sent_twice() {
    tokio::time::pause();
    let key = key();
    let server = server(&key);
    let source = client(&server).source(grant::jwt_bearer(Assertion::signed(key, IDP))).build().unwrap();
    server.fault(Endpoint::Token, Fault::lost_response()).times(2);
    source.token().await.unwrap();
    let sent = server.journal().of(Endpoint::Token);
    let different: HashSet<_> = sent.iter().map(|request| request.param("assertion").unwrap()).collect();
    assert_eq!((sent.len(), different.len()), (3, 3));
}

async fn a_token_is_exchanged() {
    let server = server(&key());
    let subject = server.issue("svc", "alice", "read write").unwrap().access_token;
    let request = grant::token_exchange(subject).audience(server.audience()).scope(["read"]);
    let tokens = client(&server).request(&request).await.unwrap();
    assert_eq!(tokens.issued_token_type(), Some(TokenType::AccessToken));
    let claims = claims(tokens.access_token());
    assert_eq!((&claims["sub"], &claims["scope"]), (&json!("alice"), &json!("read")));
}

async fn the_actor_is_named() {
    let server = server(&key());
    let alice = server.issue("svc", "alice", "read").unwrap().access_token;
    let own = client(&server).source(grant::client_credentials()).build().unwrap();
    let exchange = TokenExchange::new(alice, TokenType::AccessToken).actor_from(&own);
    let tokens = client(&server).request(&grant::token_exchange(exchange)).await.unwrap();
    let claims = claims(tokens.access_token());
    assert_eq!((&claims["sub"], &claims["act"]["sub"]), (&json!("alice"), &json!("svc")));
}

async fn no_access_token_is_none() {
    let server = server(&key());
    let response =
        json!({"access_token": "PHNhbWw", "token_type": "N_A", "issued_token_type": TokenType::Saml2.uri()});
    server.fault(Endpoint::Token, Fault::body(200, "application/json", response.to_string())).always();
    let request = grant::token_exchange("alices");
    let tokens = client(&server).request(&request).await.unwrap();
    assert_eq!(tokens.issued_token_type(), Some(TokenType::Saml2));
    let source = client(&server).source(request).build().unwrap();
    assert_eq!(source.token().await.unwrap_err().code(), "unsupported_token_type");
}

async fn a_refused_subject_token_is_the_end() {
    let server = server(&key());
    let subject = server.issue("svc", "alice", "read").unwrap().access_token;
    let source = client(&server).source(grant::token_exchange(&*subject)).build().unwrap();
    source.token().await.unwrap();
    server.revoke_token(&subject);
    source.reject(1);
    assert!(source.token().await.unwrap_err().is_reauthorization_required());
}

async fn a_thousand_requests_for_ten_people() {
    let server = server(&key());
    let exchanger = client(&server).exchanger(grant::token_exchange);
    let tokens: Vec<_> =
        (0..10).map(|n| server.issue("svc", &format!("user-{n}"), "read").unwrap().access_token).collect();
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..1000 {
        let (exchanger, token) = (exchanger.clone(), tokens[n % 10].clone());
        tasks.spawn(async move { claims(exchanger.token(token).await.unwrap().secret())["sub"].to_string() });
    }
    let people: HashSet<_> = tasks.join_all().await.into_iter().collect();
    assert_eq!((people.len(), server.journal().count(Endpoint::Token)), (10, 10));
}
