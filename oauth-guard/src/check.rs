//! The result of checking one request's token: available at once, or after a fetch.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use crate::claims::{Claims, Untyped};
use crate::possession::Scheme;
use crate::reject::Rejection;
use crate::snapshot::Snapshot;

/// The result of [`Guard::check`](crate::Guard::check).
#[derive(Debug)]
pub enum Check<T = Untyped> {
    /// The result is available. `Ok(None)`: the request has no bearer token.
    Ready(Result<Option<Claims<T>>, Rejection>),
    /// Keys or the issuer have to be fetched first.
    Pending(CheckFuture<T>),
}

impl<T> Check<T> {
    /// Waits for the fetch, if there is one, and returns the result.
    ///
    /// # Errors
    /// The rejection, for [`Rejection::code`] and the response.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use oauth_guard::{Guard, Issuer};
    ///
    /// let guard = Guard::builder().issuer(Issuer::new("https://auth.example.com").audience("orders-api")).build()?;
    /// let request = http::Request::get("/orders").body(())?;
    /// assert!(guard.check(&request).resolve().await?.is_none()); // no token
    /// # Ok(()) }
    /// ```
    pub async fn resolve(self) -> Result<Option<Claims<T>>, Rejection> {
        match self {
            Self::Ready(outcome) => outcome,
            Self::Pending(future) => future.await,
        }
    }
}

type Outcome<T> = Result<Option<Claims<T>>, Rejection>;

/// A check that waits for a fetch. It owns everything it needs; dropping it does not cancel the fetch.
pub struct CheckFuture<T = Untyped> {
    outcome: Pin<Box<dyn Future<Output = Outcome<T>> + Send>>,
    /// Where nothing can prove the possession of a key: whose token may not be bound to any, and how it was presented.
    unbound: Option<(Arc<Snapshot<T>>, Scheme)>,
}

impl<T> CheckFuture<T> {
    pub(crate) fn new(future: impl Future<Output = Outcome<T>> + Send + 'static) -> Self {
        Self { outcome: Box::pin(future), unbound: None }
    }

    /// The same, of a token that may not be bound to a key.
    pub(crate) fn unbound(self, snapshot: &Arc<Snapshot<T>>, scheme: Scheme) -> Self {
        Self { unbound: Some((Arc::clone(snapshot), scheme)), ..self }
    }
}

impl<T> Future for CheckFuture<T> {
    type Output = Outcome<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let outcome = ready!(self.outcome.as_mut().poll(context));
        Poll::Ready(match (outcome, &self.unbound) {
            (Ok(Some(claims)), Some((snapshot, scheme))) => snapshot.unbound(claims, *scheme).map(Some),
            (outcome, _) => outcome,
        })
    }
}

impl<T> fmt::Debug for CheckFuture<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CheckFuture")
    }
}
