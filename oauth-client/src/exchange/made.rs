//! Values that are made when they are sent.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use crate::error::BoxError;
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
}

impl Sending {
    pub(crate) fn new(audience: &str, now: Duration) -> Self {
        Self { audience: audience.to_owned(), now }
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

/// Reads a file for every request, so that whoever replaces it is heeded at once. Line ends behind the text are taken
/// off, as container platforms mount it.
pub(crate) fn file(path: impl Into<String>) -> Maker {
    let path: Arc<str> = Arc::from(path.into());
    maker(move |_| {
        let path = Arc::clone(&path);
        async move {
            let read = {
                let path = Arc::clone(&path);
                tokio::task::spawn_blocking(move || std::fs::read_to_string(&*path)).await
            };
            match read {
                Ok(Ok(text)) => Ok(Secret::new(text.trim_end_matches(['\r', '\n']).to_owned())),
                Ok(Err(error)) => {
                    Err(format!("{path} cannot be read ({}); check path and permissions", error.kind()))
                }
                Err(_) => Err(format!("{path} could not be read: the runtime is shutting down")),
            }
        }
    })
}
