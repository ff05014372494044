//! Who the person is (OpenID Connect Core section 5.3), when the token goes out of use on the way.

use std::sync::{Arc, Mutex, OnceLock};

use oauth_client::transport::{HttpClient, RequestBody};
use oauth_client::{Client, ClientAuth, TokenSource, grant};
use oauth_mock::{Endpoint, Fault, MockClient, MockServer, User};
use tower::ServiceExt as _;

use crate::site::Site;

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

/// The error of a response with this challenge and body.
async fn refused(status: u16, challenge: &str, body: &str) -> oauth_client::Error {
    let site = Site::default();
    let response = http::Response::builder().status(status).header("www-authenticate", challenge);
    site.response("GET https://as.test/me", response.body(bytes::Bytes::from(body.to_owned())).unwrap());
    let client = Client::builder()
        .token_endpoint("https://as.test/token")
        .endpoint(oauth_client::discover::Endpoint::Userinfo, "https://as.test/me")
        .auth(ClientAuth::basic("svc", "s3cr3t"))
        .http(site.http())
        .build()
        .unwrap();
    client.userinfo(&TokenSource::fixed("t0k3n-of-alice").unwrap()).await.unwrap_err()
}

#[tokio::test]
async fn a_challenge_says_what_is_wrong_where_the_body_does_not() {
    let scope = r#"Bearer realm="as", error="insufficient_scope", scope="openid email", error_description="t0k3n-of-alice lacks openid", error_uri="https://as.test/help""#;
    for body in ["", "<html>", "{}"] {
        let error = refused(403, scope, body).await;
        assert_eq!((error.code(), error.status().unwrap().as_u16()), ("insufficient_scope", 403), "{body}");
        let said = error.description().unwrap();
        assert!(said.starts_with("[redacted]") && said.ends_with(" lacks openid"), "{said}");
        assert_eq!(
            (error.uri(), error.provider_code()),
            (Some("https://as.test/help"), Some("insufficient_scope"))
        );
        assert!(
            error.with_causes().to_string().contains("scope \"openid email\""),
            "{}",
            error.with_causes()
        );
        assert_eq!(error.unrecognized(), Some(body).filter(|body| !body.is_empty()));
    }
    for (status, challenge, body, code) in [
        (
            401,
            r#"Bearer error="insufficient_user_authentication", acr_values="mfa""#,
            "",
            "insufficient_user_authentication",
        ),
        (401, r#"DPoP error="invalid_token", algs="ES256""#, "", "invalid_token"),
        (403, r#"Negotiate, Bearer realm="as", DPoP error=insufficient_scope"#, "", "insufficient_scope"),
        (401, r#"Bearer realm="as""#, "", "invalid_token"),
        (403, r#"Bearer realm="as""#, "", "access_denied"),
        (403, r#"Basic error="insufficient_scope""#, "", "access_denied"),
        (403, r#"Bearer error="in\\valid""#, "", "access_denied"),
        (400, r#"Bearer error="insufficient_scope""#, r#"{"error":"invalid_request"}"#, "invalid_request"),
    ] {
        assert_eq!(refused(status, challenge, body).await.code(), code, "{challenge}");
    }
    // A text without a code is none the less the server's.
    let error = refused(403, r#"Bearer error="insufficient_scope""#, r#"{"error_description":"ask"}"#).await;
    assert_eq!((error.code(), error.description()), ("insufficient_scope", Some("ask")));
}
