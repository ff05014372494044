//! What a source knows about its tokens: the one it holds, and what became of its refresh tokens.
//!
//! There is one ledger for each source. A refresh writes what it learns into it at once, so that nothing is lost if its
//! task dies: a refresh token that was used or refused must not be sent again.

use crate::error::Error;
use crate::store::Revision;
use crate::token::{AccessToken, Secret, TokenSet};

/// How many spent refresh tokens are remembered.
const MAX_SPENT: usize = 16;

#[derive(Default)]
pub(super) struct Ledger {
    pub(super) held: Held,
    /// How many access tokens the source has obtained.
    generations: u64,
    /// The refresh tokens that the server has refused since it last issued one: sending one again looks like theft.
    refused: Vec<Secret>,
    /// The last refresh tokens that others have taken the place of. A store that has fallen back to an older set, after a
    /// failover or from a backup, still holds one.
    spent: Vec<Secret>,
    /// Whether the refresh token that the grant starts from has been used: from then on the one to use is that of
    /// `held`, or the one that the server issued in its place.
    initial_is_spent: bool,
    /// Why the grant was lost. Only a newer entry in the store, or a login, helps then.
    lost: Option<Error>,
    /// The log-out in the store's entry that was from before our login.
    outlived: Option<Revision>,
    /// What the sets of the last login share.
    family: Option<String>,
    /// Whether a login was taken over while the store could not be read. What is found there first is from before it.
    is_unseen: bool,
}

/// The token a refresh starts from.
#[derive(Clone, Default)]
pub(super) struct Held {
    /// The last token, even if it has expired or was rejected: its refresh token is still good.
    pub(super) token: Option<AccessToken>,
    /// Whether an API rejected it, so that finding it in the store is no news.
    pub(super) rejected: bool,
    /// The store's revision that it was written under or read from.
    pub(super) revision: Option<Revision>,
    /// Whether it was read from the store, and not obtained by this source.
    pub(super) from_store: bool,
}

impl Held {
    /// The token, unless an API rejected it.
    pub(super) fn usable(&self) -> Option<&AccessToken> {
        self.token.as_ref().filter(|_| !self.rejected)
    }
}

impl Ledger {
    /// The first of these refresh tokens that may be sent. `initial` is the one that the grant starts from.
    pub(super) fn sendable<'a>(
        &self,
        held: Option<&'a Secret>,
        initial: Option<&'a Secret>,
    ) -> Option<&'a Secret> {
        let initial = initial.filter(|_| !self.initial_is_spent);
        held.into_iter().chain(initial).find(|token| !self.refused.contains(token))
    }

    /// Whether the refresh token that the grant starts from has been used.
    pub(super) fn initial_is_spent(&self) -> bool {
        self.initial_is_spent
    }

    pub(super) fn spend_initial(&mut self) {
        self.initial_is_spent = true;
    }

    /// Records that the server refused a refresh token.
    pub(super) fn refuse(&mut self, token: &Secret) {
        if !self.refused.contains(token) {
            self.refused.push(token.clone());
        }
    }

    /// Whether another refresh token has taken the place of that of this set.
    pub(super) fn is_spent(&self, tokens: &TokenSet) -> bool {
        tokens.refresh_token().is_some_and(|token| self.spent.contains(token))
    }

    /// Puts a token in the place of the one held, and remembers the refresh token that was replaced.
    fn hold(&mut self, token: AccessToken) {
        let new = token.tokens().refresh_token();
        let old = self.held.token.as_ref().and_then(|held| held.tokens().refresh_token());
        if let Some(new) = new {
            self.spent.retain(|spent| spent != new);
            if let Some(old) = old.filter(|old| *old != new) {
                if self.spent.len() >= MAX_SPENT {
                    self.spent.remove(0);
                }
                self.spent.push(old.clone());
            }
        }
        self.held.token = Some(token);
    }

    /// Why the grant is lost, if it is.
    pub(super) fn lost(&self) -> Option<Error> {
        self.lost.clone()
    }

    /// Records that a log-out elsewhere has ended the login: nothing of it is sent again.
    pub(super) fn end(&mut self, error: &Error) {
        let held = self.held.token.as_ref().and_then(|token| token.tokens().refresh_token());
        if let Some(held) = held.cloned() {
            self.refuse(&held);
        }
        self.spend_initial();
        self.lose(error);
    }

    /// Records that the log-out under this revision is from before our login.
    pub(super) fn outlive(&mut self, log_out: Revision) {
        self.outlived = Some(log_out);
    }

    pub(super) fn has_outlived(&self, log_out: Revision) -> bool {
        self.outlived == Some(log_out)
    }

    /// Records that the grant is lost, so that it is not requested again.
    pub(super) fn lose(&mut self, error: &Error) {
        self.lost = Some(error.clone());
    }

    /// Whether the token held is of another login than the one before, since this was last asked.
    pub(super) fn has_changed_hands(&mut self) -> bool {
        let family = self.held.token.as_ref().and_then(|token| token.tokens().family());
        let before = std::mem::replace(&mut self.family, family);
        before.is_some() && before != self.family
    }

    /// Takes over a new access token, made for its generation.
    pub(super) fn renew(
        &mut self,
        access_token: &Secret,
        (revision, from_store): (Option<Revision>, bool),
        make: impl FnOnce(u64) -> Result<AccessToken, Error>,
    ) -> Result<AccessToken, Error> {
        let generation =
            if self.has_access_token(access_token) { self.generations } else { self.generations + 1 };
        let token = make(generation)?;
        self.generations = generation;
        self.hold(token.clone());
        (self.held.rejected, self.held.revision, self.held.from_store) = (false, revision, from_store);
        (self.refused, self.lost) = (Vec::new(), None);
        Ok(token)
    }

    /// Puts an expired login in the place of the last token: its refresh token is the one to try.
    pub(super) fn start_over(
        &mut self,
        revision: Option<Revision>,
        make: impl FnOnce(u64) -> Result<AccessToken, Error>,
    ) {
        if let Ok(token) = make(self.generations + 1) {
            self.generations += 1;
            // It is of this source's own login, which is no news when its first refresh succeeds.
            self.family = token.tokens().family();
            self.hold(token);
            (self.held.rejected, self.held.revision, self.held.from_store) = (false, revision, false);
            self.initial_is_spent = true;
        }
    }

    /// Records that a login was taken over, and whether it is known what the store has.
    pub(super) fn take_over(&mut self, is_seen: bool) {
        self.is_unseen = !is_seen;
    }

    pub(super) fn is_unseen(&self) -> bool {
        self.is_unseen
    }

    /// Records that the store was read. Returns whether what was found is from before our login, and no news.
    pub(super) fn see(&mut self, found: Option<Revision>) -> bool {
        let is_first = std::mem::take(&mut self.is_unseen) && found.is_some();
        if is_first {
            self.held.revision = found;
        }
        is_first
    }

    /// Replaces the refresh token, while the access token stays the same.
    pub(super) fn rotate(&mut self, make: impl FnOnce(u64) -> Result<AccessToken, Error>) {
        let generation = self.held.token.as_ref().map_or(self.generations, AccessToken::generation);
        if let Ok(token) = make(generation) {
            self.hold(token);
        }
    }

    /// Records that this set is in the store by now, unless another has taken its place.
    pub(super) fn persisted(&mut self, tokens: &TokenSet, revision: Revision) {
        if self.holds(tokens) {
            (self.held.revision, self.is_unseen) = (Some(revision), false);
        }
    }

    /// Forgets all tokens; `lost` says why no more can be obtained, if so.
    pub(super) fn forget(&mut self, lost: Option<Error>) {
        let generations = self.generations;
        *self = Self { generations, initial_is_spent: true, lost, ..Self::default() };
    }

    /// Whether this is still the set held. The access token alone does not tell: the refresh token beside it may have
    /// rotated since.
    pub(super) fn holds(&self, tokens: &TokenSet) -> bool {
        let held = self.held.token.as_ref().map(AccessToken::tokens);
        self.has_access_token(tokens.access_token())
            && held.is_some_and(|held| held.refresh_token() == tokens.refresh_token())
    }

    /// Whether this is still the access token held, whatever its refresh token.
    pub(super) fn has_access_token(&self, token: &Secret) -> bool {
        self.held.token.as_ref().is_some_and(|held| held.secret() == token)
    }
}
