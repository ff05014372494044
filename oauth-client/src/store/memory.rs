//! The store that lives as long as the process.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::{KEPT_LOG_OUT, Lease, LeaseGuard, Revision, StoreError, StoreKey, Stored, Swap, TokenStore};
use crate::token::TokenSet;

/// A store in memory. Clones share their entries, so several sources can share one token.
///
/// A [log-out](crate::store#log-outs) stays for 180 days, or until the next login of that entry: some hundred bytes for
/// each user who has logged out and not in again since. One that is too old goes with the next log-out.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore(Arc<Mutex<Entries>>);

#[derive(Debug, Default)]
struct Entries {
    entries: HashMap<StoreKey, Stored>,
    lent: HashMap<StoreKey, Loan>,
    loans: u64,
    revisions: u64,
    /// The entries that are log-outs, by their revisions and so oldest first, and since when they are there.
    log_outs: BTreeMap<u64, (StoreKey, Instant)>,
}

#[derive(Debug)]
struct Loan {
    /// Distinguishes it from the entry's earlier ones.
    id: u64,
    /// Its holder is in this process and gives it back on drop, unless its runtime is no longer driven.
    until: Instant,
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

impl Entries {
    /// Notes that this revision is a log-out, and forgets those that no process can still have to learn of.
    fn note_log_out(&mut self, key: &StoreKey, revision: Revision) {
        let now = Instant::now();
        let is_old = |at: Instant| now.saturating_duration_since(at) >= KEPT_LOG_OUT;
        while let Some(oldest) = self.log_outs.first_entry().filter(|oldest| is_old(oldest.get().1)) {
            self.entries.remove(&oldest.remove().0);
        }
        self.log_outs.insert(revision.0, (key.clone(), now));
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
        // What is written over is no log-out any more.
        expected.and_then(|before| entries.log_outs.remove(&before.0));
        entries.revisions += 1;
        let revision = Revision(entries.revisions);
        if tokens.is_some_and(TokenSet::is_ended) {
            entries.note_log_out(key, revision);
        }
        match tokens {
            Some(tokens) => entries.entries.insert(key.clone(), Stored { tokens: tokens.clone(), revision }),
            None => entries.entries.remove(key),
        };
        Ok(Swap::Done(revision))
    }

    async fn lease(&self, key: &StoreKey, longest: Duration) -> Result<Option<Lease>, StoreError> {
        let mut entries = self.entries();
        let now = Instant::now();
        if entries.lent.get(key).is_some_and(|loan| loan.until > now) {
            return Ok(None);
        }
        entries.loans += 1;
        let id = entries.loans;
        entries.lent.insert(key.clone(), Loan { id, until: later(now, longest) });
        Ok(Some(Lease::renewable(Lent { store: self.clone(), key: key.clone(), id })))
    }
}

fn later(now: Instant, by: Duration) -> Instant {
    now.checked_add(by).unwrap_or(now)
}

struct Lent {
    store: MemoryStore,
    key: StoreKey,
    id: u64,
}

impl LeaseGuard for Lent {
    async fn renew(&self, longest: Duration) -> Result<bool, StoreError> {
        let mut entries = self.store.entries();
        let ours = entries.lent.get_mut(&self.key).filter(|loan| loan.id == self.id);
        Ok(ours.map(|loan| loan.until = later(Instant::now(), longest)).is_some())
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let mut entries = self.store.entries();
        if entries.lent.get(&self.key).is_some_and(|loan| loan.id == self.id) {
            entries.lent.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grant;

    #[tokio::test(start_paused = true)]
    async fn a_user_who_logs_in_and_out_again_and_again_costs_one_note() {
        let (store, key) =
            (MemoryStore::new(), StoreKey::new("https://a", "svc", &grant::refresh_token("r")));
        let log_out = || Some(TokenSet::end_of(None, Duration::from_secs(1), None));
        let mut last = None;
        for tokens in [log_out(), Some(TokenSet::new("login")), log_out(), log_out(), None] {
            let Swap::Done(revision) = store.compare_and_swap(&key, last, tokens.as_ref()).await.unwrap()
            else {
                unreachable!("it is the only writer")
            };
            last = tokens.as_ref().map(|_| revision);
            let ended = usize::from(tokens.is_some_and(|tokens| tokens.is_ended()));
            assert_eq!(store.entries().log_outs.len(), ended);
        }
    }
}
