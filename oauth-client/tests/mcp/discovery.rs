//! From the API's URL to its server, and what is not believed on the way.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use oauth_client::discover::follow;
use oauth_client::manage::register::ClientMetadata;
use oauth_client::mcp::Authorizer;
use oauth_client::transport::{HttpClient, Limits, RequestBody};
use oauth_client::{ClientAuth, grant};
use oauth_mock::{Endpoint, Fault, MockClient};
use serde_json::json;

use crate::support::{API, World, parameter, server};

#[tokio::test]
async fn an_api_that_describes_another_one_is_not_believed() {
    let world = World::new(server());
    world.says().resource = "https://evil.test/mcp".to_owned();
    let error = world.call(&world.authorizer().build().unwrap()).await.unwrap_err();
    assert!(error.code() == "discovery" && error.to_string().contains("evil.test"), "{error}");
    assert_eq!((world.logins(), world.server().journal().requests().len()), (0, 0));
}

#[tokio::test]
async fn a_server_that_calls_itself_otherwise_is_not_believed() {
    let world = World::new(server().issuer_url("https://other.test"));
    let real = world.server().url().to_owned();
    world.says().servers = vec![real];
    let error = world.call(&world.authorizer().build().unwrap()).await.unwrap_err();
    assert!(error.code() == "discovery" && error.to_string().contains("RFC 8414 section 3.3"), "{error}");
    assert_eq!(world.logins(), 0);
}

/// "If the member is absent, the server does not support PKCE and clients must refuse to proceed."
#[tokio::test]
async fn no_person_logs_in_at_a_server_that_does_not_say_it_knows_pkce() {
    let world = World::new(server().client(MockClient::new("svc").secret("s3cr3t")));
    let place = world.server().endpoint(Endpoint::OauthMetadata);
    let request = Request::get(&place).body(Bytes::new()).unwrap();
    let document = world.http().send(request, &Limits::metadata()).await.unwrap().into_body();
    let document: serde_json::Value = serde_json::from_slice(&document).unwrap();
    for methods in [None, Some(json!([])), Some(json!(["plain"])), Some(json!("S256"))] {
        let mut document = document.clone();
        let members = document.as_object_mut().unwrap();
        members.remove("code_challenge_methods_supported");
        members.extend(methods.map(|methods| ("code_challenge_methods_supported".to_owned(), methods)));
        for place in [Endpoint::OauthMetadata, Endpoint::OpenidMetadata] {
            let fault = Fault::body(200, "application/json", document.to_string());
            world.server().fault(place, fault).always();
        }
        let error = world.call(&world.authorizer().build().unwrap()).await.unwrap_err();
        let names_it = error.to_string().contains("code_challenge_methods_supported");
        assert!(error.code() == "discovery" && names_it, "{error}");
        assert_eq!((world.logins(), world.server().journal().count(Endpoint::Register)), (0, 0));

        // Where no browser carries a code, there is none to protect.
        let service = world.plain().registered(world.server().issuer(), ClientAuth::basic("svc", "s3cr3t"));
        let service = service.grant(|_| grant::client_credentials()).build().unwrap();
        assert_eq!(world.call(&service).await.unwrap(), StatusCode::OK);
        world.server().clear_faults();
    }
}

type Requests = Arc<Mutex<Vec<(String, String)>>>;

/// A host that serves these paths, and nothing else.
fn host(pages: &'static [(&'static str, &'static str)]) -> (HttpClient, Requests) {
    let requests = Requests::default();
    let seen = Arc::clone(&requests);
    let http = HttpClient::from_service(tower::service_fn(move |request: Request<RequestBody>| {
        let seen = Arc::clone(&seen);
        async move {
            let line = format!("{} {}", request.method(), request.uri());
            let body = request.into_body().collect().await.map_err(std::io::Error::other)?.to_bytes();
            seen.lock().unwrap().push((line.clone(), String::from_utf8_lossy(&body).into_owned()));
            let page = pages.iter().find(|(known, _)| *known == line);
            let status = page.map_or(404, |_| 200);
            let body = Bytes::from(page.map_or("", |(_, body)| body));
            Ok::<_, std::io::Error>(Response::builder().status(status).body(Full::new(body)).unwrap())
        }
    }));
    (http, requests)
}

fn lines(requests: &Requests) -> Vec<String> {
    requests.lock().unwrap().iter().map(|(line, _)| line.clone()).collect()
}

#[tokio::test]
async fn the_places_of_an_issuer_with_a_path_are_asked_in_the_order_of_the_protocol() {
    let (http, requests) = host(&[(
        "GET https://api.test/.well-known/oauth-protected-resource/mcp",
        r#"{"resource":"https://api.test/mcp","authorization_servers":["https://as.test/tenant"]}"#,
    )]);
    assert!(follow(&http, API, &HeaderMap::new(), &Limits::metadata()).await.is_err());
    assert_eq!(
        lines(&requests),
        [
            "GET https://api.test/.well-known/oauth-protected-resource/mcp",
            "GET https://as.test/.well-known/oauth-authorization-server/tenant",
            "GET https://as.test/.well-known/openid-configuration/tenant",
            "GET https://as.test/tenant/.well-known/openid-configuration",
        ]
    );
}

fn old(http: HttpClient) -> oauth_client::mcp::AuthorizerBuilder {
    let client = ClientMetadata::new().redirect_uris(["https://app.test/callback"]);
    Authorizer::builder(API).client(client).http(http).browser(|page| async move {
        assert_eq!((page.host_str(), page.path()), (Some("api.test"), "/authorize"));
        let state = parameter(&page, "state").unwrap();
        Ok::<_, std::io::Error>(format!("code=c0de&state={state}"))
    })
}

const OLD_SERVER: [(&str, &str); 2] = [
    ("POST https://api.test/register", r#"{"client_id":"abc"}"#),
    ("POST https://api.test/token", r#"{"access_token":"t0ken","token_type":"Bearer"}"#),
];

const OLD_SERVER_WITH_A_PAGE: [(&str, &str); 3] = [
    ("GET https://api.test/.well-known/oauth-protected-resource/mcp", "<html>"),
    OLD_SERVER[0],
    OLD_SERVER[1],
];

#[tokio::test]
async fn a_server_of_an_old_revision_has_its_endpoints_where_that_says() {
    let (http, requests) = host(&OLD_SERVER);
    let authorizer = old(http).default_endpoints().build().unwrap();
    let mut attempt = authorizer.attempt();
    assert!(attempt.again(StatusCode::UNAUTHORIZED, &HeaderMap::new()).await.unwrap());
    assert_eq!(attempt.source().unwrap().token().await.unwrap().authorization(), "Bearer t0ken");
    assert_eq!(authorizer.issuer().as_deref(), Some("https://api.test"));
    let requests = requests.lock().unwrap();
    let body = |line: &str| requests.iter().find(|(known, _)| known == line).unwrap().1.clone();
    let registered: serde_json::Value =
        serde_json::from_str(&body("POST https://api.test/register")).unwrap();
    assert_eq!(registered["token_endpoint_auth_method"], json!("none"));
    let sent = body("POST https://api.test/token");
    assert!(
        sent.contains("client_id=abc") && sent.contains("resource=https%3A%2F%2Fapi.test%2Fmcp"),
        "{sent}"
    );
    let documents = requests.iter().filter(|(line, _)| line.starts_with("GET ")).count();
    assert_eq!(documents, 4, "they are looked for first, and not again later");
}

#[tokio::test]
async fn unasked_nothing_is_assumed() {
    let (http, requests) = host(&OLD_SERVER);
    let authorizer = old(http).build().unwrap();
    let error = authorizer.attempt().again(StatusCode::UNAUTHORIZED, &HeaderMap::new()).await.unwrap_err();
    assert_eq!(error.code(), "discovery");
    assert!(lines(&requests).iter().all(|line| line.starts_with("GET ")));

    // Nor where a document makes no sense.
    let (http, requests) = host(&OLD_SERVER_WITH_A_PAGE);
    let authorizer = old(http).default_endpoints().build().unwrap();
    let error = authorizer.attempt().again(StatusCode::UNAUTHORIZED, &HeaderMap::new()).await.unwrap_err();
    assert_eq!(error.code(), "malformed_response");
    assert!(lines(&requests).iter().all(|line| line.starts_with("GET ")));

    // Nor where the API names a document that is not there.
    let (http, requests) = host(&OLD_SERVER);
    let headers = HeaderMap::from_iter([(
        http::header::WWW_AUTHENTICATE,
        r#"Bearer resource_metadata="https://api.test/about""#.parse().unwrap(),
    )]);
    let authorizer = old(http).default_endpoints().build().unwrap();
    let error = authorizer.attempt().again(StatusCode::UNAUTHORIZED, &headers).await.unwrap_err();
    assert!(error.code() == "discovery" && lines(&requests) == ["GET https://api.test/about"], "{error}");
}
