//! One login, many audiences: sources that share the refresh token of another one.
//!
//! The refresh token stays where it is, in the ledger and the store's entry of the source that has it (the *root*). A
//! derived source has only access tokens. To get one, it takes the root's slot for the single refresh, and the root's
//! lease, so that no two requests with that refresh token meet, in this process or in another; and the refresh token
//! that comes back is in the root's entry before the access token is handed out.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::watch;

use super::engine::{Engine, Progress, RefreshSlot, Settings};
use super::lease::{give_back, renewing};
use super::ledger::Held;
use super::persist::{Over, Write, persist};
use super::refresh::{Refresh, RefreshOutcome};
use crate::error::{Error, Kind};
use crate::grant::TokenRequest;
use crate::store::{StoreKey, Stored, dynamic};
use crate::token::{AccessToken, Secret, TokenSet, family_of};

/// How often a token is asked for again because another login came while the request was under way.
const MAX_LOGINS: u32 = 5;

impl Engine {
    /// Warns that the tokens are those of a login that another source was given. A store that [is for one
    /// user](crate::store::TokenStore::is_for_one_user) may have several all the same, and nothing else tells. Never called
    /// with the state locked: a layer of the log may call back.
    pub(super) fn warn_of_another_login(&self) {
        if !self.request.names_its_user() {
            tracing::warn!(
                target: "oauth_client",
                "the store's entry has another login by now, which this source goes on with; if it is another user's, \
                 give each user's source its own subject (TokenRequest::subject)"
            );
        }
    }

    /// The source of another part of what was granted; the same one for the same part.
    pub(super) fn derive(self: &Arc<Self>, change: impl FnOnce(TokenRequest) -> TokenRequest) -> Arc<Self> {
        let root = self.root.as_ref().unwrap_or(self);
        let shares = root.request.grant().renewal().needs_a_person();
        let request = change(self.request.clone());
        let request = if shares { request.sharing(root.settings.key.as_str()) } else { request };
        let key = StoreKey::new(root.client.server_id(), root.client.auth().client_id(), &request);
        root.family.member(&key, || {
            let settings = Settings {
                key: key.clone(),
                margin: root.settings.margin,
                default_lifetime: root.settings.default_lifetime,
                store: root.settings.store.clone(),
                hook: root.settings.hook.clone(),
            };
            let mut engine = Self::new(root.client.clone(), request, settings, None);
            // A grant that can be asked for again is asked for again, and no refresh token is shared.
            engine.root = shares.then(|| Arc::clone(root));
            Arc::new(engine)
        })
    }

    /// Notes what was derived before the root's slot is free: the log-out that takes it next has to know all tokens. A login
    /// that has come meanwhile makes it worthless, and one that comes now finds it here and drops it.
    fn note_derived(&self, derived: &RefreshOutcome, root: &Self, logins: u64) {
        let RefreshOutcome { tokens, revision, from_store } = derived;
        self.ledger(|ledger| {
            if root.family.logins() == logins {
                let make = |generation| self.usable(tokens.clone(), generation);
                // One that no header can carry fails when the refresh is finished.
                let _ = ledger.renew(tokens.access_token(), (*revision, *from_store), make);
            }
        });
    }

    /// The place of the root's one refresh, once it is free and no login waits to be taken over.
    async fn place(self: &Arc<Self>) -> Result<RefreshSlot, Error> {
        loop {
            match self.take_slot() {
                Ok(slot) if slot.login.is_none() => return Ok(slot),
                Ok(slot) => {
                    self.free_slot(&slot.flight);
                    drop(slot);
                    self.wait().await?;
                }
                Err(mut flight) => self.ended(&mut flight).await,
            }
        }
    }
}

/// One refresh of a derived source.
pub(super) async fn run(
    engine: &Arc<Engine>,
    root: &Arc<Engine>,
    held: Held,
    progress: &watch::Sender<Progress>,
) -> Result<RefreshOutcome, Error> {
    let own = Refresh::new(engine, held);
    for _ in 0..MAX_LOGINS {
        let slot = root.place().await?;
        engine.refreshes_in_place_of(root);
        let logins = root.family.logins();
        engine.derived_at.store(logins, Ordering::Release);
        let mut refresh = Refresh {
            request: engine.request.clone(),
            waiting: Some((engine, progress)),
            place: Some(&slot.place),
            ..Refresh::new(root, slot.held)
        };
        let outcome = match root.settings.store.clone() {
            None => refresh.derive(None).await.map(|tokens| RefreshOutcome {
                tokens,
                revision: None,
                from_store: false,
            }),
            Some(store) => refresh.derive_with_store(&own, &*store).await,
        };
        if let Ok(derived) = &outcome {
            engine.note_derived(derived, root, logins);
        }
        root.free_slot(&slot.flight);
        // Those who wait for the root look again, and it has cost them nothing.
        let _ = slot.place.send(Progress::Free);
        if root.family.logins() == logins {
            return outcome;
        }
    }
    Err(Error::new(Kind::Interrupted))
}

impl Refresh<'_> {
    /// Under the root's lease: what another process has left counts first, its refresh token and then the very token that is
    /// wanted.
    async fn derive_with_store(
        mut self,
        own: &Refresh<'_>,
        store: &dyn dynamic::TokenStore,
    ) -> Result<RefreshOutcome, Error> {
        self.lease = self.take_lease(store).await?;
        let (lease, root) = (self.lease.clone(), self.engine);
        let derived = renewing(lease.as_deref(), self.derive_under_lease(own, store)).await;
        give_back(root, lease);
        derived
    }

    async fn derive_under_lease(
        mut self,
        own: &Refresh<'_>,
        store: &dyn dynamic::TokenStore,
    ) -> Result<RefreshOutcome, Error> {
        self.catch_up(store).await?;
        let stored = own.load(store).await?;
        let revision = stored.as_ref().map(|stored| stored.revision);
        let family = self.family();
        let of_this_login =
            |stored: &Stored| stored.tokens.family().is_some() && stored.tokens.family() == family;
        if let Some(found) = own.adopt(stored.filter(of_this_login))? {
            self.engine.family.note_entry(&own.engine.settings.key);
            return Ok(found);
        }
        let mut tokens = self.derive(Some(store)).await?;
        tokens.family = family;
        // Every writer of this entry holds the root's lease, so that its numbers order the sets here too.
        tokens.fence = self.fence();
        self.engine.family.note_entry(&own.engine.settings.key);
        let write = Write { tokens: &tokens, expected: revision, over: Over::Anything, lease: None };
        let place = persist(own.engine, store, write).await;
        let from_store = place.newer.is_some();
        let tokens = place.newer.unwrap_or(tokens);
        Ok(RefreshOutcome { tokens, revision: place.revision, from_store })
    }

    /// Takes in what another process has made of the root's entry.
    async fn catch_up(&mut self, store: &dyn dynamic::TokenStore) -> Result<(), Error> {
        let stored = self.look(store).await?;
        let Some(newer) = stored.filter(|stored| self.is_another(stored)) else { return Ok(()) };
        self.held.revision = Some(newer.revision);
        // The store has fallen back to an older set, and ours still is the newest.
        if self.is_spent(&newer.tokens) {
            return Ok(());
        }
        self.superseded = true;
        self.held.token = self.known(newer.tokens.clone())?;
        if self.held.token.is_some() {
            self.engine.adopt(&newer.tokens, newer.revision)?;
        }
        Ok(())
    }

    /// The access token that is wanted, alone: the refresh token beside it is the root's.
    async fn derive(&mut self, store: Option<&dyn dynamic::TokenStore>) -> Result<TokenSet, Error> {
        let mut tokens = self.request_tokens(store).await?;
        if let (Some(used), Some(given)) = (self.sent.clone(), tokens.refresh_token.take())
            && (given != used || self.held.token.is_none())
        {
            self.keep(&used, given).await;
        }
        tokens.id_token = None;
        Ok(tokens)
    }

    /// What the sets of the root's login share.
    fn family(&self) -> Option<String> {
        let held = self.held.token.as_ref().map(AccessToken::tokens).and_then(TokenSet::family);
        held.or_else(|| self.engine.request.grant().refresh_token().map(|token: &Secret| family_of(token)))
    }
}
