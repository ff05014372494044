//! Certificates for the bundled transport, which may be replaced while it runs (RFC 8705).

use std::sync::{Mutex, PoisonError};

use zeroize::Zeroizing;

use super::clients::{Certificates, Clients};
use crate::clock::{Clock, SystemClock};
use crate::error::{Error, printable};
use crate::secret::SecretSource;
use crate::sign::unmangled;
use crate::token::Secret;

/// The authorities that the bundled transport trusts, and the certificate that it shows. All of it is PEM, given
/// outright or by a [source](crate::secret): a replaced file takes effect with the next request, which then uses a new
/// connection.
///
/// ```no_run
/// use oauth_client::secret::from_file;
/// use oauth_client::transport::{HttpClient, Tls};
/// use oauth_client::{Client, ClientAuth};
///
/// # fn main() -> Result<(), oauth_client::Error> {
/// let tls = Tls::new().identity(from_file("/etc/orders/client.crt"), from_file("/etc/orders/client.key"));
/// let client = Client::builder()
///     .issuer("https://auth.example.com")
///     .auth(ClientAuth::tls("orders-service"))
///     .http(HttpClient::with_tls(tls)?)
///     .build()?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, Default)]
pub struct Tls {
    authorities: Option<SecretSource>,
    identity: Option<(SecretSource, SecretSource)>,
}

impl Tls {
    /// The platform's authorities, and no certificate to show.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Trusts these certificate authorities, instead of the platform's.
    #[must_use]
    pub fn authorities(mut self, pem: impl Into<SecretSource>) -> Self {
        self.authorities = Some(pem.into());
        self
    }

    /// Shows this certificate, followed by the intermediate certificates up to its authority, and proves it with its
    /// private key. Both may be in one file.
    #[must_use]
    pub fn identity(mut self, certificate: impl Into<SecretSource>, key: impl Into<SecretSource>) -> Self {
        self.identity = Some((certificate.into(), key.into()));
        self
    }

    fn sources(&self) -> impl Iterator<Item = (&'static str, &SecretSource)> {
        let identity = self.identity.iter().flat_map(|(certificate, key)| [(CERT, certificate), (KEY, key)]);
        self.authorities.iter().map(|authorities| (CA, authorities)).chain(identity)
    }

    fn clients(&self, texts: &[Secret]) -> Result<Clients, Error> {
        let mut texts = texts.iter();
        let mut given = Certificates::default();
        if self.authorities.is_some() {
            let pem = sections(texts.next(), CA, |label| label == "CERTIFICATE")?;
            let authorities =
                reqwest::Certificate::from_pem_bundle(pem.as_bytes()).map_err(|_| broken(CA))?;
            given.authorities = Some(authorities);
        }
        if self.identity.is_some() {
            let certificates = sections(texts.next(), CERT, |label| label == "CERTIFICATE")?;
            reqwest::Certificate::from_pem_bundle(certificates.as_bytes()).map_err(|_| broken(CERT))?;
            let key = sections(texts.next(), KEY, |label| label.ends_with("PRIVATE KEY"))?;
            let both = Zeroizing::new(format!("{}{}", &*certificates, &*key));
            let identity = reqwest::Identity::from_pem(both.as_bytes()).map_err(|_| broken(KEY))?;
            given.identity = Some(identity);
        }
        Clients::new(given).map_err(|error| {
            let cause = printable(&error, 256);
            Error::config("tls", format!("cannot be used ({cause}); do certificate and key belong together?"))
        })
    }
}

const CA: &str = "tls.ca";
const CERT: &str = "tls.cert";
const KEY: &str = "tls.key";

/// The sections of one kind, so that whatever else stands in a file is no hindrance.
fn sections(
    pem: Option<&Secret>,
    field: &str,
    wanted: impl Fn(&str) -> bool,
) -> Result<Zeroizing<String>, Error> {
    let pem = unmangled(pem.map(Secret::expose).unwrap_or_default());
    let mut found = Zeroizing::new(String::with_capacity(pem.len() + 1));
    let mut inside = false;
    // Variables often hold line ends written out, and files a byte order mark.
    let pem = Zeroizing::new(pem.replace("\\r", "").replace("\\n", "\n"));
    for line in pem.lines() {
        let line = line.trim_start_matches('\u{feff}').trim();
        let label = |marker| line.strip_prefix(marker)?.strip_suffix("-----");
        inside |= label("-----BEGIN ").is_some_and(&wanted);
        if inside {
            found.push_str(line);
            found.push('\n');
        }
        inside &= label("-----END ").is_none();
    }
    if found.contains("ENCRYPTED") {
        return Err(Error::config(
            field,
            "is encrypted; decrypt it first, as with openssl pkcs8 -in key.pem",
        ));
    }
    if found.is_empty() {
        let what = if field == KEY { "PRIVATE KEY" } else { "CERTIFICATE" };
        return Err(Error::config(field, format!("has no section -----BEGIN {what}-----; expected PEM")));
    }
    Ok(found)
}

fn broken(field: &str) -> Error {
    Error::config(field, "is damaged PEM, or not what its sections say; was the whole file copied?")
}

/// A client for certificates that may change.
pub(super) struct Rotating {
    tls: Tls,
    /// The last texts, and the clients that were built from them.
    built: Mutex<Option<(Vec<Secret>, Clients)>>,
}

impl Rotating {
    /// Reads what can be read without waiting, so that what is wrong shows at the start.
    pub(super) fn new(tls: Tls) -> Result<Self, Error> {
        let now = SystemClock.now();
        let texts: Option<Result<Vec<_>, Error>> =
            tls.sources().map(|(field, source)| source.at_once(field, now)).collect();
        let this = Self { tls, built: Mutex::new(None) };
        if let Some(texts) = texts {
            this.with(texts?)?;
        }
        Ok(this)
    }

    pub(super) async fn clients(&self) -> Result<Clients, Error> {
        let now = SystemClock.now();
        let mut texts = Vec::new();
        for (field, source) in self.tls.sources() {
            texts.push(source.latest(field, now).await?);
        }
        self.with(texts)
    }

    fn with(&self, texts: Vec<Secret>) -> Result<Clients, Error> {
        let mut built = self.built.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, clients)) = built.as_ref().filter(|(known, _)| *known == texts) {
            return Ok(clients.clone());
        }
        match (self.tls.clients(&texts), built.as_ref()) {
            (Ok(clients), _) => {
                *built = Some((texts, clients.clone()));
                Ok(clients)
            }
            // Certificate and key are two files, and one is replaced before the other.
            (Err(error), Some((_, clients))) => {
                tracing::warn!(error = %error, "the new certificates cannot be used; the last ones are kept");
                Ok(clients.clone())
            }
            (Err(error), None) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use oauth_mock::ClientCertificate;

    use super::super::HttpClient;
    use super::*;
    use crate::secret::from_file;
    use crate::sign::{Algorithm, SigningKey};

    fn wrong(tls: Tls) -> String {
        let error = HttpClient::with_tls(tls).unwrap_err();
        assert_eq!(error.code(), "config");
        error.to_string()
    }

    #[test]
    fn the_error_for_an_unusable_certificate_names_the_field() {
        let own = ClientCertificate::self_signed("svc");
        let other = SigningKey::generate(Algorithm::Es256).unwrap().to_pem().unwrap();
        let (cert, key) = (own.cert_pem(), own.key_pem());
        let encrypted = key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
        let damaged = cert.replace("MII", "M*I");
        for (tls, says) in [
            (Tls::new().authorities("s3cr3t"), "tls.ca: has no section -----BEGIN CERTIFICATE-----"),
            (Tls::new().authorities(from_file("/none/ca.crt")), "tls.ca: /none/ca.crt cannot be read"),
            (Tls::new().identity("s3cr3t", &*key), "tls.cert: has no section"),
            (Tls::new().identity(&*cert, "s3cr3t"), "tls.key: has no section -----BEGIN PRIVATE KEY-----"),
            (Tls::new().identity(&*cert, &*encrypted), "tls.key: is encrypted"),
            (Tls::new().identity(&*cert, other), "tls: cannot be used"),
            (Tls::new().identity(&*damaged, &*key), "tls.cert: is damaged"),
        ] {
            let error = wrong(tls);
            assert!(error.contains(says) && !error.contains("s3cr3t"), "{says}: {error}");
        }
        // As variables and editors leave them.
        for ca in [cert.replace('\n', "\\n"), cert.replace('\n', "\r\n"), format!("\u{feff}{cert}")] {
            HttpClient::with_tls(Tls::new().authorities(ca)).unwrap();
        }
        // Both in one file, in either order.
        let both = format!("{key}\n{cert}");
        let tls = Tls::new().identity(&*both, &*both).authorities(&*cert);
        HttpClient::with_tls(tls.clone()).unwrap();
        assert!(!format!("{tls:?}").contains("PRIVATE"));
    }
}
