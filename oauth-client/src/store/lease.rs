//! The right to refresh an entry, and how long it lasts.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use super::StoreError;

/// The right to refresh an entry. It is given back when dropped, by dropping what is inside.
pub struct Lease(Box<dyn Renewable>);

/// What is inside a lease that ends by itself unless it is renewed.
///
/// ```
/// use std::time::Duration;
///
/// use oauth_client::store::{Lease, LeaseGuard, StoreError};
///
/// struct Row; // gives the right back in its `Drop`
///
/// impl LeaseGuard for Row {
///     async fn renew(&self, _longest: Duration) -> Result<bool, StoreError> {
///         // UPDATE leases SET until = now() + $longest WHERE key = $key AND holder = $me: was there such a row?
///         Ok(true)
///     }
/// }
///
/// let lease = Lease::renewable(Row);
/// # drop(lease);
/// ```
pub trait LeaseGuard: Send + Sync + 'static {
    /// Makes the lease last this long from now; `false` when another holder has taken it meanwhile. A lease whose time
    /// is over and that no other holder has taken can be renewed.
    ///
    /// # Errors
    /// When the store cannot decide. It is then asked again.
    fn renew(&self, longest: Duration) -> impl Future<Output = Result<bool, StoreError>> + Send;
}

impl Lease {
    /// A right that lasts until it is dropped: `guard` gives it back then. Where it can end by itself, use
    /// [`renewable`](Self::renewable).
    #[must_use]
    pub fn new(guard: impl Send + Sync + 'static) -> Self {
        Self(Box::new(UntilDropped(guard)))
    }

    /// A right that ends by itself unless it is renewed.
    #[must_use]
    pub fn renewable(guard: impl LeaseGuard) -> Self {
        Self(Box::new(guard))
    }

    /// Makes it last this long from now; `false` when another holder has taken it meanwhile.
    ///
    /// # Errors
    /// When the store cannot decide.
    pub async fn renew(&self, longest: Duration) -> Result<bool, StoreError> {
        self.0.renew_boxed(longest).await
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Lease").field(&std::ptr::from_ref(&*self.0).cast::<()>()).finish()
    }
}

/// The guard as an object.
trait Renewable: Send + Sync {
    fn renew_boxed(
        &self,
        longest: Duration,
    ) -> Pin<Box<dyn Future<Output = Result<bool, StoreError>> + Send + '_>>;
}

impl<G: LeaseGuard> Renewable for G {
    fn renew_boxed(
        &self,
        longest: Duration,
    ) -> Pin<Box<dyn Future<Output = Result<bool, StoreError>> + Send + '_>> {
        Box::pin(self.renew(longest))
    }
}

/// It is there to be dropped.
struct UntilDropped<T>(T);

impl<T: Send + Sync + 'static> LeaseGuard for UntilDropped<T> {
    async fn renew(&self, _: Duration) -> Result<bool, StoreError> {
        Ok(true)
    }
}
