//! Certificates for the bundled transport, which may be replaced while it runs (RFC 8705).

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use zeroize::Zeroizing;

use super::clients::{Certificates, Clients};
use crate::clock::{Clock, SystemClock};
use crate::error::{Error, Kind, printable};
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

    fn certificates(&self, texts: &[Secret]) -> Result<Certificates, Error> {
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
        Ok(given)
    }

    fn clients(&self, texts: &[Secret], build: &Build) -> Result<Clients, Unbuilt> {
        let given = self.certificates(texts).map_err(Unbuilt::Texts)?;
        build(given).map_err(|error| {
            let cause = printable(&error, 256);
            let message = format!("cannot be used ({cause}); do certificate and key belong together?");
            Unbuilt::Client(Error::config("tls", message))
        })
    }
}

type Build = dyn Fn(Certificates) -> Result<Clients, String> + Send + Sync;

/// Why there are no clients.
enum Unbuilt {
    /// The texts are what is wrong, and stay wrong.
    Texts(Error),
    /// It may pass: the authorities of the platform are read as well, and certificate and key are two files.
    Client(Error),
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
    held: Mutex<Held>,
    /// Held while clients are built, so that they are built once for all requests that need them.
    building: tokio::sync::Mutex<()>,
    build: Arc<Build>,
}

/// How long the last clients are used before what might pass is tried again.
const AGAIN: Duration = Duration::from_secs(60);

#[derive(Default)]
struct Held {
    /// The last texts that could be used, and the clients that were built from them.
    built: Option<(Vec<Secret>, Clients)>,
    /// Later texts that could not be used. They were reported.
    rejected: Option<Rejected>,
    /// How often building has failed.
    failures: u64,
}

struct Rejected {
    texts: Vec<Secret>,
    error: Error,
    /// When it was found, where another try may mend it.
    at: Option<Instant>,
}

impl Rotating {
    /// Reads what can be read without waiting, so that what is wrong shows at the start.
    pub(super) fn new(tls: Tls) -> Result<Self, Error> {
        Self::building_by(tls, Arc::new(Clients::new))
    }

    fn building_by(tls: Tls, build: Arc<Build>) -> Result<Self, Error> {
        let now = SystemClock.now();
        let texts: Option<Result<Vec<_>, Error>> =
            tls.sources().map(|(field, source)| source.at_once(field, now)).collect();
        let (held, building) = (Mutex::default(), tokio::sync::Mutex::default());
        let this = Self { tls, held, building, build };
        if let Some(texts) = texts {
            let texts = texts?;
            let built = this.tls.clients(&texts, &*this.build);
            this.keep(texts, built)?;
        }
        Ok(this)
    }

    pub(super) async fn clients(&self) -> Result<Clients, Error> {
        let now = SystemClock.now();
        let mut texts = Vec::new();
        for (field, source) in self.tls.sources() {
            texts.push(source.latest(field, now).await?);
        }
        let failures = self.held().failures;
        if let Some(known) = self.known(&texts, failures) {
            return known;
        }
        let _one_at_a_time = self.building.lock().await;
        if let Some(known) = self.known(&texts, failures) {
            return known;
        }
        // Keys are parsed and the authorities of the platform are read: nothing that requests should wait behind.
        let (tls, build) = (self.tls.clone(), Arc::clone(&self.build));
        let building = tokio::task::spawn_blocking(move || (tls.clients(&texts, &*build), texts));
        let (built, texts) = building.await.map_err(|_| Error::new(Kind::Interrupted))?;
        self.keep(texts, built)
    }

    /// What came of these texts, where they are not new and no other try is due. Those who waited for one that failed
    /// (`failures` is from before) share what came of it.
    fn known(&self, texts: &[Secret], failures: u64) -> Option<Result<Clients, Error>> {
        let held = self.held();
        let built = held.built.as_ref();
        if let Some((_, clients)) = built.filter(|(known, _)| *known == texts) {
            return Some(Ok(clients.clone()));
        }
        let rejected = held.rejected.as_ref().filter(|rejected| rejected.texts == texts)?;
        let is_due = rejected.at.is_some_and(|at| built.is_none() || at.elapsed() >= AGAIN);
        let known = || built.map(|(_, clients)| clients.clone()).ok_or_else(|| rejected.error.clone());
        (!is_due || held.failures != failures).then(known)
    }

    fn keep(&self, texts: Vec<Secret>, built: Result<Clients, Unbuilt>) -> Result<Clients, Error> {
        let mut held = self.held();
        let (error, at) = match built {
            Ok(clients) => {
                let built = Some((texts, clients.clone()));
                *held = Held { built, rejected: None, failures: held.failures };
                return Ok(clients);
            }
            Err(Unbuilt::Texts(error)) => (error, None),
            Err(Unbuilt::Client(error)) => (error, Some(Instant::now())),
        };
        held.failures += 1;
        let is_reported = held.rejected.as_ref().is_some_and(|before| before.texts == texts);
        held.rejected = Some(Rejected { texts, error: error.clone(), at });
        // Certificate and key are two files, and one is replaced before the other.
        let (_, clients) = held.built.as_ref().ok_or_else(|| error.clone())?;
        if !is_reported {
            tracing::warn!(error = %error, "the new certificates cannot be used; the last ones are kept");
        }
        Ok(clients.clone())
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

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

    #[tokio::test]
    async fn a_certificate_that_cannot_be_used_is_tried_once_and_reported_once() {
        let (own, other) = (ClientCertificate::self_signed("svc"), ClientCertificate::self_signed("other"));
        let texts = Arc::new(Mutex::new([own.cert_pem(), own.key_pem()]));
        let source = |at: usize| {
            let texts = Arc::clone(&texts);
            crate::secret::from_fn(move || {
                let text = texts.lock().unwrap()[at].clone();
                async move { Ok::<_, std::io::Error>(text) }
            })
        };
        let rotating = Rotating::new(Tls::new().identity(source(0), source(1))).unwrap();
        texts.lock().unwrap()[1] = "damaged".to_owned();
        for _ in 0..2 {
            assert!(
                rotating.clients().await.err().unwrap().to_string().contains("tls.key"),
                "there is none yet"
            );
        }
        texts.lock().unwrap()[1] = own.key_pem();
        rotating.clients().await.unwrap();

        let logged = crate::logged::Logged::listen();
        texts.lock().unwrap()[0] = other.cert_pem();
        for _ in 0..3 {
            rotating.clients().await.unwrap();
        }
        texts.lock().unwrap()[1] = other.key_pem();
        for _ in 0..3 {
            rotating.clients().await.unwrap();
        }
        let logged = logged.end();
        assert_eq!(logged.matches("the new certificates cannot be used").count(), 1, "{logged}");
    }

    /// As where the authorities of the platform could not be read once.
    #[tokio::test(start_paused = true)]
    async fn a_client_that_could_not_be_built_is_built_when_that_has_passed() {
        let (own, other) = (ClientCertificate::self_signed("svc"), ClientCertificate::self_signed("other"));
        let text = Arc::new(Mutex::new(own.cert_pem()));
        let source = {
            let text = Arc::clone(&text);
            crate::secret::from_fn(move || {
                let text = text.lock().unwrap().clone();
                async move { Ok::<_, std::io::Error>(text) }
            })
        };
        let (fails, tries) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicUsize::new(0)));
        let build = {
            let (fails, tries) = (Arc::clone(&fails), Arc::clone(&tries));
            Arc::new(move |given| {
                tries.fetch_add(1, Ordering::SeqCst);
                if fails.load(Ordering::SeqCst) {
                    Err("no authorities".to_owned())
                } else {
                    Clients::new(given)
                }
            })
        };
        let rotating = Rotating::building_by(Tls::new().authorities(source), build).unwrap();
        let (one, two) = tokio::join!(rotating.clients(), rotating.clients());
        assert!(one.is_err() && two.is_err());
        assert_eq!(tries.swap(0, Ordering::SeqCst), 1, "those who wait for it share its failure");
        fails.store(false, Ordering::SeqCst);
        rotating.clients().await.unwrap();
        assert_eq!(tries.swap(0, Ordering::SeqCst), 1, "nothing else would help");

        let logged = crate::logged::Logged::listen();
        *text.lock().unwrap() = other.cert_pem();
        fails.store(true, Ordering::SeqCst);
        for _ in 0..3 {
            rotating.clients().await.unwrap();
            rotating.clients().await.unwrap();
            tokio::time::advance(AGAIN).await;
        }
        assert_eq!(tries.swap(0, Ordering::SeqCst), 3, "once a minute");
        fails.store(false, Ordering::SeqCst);
        rotating.clients().await.unwrap();
        tokio::time::advance(AGAIN).await;
        rotating.clients().await.unwrap();
        assert_eq!(tries.load(Ordering::SeqCst), 1, "the new ones are in use");
        let logged = logged.end();
        assert_eq!(logged.matches("the new certificates cannot be used").count(), 1, "{logged}");
    }
}
