//! Clients that are known by their certificates: RFC 8705, over real connections.

use std::path::PathBuf;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use oauth_client::secret::from_file;
use oauth_client::transport::{HttpClient, Tls};
use oauth_client::{Client, ClientAuth, ClientBuilder, TokenSet, grant};
use oauth_mock::{AuthMethod, ClientCertificate, Endpoint, MockClient, MockServer};
use serde_json::Value;

crate::rows! {
    "RFC 8705" "2.1" "tls_client_auth: a certificate by an authority that the server trusts" => a_certificate_proves_the_client,
    "RFC 8705" "2.2" "self_signed_tls_client_auth: a certificate that the server knows" => a_self_signed_certificate_proves_the_client,
    "RFC 8705" "3.1" "tokens are bound to the certificate (cnf, x5t#S256)" => tokens_are_bound_to_the_certificate,
    "RFC 8705" "5" "endpoints of mtls_endpoint_aliases are used, and only with a certificate" => aliases_are_used_with_a_certificate,
    "RFC 8705" "2" "a certificate that is replaced is shown by the next request" => a_replaced_certificate_is_shown,
}

fn tls(server: &MockServer, shown: &ClientCertificate) -> Tls {
    Tls::new().authorities(server.ca_pem()).identity(shown.cert_pem(), shown.key_pem())
}

fn builder(server: &MockServer, auth: ClientAuth, tls: Tls) -> ClientBuilder {
    Client::builder().issuer(server.issuer()).auth(auth).http(HttpClient::with_tls(tls).unwrap())
}

async fn ask(builder: ClientBuilder) -> TokenSet {
    builder.build().unwrap().request(&grant::client_credentials()).await.unwrap()
}

/// The thumbprint that the token is bound to.
fn bound_to(tokens: &TokenSet) -> Option<String> {
    let claims = BASE64_URL_SAFE_NO_PAD.decode(tokens.access_token().expose().split('.').nth(1)?).unwrap();
    let claims: Value = serde_json::from_slice(&claims).unwrap();
    claims.pointer("/cnf/x5t#S256")?.as_str().map(str::to_owned)
}

async fn a_certificate_proves_the_client() {
    let mock = MockClient::new("svc").certificate_subject("svc");
    let server = MockServer::builder().client(mock).client_certificates().start().await;
    let own = server.client_certificate("svc");
    ask(builder(&server, ClientAuth::tls("svc"), tls(&server, &own))).await;

    let other = server.client_certificate("other");
    let client = builder(&server, ClientAuth::tls("svc"), tls(&server, &other)).build().unwrap();
    assert_eq!(client.request(&grant::client_credentials()).await.unwrap_err().code(), "invalid_client");
}

async fn a_self_signed_certificate_proves_the_client() {
    let own = ClientCertificate::self_signed("svc");
    let mock = MockClient::new("svc").self_signed_certificate(&own);
    let server = MockServer::builder().client(mock).client_certificates().start().await;
    ask(builder(&server, ClientAuth::self_signed_tls("svc"), tls(&server, &own))).await;
}

async fn tokens_are_bound_to_the_certificate() {
    let mock = MockClient::new("svc").certificate_subject("svc").certificate_bound_tokens();
    let server = MockServer::builder().client(mock).client_certificates().start().await;
    let own = server.client_certificate("svc");
    let tokens = ask(builder(&server, ClientAuth::tls("svc"), tls(&server, &own))).await;
    assert_eq!(bound_to(&tokens), Some(own.thumbprint()));
}

async fn aliases_are_used_with_a_certificate() {
    let mock =
        MockClient::new("svc").secret("s3cr3t").auth_methods([AuthMethod::Basic]).certificate_bound_tokens();
    let server = MockServer::builder().client(mock).client_certificates().start().await;
    assert_ne!(server.endpoint(Endpoint::Token), server.mtls_endpoint(Endpoint::Token));
    let own = server.client_certificate("svc");
    let client = || builder(&server, ClientAuth::basic("svc", "s3cr3t"), tls(&server, &own));
    // A client by secret shows its certificate where it is configured to, and its tokens are bound then.
    let tokens = ask(client().mutual_tls()).await;
    assert_eq!(bound_to(&tokens), Some(own.thumbprint()));
    let elsewhere = client().build().unwrap().request(&grant::client_credentials()).await;
    elsewhere.unwrap_err();
}

async fn a_replaced_certificate_is_shown() {
    let mock = MockClient::new("svc").certificate_subject("svc").certificate_bound_tokens();
    let server = MockServer::builder().client(mock).client_certificates().start().await;
    let directory = std::env::temp_dir().join(format!("oauth-client-certificates-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let [cert, key]: [PathBuf; 2] = ["client.crt", "client.key"].map(|name| directory.join(name));
    let put = |shown: &ClientCertificate| {
        std::fs::write(&cert, shown.cert_pem()).unwrap();
        std::fs::write(&key, shown.key_pem()).unwrap();
    };

    let first = server.client_certificate("svc");
    put(&first);
    let tls = Tls::new().authorities(server.ca_pem()).identity(from_file(&cert), from_file(&key));
    let client = builder(&server, ClientAuth::tls("svc"), tls).build().unwrap();
    let bound = async || bound_to(&client.request(&grant::client_credentials()).await.unwrap()).unwrap();
    assert_eq!(bound().await, first.thumbprint());

    let second = server.client_certificate("svc");
    put(&second);
    assert_eq!(bound().await, second.thumbprint());
    std::fs::remove_dir_all(&directory).unwrap();
}
