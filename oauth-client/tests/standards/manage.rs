//! Beside the token endpoint: RFC 7009, RFC 7591, RFC 7592, RFC 7662 and OpenID Connect's userinfo.

use oauth_client::discover::discover;
use oauth_client::manage::register::{ClientMetadata, Registrar};
use oauth_client::sign::{Algorithm, SigningKey};
use oauth_client::transport::{HttpClient, Limits};
use oauth_client::{Client, ClientAuth, TokenSource, grant};
use oauth_mock::{Endpoint, Fault, MockClient, MockServer, Registration, User};

crate::rows! {
    "RFC 7009" "2.1" "a source revokes its refresh token, then its access token, and forgets them" => a_source_is_revoked,
    "RFC 7009" "2.2" "what the server does not know is as good as revoked" => what_is_unknown_is_revoked,
    "RFC 7009" "2.2.1" "503 means that the token is still good, and when to try again" => revocation_can_fail,
    "RFC 7591" "3" "a client registers, with an initial access token, and gets tokens" => a_client_registers,
    "RFC 7591" "2" "with a key: its public half is registered, and it proves itself with the other" => a_key_is_registered,
    "RFC 7591" "3.2.2" "a refusal keeps the server's code" => a_registration_is_refused,
    "RFC 7592" "2" "a client is read, changed and deleted; its registration access token rotates" => a_registration_is_managed,
    "RFC 7662" "2.2" "an active token is returned with all its claims, others without any" => tokens_are_introspected,
    "RFC 7662" "2.3" "a client that may not introspect gets an error" => not_every_client_may_introspect,
    "OpenID Connect Core" "5.3.2" "userinfo is about the subject of the ID token, or refused" => userinfo_is_about_the_same_person,
    "OpenID Connect Core" "5.3.2" "signed userinfo is refused, with the way out" => signed_userinfo_is_refused,
}

fn server() -> MockServer {
    let svc = MockClient::default().scopes(["openid", "read"]).with_refresh_token();
    MockServer::builder().client(svc).user(User::new("alice", "w").claim("name", "Alice")).in_process()
}

fn http(server: &MockServer) -> HttpClient {
    HttpClient::from_service(server.transport())
}

fn client_of(server: &MockServer, auth: ClientAuth) -> Client {
    Client::builder().issuer(server.issuer()).auth(auth).http(http(server)).build().unwrap()
}

fn client(server: &MockServer) -> Client {
    client_of(server, ClientAuth::basic("svc", "s3cr3t"))
}

/// What a person granted.
fn login(server: &MockServer) -> TokenSource {
    let login = server.issue("svc", "alice", "openid read").unwrap().refresh_token.unwrap();
    client(server).source(grant::refresh_token(login)).build().unwrap()
}

async fn a_source_is_revoked() {
    let server = server();
    let source = login(&server);
    let token = source.token().await.unwrap();
    source.revoke().await.unwrap();
    let sent = server.journal().of(Endpoint::Revoke);
    let hints: Vec<_> = sent.iter().map(|request| request.param("token_type_hint").unwrap()).collect();
    assert_eq!(hints, ["refresh_token", "access_token"]);
    assert_eq!(client(&server).introspect(token.secret(), None).await.unwrap(), None);
    assert!(source.token().await.unwrap_err().is_reauthorization_required());
}

async fn what_is_unknown_is_revoked() {
    client(&server()).revoke(&"never heard of".into(), None).await.unwrap();
}

async fn revocation_can_fail() {
    let server = server();
    server.fault(Endpoint::Revoke, Fault::status(503).retry_after_secs(30)).always();
    let source = login(&server);
    source.token().await.unwrap();
    let error = source.revoke().await.unwrap_err();
    assert_eq!((error.is_transient(), error.retry_after().unwrap().as_secs()), (true, 30));
    assert!(source.current().is_some(), "nothing is forgotten");
}

async fn registrar(server: &MockServer) -> Registrar {
    let metadata = discover(&http(server), server.issuer(), &Limits::metadata()).await.unwrap();
    Registrar::from_metadata(http(server), &metadata).unwrap()
}

fn machine() -> ClientMetadata {
    ClientMetadata::new().client_name("Nightly").grant_types(["client_credentials"]).scope(["read"])
}

async fn a_client_registers() {
    let registration = Registration::new().initial_access_token("1nitial");
    let server = MockServer::builder().registration(registration).in_process();
    let open = registrar(&server).await;
    assert_eq!(open.register(&machine()).await.unwrap_err().code(), "invalid_token");
    let registration = open.initial_access_token("1nitial").register(&machine()).await.unwrap();
    let client = client_of(&server, registration.auth().unwrap());
    assert_eq!(client.request(&grant::client_credentials()).await.unwrap().scope().unwrap(), ["read"]);
}

async fn a_key_is_registered() {
    let server = MockServer::builder().in_process();
    let key = SigningKey::generate(Algorithm::Es256).unwrap().with_key_id("2030-01");
    let registration = registrar(&server).await.register(&machine().signing_key(&key)).await.unwrap();
    assert!(registration.client_secret().is_none());
    let auth = ClientAuth::private_key_jwt(registration.client_id(), key);
    let client = Client::builder().issuer(server.issuer()).auth(auth).http(http(&server));
    let client = client.clock(oauth_client::clock::TestClock::new()).build().unwrap();
    client.request(&grant::client_credentials()).await.unwrap();
}

async fn a_registration_is_refused() {
    let server = MockServer::builder().in_process();
    let wanted = ClientMetadata::new().redirect_uris(["not a uri"]).grant_types(["authorization_code"]);
    let error = registrar(&server).await.register(&wanted).await.unwrap_err();
    assert_eq!((error.code(), error.status().unwrap().as_u16()), ("invalid_redirect_uri", 400));
}

async fn a_registration_is_managed() {
    let server = MockServer::builder().registration(Registration::new().rotate_access_tokens()).in_process();
    let registrar = registrar(&server).await;
    let first = registrar.register(&machine()).await.unwrap();
    let changed = first.metadata().clone().client_name("Weekly");
    let second = registrar.update(&first, &changed).await.unwrap();
    assert_eq!(second.metadata().client_name.as_deref(), Some("Weekly"));
    assert_ne!(first.registration_access_token(), second.registration_access_token());
    assert_eq!(registrar.read(&first).await.unwrap_err().code(), "invalid_token", "its token is the old one");
    let read = registrar.read(&second).await.unwrap();
    client_of(&server, read.auth().unwrap()).request(&grant::client_credentials()).await.unwrap();
    registrar.delete(&read).await.unwrap();
    assert_eq!(registrar.read(&read).await.unwrap_err().code(), "invalid_token");
    let gone = client_of(&server, read.auth().unwrap()).request(&grant::client_credentials()).await;
    assert_eq!(gone.unwrap_err().code(), "invalid_client");
}

async fn tokens_are_introspected() {
    let server = server();
    let token = login(&server).token().await.unwrap();
    let known = client(&server).introspect(token.secret(), None).await.unwrap().unwrap();
    assert_eq!((known.subject.as_deref(), known.client_id.as_deref()), (Some("alice"), Some("svc")));
    assert_eq!(known.scope, ["openid", "read"]);
    assert_eq!(client(&server).introspect(&"guessed".into(), None).await.unwrap(), None);
}

async fn not_every_client_may_introspect() {
    let stranger = client_of(&server(), ClientAuth::basic("svc", "guess"));
    assert_eq!(stranger.introspect(&"t".into(), None).await.unwrap_err().code(), "invalid_client");
}

async fn userinfo_is_about_the_same_person() {
    let server = server();
    let source = login(&server);
    assert_eq!(client(&server).userinfo(&source).await.unwrap().name(), Some("Alice"));
    let id_token = server.mint().typ("JWT").subject("alice").audience("svc").build();
    let token = source.token().await.unwrap();
    let response = serde_json::json!({"access_token": token.secret().expose(), "token_type": "Bearer", "id_token": id_token});
    server.fault(Endpoint::Token, Fault::body(200, "application/json", response.to_string())).times(1);
    let source = client(&server).source(grant::refresh_token("r")).build().unwrap();
    assert_eq!(client(&server).userinfo(&source).await.unwrap().subject(), "alice");
    server.fault(Endpoint::Userinfo, Fault::body(200, "application/json", r#"{"sub":"eve"}"#)).times(1);
    assert_eq!(client(&server).userinfo(&source).await.unwrap_err().code(), "malformed_response");
}

async fn signed_userinfo_is_refused() {
    let server = server();
    server.fault(Endpoint::Userinfo, Fault::body(200, "application/jwt", "e30.e30.x")).times(1);
    let error = client(&server).userinfo(&login(&server)).await.unwrap_err();
    assert!(error.code() == "unsupported" && error.to_string().contains("userinfo_signed_response_alg"));
}
