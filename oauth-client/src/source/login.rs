//! A login is taken over: into the store, and, where it has to be refreshed first, into the ledger.

use super::engine::Engine;
use super::lease::{give_back, renewing};
use super::persist::{Over, Write, persist, tried};
use super::refresh::{Refresh, RefreshOutcome};
use crate::store::Lease;
use crate::token::TokenSet;

impl Refresh<'_> {
    /// Takes over the tokens of a login, which are newer than whatever a store holds. Nothing that a store does can
    /// lose them: they are all there is of the login.
    pub(super) async fn take_over(&self, mut tokens: TokenSet) -> RefreshOutcome {
        let Some(store) = self.engine.settings.store.clone() else {
            return RefreshOutcome { tokens, revision: None, from_store: false };
        };
        // A refresh in progress in another process would write over it.
        let lease = self.take_lease(&*store).await.ok().flatten();
        tokens.fence = lease.as_deref().and_then(Lease::fence);
        let writing = async {
            let stored = tried(|| store.load(&self.engine.settings.key)).await;
            let seen = stored.is_ok();
            let expected = match stored {
                Ok(stored) => stored.map(|stored| {
                    self.engine.ledger(|ledger| ledger.outlive(stored.revision));
                    stored.revision
                }),
                Err(_) => self.held.revision,
            };
            let over = Over::Login { seen };
            let write = Write { tokens: &tokens, expected, over, lease: lease.clone() };
            let place = persist(self.engine, &*store, write).await;
            let is_written = place.revision != expected;
            self.engine.ledger(|ledger| ledger.take_over(seen || is_written));
            place
        };
        let place = renewing(lease.as_deref(), writing).await;
        give_back(self.engine, lease);
        RefreshOutcome { tokens, revision: place.revision, from_store: false }
    }
}

impl Engine {
    /// Goes on with a login that was taken over and has expired: from here on its set is one like any other, also where the
    /// task that refreshes it dies. Returns false when the login is not the one to go on with any more: another one has
    /// come, or another refresh has taken it over.
    pub(super) fn start_over(&self, login: &TokenSet, taken: &RefreshOutcome) -> bool {
        let mut state = self.state();
        if state.login.take_if(|newest| newest == login).is_none() {
            return false;
        }
        let tokens = taken.tokens.clone();
        state.ledger.start_over(taken.revision, |generation| self.usable(tokens, generation));
        true
    }
}
