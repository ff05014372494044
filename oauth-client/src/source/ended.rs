//! What a store says about a login, and when it says that the login is over.
//!
//! A log-out writes the end of the login into the store's entry. All sources of that entry obey it, whatever they have
//! in memory: the server may keep the refresh token alive. An entry that is not there says nothing: a store can lose it.

use super::persist::{remove, reported, store_error, tried, within};
use super::refresh::Refresh;
use crate::error::{Error, Kind};
use crate::grant::Renewal;
use crate::store::{Stored, Swap, dynamic};
use crate::token::{AccessToken, TokenSet, family_of};

impl Refresh<'_> {
    /// The tokens that the store holds. A log-out from before our login is none.
    ///
    /// # Errors
    /// `reauthorization_required` after a log-out of our login; what [`load`](Self::load) has.
    pub(super) async fn look(&mut self, store: &dyn dynamic::TokenStore) -> Result<Option<Stored>, Error> {
        let stored = self.load(store).await?;
        let log_out = stored.as_ref().filter(|stored| stored.tokens.is_ended());
        if self.is_of_a_person() && log_out.is_some_and(|log_out| self.is_ended_by(log_out)) {
            let error = Error::new(Kind::Reauthorization(None));
            self.engine.ledger(|ledger| ledger.end(&error));
            return Err(error);
        }
        if let Some(log_out) = log_out {
            self.engine.ledger(|ledger| ledger.outlive(log_out.revision));
        }
        let found = stored.as_ref().map(|stored| stored.revision);
        if self.engine.ledger(|ledger| ledger.see(found)) {
            self.held.revision = found;
        }
        let not_ours =
            |stored: &&Stored| stored.tokens.is_ended() || self.is_of_another_process(&stored.tokens);
        self.not_ours = stored.as_ref().filter(not_ours).map(|stored| stored.revision);
        Ok(stored.filter(|stored| !stored.tokens.is_ended()))
    }

    /// Whether this log-out was of the login that we have, if we have one, or came after it. Clocks differ and are set, so
    /// they count only for a login of which nothing is known but when it was.
    fn is_ended_by(&self, Stored { tokens: log_out, revision }: &Stored) -> bool {
        if let Some(held) = &self.held.token {
            let has_outlived = || self.engine.ledger(|ledger| ledger.has_outlived(*revision));
            // Then the revision is one of the login before.
            let is_unseen = || self.engine.ledger(|ledger| ledger.is_unseen());
            return match log_out.ends(held.tokens()) {
                Some(ends) => ends,
                None if has_outlived() => false,
                // It was in the entry before the log-out.
                None if self.held.revision.is_some() && !is_unseen() => true,
                None => log_out.ends_by_date(held.tokens()),
            };
        }
        let grant = self.engine.request.grant();
        let (is_spent, is_lost) =
            self.engine.ledger(|ledger| (ledger.initial_is_spent(), ledger.lost().is_some()));
        match grant.refresh_token() {
            Some(initial) => is_spent || log_out.family() == Some(family_of(initial)),
            // A code that is good for one use is of a login that has just happened.
            None => grant.renewal() == Renewal::Login || is_lost,
        }
    }

    /// What the store holds. A store that cannot be read is reported. A person's refresh token may have been rotated by
    /// another process meanwhile, and to send the old one would end the login for both: so the store is tried again,
    /// and then the refresh fails. Other grants go on.
    pub(super) async fn load(&self, store: &dyn dynamic::TokenStore) -> Result<Option<Stored>, Error> {
        let key = &self.engine.settings.key;
        let first = match within(store.load(key)).await {
            Ok(stored) => return Ok(stored),
            Err(error) => store_error(error),
        };
        self.engine.emit_store_failure(&first);
        if !self.is_of_a_person() {
            return Ok(None);
        }
        if !first.is_transient() {
            return Err(first);
        }
        tried(|| store.load(key)).await.map_err(store_error)
    }

    /// Ends the login in the store's entry, where this was found. What a person did not grant, and can be asked for
    /// again, is only removed. Returns what was not written, since another writer came first. A failure has been
    /// reported when it is returned.
    pub(super) async fn end(
        &self,
        store: &dyn dynamic::TokenStore,
        found: Option<&Stored>,
        login: Option<&TokenSet>,
        fence: Option<u64>,
    ) -> Result<Option<TokenSet>, Error> {
        let engine = self.engine;
        // The refresh token of a derived source is its root's.
        if !self.is_of_a_person() || engine.root.is_some() {
            if let Some(found) = found {
                remove(engine, store, found.revision).await?;
            }
            return Ok(None);
        }
        let is_over = |tokens: &TokenSet| found.is_some_and(|found| found.tokens.ends_by_date(tokens));
        let held = self.held.token.as_ref().map(AccessToken::tokens);
        let known = found.map(|found| &found.tokens).filter(|tokens| !tokens.is_ended()).or(login).or(held);
        let family = match known {
            Some(tokens) if is_over(tokens) => return Ok(None),
            Some(tokens) => tokens.family(),
            None => match self.unused_refresh_token() {
                Some(token) => Some(family_of(token)),
                None => return Ok(None),
            },
        };
        let end = TokenSet::end_of(family, engine.client.clock().now().wall, fence);
        let expected = found.map(|found| found.revision);
        let written = within(store.compare_and_swap(&engine.settings.key, expected, Some(&end))).await;
        let swap = written.map_err(|error| reported(engine, error))?;
        Ok((swap == Swap::Conflict).then_some(end))
    }
}
