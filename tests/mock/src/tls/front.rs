//! What a test says to a server about TLS.

use super::{Authority, ClientCertificate};
use crate::builder::MockServerBuilder;
use crate::clients::CertificateSubject;
use crate::endpoint::Endpoint;
use crate::server::MockServer;

impl MockServerBuilder {
    /// Speaks HTTPS, with a certificate for `localhost`, `127.0.0.1`, `::1` and the address it listens on, by an
    /// authority of its own: configure clients with [`MockServer::ca_pem`].
    ///
    /// ```no_run
    /// # async fn doc() {
    /// let server = oauth_mock::MockServer::builder().tls().start().await;
    /// assert!(server.issuer().starts_with("https://127.0.0.1:"));
    /// std::fs::write("ca.pem", server.ca_pem()).unwrap(); // curl --cacert ca.pem …
    /// # }
    /// ```
    pub fn tls(mut self) -> Self {
        self.tls = true;
        self
    }

    /// Listens on a second port too, also with HTTPS, which asks clients for their certificates:
    /// `mtls_endpoint_aliases` of the metadata (RFC 8705 section 5). A client that shows none is served there as well.
    pub fn client_certificates(mut self) -> Self {
        self.client_certificates = true;
        self.tls()
    }
}

impl MockServer {
    /// The certificate of this server's authority, in PEM: it vouches for the server and for
    /// [`client_certificate`](Self::client_certificate).
    ///
    /// # Panics
    /// If the server was built without [`tls`](MockServerBuilder::tls).
    #[must_use]
    pub fn ca_pem(&self) -> String {
        self.authority().pem()
    }

    /// A new certificate for a client, for `tls_client_auth`; see also [`ClientCertificate::self_signed`].
    ///
    /// # Panics
    /// If the server was built without [`tls`](MockServerBuilder::tls), or if the subject cannot be written in a
    /// certificate.
    #[must_use]
    #[expect(clippy::expect_used, reason = "a subject that cannot be is an error in the test itself")]
    pub fn client_certificate(&self, subject: impl Into<CertificateSubject>) -> ClientCertificate {
        self.authority().client(&subject.into()).expect("a subject that fits into a certificate")
    }

    /// The absolute URL of an endpoint at the address that asks for certificates.
    ///
    /// # Panics
    /// If the server was built without [`client_certificates`](MockServerBuilder::client_certificates).
    #[must_use]
    #[expect(clippy::expect_used, reason = "a server without this address is an error in the test itself")]
    pub fn mtls_endpoint(&self, endpoint: Endpoint) -> String {
        let shared = self.shared();
        let origin = shared.mtls_origin.as_deref().expect("a server built with `.client_certificates()`");
        format!("{origin}{}", endpoint.path(&shared.issuers[0].name, shared.routes()))
    }

    #[expect(clippy::expect_used, reason = "a server without TLS is an error in the test itself")]
    fn authority(&self) -> &Authority {
        self.shared().authority.as_ref().expect("a server built with `.tls()`")
    }
}
