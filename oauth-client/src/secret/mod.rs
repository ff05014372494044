//! Secrets that may change while the program runs: from a file that is rotated, the environment, or a callback.
//!
//! Every function that takes a [`Secret`] of the client takes a [`SecretSource`] too. It is read before each token
//! request, and once more when the server responds with `invalid_client`: if the secret has changed by then, the
//! request is repeated with the new one.
//!
//! ```
//! use oauth_client::{ClientAuth, secret};
//!
//! # fn read_vault() -> Result<String, std::io::Error> { Ok("s3cr3t".to_owned()) }
//! let mounted = ClientAuth::basic("orders-service", secret::from_file("/run/secrets/client"));
//! let environment = ClientAuth::post("orders-service", secret::from_env("CLIENT_SECRET"));
//! let vault = ClientAuth::basic("orders-service", secret::from_fn(|| async { read_vault() }));
//! ```

mod file;

use std::fmt;
use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;

use self::file::SecretFile;
use crate::clock::Now;
use crate::error::{BoxError, Error};
use crate::token::{Secret, digest};

/// Where a secret comes from. Cheap to clone; clones share what was read. See the [module docs](self).
#[derive(Clone)]
pub struct SecretSource(Kind);

#[derive(Clone)]
enum Kind {
    Fixed(Secret),
    Env(Arc<str>),
    File(Arc<SecretFile>),
    Callback(Arc<dyn Fn() -> Fetch + Send + Sync>),
    Tokens(Arc<Tokens>),
}

/// Access tokens of a token source, which this module knows by these two things alone.
struct Tokens {
    /// The same for the same source; it holds no secret. `None` where the source does not say whose its tokens are.
    identity: Option<String>,
    fetch: Box<dyn Fn() -> FetchToken + Send + Sync>,
}

type FetchToken = Pin<Box<dyn Future<Output = Result<Secret, Error>> + Send>>;

type Fetch = Pin<Box<dyn Future<Output = Result<Secret, BoxError>> + Send>>;

/// A file, such as container platforms mount. Line ends at its end are taken off.
///
/// It is checked once a second at most, outside the runtime's threads, and read when its time of change, its size or
/// the file itself is another. If the file later cannot be read, or is empty, the last secret stays in use and a
/// warning is logged. If it could never be read, the error names the path.
pub fn from_file(path: impl AsRef<Path>) -> SecretSource {
    SecretSource(Kind::File(Arc::new(SecretFile::new(path.as_ref()))))
}

/// An environment variable, read when it is needed. When it is not set, the error names it.
pub fn from_env(variable: impl Into<String>) -> SecretSource {
    SecretSource(Kind::Env(variable.into().into()))
}

/// A secret from a function, for instance from a vault. It is called before each token request; nothing is cached here,
/// so cache in the function if need be. Its error becomes the cause of an error with code `secret`, and must not
/// contain a secret.
pub fn from_fn<F, Fut, S, E>(fetch: F) -> SecretSource
where
    F: Fn() -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<S, E>> + Send + 'static,
    S: Into<Secret>,
    E: Into<BoxError>,
{
    let fetch = move || -> Fetch {
        let fetching = fetch();
        Box::pin(async move { fetching.await.map(Into::into).map_err(Into::into) })
    };
    SecretSource(Kind::Callback(Arc::new(fetch)))
}

impl SecretSource {
    /// Whether both are the same source: equal text, the same variable or file, or clones of one callback.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Kind::Fixed(one), Kind::Fixed(other)) => constant_time_eq(one.expose(), other.expose()),
            (Kind::Env(one), Kind::Env(other)) => one == other,
            (Kind::File(one), Kind::File(other)) => one.path() == other.path(),
            (Kind::Callback(one), Kind::Callback(other)) => Arc::ptr_eq(one, other),
            (Kind::Tokens(one), Kind::Tokens(other)) => {
                Arc::ptr_eq(one, other) || one.identity.is_some() && one.identity == other.identity
            }
            _ => false,
        }
    }

    /// A source of access tokens, fetched again for each request. Its own errors are passed on as they are.
    pub(crate) fn tokens(
        identity: Option<String>,
        fetch: impl Fn() -> FetchToken + Send + Sync + 'static,
    ) -> Self {
        Self(Kind::Tokens(Arc::new(Tokens { identity, fetch: Box::new(fetch) })))
    }

    /// An identity of the place that the secret is read from, without a secret in it: the same for all secrets that are
    /// there one after another. `None` for a secret that is given, and where nothing says whose the secret is.
    pub(crate) fn place(&self) -> Option<String> {
        match &self.0 {
            Kind::Env(variable) => Some(digest(&["in the variable", variable])),
            Kind::File(file) => {
                let path = std::path::absolute(file.path());
                // As `Debug` writes it: what is not UTF-8 keeps its difference.
                let path = format!("{:?}", path.as_deref().unwrap_or(file.path()));
                Some(digest(&["in the file", &path]))
            }
            Kind::Tokens(tokens) => Some(digest(&["of a source", tokens.identity.as_deref()?])),
            Kind::Fixed(_) | Kind::Callback(_) => None,
        }
    }

    /// The current secret, for what uses one beside this library; `field` is its name in errors.
    ///
    /// # Errors
    /// `secret` or `config` when it cannot be obtained.
    pub async fn current(&self, field: &str) -> Result<Secret, Error> {
        use crate::clock::Clock as _;
        self.get(field, crate::clock::SystemClock.now()).await
    }

    /// A file whose content is known already.
    pub(crate) fn file(path: &str, content: Secret) -> Self {
        Self(Kind::File(Arc::new(SecretFile::known(path.as_ref(), content))))
    }

    /// The secret, where it never changes.
    pub(crate) fn fixed(&self) -> Option<&Secret> {
        match &self.0 {
            Kind::Fixed(secret) => Some(secret),
            _ => None,
        }
    }

    /// The current secret, where it is available without waiting for anything but the disk.
    #[cfg(feature = "reqwest")]
    pub(crate) fn at_once(&self, field: &str, now: Now) -> Option<Result<Secret, Error>> {
        match &self.0 {
            Kind::Fixed(secret) => Some(Ok(secret.clone())),
            Kind::Env(variable) => Some(environment(field, variable)),
            Kind::File(file) => Some(file.read_at_once(field, now)),
            Kind::Callback(_) | Kind::Tokens(_) => None,
        }
    }

    /// The current secret, where it is needed so rarely that a file may be checked each time.
    #[cfg(feature = "reqwest")]
    pub(crate) async fn latest(&self, field: &str, now: Now) -> Result<Secret, Error> {
        match &self.0 {
            Kind::File(file) => file.latest(field, now).await,
            _ => self.read(field, now).await,
        }
    }

    /// The current secret; `field` is its name in errors.
    pub(crate) async fn get(&self, field: &str, now: Now) -> Result<Secret, Error> {
        // What has to be waited for is boxed, so that a request for which the secret is at hand is no larger for it.
        match &self.0 {
            Kind::Fixed(secret) => Ok(secret.clone()),
            Kind::File(file) => match file.recent(now) {
                Some(secret) => Ok(secret),
                None => Box::pin(file.latest(field, now)).await,
            },
            _ => Box::pin(self.read(field, now)).await,
        }
    }

    /// What is there now: a file that cannot be read, or is empty, is an error even if it had a secret before.
    pub(crate) async fn now(&self, field: &str, now: Now) -> Result<Secret, Error> {
        match &self.0 {
            Kind::File(file) => file.now(field).await,
            _ => self.read(field, now).await,
        }
    }

    /// Whether it may be another one in a moment, because another program writes it.
    pub(crate) fn is_file(&self) -> bool {
        matches!(self.0, Kind::File(_))
    }

    /// The same, and a file is read whether it seems to have changed or not.
    pub(crate) async fn read(&self, field: &str, now: Now) -> Result<Secret, Error> {
        match &self.0 {
            Kind::Fixed(secret) => Ok(secret.clone()),
            Kind::Env(variable) => environment(field, variable),
            Kind::File(file) => file.read(field, now).await,
            Kind::Callback(fetch) => fetch().await.map_err(|source| Error::secret(field, source)),
            Kind::Tokens(tokens) => (tokens.fetch)().await,
        }
    }
}

/// Whether two texts are equal, in a time that does not depend on where they differ.
pub(crate) fn constant_time_eq(one: &str, other: &str) -> bool {
    verify_slices_are_equal(one.as_bytes(), other.as_bytes()).is_ok()
}

fn environment(field: &str, variable: &str) -> Result<Secret, Error> {
    std::env::var(variable).map(Secret::new).map_err(|_| {
        Error::config(field, format!("the environment variable {variable} is not set, or is not UTF-8"))
    })
}

impl From<Secret> for SecretSource {
    fn from(secret: Secret) -> Self {
        Self(Kind::Fixed(secret))
    }
}

impl From<String> for SecretSource {
    fn from(text: String) -> Self {
        Secret::from(text).into()
    }
}

impl From<&str> for SecretSource {
    fn from(text: &str) -> Self {
        Secret::from(text).into()
    }
}

impl fmt::Debug for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Fixed(secret) => secret.fmt(f),
            Kind::Env(variable) => write!(f, "SecretSource(environment variable {variable})"),
            Kind::File(file) => write!(f, "SecretSource(file {})", file.path().display()),
            Kind::Callback(_) => f.write_str("SecretSource(callback)"),
            Kind::Tokens(_) => f.write_str("SecretSource(token source)"),
        }
    }
}

#[cfg(test)]
mod tests;
