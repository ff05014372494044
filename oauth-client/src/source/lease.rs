//! The lease of a refresh: taken before anything is asked, renewed while a request is pending, looked at again before
//! each request goes out.

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use super::engine::Engine;
use super::persist::{STORE_TIMEOUT, store_error, tried, within};
use super::refresh::Refresh;
use crate::error::Error;
use crate::retry::{between_attempts, jittered};
use crate::store::{Lease, StoreError, dynamic};

/// A lease ends so long after it was last renewed: what a holder that died costs the others.
pub(super) const LEASE: Duration = Duration::from_secs(15);
/// How often it is renewed: two renewals may fail without harm.
const RENEWAL: Duration = Duration::from_secs(5);
/// How soon after one that failed.
const RENEWAL_AGAIN: Duration = Duration::from_secs(1);

/// How often a lease that another process holds is tried for: most refreshes take less than half a second.
const LEASE_POLL: Duration = Duration::from_millis(50);
/// After so many times, less often: a fleet that waits must not keep the store busy.
const QUICK_POLLS: u32 = 10;
const SLOW_LEASE_POLL: Duration = Duration::from_millis(250);

/// How long a lease that another process holds is waited for: longer than a dead holder has it.
pub(super) fn lease_wait(engine: &Engine) -> Duration {
    engine.client.timeout().saturating_add(4 * STORE_TIMEOUT).max(LEASE + Duration::from_secs(5))
}

/// Does this work while the lease is renewed.
pub(super) async fn renewing<T>(lease: Option<&Lease>, work: impl Future<Output = T>) -> T {
    let Some(lease) = lease else { return work.await };
    tokio::select! {
        biased;
        done = work => done,
        never = renew_for_ever(lease) => match never {},
    }
}

/// Gives a lease back, unless a write in the background still needs it. Where that takes a round trip, no caller waits for
/// it but a program that ends.
pub(super) fn give_back(engine: &Engine, lease: Option<Arc<Lease>>) {
    let Some(lease) = lease.and_then(Arc::into_inner) else { return };
    let mut giving = Box::pin(async move {
        let _ = tokio::time::timeout(STORE_TIMEOUT, lease.give_back()).await;
    });
    if giving.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending() {
        let underway = engine.writes.begin();
        tokio::spawn(async move {
            giving.await;
            drop(underway);
        });
    }
}

async fn renew_for_ever(lease: &Lease) -> Infallible {
    loop {
        tokio::time::sleep(RENEWAL).await;
        // One that was lost is noticed where it counts: before a request is sent.
        while within(lease.renew(LEASE)).await.is_err() {
            tokio::time::sleep(RENEWAL_AGAIN).await;
        }
    }
}

impl Refresh<'_> {
    /// The right to refresh. A user's refresh token is never sent without it: where it is not to be obtained, that is a
    /// transient error. Other grants go on with a warning, since nothing is lost if two ask at once.
    pub(super) async fn take_lease(
        &self,
        store: &dyn dynamic::TokenStore,
    ) -> Result<Option<Arc<Lease>>, Error> {
        // A write that goes on in the background has kept it.
        if let Some(kept) = self.engine.kept_lease()
            && matches!(within(kept.renew(LEASE)).await, Ok(true))
        {
            return Ok(Some(kept));
        }
        let wait = lease_wait(self.engine);
        let error = match tokio::time::timeout(wait, self.poll_for_lease(store)).await {
            Ok(Ok(lease)) => return Ok(Some(Arc::new(lease))),
            Ok(Err(error)) => error,
            Err(_) => StoreError::new(format!(
                "its lease on this entry is held by another process for longer than {wait:?}; if this goes on, find \
                 out which process hangs and end it"
            )),
        };
        let error = store_error(error);
        self.engine.emit_store_failure(&error);
        if self.is_of_a_person() { Err(error) } else { Ok(None) }
    }

    async fn poll_for_lease(&self, store: &dyn dynamic::TokenStore) -> Result<Lease, StoreError> {
        let now = || self.engine.client.clock().now().monotonic;
        let (mut failures, mut failing_since, mut polls) = (0, None, 0_u32);
        loop {
            match within(store.lease(&self.engine.settings.key, LEASE)).await {
                Ok(Some(lease)) => return Ok(lease),
                Ok(None) => {
                    (failures, failing_since) = (0, None);
                    polls = polls.saturating_add(1);
                    let wait = if polls <= QUICK_POLLS { LEASE_POLL } else { SLOW_LEASE_POLL };
                    tokio::time::sleep(jittered(wait)).await;
                }
                Err(error) => {
                    let since = *failing_since.get_or_insert_with(now);
                    if error.is_permanent()
                        || !self.is_of_a_person()
                        || now().saturating_sub(since) >= STORE_TIMEOUT
                    {
                        return Err(error);
                    }
                    tokio::time::sleep(between_attempts(failures)).await;
                    failures += 1;
                }
            }
        }
    }

    /// Whether a request may go out: a user's refresh token only while the lease is ours for certain. The process may
    /// have been suspended since it was taken.
    pub(super) async fn check_lease(&self) -> Result<(), Error> {
        let Some(lease) = self.lease.as_deref().filter(|_| self.is_of_a_person()) else { return Ok(()) };
        match tried(|| lease.renew(LEASE)).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(store_error(StoreError::new(
                "its lease on this entry has passed to another process, so nothing was sent; try again",
            ))),
            Err(error) => Err(store_error(error)),
        }
    }
}
