//! The sources that share one login, and what the end of that login takes from them.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use super::engine::Engine;
use super::persist::{MAX_CONFLICTS, conflicts, reported, within};
use super::refresh::Refresh;
use crate::error::Error;
use crate::store::{StoreError, StoreKey, Stored, Swap, dynamic};
use crate::token::{AccessToken, TokenSet, family_of};

/// What a root knows about the sources that are derived from it.
#[derive(Default)]
pub(super) struct Family {
    /// Counts the logins: what was derived from an earlier one is not handed out any more.
    logins: AtomicU64,
    derived: Mutex<Vec<(StoreKey, Weak<Engine>)>>,
    /// The entries that derived sources of this process have in the store, also those whose last handle is gone: a
    /// log-out removes them.
    entries: Mutex<BTreeSet<StoreKey>>,
    /// What the server has said when it asked for time, and until when, on the monotonic clock. It counts for all who
    /// would send the refresh token, whichever of them it has told.
    asked_for_time: Mutex<Option<(Error, Duration)>>,
}

impl Family {
    /// How many logins there have been.
    pub(super) fn logins(&self) -> u64 {
        self.logins.load(Ordering::Acquire)
    }

    /// The server's request for time, while that lasts.
    pub(super) fn held_back(&self, now: Duration) -> Option<Error> {
        let asked = self.asked_for_time.lock().unwrap_or_else(PoisonError::into_inner);
        let (error, until) = asked.as_ref()?;
        let left = until.checked_sub(now).filter(|left| !left.is_zero())?;
        Some(error.clone().with_retry_after(Some(left)))
    }

    /// Notes what the server has said to a request of the login with this number, if it has asked for time.
    pub(super) fn note(&self, error: &Error, logins: u64, now: Duration) {
        if let Some(wait) = error.retry_after().filter(|wait| error.is_transient() && !wait.is_zero()) {
            let mut asked = self.asked_for_time.lock().unwrap_or_else(PoisonError::into_inner);
            // Under the lock: a login that comes now takes it away again.
            if self.logins() == logins {
                *asked = Some((error.clone(), now.saturating_add(wait)));
            }
        }
    }

    /// The derived source with this key, made unless there is one.
    pub(super) fn member(&self, key: &StoreKey, make: impl FnOnce() -> Arc<Engine>) -> Arc<Engine> {
        let mut derived = self.derived.lock().unwrap_or_else(PoisonError::into_inner);
        derived.retain(|(_, engine)| engine.strong_count() > 0);
        let known = derived.iter().find(|(known, _)| known == key);
        if let Some(engine) = known.and_then(|(_, engine)| engine.upgrade()) {
            return engine;
        }
        let engine = make();
        derived.push((key.clone(), Arc::downgrade(&engine)));
        engine
    }

    /// Notes that a derived source has this entry in the store.
    pub(super) fn note_entry(&self, key: &StoreKey) {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).insert(key.clone());
    }

    fn forget_entry(&self, key: &StoreKey) {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }

    /// Another login, or none any more: all derived sources drop their tokens, and what the server has said about the
    /// refresh token before is over.
    pub(super) fn end(&self) {
        self.logins.fetch_add(1, Ordering::AcqRel);
        *self.asked_for_time.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.sharing().iter().for_each(|engine| engine.drop_tokens());
    }

    /// The derived sources that use the root's refresh token.
    fn sharing(&self) -> Vec<Arc<Engine>> {
        let derived = self.derived.lock().unwrap_or_else(PoisonError::into_inner);
        let engines = derived.iter().filter_map(|(_, engine)| engine.upgrade());
        engines.filter(|one| one.root.is_some()).collect()
    }

    /// The keys under which the store may have tokens of derived sources.
    fn keys(&self) -> BTreeSet<StoreKey> {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner).clone();
        entries.into_iter().chain(self.sharing().iter().map(|engine| engine.settings.key.clone())).collect()
    }

    /// The tokens that derived sources have in memory.
    pub(super) fn tokens(&self) -> Vec<TokenSet> {
        let held = |engine: &Arc<Engine>| {
            engine.ledger(|ledger| ledger.held.token.as_ref().map(|token| token.tokens().clone()))
        };
        self.sharing().iter().filter_map(held).collect()
    }
}

/// The logins that a log-out ends, by what their sets share.
pub(super) struct Ending(Vec<String>);

impl Ending {
    fn includes(&self, tokens: &TokenSet) -> bool {
        tokens.family().is_some_and(|family| self.0.contains(&family))
    }
}

/// The part of a log-out that is about derived sources. It is done under the root's lease, and in the root's slot, so
/// that none of them gets another token meanwhile.
impl Refresh<'_> {
    /// The logins that end: those of these sets, and the one that is held.
    pub(super) fn ending<'a>(&'a self, sets: impl Iterator<Item = &'a TokenSet>) -> Ending {
        let held = self.held.token.as_ref().map(AccessToken::tokens);
        let given = self.unused_refresh_token().map(family_of);
        Ending(sets.chain(held).filter_map(TokenSet::family).chain(given).collect())
    }

    /// The tokens that were derived from them: in memory, and in the store.
    pub(super) async fn derived_tokens(
        &self,
        store: &dyn dynamic::TokenStore,
        ending: &Ending,
    ) -> Result<Vec<TokenSet>, Error> {
        let mut tokens = self.engine.family.tokens();
        for key in self.engine.family.keys() {
            tokens.extend(self.derived_entry(store, &key).await?.map(|stored| stored.tokens));
        }
        tokens.retain(|tokens| ending.includes(tokens));
        Ok(tokens)
    }

    /// Removes them from the store.
    pub(super) async fn remove_derived(
        &self,
        store: &dyn dynamic::TokenStore,
        ending: &Ending,
    ) -> Result<(), Error> {
        let family = &self.engine.family;
        for engine in family.sharing() {
            // A write in the background finds its token gone, and ends.
            engine.drop_tokens();
            if !engine.writes.settle().await {
                let what = "it does not end a write of a derived token; log out again";
                return Err(reported(self.engine, StoreError::new(what)));
            }
        }
        for key in family.keys() {
            self.remove_entry(store, &key, ending).await?;
            family.forget_entry(&key);
        }
        Ok(())
    }

    async fn remove_entry(
        &self,
        store: &dyn dynamic::TokenStore,
        key: &StoreKey,
        ending: &Ending,
    ) -> Result<(), Error> {
        for _ in 0..MAX_CONFLICTS {
            let found = self.derived_entry(store, key).await?;
            // What another login has there stays.
            let Some(found) = found.filter(|found| ending.includes(&found.tokens)) else { return Ok(()) };
            let removed = within(store.compare_and_swap(key, Some(found.revision), None)).await;
            if let Swap::Done(_) = removed.map_err(|error| reported(self.engine, error))? {
                return Ok(());
            }
        }
        Err(reported(self.engine, conflicts()))
    }

    async fn derived_entry(
        &self,
        store: &dyn dynamic::TokenStore,
        key: &StoreKey,
    ) -> Result<Option<Stored>, Error> {
        within(store.load(key)).await.map_err(|error| reported(self.engine, error))
    }
}
