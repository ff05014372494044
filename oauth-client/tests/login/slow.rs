//! A store that takes its time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use oauth_client::TokenSet;
use oauth_client::store::{Lease, MemoryStore, Revision, StoreError, StoreKey, Stored, Swap, TokenStore};

#[derive(Clone, Debug, Default)]
pub(crate) struct Slow {
    inner: MemoryStore,
    is_slow: Arc<AtomicBool>,
}

impl Slow {
    /// From here on each write takes two seconds.
    pub(crate) fn slow_down(&self) {
        self.is_slow.store(true, Ordering::SeqCst);
    }
}

impl TokenStore for Slow {
    async fn load(&self, key: &StoreKey) -> Result<Option<Stored>, StoreError> {
        self.inner.load(key).await
    }

    async fn compare_and_swap(
        &self,
        key: &StoreKey,
        expected: Option<Revision>,
        tokens: Option<&TokenSet>,
    ) -> Result<Swap, StoreError> {
        if self.is_slow.load(Ordering::SeqCst) {
            tokio::time::sleep(Duration::from_secs(2)).await;
        }
        self.inner.compare_and_swap(key, expected, tokens).await
    }

    async fn lease(&self, key: &StoreKey, longest: Duration) -> Result<Option<Lease>, StoreError> {
        self.inner.lease(key, longest).await
    }
}
