//! Where the server is: RFC 8414 and OpenID Connect Discovery.

use bytes::Bytes;
use http::Request;
use oauth_client::clock::TestClock;
use oauth_client::discover::{Challenge, Found, discover, follow, resource};
use oauth_client::transport::{HttpClient, Limits};
use oauth_client::{Client, ClientAuth, Error, grant};
use oauth_mock::{Endpoint, Fault, MockServer};

crate::rows! {
    "RFC 8414" "3.1" "metadata is found below an issuer, a path included" => metadata_is_found_with_and_without_a_path,
    "RFC 8414" "3.3" "a document of another issuer is refused" => a_document_of_another_issuer_is_refused,
    "RFC 8414" "3.3" "issuers are compared to the letter, a slash at the end included" => issuers_are_compared_to_the_letter,
    "RFC 8414" "3.2" "metadata is kept for an hour, and longer while it is unavailable" => metadata_is_kept,
    "RFC 9110" "11.6.1" "several challenges in one header are separated" => challenges_are_separated,
    "RFC 9728" "3.1" "an API's metadata is found by its identifier" => an_api_is_found_by_its_identifier,
    "RFC 9728" "3.3" "a document about another API is refused" => a_document_about_another_api_is_refused,
    "RFC 9728" "5" "a refused call leads to the API, its server and a token for it" => a_refused_call_leads_to_a_token,
    "RFC 9728" "7.7" "no stranger leads us to an address of our own" => no_stranger_leads_into_our_network,
}

async fn metadata_is_found_with_and_without_a_path() {
    let server = MockServer::builder().issuer("tenant").in_process();
    let http = HttpClient::from_service(server.transport());
    for issuer in [server.issuer().to_owned(), format!("{}/tenant", server.issuer())] {
        let metadata = discover(&http, &issuer, &Limits::metadata()).await.unwrap();
        assert_eq!(metadata.issuer, issuer);
        assert!(metadata.token_endpoint.unwrap().as_str().starts_with(&issuer));
    }
}

async fn a_document_of_another_issuer_is_refused() {
    let server = MockServer::builder().in_process();
    let document = r#"{"issuer":"https://evil.test","token_endpoint":"https://evil.test/token"}"#;
    for place in [Endpoint::OauthMetadata, Endpoint::OpenidMetadata] {
        server.fault(place, Fault::body(200, "application/json", document)).always();
    }
    let http = HttpClient::from_service(server.transport());
    let error = discover(&http, server.issuer(), &Limits::metadata()).await.unwrap_err();
    assert_eq!(error.code(), "discovery");
    assert!(error.to_string().contains("https://evil.test"), "{error}");
}

async fn issuers_are_compared_to_the_letter() {
    let server = MockServer::builder().in_process();
    let http = HttpClient::from_service(server.transport());
    let error = discover(&http, &format!("{}/", server.issuer()), &Limits::metadata()).await.unwrap_err();
    assert!(error.to_string().contains("to the letter"), "{error}");
}

async fn metadata_is_kept() {
    tokio::time::pause();
    let server = MockServer::builder().in_process();
    let http = HttpClient::from_service(server.transport());
    let client = Client::builder().issuer(server.issuer()).http(http).clock(TestClock::new());
    let client = client.auth(ClientAuth::basic("svc", "s3cr3t")).build().unwrap();
    for minutes in [0, 59, 2] {
        tokio::time::sleep(std::time::Duration::from_secs(minutes * 60)).await;
        client.metadata().await.unwrap();
    }
    assert_eq!(server.journal().count(Endpoint::OauthMetadata), 2);
    server.fault(Endpoint::OauthMetadata, Fault::status(503)).always();
    tokio::time::sleep(std::time::Duration::from_secs(7200)).await;
    client.request(&grant::client_credentials()).await.unwrap();
}

async fn challenges_are_separated() {
    let value = r#"Negotiate YII=, Bearer realm="a, \"b\"", error=invalid_token, DPoP algs="ES256""#;
    let headers = [(http::header::WWW_AUTHENTICATE, value.parse().unwrap())].into_iter().collect();
    let challenges = Challenge::from_headers(&headers);
    assert_eq!(challenges.iter().map(Challenge::scheme).collect::<Vec<_>>(), ["Negotiate", "Bearer", "DPoP"]);
    assert_eq!(challenges[1].parameter("realm"), Some(r#"a, "b""#));
}

async fn an_api_is_found_by_its_identifier() {
    let server = MockServer::builder().in_process();
    let http = HttpClient::from_service(server.transport());
    let api = resource(&http, &server.endpoint(Endpoint::Api), &Limits::metadata()).await.unwrap();
    assert_eq!(api.authorization_servers, [server.issuer()]);
}

async fn a_document_about_another_api_is_refused() {
    let server = MockServer::builder().in_process();
    let document = r#"{"resource":"https://evil.test","authorization_servers":["https://evil.test"]}"#;
    server.fault(Endpoint::ResourceMetadata, Fault::body(200, "application/json", document)).always();
    let http = HttpClient::from_service(server.transport());
    let by_name = resource(&http, &server.endpoint(Endpoint::Api), &Limits::metadata()).await.unwrap_err();
    assert_eq!(by_name.code(), "discovery");
    assert_eq!(refused_call(&server).await.unwrap_err().code(), "discovery");
}

/// Calls the API without a token, and follows its refusal.
async fn refused_call(server: &MockServer) -> Result<Found, Error> {
    let http = HttpClient::from_service(server.transport());
    let url = server.endpoint(Endpoint::Api);
    let response = http.send(Request::get(&url).body(Bytes::new()).unwrap(), &Limits::token()).await?;
    assert_eq!(response.status(), 401);
    follow(&http, &url, response.headers(), &Limits::metadata()).await
}

async fn a_refused_call_leads_to_a_token() {
    let server = MockServer::builder().in_process();
    let found = refused_call(&server).await.unwrap();
    let http = HttpClient::from_service(server.transport());
    let client = found.client().auth(ClientAuth::basic("svc", "s3cr3t")).http(http.clone()).build().unwrap();
    let request = grant::client_credentials().resource([found.resource.resource]);
    let tokens = client.request(&request).await.unwrap();
    let again = Request::get(server.endpoint(Endpoint::Api));
    let again = again.header("authorization", format!("Bearer {}", tokens.access_token().expose()));
    assert_eq!(http.send(again.body(Bytes::new()).unwrap(), &Limits::token()).await.unwrap().status(), 200);
}

async fn no_stranger_leads_into_our_network() {
    let server = MockServer::builder().in_process();
    let http = HttpClient::from_service(server.transport());
    for place in
        ["https://169.254.169.254/x", "https://127.0.0.1/x", "https://[fd00::1]/x", "http://auth.test/x"]
    {
        let challenge = format!("Bearer resource_metadata=\"{place}\"").parse().unwrap();
        let headers = [(http::header::WWW_AUTHENTICATE, challenge)].into_iter().collect();
        let error = follow(&http, "https://api.test/", &headers, &Limits::metadata()).await.unwrap_err();
        assert_eq!(error.code(), "discovery", "{place}");
    }
}
