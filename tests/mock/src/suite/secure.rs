//! HTTPS to the target.

#[cfg(not(feature = "tls"))]
pub(super) use self::off::Connector;
#[cfg(feature = "tls")]
pub(super) use self::on::Connector;

/// A connection of either kind.
pub(super) trait Stream: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send {}

impl<S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send> Stream for S {}

#[cfg(not(feature = "tls"))]
mod off {
    use std::io;

    /// This build has no TLS, so that there is none.
    #[derive(Clone, Debug)]
    pub(in crate::suite) enum Connector {}

    impl Connector {
        pub(in crate::suite) fn new(_: &str, _: Option<&[u8]>) -> Result<Self, String> {
            Err("this build has no TLS: build with the feature `tls`, or attack the port behind it"
                .to_owned())
        }

        pub(in crate::suite) async fn connect(
            &self,
            _: tokio::net::TcpStream,
        ) -> io::Result<tokio::net::TcpStream> {
            match *self {}
        }
    }
}

#[cfg(feature = "tls")]
mod on {
    use std::io;
    use std::sync::Arc;

    use tokio::net::TcpStream;
    use tokio_rustls::TlsConnector;
    use tokio_rustls::client::TlsStream;
    use tokio_rustls::rustls::client::danger::{
        HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
    };
    use tokio_rustls::rustls::crypto::{
        CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature,
    };
    use tokio_rustls::rustls::pki_types::pem::PemObject as _;
    use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
    use tokio_rustls::rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

    /// Makes a TLS connection of a plain one.
    #[derive(Clone)]
    pub(in crate::suite) struct Connector {
        config: Arc<ClientConfig>,
        name: ServerName<'static>,
    }

    impl Connector {
        /// To a server of this name, by a certificate that `ca` (PEM) vouches for; by any certificate without `ca`,
        /// which is for this machine only.
        pub(in crate::suite) fn new(host: &str, ca: Option<&[u8]>) -> Result<Self, String> {
            let name = ServerName::try_from(host.to_owned()).map_err(|_| "its host is no name".to_owned())?;
            let provider = Arc::new(aws_lc_rs::default_provider());
            let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
                .with_safe_default_protocol_versions()
                .map_err(|error| error.to_string())?;
            let mut config = match ca {
                Some(pem) => config.with_root_certificates(roots(pem)?).with_no_client_auth(),
                None => config
                    .dangerous()
                    .with_custom_certificate_verifier(Arc::new(Anybody(provider)))
                    .with_no_client_auth(),
            };
            config.alpn_protocols = vec![b"http/1.1".to_vec()];
            Ok(Self { config: Arc::new(config), name })
        }

        pub(in crate::suite) async fn connect(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
            TlsConnector::from(Arc::clone(&self.config)).connect(self.name.clone(), stream).await
        }
    }

    fn roots(pem: &[u8]) -> Result<RootCertStore, String> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let certificate = certificate.map_err(|error| format!("ca: this is no PEM ({error})"))?;
            roots.add(certificate).map_err(|error| format!("ca: this is no certificate ({error})"))?;
        }
        if roots.is_empty() { Err("ca: there is no certificate in it".to_owned()) } else { Ok(roots) }
    }

    impl std::fmt::Debug for Connector {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.debug_struct("Connector").field("name", &self.name).finish_non_exhaustive()
        }
    }

    /// Takes any certificate whose key the server holds. On this machine the address already says who that is, and its
    /// certificates are mostly self-signed.
    #[derive(Debug)]
    struct Anybody(Arc<CryptoProvider>);

    impl ServerCertVerifier for Anybody {
        fn verify_server_cert(
            &self,
            _: &CertificateDer<'_>,
            _: &[CertificateDer<'_>],
            _: &ServerName<'_>,
            _: &[u8],
            _: UnixTime,
        ) -> Result<ServerCertVerified, Error> {
            Ok(ServerCertVerified::assertion())
        }

        fn verify_tls12_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signed: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signed: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            self.0.signature_verification_algorithms.supported_schemes()
        }
    }
}
