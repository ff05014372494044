//! `rediss://`: whom the connection trusts, what it shows, and what went wrong in the handshake.

use std::error::Error as StdError;
use std::io;
use std::sync::Arc;

use oauth_client::Error;
use oauth_client::config::RedisConfig;
use oauth_client::secret::SecretSource;
use redis::{ClientTlsConfig, RedisError, TlsCertificates};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{AlertDescription, CertificateError, Error as TlsError};

/// Certificates of a connection, as PEM. Files are read for each connection.
#[derive(Clone, Debug, Default)]
pub struct Tls {
    /// The authorities to trust instead of the platform's.
    pub ca: Option<SecretSource>,
    /// What the client shows: its certificate, with those in between, and its key.
    pub identity: Option<(SecretSource, SecretSource)>,
}

impl Tls {
    /// What a configuration names.
    #[must_use]
    pub fn of(config: &RedisConfig) -> Self {
        Self { ca: config.tls_ca().cloned(), identity: config.tls_identity().cloned() }
    }

    /// The certificates, where there are any.
    ///
    /// # Errors
    /// When a file cannot be read, or holds none.
    pub(crate) async fn load(&self) -> Result<Option<TlsCertificates>, Error> {
        let root_cert = match &self.ca {
            Some(source) => Some(certificates(source, "tls.ca").await?),
            None => None,
        };
        let client_tls = match &self.identity {
            Some((cert, key)) => Some(ClientTlsConfig {
                client_cert: certificates(cert, "tls.cert").await?,
                client_key: key.current("tls.key").await?.expose().as_bytes().to_vec(),
            }),
            None => None,
        };
        let has_any = root_cert.is_some() || client_tls.is_some();
        Ok(has_any.then_some(TlsCertificates { client_tls, root_cert }))
    }
}

async fn certificates(source: &SecretSource, field: &str) -> Result<Vec<u8>, Error> {
    let pem = source.current(field).await?.expose().as_bytes().to_vec();
    let mut found = CertificateDer::pem_slice_iter(&pem);
    match found.next() {
        Some(Ok(_)) if found.all(|one| one.is_ok()) => Ok(pem),
        _ => Err(crate::problem(field, "holds no certificates that can be read; expected them in PEM form")),
    }
}

/// What failed in the handshake, and whether another try does not mend it. `None`: it was not TLS.
pub(crate) fn failure(error: &RedisError, place: &str) -> Option<(String, bool)> {
    let error = io_error(error)?;
    if error.kind() == io::ErrorKind::UnexpectedEof && error.to_string().contains("handshake") {
        let text = format!(
            "Redis at {place} ended the connection in the TLS handshake; check that this port speaks TLS"
        );
        return Some((text, false));
    }
    let error: &TlsError = error.get_ref()?.downcast_ref()?;
    Some(match error {
        // The second is of an authority that has the name of one that is trusted, and another key.
        TlsError::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature) => (
            format!(
                "the certificate of Redis at {place} is of an authority that is not trusted; give that authority's certificate in tls.ca"
            ),
            true,
        ),
        TlsError::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => (
            format!(
                "the certificate of Redis at {place} is for another name; use a name in the URL that stands in it"
            ),
            true,
        ),
        TlsError::InvalidCertificate(
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. },
        ) => (
            format!(
                "the certificate of Redis at {place} has expired, or is not valid yet; renew it, and check this machine's clock"
            ),
            false,
        ),
        TlsError::AlertReceived(
            AlertDescription::CertificateRequired
            | AlertDescription::BadCertificate
            | AlertDescription::UnknownCA
            | AlertDescription::CertificateUnknown
            | AlertDescription::CertificateExpired
            | AlertDescription::AccessDenied
            | AlertDescription::HandshakeFailure,
        ) => (
            format!(
                "Redis at {place} wants a certificate of this client that it trusts; give tls.cert and tls.key, or set its tls-auth-clients"
            ),
            true,
        ),
        TlsError::InvalidMessage(_) => {
            (format!("Redis at {place} does not speak TLS; give its TLS port, or redis:// without TLS"), true)
        }
        other => (
            format!("the TLS handshake with Redis at {place} failed ({other}); check both certificates"),
            matches!(other, TlsError::InvalidCertificate(_)),
        ),
    })
}

/// The cause, as the redis crate has wrapped it.
fn io_error(error: &RedisError) -> Option<&io::Error> {
    let wrapped: &Arc<dyn StdError + Send + Sync> = error.source()?.downcast_ref()?;
    wrapped.downcast_ref()
}
