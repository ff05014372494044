//! Who the person is (OpenID Connect Core section 5.3), when the token goes out of use on the way.

use std::sync::{Arc, Mutex, OnceLock};

use oauth_client::transport::{HttpClient, RequestBody};
use oauth_client::{Client, ClientAuth, TokenSource, grant};
use oauth_mock::{Endpoint, Fault, MockClient, MockServer, User};
use tower::ServiceExt as _;

#[tokio::test(start_paused = true)]
async fn it_is_about_the_same_person_even_where_the_token_is_refused_elsewhere_meanwhile() {
    let svc = MockClient::default().scopes(["openid", "read"]).with_refresh_token();
    let server = MockServer::builder().client(svc).user(User::new("alice", "w")).in_process();
    let source: Arc<OnceLock<TokenSource>> = Arc::default();
    let (inner, known, userinfo) =
        (server.transport(), Arc::clone(&source), server.endpoint(Endpoint::Userinfo));
    let http = HttpClient::from_service(tower::service_fn(move |request: http::Request<RequestBody>| {
        // Another request of the program finds the token refused while this one is on its way.
        if let Some(source) = known.get().filter(|_| request.uri().to_string() == userinfo) {
            source.reject(source.current().unwrap().generation());
        }
        inner.clone().oneshot(request)
    }));
    let client =
        Client::builder().issuer(server.issuer()).auth(ClientAuth::basic("svc", "s3cr3t")).http(http);
    let client = client.build().unwrap();
    let token = server.issue("svc", "alice", "openid read").unwrap();
    let id_token = server.mint().typ("JWT").subject("alice").audience("svc").build();
    let response =
        serde_json::json!({"access_token": token.access_token, "token_type": "Bearer", "id_token": id_token});
    server.fault(Endpoint::Token, Fault::body(200, "application/json", response.to_string())).times(1);
    let login = client.source(grant::refresh_token("r")).build().unwrap();
    login.token().await.unwrap();
    assert!(source.set(login.clone()).is_ok());
    server.fault(Endpoint::Userinfo, Fault::body(200, "application/json", r#"{"sub":"eve"}"#)).times(1);
    assert_eq!(client.userinfo(&login).await.unwrap_err().code(), "malformed_response");
}

#[tokio::test]
async fn the_endpoint_may_have_a_query() {
    let svc = MockClient::default().scopes(["openid", "read"]);
    let server = MockServer::builder().client(svc).user(User::new("alice", "w")).in_process();
    let endpoint = format!("{}?schema=openid", server.endpoint(Endpoint::Userinfo));
    let (inner, asked) = (server.transport(), Arc::new(Mutex::new(Vec::new())));
    let seen = Arc::clone(&asked);
    let http = HttpClient::from_service(tower::service_fn(move |request: http::Request<RequestBody>| {
        seen.lock().unwrap().push(request.uri().to_string());
        inner.clone().oneshot(request)
    }));
    let client = Client::builder()
        .issuer(server.issuer())
        .endpoint(oauth_client::discover::Endpoint::Userinfo, &endpoint)
        .auth(ClientAuth::basic("svc", "s3cr3t"))
        .http(http)
        .build()
        .unwrap();
    let token = server.issue("svc", "alice", "openid read").unwrap();
    let source = TokenSource::fixed(token.access_token).unwrap();
    assert_eq!(client.userinfo(&source).await.unwrap().subject(), "alice");
    assert_eq!(*asked.lock().unwrap(), [endpoint]);
}
