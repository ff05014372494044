//! The right to refresh an entry, and how long it lasts.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use super::StoreError;

/// The right to refresh an entry. Dropping it gives it back, because that drops the guard inside.
pub struct Lease {
    guard: Box<dyn Renewable>,
    fence: Option<u64>,
}

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

    /// Gives the right back, before it is dropped: for stores whose `Drop` cannot, because that takes a round trip. A
    /// source waits for it in [`settle`](crate::TokenSource::settle), so that a program which ends leaves no lease behind.
    fn give_back(&self) -> impl Future<Output = ()> + Send {
        async {}
    }
}

impl Lease {
    /// A right that lasts until it is dropped: `guard` then gives it back. If it can end by itself, use
    /// [`renewable`](Self::renewable).
    #[must_use]
    pub fn new(guard: impl Send + Sync + 'static) -> Self {
        Self { guard: Box::new(UntilDropped(guard)), fence: None }
    }

    /// A right that ends by itself unless it is renewed.
    #[must_use]
    pub fn renewable(guard: impl LeaseGuard) -> Self {
        Self { guard: Box::new(guard), fence: None }
    }

    /// The same with a fencing number, greater than that of every lease on this entry before. The set that is obtained
    /// under the lease carries it ([`TokenSet::fence`](crate::TokenSet::fence)), so that a holder who was paused beyond
    /// its lease cannot write over what its successor wrote.
    #[must_use]
    pub fn fenced(self, number: u64) -> Self {
        Self { fence: Some(number), ..self }
    }

    /// Its fencing number, where the store gives out any.
    #[must_use]
    pub fn fence(&self) -> Option<u64> {
        self.fence
    }

    /// Makes it last this long from now; `false` when another holder has taken it meanwhile.
    ///
    /// # Errors
    /// When the store cannot decide.
    pub async fn renew(&self, longest: Duration) -> Result<bool, StoreError> {
        self.guard.renew_boxed(longest).await
    }

    /// Gives it back.
    pub async fn give_back(self) {
        self.guard.give_back_boxed().await;
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease").field("fence", &self.fence).finish_non_exhaustive()
    }
}

/// The guard as an object.
trait Renewable: Send + Sync {
    fn renew_boxed(
        &self,
        longest: Duration,
    ) -> Pin<Box<dyn Future<Output = Result<bool, StoreError>> + Send + '_>>;
    fn give_back_boxed(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;
}

impl<G: LeaseGuard> Renewable for G {
    fn renew_boxed(
        &self,
        longest: Duration,
    ) -> Pin<Box<dyn Future<Output = Result<bool, StoreError>> + Send + '_>> {
        Box::pin(self.renew(longest))
    }

    fn give_back_boxed(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(self.give_back())
    }
}

/// It is there to be dropped.
struct UntilDropped<T>(T);

impl<T: Send + Sync + 'static> LeaseGuard for UntilDropped<T> {
    async fn renew(&self, _: Duration) -> Result<bool, StoreError> {
        Ok(true)
    }
}
