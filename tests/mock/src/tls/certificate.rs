use std::fmt;
use std::sync::Arc;

use serde_json::{Value, json};

use super::authority::{Identity, self_signed};
use super::{names, pem};
use crate::clients::CertificateSubject;
use crate::encode::{b64url, to_b64};
use crate::wire::peer::{Peer, thumbprint};

/// A client's certificate and its private key, both to give to a TLS library in PEM.
///
/// In process, where there is no connection to show it on, it goes with the request, as an extension:
///
/// ```
/// use bytes::Bytes;
/// use http::Request;
/// use http_body_util::Full;
/// use oauth_mock::{Endpoint, MockClient, MockServer};
/// use tower::ServiceExt as _;
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let client = MockClient::new("svc").certificate_subject("svc");
/// let server = MockServer::builder().client(client).client_certificates().in_process();
/// let request = Request::post(server.mtls_endpoint(Endpoint::Token))
///     .header("content-type", "application/x-www-form-urlencoded")
///     .extension(server.client_certificate("svc"))
///     .body(Full::<Bytes>::from("grant_type=client_credentials&client_id=svc"))?;
/// assert_eq!(server.transport().oneshot(request).await?.status(), 200);
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct ClientCertificate(Arc<Identity>);

impl ClientCertificate {
    pub(super) fn new(identity: Identity) -> Self {
        Self(Arc::new(identity))
    }

    /// A self-signed certificate (RFC 8705 section 2.2).
    ///
    /// # Panics
    /// If the subject cannot be written in a certificate: a DNS name, URI or address that is not ASCII, a distinguished
    /// name that is not written as RFC 4514 asks.
    #[must_use]
    #[expect(clippy::expect_used, reason = "a subject that cannot be is an error in the test itself")]
    pub fn self_signed(subject: impl Into<CertificateSubject>) -> Self {
        Self::new(self_signed(&subject.into()).expect("a subject that fits into a certificate"))
    }

    /// The certificate, in PEM.
    #[must_use]
    pub fn cert_pem(&self) -> String {
        pem("CERTIFICATE", self.der())
    }

    /// The private key, in PEM (PKCS#8).
    #[must_use]
    pub fn key_pem(&self) -> String {
        pem("PRIVATE KEY", &self.0.key)
    }

    /// The certificate, in DER.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        self.0.chain.first().map_or(&[], |certificate| certificate.as_ref())
    }

    /// `x5t#S256` of tokens that are bound to it (RFC 8705 section 3.1).
    #[must_use]
    pub fn thumbprint(&self) -> String {
        thumbprint(self.der())
    }

    /// Its public key as a JWK with `x5c`, as a client registers it (RFC 8705 section 2.2.2).
    #[must_use]
    pub fn public_jwk(&self) -> Value {
        let point = names::public_key(self.der()).unwrap_or_default();
        // Uncompressed form (SEC 1 section 2.3.3): one byte 4, then x and y of equal length.
        let (x, y) = point.get(1..).unwrap_or_default().split_at(point.len() / 2);
        let chain = [to_b64(self.der())];
        json!({"kty": "EC", "crv": "P-256", "x": b64url(x), "y": b64url(y), "use": "sig", "x5c": chain})
    }

    pub(crate) fn peer(&self) -> Peer {
        Peer(self.0.chain.iter().map(|certificate| certificate.to_vec()).collect())
    }
}

impl fmt::Debug for ClientCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientCertificate").field("x5t#S256", &self.thumbprint()).finish_non_exhaustive()
    }
}
