//! Other containers call the server by name: a test resolves the names itself, to the one port there is.

use std::net::{Ipv4Addr, SocketAddr};

use http::StatusCode;
use oauth_mock::{Alg, Endpoint, MockServer, MockServerBuilder, TestKey};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::*;

/// A client whose resolver knows every name as this machine, at the server's port.
struct Container {
    address: SocketAddr,
}

impl Container {
    async fn beside(builder: MockServerBuilder) -> (MockServer, Self) {
        let server = builder.listen((Ipv4Addr::UNSPECIFIED, 0).into()).start().await;
        let local = server.local_url().strip_prefix("http://").unwrap().parse::<SocketAddr>().unwrap();
        assert!(local.ip().is_loopback(), "an address that can be called: {local}");
        (server, Self { address: local })
    }

    /// The status and the body of the response to a request of this URL.
    async fn ask(&self, method: &str, url: &str, headers: &str, body: &str) -> (u16, String) {
        let (host, path) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
        let request = format!(
            "{method} /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Length: {}\r\n{headers}\r\n{body}",
            body.len()
        );
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }

    async fn json(&self, url: &str) -> Value {
        let (status, body) = self.ask("GET", url, "", "").await;
        assert_eq!(status, 200, "{url} {body}");
        serde_json::from_str(&body).unwrap()
    }

    async fn metadata(&self, origin: &str) -> Value {
        self.json(&format!("{origin}/.well-known/openid-configuration")).await
    }

    async fn token(&self, url: &str, more: &str) -> Value {
        let headers =
            format!("Content-Type: application/x-www-form-urlencoded\r\nAuthorization: {}\r\n{more}", svc());
        let (status, body) = self.ask("POST", url, &headers, "grant_type=client_credentials").await;
        assert_eq!(status, 200, "{body}");
        serde_json::from_str(&body).unwrap()
    }
}

fn origins(metadata: &Value) -> Vec<String> {
    let urls =
        metadata.as_object().unwrap().values().filter_map(Value::as_str).filter(|url| url.contains("://"));
    let mut origins: Vec<_> = urls.map(|url| url.split('/').take(3).collect::<Vec<_>>().join("/")).collect();
    origins.sort_unstable();
    origins.dedup();
    origins
}

/// All of a flow by one name: metadata, keys, token with a proof, API.
async fn by_name(server: &MockServer, container: &Container, origin: &str) -> Value {
    let metadata = container.metadata(origin).await;
    let endpoint = |name: &str| metadata[name].as_str().unwrap().to_owned();
    assert!(endpoint("token_endpoint").starts_with(origin), "{metadata}");
    assert!(endpoint("jwks_uri").starts_with(origin), "{metadata}");
    container.json(&endpoint("jwks_uri")).await;
    let key = TestKey::generate(Alg::Es256);
    let proof = server.dpop_proof(&key, "POST", &endpoint("token_endpoint")).build();
    let body = container.token(&endpoint("token_endpoint"), &format!("DPoP: {proof}\r\n")).await;
    let token = body["access_token"].as_str().unwrap();
    assert_eq!(jwt_part(token, 1)["iss"], metadata["issuer"]);
    let api = format!("{origin}/api");
    let proof = server.dpop_proof(&key, "GET", &api).access_token_hash(token).build();
    let headers = format!("Authorization: DPoP {token}\r\nDPoP: {proof}\r\n");
    assert_eq!(container.ask("GET", &api, &headers, "").await.0, 200);
    metadata
}

#[tokio::test]
async fn by_the_name_of_its_issuer_all_endpoints_are_at_that_name() {
    let (server, container) = Container::beside(MockServer::builder().issuer_url("http://mock:9000")).await;
    let metadata = by_name(&server, &container, "http://mock:9000").await;
    assert_eq!(metadata["issuer"], "http://mock:9000");
    assert_eq!(origins(&metadata), ["http://mock:9000"]);

    // From this machine, and by names that nothing allows, they are where this machine reaches them.
    let local = server.local_url().to_owned();
    assert!(local.starts_with("http://127.0.0.1:"));
    for origin in [local.as_str(), "http://evil.test:9000", "http://mock:9001", "http://mock.evil.test:9000"]
    {
        let metadata = container.metadata(origin).await;
        assert_eq!(metadata["issuer"], "http://mock:9000");
        assert_eq!(metadata["token_endpoint"], format!("{local}/token"), "{origin}");
    }
}

#[tokio::test]
async fn an_issuer_with_a_path_is_found_where_its_path_says() {
    let builder = MockServer::builder().issuer_url("http://mock:9000/realms/a/").issuer("b");
    let (server, container) = Container::beside(builder).await;
    for place in [
        "/.well-known/oauth-authorization-server/realms/a",
        "/.well-known/openid-configuration/realms/a",
        "/realms/a/.well-known/openid-configuration",
        // As before.
        "/.well-known/openid-configuration",
    ] {
        let metadata = container.json(&format!("http://mock:9000{place}")).await;
        assert_eq!(metadata["issuer"], "http://mock:9000/realms/a/", "{place}");
        assert_eq!(metadata["token_endpoint"], "http://mock:9000/token", "{place}");
    }
    assert_eq!(server.journal().count(Endpoint::OauthMetadata), 1);
    assert_eq!(server.journal().count(Endpoint::OpenidMetadata), 3);
    for other in ["/realms/.well-known/openid-configuration", "/.well-known/openid-configuration/realms"] {
        let (status, _) = container.ask("GET", &format!("http://mock:9000{other}"), "", "").await;
        assert_eq!(status, 404, "{other}");
    }
}

#[tokio::test]
async fn two_names_of_one_machine_each_lead_to_themselves() {
    let (server, container) =
        Container::beside(MockServer::builder().host("localhost").host("mock:8080")).await;
    let local = server.local_url().to_owned();
    let named = local.replace("127.0.0.1", "localhost");
    assert_eq!(origins(&by_name(&server, &container, &local).await), [local.as_str()]);
    let metadata = by_name(&server, &container, &named).await;
    assert_eq!(
        (&metadata["issuer"], &metadata["token_endpoint"]),
        (&local.as_str().into(), &format!("{named}/token").into())
    );
    by_name(&server, &container, "http://mock:8080").await;
    let elsewhere = container.metadata("http://mock:8081").await;
    assert_eq!(elsewhere["token_endpoint"], format!("{local}/token"));
}

#[tokio::test]
async fn a_public_url_holds_whatever_name_a_request_came_by() {
    let (server, container) =
        Container::beside(MockServer::builder().public_url("http://mock:9000/").issuer("tenant-a")).await;
    assert_eq!((server.url(), server.issuer()), ("http://mock:9000", "http://mock:9000"));
    assert_eq!(server.endpoint(Endpoint::Token), "http://mock:9000/token");
    assert_eq!(server.issuer_named("tenant-a").issuer(), "http://mock:9000/tenant-a");
    for origin in ["http://mock:9000", server.local_url(), "http://evil.test"] {
        let metadata = container.metadata(origin).await;
        assert_eq!(origins(&metadata), ["http://mock:9000"], "{origin}");
    }
    by_name(&server, &container, "http://mock:9000").await;
    let in_process = MockServer::builder().public_url("https://idp.test").in_process();
    assert_eq!(get(&in_process, Endpoint::Jwks).await.unwrap().status, StatusCode::OK);
}

#[cfg(feature = "tls")]
#[tokio::test]
async fn the_certificate_is_for_the_names_it_is_called_by() {
    use std::sync::Arc;
    use tokio_rustls::rustls::crypto::aws_lc_rs::default_provider;
    use tokio_rustls::rustls::pki_types::pem::PemObject as _;
    use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
    use tokio_rustls::rustls::{ClientConfig, RootCertStore};

    let server = MockServer::builder().tls().host("mock").public_url("https://idp.test:9443").start().await;
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(server.ca_pem().as_bytes()).unwrap()).unwrap();
    let config =
        ClientConfig::builder_with_provider(default_provider().into()).with_safe_default_protocol_versions();
    let config = Arc::new(config.unwrap().with_root_certificates(roots).with_no_client_auth());
    let address = server.local_url().strip_prefix("https://").unwrap().to_owned();
    for (name, good) in [("mock", true), ("idp.test", true), ("localhost", true), ("evil.test", false)] {
        let stream = TcpStream::connect(&address).await.unwrap();
        let connector = tokio_rustls::TlsConnector::from(Arc::clone(&config));
        let connected = connector.connect(ServerName::try_from(name).unwrap(), stream).await;
        assert_eq!(connected.is_ok(), good, "{name}");
    }
}
