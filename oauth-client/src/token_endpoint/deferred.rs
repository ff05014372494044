//! Parameter values that are computed when the request is sent.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Now;
use crate::error::BoxError;
use crate::secret::SecretSource;
use crate::token::Secret;

/// The request that a [deferred](super::Parameters::set_deferred) value is computed for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RequestContext {
    /// What an assertion names as its audience: the server's issuer, or the endpoint's URL where no issuer is known
    /// (RFC 7523 section 3).
    pub audience: String,
    /// When it is sent, as Unix time by the client's [clock](crate::clock).
    pub now: Duration,
    pub(crate) at: Now,
}

impl RequestContext {
    pub(crate) fn new(audience: &str, at: Now) -> Self {
        Self { audience: audience.to_owned(), now: at.wall, at }
    }
}

/// A value that is computed when the request is sent. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Deferred(Arc<Compute>);

type Compute = dyn Fn(RequestContext) -> Computing + Send + Sync;
type Computing = Pin<Box<dyn Future<Output = Result<Secret, BoxError>> + Send>>;

impl Deferred {
    pub(crate) fn compute(&self, context: RequestContext) -> Computing {
        (self.0)(context)
    }
}

impl fmt::Debug for Deferred {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Deferred")
    }
}

pub(crate) fn deferred<F, E>(compute: impl Fn(RequestContext) -> F + Send + Sync + 'static) -> Deferred
where
    F: Future<Output = Result<Secret, E>> + Send + 'static,
    E: Into<BoxError>,
{
    Deferred(Arc::new(move |context| {
        let computing = compute(context);
        Box::pin(async move { computing.await.map_err(Into::into) })
    }))
}

/// Reads the source for every request; a file is read each time, so that a replaced file takes effect at once.
pub(crate) fn read(field: &'static str, source: &SecretSource) -> Deferred {
    let source = source.clone();
    deferred(move |context| {
        let source = source.clone();
        async move { source.read(field, context.at).await }
    })
}
