//! Run with `cargo run --example mtls_api`. An API whose tokens are bound to their client's certificate (RFC 8705): axum
//! behind tokio-rustls, which verifies the certificate and puts it into each request of the connection; and tonic with its
//! own TLS (`grpc`). The authorization server is a mock in this same process.

mod grpc;

use std::sync::Arc;

use axum::{Extension, Router, routing::get};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use oauth_client::transport::{HttpClient, Tls};
use oauth_client::{Client, ClientAuth, grant};
use oauth_guard::{CertificateSource, Certificates, Claims, Guard, Issuer, TlsPeer};
use oauth_mock::{ClientCertificate, MockClient, MockServer};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig, crypto::aws_lc_rs};
use tonic::Code;
use tower::Layer;

type Failure = Box<dyn std::error::Error + Send + Sync>;
type ServerKey = rcgen::CertifiedKey<rcgen::KeyPair>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let client = MockClient::new("svc").certificate_subject("svc").certificate_bound_tokens();
    let auth = MockServer::builder().audience("api").client(client).client_certificates().start().await;
    let own = auth.client_certificate("svc");

    let guard = Guard::builder()
        .issuer(Issuer::new(auth.issuer()).audience("api").tls_ca(auth.ca_pem()))
        .certificates(Certificates::from(CertificateSource::Connection))
        .build()?;
    let hello = async |claims: Claims| format!("hello {}", claims.client_id().unwrap_or("anonymous"));
    let app = Router::new().route("/hello", get(hello)).layer(guard.layer());
    let server = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let api = format!("https://localhost:{}", listener.local_addr()?.port());
    tokio::spawn(serve(listener, acceptor(&server, &auth.ca_pem())?, app));

    // The client shows its certificate to the authorization server, which binds the token to it …
    let tls = Tls::new().authorities(auth.ca_pem()).identity(own.cert_pem(), own.key_pem());
    let client =
        Client::builder().issuer(auth.issuer()).auth(ClientAuth::tls("svc")).http(HttpClient::with_tls(tls)?);
    let client = client.build()?;
    let tokens = client.request(&grant::client_credentials().audience("api")).await?;
    let token = tokens.access_token().expose();
    // … and to the API, which compares the two.
    let (with, status) = call(&api, &server, Some(&own), token).await?;
    println!("with its certificate:     {status} {with}");
    let other = auth.client_certificate("other");
    let (_, stolen) = call(&api, &server, Some(&other), token).await?;
    println!("with another certificate: {stolen}");
    let (_, bare) = call(&api, &server, None, token).await?;
    println!("without a certificate:    {bare}");
    if [status, stolen, bare] != [200, 401, 401] {
        return Err("expected 200, 401 and 401".into());
    }

    let api = grpc::serve(&guard, &server, &auth.ca_pem()).await?;
    let with = grpc::call(&api, &server, Some(&own), &client).await?;
    println!("over gRPC with its certificate:     {with:?}");
    let stolen = grpc::call(&api, &server, Some(&other), &client).await?;
    println!("over gRPC with another certificate: {stolen:?}");
    let bare = grpc::call(&api, &server, None, &client).await?;
    println!("over gRPC without a certificate:    {bare:?}");
    if with.is_ok() && [stolen, bare] == [const { Err(Code::Unauthenticated) }; 2] {
        Ok(())
    } else {
        Err("expected a greeting, and 16 twice".into())
    }
}

/// TLS that asks for certificates of this authority and takes connections without one as well.
fn acceptor(server: &ServerKey, authority: &str) -> Result<TlsAcceptor, Failure> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.as_bytes())?)?;
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
    let key = PrivateKeyDer::try_from(server.signing_key.serialize_der())?;
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(verifier.allow_unauthenticated().build()?)
        .with_single_cert(vec![server.cert.der().clone()], key)?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

async fn serve(listener: TcpListener, acceptor: TlsAcceptor, app: Router) {
    while let Ok((stream, _)) = listener.accept().await {
        let (acceptor, app) = (acceptor.clone(), app.clone());
        tokio::spawn(async move {
            if let Err(error) = connection(stream, acceptor, app).await {
                eprintln!("a connection failed: {error}");
            }
        });
    }
}

async fn connection(stream: TcpStream, acceptor: TlsAcceptor, app: Router) -> Result<(), Failure> {
    let stream = acceptor.accept(stream).await?;
    // Once for each connection, of what rustls has verified.
    let peer = match stream.get_ref().1.peer_certificates() {
        Some([own, ..]) => TlsPeer::with_certificate(own),
        _ => TlsPeer::without_certificate(),
    };
    let service = TowerToHyperService::new(Extension(peer).layer(app));
    auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await
}

/// One request, with this certificate of the client's.
async fn call(
    api: &str,
    server: &ServerKey,
    shown: Option<&ClientCertificate>,
    token: &str,
) -> Result<(String, u16), Failure> {
    let authority = reqwest::Certificate::from_der(server.cert.der())?;
    let mut builder = reqwest::Client::builder().tls_certs_only([authority]);
    if let Some(shown) = shown {
        let pem = [shown.cert_pem(), shown.key_pem()].concat();
        builder = builder.identity(reqwest::Identity::from_pem(pem.as_bytes())?);
    }
    let response = builder.build()?.get(format!("{api}/hello")).bearer_auth(token).send().await?;
    let status = response.status().as_u16();
    Ok((response.text().await?, status))
}
