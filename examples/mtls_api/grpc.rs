//! The same over gRPC: tonic's own TLS on both sides. A small layer hands the certificate that tonic has verified to the
//! guard.

use std::convert::Infallible;
use std::task::{Context, Poll};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::uri::PathAndQuery;
use oauth_client::attach::TokenLayer;
use oauth_client::{Client, grant};
use oauth_guard::{Claims, Guard, TlsPeer};
use oauth_mock::ClientCertificate;
use tonic::body::Body;
use tonic::server::NamedService;
use tonic::transport::server::{TcpConnectInfo, TcpIncoming, TlsConnectInfo};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Identity, Server, ServerTlsConfig};
use tonic::{Code, Request, Response, Status};
use tonic_prost::ProstCodec;
use tower::util::MapRequestLayer;
use tower::{Layer, Service, ServiceBuilder, service_fn};

use super::{Failure, ServerKey};

/// What `tonic-prost-build` would make of `message Hello { string name = 1; }`.
#[derive(Clone, PartialEq, prost::Message)]
struct Hello {
    #[prost(string, tag = "1")]
    name: String,
}

const GREET: PathAndQuery = PathAndQuery::from_static("/hello.Greeter/Greet");

/// Serves on a free port; returns the URL.
pub(crate) async fn serve(guard: &Guard, server: &ServerKey, authority: &str) -> Result<String, Failure> {
    let tls = ServerTlsConfig::new()
        .identity(Identity::from_pem(
            server_pem(server),
            pem("PRIVATE KEY", &server.signing_key.serialize_der()),
        ))
        .client_ca_root(Certificate::from_pem(authority))
        // Who shows none gets an answer, and not an aborted handshake.
        .client_auth_optional(true);
    let incoming = TcpIncoming::bind("127.0.0.1:0".parse()?)?;
    let url = format!("https://localhost:{}", incoming.local_addr()?.port());
    let layer = ServiceBuilder::new().layer(MapRequestLayer::new(shown)).layer(guard.layer());
    let router = Server::builder().tls_config(tls)?.layer(layer).add_service(Greeter);
    tokio::spawn(router.serve_with_incoming(incoming));
    Ok(url)
}

/// From tonic's extension to the guard's: what rustls has verified on this connection.
fn shown(mut request: http::Request<Body>) -> http::Request<Body> {
    let tls = request.extensions().get::<TlsConnectInfo<TcpConnectInfo>>();
    if let Some(certificates) = tls.map(TlsConnectInfo::peer_certs) {
        let peer = match certificates.as_deref().map(Vec::as_slice) {
            Some([own, ..]) => TlsPeer::with_certificate(own),
            _ => TlsPeer::without_certificate(),
        };
        request.extensions_mut().insert(peer);
    }
    request
}

/// One call of a client with this token source, over a channel with this certificate: what is said, or the code.
pub(crate) async fn call(
    api: &str,
    server: &ServerKey,
    shown: Option<&ClientCertificate>,
    client: &Client,
) -> Result<Result<String, Code>, Failure> {
    let mut tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(server_pem(server)));
    if let Some(shown) = shown {
        tls = tls.identity(Identity::from_pem(shown.cert_pem(), shown.key_pem()));
    }
    let channel = Channel::from_shared(api.to_owned())?.tls_config(tls)?.connect().await?;
    let source = client.source(grant::client_credentials().audience("api")).build()?;
    let stack = TokenLayer::new(source).grpc(Body::new).layer(channel);
    let mut greeter = tonic::client::Grpc::new(stack);
    greeter.ready().await?;
    let request = Request::new(Hello { name: "server".to_owned() });
    let codec: ProstCodec<Hello, Hello> = ProstCodec::default();
    Ok(match greeter.unary(request, GREET, codec).await {
        Ok(response) => Ok(response.into_inner().name),
        Err(status) => Err(status.code()),
    })
}

/// The service, as generated code would have it.
#[derive(Clone)]
struct Greeter;

impl NamedService for Greeter {
    const NAME: &'static str = "hello.Greeter";
}

impl Service<http::Request<Body>> for Greeter {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = std::pin::Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        Box::pin(async move {
            let method = service_fn(|request: Request<Hello>| async move {
                let claims = request.extensions().get::<Claims>().and_then(Claims::client_id);
                let name = format!("hello {}", claims.unwrap_or("anonymous"));
                Ok::<_, Status>(Response::new(Hello { name }))
            });
            Ok(tonic::server::Grpc::new(ProstCodec::default()).unary(method, request).await)
        })
    }
}

fn server_pem(server: &ServerKey) -> String {
    pem("CERTIFICATE", server.cert.der())
}

/// In the form in which a server reads it from a file.
fn pem(label: &str, der: &[u8]) -> String {
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", BASE64_STANDARD.encode(der))
}
