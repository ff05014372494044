//! HTTPS, and clients that show certificates (RFC 8705).
#![cfg(feature = "tls")]
#![expect(clippy::unwrap_used, reason = "a helper that fails must fail its test")]

mod support;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use oauth_mock::{
    Alg, AuthMethod, CertificateSubject, ClientCertificate, Endpoint, Fault, MockClient, MockServer, TestKey,
    User,
};
use serde_json::{Value, json};
use support::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::aws_lc_rs::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};

/// A client that trusts what `ca_pem` vouches for, and shows a certificate if asked.
struct Tls<'a> {
    ca_pem: String,
    certificate: Option<&'a ClientCertificate>,
    version: &'static SupportedProtocolVersion,
}

impl<'a> Tls<'a> {
    fn new(server: &MockServer) -> Self {
        Self { ca_pem: server.ca_pem(), certificate: None, version: &TLS13 }
    }

    fn showing(server: &MockServer, certificate: &'a ClientCertificate) -> Self {
        Self { certificate: Some(certificate), ..Self::new(server) }
    }

    /// Sends a request to `url` over a new connection, naming the server `name`, and returns status and body.
    async fn ask(&self, url: &str, name: &str, head: &str, body: &str) -> io::Result<(u16, String)> {
        let (host, path) = url.strip_prefix("https://").unwrap().split_once('/').unwrap();
        let connector = TlsConnector::from(Arc::new(self.config()));
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let mut stream = connector.connect(name, TcpStream::connect(host).await?).await?;
        let (method, headers) = head.split_once('\n').unwrap_or((head, ""));
        let length = body.len();
        let request = format!(
            "{method} /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Length: {length}\r\n\
             Content-Type: application/x-www-form-urlencoded\r\n{headers}\r\n{body}"
        );
        stream.write_all(request.as_bytes()).await?;
        let mut response = Vec::new();
        stream.read_to_end(&mut response).await?;
        let response = String::from_utf8(response).map_err(io::Error::other)?;
        let status = response.split(' ').nth(1).and_then(|status| status.parse().ok());
        let body = response.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        Ok((status.unwrap_or_default(), body.to_owned()))
    }

    async fn get(&self, url: &str, headers: &str) -> (u16, String) {
        self.ask(url, "127.0.0.1", &format!("GET\n{headers}"), "").await.unwrap()
    }

    async fn token(&self, url: &str, form: &str) -> (u16, Value) {
        let (status, body) = self.ask(url, "127.0.0.1", "POST", form).await.unwrap();
        (status, serde_json::from_str(&body).unwrap())
    }

    fn config(&self) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.ca_pem.as_bytes()).unwrap()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(&[self.version])
            .unwrap()
            .with_root_certificates(roots);
        let Some(certificate) = self.certificate else { return config.with_no_client_auth() };
        let chain = vec![CertificateDer::from_pem_slice(certificate.cert_pem().as_bytes()).unwrap()];
        let key = PrivateKeyDer::from_pem_slice(certificate.key_pem().as_bytes()).unwrap();
        config.with_client_auth_cert(chain, key).unwrap()
    }
}

const GRANT: &str = "grant_type=client_credentials&client_id=svc";

#[tokio::test]
async fn the_server_is_known_by_its_local_names_to_who_trusts_its_authority() {
    let server = MockServer::builder().tls().start().await;
    assert!(server.issuer().starts_with("https://127.0.0.1:"));
    let (url, client) = (server.endpoint(Endpoint::OauthMetadata), Tls::new(&server));
    for name in ["127.0.0.1", "localhost", "::1"] {
        let (status, body) = client.ask(&url, name, "GET", "").await.unwrap();
        let metadata: Value = serde_json::from_str(&body).unwrap();
        assert_eq!((status, &metadata["issuer"]), (200, &json!(server.issuer())), "{name}");
        assert_eq!(metadata.get("mtls_endpoint_aliases"), None);
    }
    assert!(client.ask(&url, "example.com", "GET", "").await.is_err());
    let other = MockServer::builder().tls().in_process();
    assert!(Tls::new(&other).ask(&url, "127.0.0.1", "GET", "").await.is_err(), "another authority");
    let plain = raw_get_plain(&url).await;
    assert!(!plain.contains("200 OK"), "{plain}");
}

/// What comes back to who speaks no TLS.
async fn raw_get_plain(url: &str) -> String {
    let host = url.strip_prefix("https://").unwrap().split('/').next().unwrap();
    let mut stream = TcpStream::connect(host).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut response = Vec::new();
    let _ = stream.read_to_end(&mut response).await;
    String::from_utf8_lossy(&response).into_owned()
}

#[tokio::test]
async fn faults_and_pauses_cut_a_tls_connection_without_a_goodbye() {
    let server = MockServer::builder().tls().start().await;
    let (url, client) = (server.endpoint(Endpoint::Jwks), Tls::new(&server));
    for fault in [Fault::reset(), Fault::lost_response(), Fault::reset_mid_body(), Fault::status(503)] {
        server.fault(Endpoint::Jwks, fault).times(1);
    }
    for _ in 0..3 {
        let broken = client.ask(&url, "127.0.0.1", "GET", "").await;
        assert!(broken.is_err(), "{broken:?}");
    }
    assert_eq!(client.get(&url, "").await.0, 503);
    server.pause();
    assert!(client.ask(&url, "127.0.0.1", "GET", "").await.is_err());
    server.resume();
    assert_eq!(client.get(&url, "").await.0, 200);
}

#[tokio::test]
async fn a_certificate_by_the_authority_for_the_right_subject_authenticates() {
    let client = MockClient::new("svc").certificate_subject("svc");
    let server = MockServer::builder().client(client).client_certificates().start().await;
    let plain = server.endpoint(Endpoint::Token);
    let (_, metadata) = Tls::new(&server).get(&server.endpoint(Endpoint::OauthMetadata), "").await;
    let metadata: Value = serde_json::from_str(&metadata).unwrap();
    let methods = metadata["token_endpoint_auth_methods_supported"].as_array().unwrap();
    for method in [AuthMethod::TlsClientAuth, AuthMethod::SelfSignedTlsClientAuth] {
        assert!(methods.contains(&json!(method.as_str())));
    }
    let alias = server.mtls_endpoint(Endpoint::Token);
    assert_eq!(metadata["mtls_endpoint_aliases"]["token_endpoint"], json!(alias));
    assert_eq!(metadata["mtls_endpoint_aliases"].get("authorization_endpoint"), None);
    assert_ne!(alias, plain);

    let right = server.client_certificate("svc");
    for version in [&TLS12, &TLS13] {
        let client = Tls { version, ..Tls::showing(&server, &right) };
        let (status, body) = client.token(&alias, GRANT).await;
        assert_eq!(status, 200, "{body}");
        let claims = jwt_part(body["access_token"].as_str().unwrap(), 1);
        assert_eq!((&claims["sub"], claims.get("cnf")), (&json!("svc"), None));
    }
    let (wrong, own) = (server.client_certificate("else"), ClientCertificate::self_signed("svc"));
    let other = MockServer::builder().tls().in_process().client_certificate("svc");
    for (why, client, url) in [
        ("subject", Tls::showing(&server, &wrong), &alias),
        ("authority", Tls::showing(&server, &own), &alias),
        ("authority", Tls::showing(&server, &other), &alias),
        ("none", Tls::new(&server), &alias),
        ("mtls_endpoint_aliases", Tls::showing(&server, &right), &plain), // it is not asked for there
    ] {
        let (status, body) = client.token(url, GRANT).await;
        assert_eq!((status, &body["error"]), (401, &json!("invalid_client")), "{why}");
        assert!(body["error_description"].as_str().unwrap().contains(why), "{why}: {body}");
    }
    let both = format!("{GRANT}&client_secret=x");
    assert_eq!(Tls::showing(&server, &right).token(&alias, &both).await.0, 401, "not its method");
}

#[tokio::test]
async fn a_registered_certificate_authenticates_without_any_authority() {
    let [first, second, third] = [(); 3].map(|()| ClientCertificate::self_signed("svc"));
    let client = MockClient::new("svc").self_signed_certificate(&first).self_signed_certificate(&second);
    let by_set = MockClient::new("set")
        .jwks(&json!({"keys": [third.public_jwk()]}))
        .auth_methods([AuthMethod::SelfSignedTlsClientAuth]);
    let server = MockServer::builder().client(client).client(by_set).client_certificates().start().await;
    let alias = server.mtls_endpoint(Endpoint::Token);
    let by_authority = server.client_certificate("svc");
    for (certificate, id, status) in [
        (&first, "svc", 200),
        (&second, "svc", 200),
        (&third, "svc", 401),
        (&third, "set", 200),
        (&by_authority, "svc", 401),
    ] {
        let form = format!("grant_type=client_credentials&client_id={id}");
        assert_eq!(Tls::showing(&server, certificate).token(&alias, &form).await.0, status, "{id}");
    }
}

#[tokio::test]
async fn a_bound_token_is_worth_nothing_without_its_certificate() {
    let client = MockClient::default().scopes(["openid"]).certificate_bound_tokens();
    let server = MockServer::builder().client(client).client_certificates().start().await;
    let (right, wrong) = (ClientCertificate::self_signed("a"), ClientCertificate::self_signed("a"));
    let (alias, userinfo) = (server.mtls_endpoint(Endpoint::Token), server.mtls_endpoint(Endpoint::Userinfo));
    let form = format!("{GRANT}&client_secret=s3cr3t&scope=openid");
    let (status, body) = Tls::showing(&server, &right).token(&alias, &form).await;
    assert_eq!((status, &body["token_type"]), (200, &json!("Bearer")), "{body}");
    let token = body["access_token"].as_str().unwrap();
    assert_eq!(jwt_part(token, 1)["cnf"], json!({"x5t#S256": right.thumbprint()}));

    let header = format!("Authorization: Bearer {token}\r\n");
    assert_eq!(Tls::showing(&server, &right).get(&userinfo, &header).await.0, 200);
    assert_eq!(Tls::showing(&server, &wrong).get(&userinfo, &header).await.0, 401);
    assert_eq!(Tls::new(&server).get(&userinfo, &header).await.0, 401);
    let introspected = format!("token={token}&client_id=svc&client_secret=s3cr3t");
    let introspect = server.mtls_endpoint(Endpoint::Introspect);
    let (_, described) = Tls::new(&server).token(&introspect, &introspected).await;
    assert_eq!(described["cnf"]["x5t#S256"], json!(right.thumbprint()));
    let (status, body) = Tls::new(&server).token(&alias, &form).await;
    assert_eq!((status, &body["error"]), (400, &json!("invalid_request")));
}

/// In process the certificate goes with the request.
async fn in_process(server: &MockServer, url: String, certificate: &ClientCertificate, form: &str) -> Reply {
    let request = Request::post(url)
        .header("content-type", "application/x-www-form-urlencoded")
        .extension(certificate.clone())
        .body(Full::<Bytes>::from(form.to_owned()))
        .unwrap();
    send(server, request).await.unwrap()
}

#[tokio::test]
async fn each_kind_of_subject_is_checked_in_process_too() {
    let subjects = [
        ("tls_client_auth_subject_dn", CertificateSubject::Dn("CN=svc,OU=Pay\\, now,O=Example".to_owned())),
        ("tls_client_auth_san_dns", CertificateSubject::Dns("svc.example.com".to_owned())),
        ("tls_client_auth_san_uri", CertificateSubject::Uri("spiffe://example.com/svc".to_owned())),
        ("tls_client_auth_san_email", CertificateSubject::Email("svc@example.com".to_owned())),
        ("tls_client_auth_san_ip", CertificateSubject::Ip([192, 0, 2, 7].into())),
    ];
    for (name, subject) in subjects {
        let client = MockClient::new("svc").certificate_subject(subject.clone());
        let server = MockServer::builder().client(client).client_certificates().in_process();
        let certificate = server.client_certificate(subject);
        let alias = || server.mtls_endpoint(Endpoint::Token);
        assert_eq!(in_process(&server, alias(), &certificate, GRANT).await.status, 200, "{name}");
        let other = server.client_certificate("svc");
        assert_eq!(in_process(&server, alias(), &other, GRANT).await.error(), "invalid_client", "{name}");
        let plain = server.endpoint(Endpoint::Token);
        assert_eq!(in_process(&server, plain, &certificate, GRANT).await.error(), "invalid_client", "{name}");
        server.clock().advance(Duration::from_secs(80 * 365 * 24 * 3600));
        let expired = in_process(&server, alias(), &certificate, GRANT).await;
        assert!(expired.text().contains("not valid now"), "{name}");
    }
}

#[tokio::test]
async fn an_assertion_may_name_the_address_that_asks_for_certificates() {
    let key = TestKey::generate(Alg::Es256);
    let server =
        MockServer::builder().client(MockClient::new("svc").key(&key)).client_certificates().in_process();
    let (alias, certificate) = (server.mtls_endpoint(Endpoint::Token), ClientCertificate::self_signed("a"));
    let form = || {
        let assertion = server.mint().typ("JWT").signed_with(&key).issuer("svc").subject("svc");
        let kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
        let assertion = assertion.audience(alias.as_str()).build();
        format!("grant_type=client_credentials&client_assertion_type={kind}&client_assertion={assertion}")
    };
    assert_eq!(in_process(&server, alias.clone(), &certificate, &form()).await.status, 200);
    let plain = server.endpoint(Endpoint::Token);
    let elsewhere = in_process(&server, plain, &certificate, &form()).await;
    assert!(elsewhere.text().contains("aud"), "{}", elsewhere.text());
    let seen: Vec<_> = server.journal().requests().into_iter().map(|request| request.certificate).collect();
    assert_eq!(seen, [Some(certificate.thumbprint()), None]);
}

#[tokio::test]
async fn the_refresh_token_of_a_public_client_is_bound_as_well() {
    let client = MockClient::new("svc").certificate_bound_tokens();
    let server = MockServer::builder()
        .client(client.grants([oauth_mock::GrantType::Password, oauth_mock::GrantType::RefreshToken]))
        .user(User::new("alice", "wonderland"))
        .algorithms([Alg::Es256])
        .client_certificates()
        .in_process();
    let (right, wrong) = (ClientCertificate::self_signed("a"), ClientCertificate::self_signed("b"));
    let alias = || server.mtls_endpoint(Endpoint::Token);
    let form = "grant_type=password&username=alice&password=wonderland&client_id=svc";
    let body = in_process(&server, alias(), &right, form).await.json();
    let form = format!(
        "grant_type=refresh_token&client_id=svc&refresh_token={}",
        body["refresh_token"].as_str().unwrap()
    );
    assert_eq!(in_process(&server, alias(), &wrong, &form).await.error(), "invalid_grant");
    assert_eq!(in_process(&server, alias(), &right, &form).await.status, 200);
}
