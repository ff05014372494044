//! Identity assertions across domains (ID-JAG): two servers, each with its own leg.

use std::time::Duration;

use oauth_client::config::ClientConfig;
use oauth_client::grant::{self, IdJag, TokenExchange};
use oauth_client::login::AuthorizationRequest;
use oauth_client::token::TokenType;
use oauth_client::{Client, ClientAuth, TokenSource};
use oauth_mock::{Endpoint, Fault, GrantType, MockClient, MockServer, TrustedIssuer, User};
use serde_json::json;

use crate::support::{Fixture, advance, client_builder, http};

const IDP: &str = "https://idp.test";

/// The identity provider, and the API's server, which trusts it.
fn servers() -> (Fixture, Fixture) {
    let app = MockClient::default()
        .grants([GrantType::AuthorizationCode, GrantType::RefreshToken, GrantType::TokenExchange])
        .scopes(["openid"])
        .redirect_uri("https://app.test/callback");
    let idp =
        MockServer::builder().public_url(IDP).client(app).user(User::new("alice", "wonderland")).in_process();
    let trusted = TrustedIssuer::new(IDP).key(&idp.keys().current());
    let api = MockServer::builder()
        .client(MockClient::default().grants([GrantType::JwtBearer]).scopes(["chat.read", "chat.write"]))
        .trusted_issuer(trusted)
        .user(User::new("alice", "wonderland"))
        .in_process();
    let fixture = |server: MockServer| {
        let (http, client) = (http(&server), client_builder(&server));
        Fixture::wire(server, http, client)
    };
    (fixture(idp), fixture(api))
}

/// A login at the identity provider, as a source.
async fn log_in(idp: &Fixture) -> TokenSource {
    let request = AuthorizationRequest::new("https://app.test/callback").scope(["openid"]);
    let pending = idp.client.authorize(&request).await.unwrap();
    let callback = idp.server.log_in(pending.url().as_str(), "alice").unwrap();
    let login = idp.client.finish(pending, callback).await.unwrap();
    idp.client.source(&request).starting_with(login).build().unwrap()
}

fn exchanges(idp: &Fixture) -> usize {
    let sent = idp.server.journal().of(Endpoint::Token);
    sent.iter().filter(|request| request.param("subject_token").is_some()).count()
}

#[tokio::test(start_paused = true)]
async fn each_leg_is_renewed_by_itself() {
    let (idp, api) = servers();
    let login = log_in(&idp).await;
    let jag = IdJag::new(&idp.client, TokenExchange::id_token_of(&login));
    let source = api.client.source(grant::id_jag(jag).scope(["chat.read"])).build().unwrap();
    let token = source.token().await.unwrap();
    assert_eq!(token.tokens().scope().unwrap(), ["chat.read"]);

    let first = idp.server.journal().of(Endpoint::Token).pop().unwrap();
    let sent = |name: &str| first.param(name).unwrap().to_owned();
    assert_eq!(sent("requested_token_type"), "urn:ietf:params:oauth:token-type:id-jag");
    assert_eq!(sent("subject_token_type"), TokenType::IdToken.uri());
    assert_eq!((sent("audience"), sent("scope")), (api.server.issuer().to_owned(), "chat.read".to_owned()));
    let second = api.server.journal().of(Endpoint::Token).pop().unwrap();
    assert_eq!(second.param("grant_type"), Some("urn:ietf:params:oauth:grant-type:jwt-bearer"));

    assert!(source.reject(token.generation()));
    source.token().await.unwrap();
    assert_eq!((exchanges(&idp), api.count(Endpoint::Token)), (1, 2), "the assertion is still good");
    advance(400).await;
    source.token().await.unwrap();
    assert_eq!((exchanges(&idp), api.count(Endpoint::Token)), (2, 3), "and now it has expired");
    // The ID token, too: the login is refreshed for it.
    advance(3600).await;
    source.token().await.unwrap();
    assert_eq!((exchanges(&idp), api.count(Endpoint::Token)), (3, 4));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_takes_an_assertion_once_costs_one_more_exchange() {
    let (idp, api) = servers();
    let login = log_in(&idp).await;
    let id_token = login.token().await.unwrap().tokens().id_token().unwrap().clone();
    let source = api.client.source(grant::id_jag(IdJag::new(&idp.client, &id_token))).build().unwrap();
    let token = source.token().await.unwrap();
    source.reject(token.generation());
    let refusal = || Fault::body(400, "application/json", r#"{"error":"invalid_grant"}"#);
    api.server.fault(Endpoint::Token, refusal()).times(1);
    source.token().await.unwrap();
    assert_eq!((exchanges(&idp), api.count(Endpoint::Token)), (2, 3), "another one was accepted");

    // One that is new and refused is refused for another reason: that is the caller's to know.
    advance(400).await;
    api.server.fault(Endpoint::Token, refusal()).times(2);
    assert_eq!(source.token().await.unwrap_err().code(), "invalid_grant");
    assert_eq!((exchanges(&idp), api.count(Endpoint::Token)), (3, 4));
}

/// Two sources of one grant: that one of them has just got its assertion says nothing of the other one's.
#[tokio::test(start_paused = true)]
async fn a_used_assertion_that_is_refused_is_replaced_whatever_other_sources_send_meanwhile() {
    let (idp, api) = servers();
    let login = log_in(&idp).await;
    let id_token = login.token().await.unwrap().tokens().id_token().unwrap().clone();
    let reader = api.client.source(grant::id_jag(IdJag::new(&idp.client, &id_token)).scope(["chat.read"]));
    let reader = reader.build().unwrap();
    let writer = reader.for_scope(["chat.write"]).unwrap();
    let token = reader.token().await.unwrap();
    reader.reject(token.generation());

    let body = || r#"{"error":"invalid_grant"}"#;
    let slow_refusal = Fault::body(400, "application/json", body()).after(Duration::from_secs(2));
    api.server.fault(Endpoint::Token, slow_refusal).times(1);
    let (read, write) = tokio::join!(reader.token(), async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        writer.token().await
    });
    write.unwrap();
    read.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_is_no_such_assertion_is_not_sent_on() {
    let (idp, api) = servers();
    let access_token = idp.server.mint().subject("alice").build();
    let body = json!({"access_token": access_token, "token_type": "Bearer", "expires_in": 300,
        "issued_token_type": "urn:ietf:params:oauth:token-type:access_token"});
    idp.server.fault(Endpoint::Token, Fault::body(200, "application/json", body.to_string())).times(1);
    let source = api.client.source(grant::id_jag(IdJag::new(&idp.client, "id-token"))).build().unwrap();
    let error = source.token().await.unwrap_err();
    assert_eq!(error.code(), "malformed_response");
    assert!(error.to_string().contains("issued_token_type") && !error.to_string().contains(&access_token));
    assert_eq!(api.count(Endpoint::Token), 0);
}

#[tokio::test(start_paused = true)]
async fn an_identity_that_is_refused_needs_its_person() {
    let (idp, api) = servers();
    let source = api.client.source(grant::id_jag(IdJag::new(&idp.client, "forged"))).build().unwrap();
    let error = source.token().await.unwrap_err();
    assert!(error.is_reauthorization_required(), "{error}");
    assert_eq!(api.count(Endpoint::Token), 0);
    let request = grant::id_jag(IdJag::new(&idp.client, "the-id-token"));
    assert!(!format!("{request:?}").contains("the-id-token"));
}

#[tokio::test(start_paused = true)]
async fn a_configuration_has_both_legs() {
    let (idp, api) = servers();
    let id_token = log_in(&idp).await.token().await.unwrap().tokens().id_token().unwrap().clone();
    // One transport for both: the two servers stand behind one name each.
    let config = |subject: &str| {
        json!({
            "token_endpoint": api.server.endpoint(Endpoint::Token), "client_id": "svc", "client_secret": "s3cr3t",
            "grant": "id_jag", "subject_token": subject, "audience": api.server.issuer(), "scope": ["chat.read"],
            "identity_provider": {"token_endpoint": idp.server.endpoint(Endpoint::Token), "client_id": "svc",
                "client_secret": "s3cr3t"},
        })
    };
    let source = serde_json::from_value::<ClientConfig>(config(id_token.expose())).unwrap();
    let source = source.http(both(&idp, &api)).clock(api.clock.clone()).build().unwrap();
    source.token().await.unwrap();
    assert_eq!((exchanges(&idp), api.count(Endpoint::Token)), (1, 1));
    let second = api.server.journal().of(Endpoint::Token).pop().unwrap();
    assert_eq!(second.param("audience"), None, "that was for the identity provider");

    let mut missing = config("x");
    missing["identity_provider"] = json!({"client_id": "svc", "client_secrets": "x"});
    let error = serde_json::from_value::<ClientConfig>(missing).unwrap_err().to_string();
    for field in ["identity_provider.client_secrets", "identity_provider.issuer"] {
        assert!(error.contains(field), "{field}: {error}");
    }
    let mut elsewhere = config("x");
    elsewhere["grant"] = json!("client_credentials");
    let error = serde_json::from_value::<ClientConfig>(elsewhere).unwrap_err().to_string();
    assert!(error.contains("identity_provider: is for grant = \"id_jag\""), "{error}");
}

/// One transport that reaches both.
fn both(idp: &Fixture, api: &Fixture) -> oauth_client::transport::HttpClient {
    let (idp, api) = (idp.server.transport(), api.server.transport());
    oauth_client::transport::HttpClient::from_service(tower::service_fn(move |request: http::Request<_>| {
        let at_idp = request.uri().host() == Some("idp.test");
        let service = if at_idp { idp.clone() } else { api.clone() };
        tower::ServiceExt::oneshot(service, request)
    }))
}

#[test]
fn the_two_clients_are_two() {
    let client = |issuer: &str, id: &str| {
        let http = http(&MockServer::builder().in_process());
        Client::builder()
            .issuer(issuer)
            .auth(ClientAuth::basic(id, "s"))
            .http(http)
            .timeout(Duration::from_secs(1))
            .build()
            .unwrap()
    };
    let key = |idp: &str, token: &str| {
        let api = client("https://api.test", "svc");
        api.source(grant::id_jag(IdJag::new(&client(idp, "svc"), token))).store_key()
    };
    assert_ne!(key("https://a.test", "t"), key("https://b.test", "t"));
    assert_ne!(key("https://a.test", "t"), key("https://a.test", "u"), "two users never share a token");
}
