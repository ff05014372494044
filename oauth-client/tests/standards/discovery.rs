//! Where the server is: RFC 8414 and OpenID Connect Discovery.

use oauth_client::discover::discover;
use oauth_client::transport::{HttpClient, Limits};
use oauth_mock::{Endpoint, Fault, MockServer};

crate::rows! {
    "RFC 8414" "3.1" "metadata is found below an issuer, a path included" => metadata_is_found_with_and_without_a_path,
    "RFC 8414" "3.3" "a document of another issuer is refused" => a_document_of_another_issuer_is_refused,
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
    server.fault(Endpoint::OauthMetadata, Fault::body(200, "application/json", document)).always();
    let http = HttpClient::from_service(server.transport());
    let error = discover(&http, server.issuer(), &Limits::metadata()).await.unwrap_err();
    assert_eq!(error.code(), "discovery");
    assert!(error.to_string().contains("https://evil.test"), "{error}");
}
