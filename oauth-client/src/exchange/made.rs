//! Values that are made when they are sent.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Now;
use crate::error::BoxError;
use crate::secret::SecretSource;
use crate::token::Secret;

/// The request that a value is made for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Sending {
    /// What an assertion names as its audience: the server's issuer, or the endpoint's URL where no issuer is known
    /// (RFC 7523 section 3).
    pub audience: String,
    /// When it is sent, as Unix time by the client's [clock](crate::clock).
    pub now: Duration,
    pub(crate) at: Now,
}

impl Sending {
    pub(crate) fn new(audience: &str, at: Now) -> Self {
        Self { audience: audience.to_owned(), now: at.wall, at }
    }
}

/// What makes a value. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Maker(Arc<Make>);

type Make = dyn Fn(Sending) -> Making + Send + Sync;
type Making = Pin<Box<dyn Future<Output = Result<Secret, BoxError>> + Send>>;

impl Maker {
    pub(crate) fn make(&self, sending: Sending) -> Making {
        (self.0)(sending)
    }
}

impl fmt::Debug for Maker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Maker")
    }
}

pub(crate) fn maker<F, E>(make: impl Fn(Sending) -> F + Send + Sync + 'static) -> Maker
where
    F: Future<Output = Result<Secret, E>> + Send + 'static,
    E: Into<BoxError>,
{
    Maker(Arc::new(move |sending| {
        let making = make(sending);
        Box::pin(async move { making.await.map_err(Into::into) })
    }))
}

/// Asks the source for every request; a file is read each time, so that whoever replaces it is heeded at once.
pub(crate) fn read(field: &'static str, source: &SecretSource) -> Maker {
    let source = source.clone();
    maker(move |sending| {
        let source = source.clone();
        async move { source.read(field, sending.at).await }
    })
}
