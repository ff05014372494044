//! The store that lives as long as the process.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::{Lease, Revision, StoreError, StoreKey, Stored, Swap, TokenStore};
use crate::token::TokenSet;

/// A store in memory. Clones share their entries, so several sources can share one token.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore(Arc<Mutex<Entries>>);

#[derive(Debug, Default)]
struct Entries {
    entries: HashMap<StoreKey, Stored>,
    lent: HashSet<StoreKey>,
    revisions: u64,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        // A panic elsewhere leaves whole entries behind: each change is one insert or remove.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TokenStore for MemoryStore {
    async fn load(&self, key: &StoreKey) -> Result<Option<Stored>, StoreError> {
        Ok(self.entries().entries.get(key).cloned())
    }

    async fn compare_and_swap(
        &self,
        key: &StoreKey,
        expected: Option<Revision>,
        tokens: Option<&TokenSet>,
    ) -> Result<Swap, StoreError> {
        let mut entries = self.entries();
        if entries.entries.get(key).map(|stored| stored.revision) != expected {
            return Ok(Swap::Conflict);
        }
        entries.revisions += 1;
        let revision = Revision(entries.revisions);
        match tokens {
            Some(tokens) => entries.entries.insert(key.clone(), Stored { tokens: tokens.clone(), revision }),
            None => entries.entries.remove(key),
        };
        Ok(Swap::Done(revision))
    }

    async fn lease(&self, key: &StoreKey, _: Duration) -> Result<Option<Lease>, StoreError> {
        let free = self.entries().lent.insert(key.clone());
        // Its holder is in this process: it is given back on drop at the latest, so it needs no deadline.
        Ok(free.then(|| Lease::new(Lent { store: self.clone(), key: key.clone() })))
    }
}

struct Lent {
    store: MemoryStore,
    key: StoreKey,
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.store.entries().lent.remove(&self.key);
    }
}
