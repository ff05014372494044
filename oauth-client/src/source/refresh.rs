//! One refresh, from the lease to the persisted token set. It runs in a task of its own.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::engine::{Engine, Past};
use super::persist::{STORE_PATIENCE, persist, remove, store_error, within};
use super::{Event, measure};
use crate::error::{Error, Kind};
use crate::exchange::Parameters;
use crate::grant::{RefreshToken, Renewal};
use crate::id_token;
use crate::retry::{MAX_ATTEMPTS, between_attempts, jittered};
use crate::store::{Lease, Revision, Stored, dynamic};
use crate::token::{AccessToken, Freshness, Secret, TokenSet};

/// How often a lease that somebody else holds is tried for.
const LEASE_POLL: Duration = Duration::from_millis(50);

/// What a refresh brought.
pub(super) struct Obtained {
    pub(super) tokens: TokenSet,
    pub(super) revision: Option<Revision>,
    pub(super) from_store: bool,
}

pub(super) async fn run(
    engine: &Arc<Engine>,
    past: Past,
    login: Option<TokenSet>,
) -> Result<Obtained, Error> {
    let mut refresh = Refresh::new(engine, past);
    if let Some(tokens) = login {
        let obtained = refresh.take_over(tokens).await;
        if refresh.freshness(&obtained.tokens) != Some(Freshness::Expired) {
            return Ok(obtained);
        }
        let token = refresh.held(obtained.tokens);
        refresh.past = Past { token, revision: obtained.revision, given_is_used: true, ..Past::default() };
    }
    match engine.settings.store.clone() {
        None => {
            let tokens = refresh.obtain(None).await?;
            Ok(Obtained { tokens, revision: None, from_store: false })
        }
        Some(store) => refresh.with_store(&*store).await,
    }
}

/// Longer than a whole refresh (the server's time, and the store's: a load before, one after a refusal, the write),
/// so that a slow one is never taken for a crashed one.
fn longest_lease(engine: &Engine) -> Duration {
    engine.client.timeout().saturating_add(4 * STORE_PATIENCE)
}

/// How long a refresh can last at most, waiting for the lease included.
pub(super) fn longest(engine: &Engine) -> Duration {
    longest_lease(engine).saturating_mul(2)
}

pub(super) struct Refresh<'a> {
    pub(super) engine: &'a Arc<Engine>,
    pub(super) past: Past,
    /// When the time limit for asking the server ends, on the monotonic clock; it begins once we may ask.
    until: Duration,
}

impl<'a> Refresh<'a> {
    pub(super) fn new(engine: &'a Arc<Engine>, past: Past) -> Self {
        Self { engine, past, until: Duration::ZERO }
    }

    /// Lease, re-read, adopt what is newer, only then ask the server; persist before anybody sees the token.
    async fn with_store(mut self, store: &dyn dynamic::TokenStore) -> Result<Obtained, Error> {
        if let Some(found) = self.adopt(self.load(store).await?) {
            return Ok(found);
        }
        let lease = self.lease(store).await?;
        // Whoever held the lease before us has probably left a newer token.
        let stored = self.load(store).await?;
        if let Some(found) = self.adopt(stored.clone()) {
            return Ok(found);
        }
        if let Some(newer) = stored.filter(|stored| Some(stored.revision) != self.past.revision) {
            self.past.revision = Some(newer.revision);
            self.past.lost = None;
            self.past.token = self.known(newer.tokens)?;
        }
        let tokens = self.obtain(Some(store)).await?;
        let revision = persist(self.engine, store, &tokens, self.past.revision).await;
        drop(lease);
        Ok(Obtained { tokens, revision, from_store: false })
    }

    /// Takes over the tokens of a login, which are newer than whatever a store holds. Nothing that a store does can
    /// lose them: they are all there is of the login.
    async fn take_over(&self, tokens: TokenSet) -> Obtained {
        let Some(store) = self.engine.settings.store.clone() else {
            return Obtained { tokens, revision: None, from_store: false };
        };
        // A refresh that somebody else is in the middle of would write over it.
        let lease = self.lease(&*store).await.ok().flatten();
        let stored = within(store.load(&self.engine.settings.key)).await.ok().flatten();
        let expected = stored.map(|stored| stored.revision).or(self.past.revision);
        let revision = persist(self.engine, &*store, &tokens, expected).await;
        drop(lease);
        Obtained { tokens, revision, from_store: false }
    }

    /// Gets a token set from the server: by a refresh token first, by the grant where all are refused or there is none.
    async fn obtain(&mut self, store: Option<&dyn dynamic::TokenStore>) -> Result<TokenSet, Error> {
        let client = &self.engine.client;
        let end = self.engine.request.grant().good_until();
        if end.is_some_and(|end| end <= client.clock().now().wall) {
            return Err(self.lost(None));
        }
        let mut tokens = self.ask(store).await?;
        if let Some(end) = end {
            let most = end.saturating_sub(tokens.issued_at());
            let lifetime = tokens.lifetime().unwrap_or(self.engine.settings.default_lifetime).min(most);
            tokens.lifetime_ms = Some(u64::try_from(lifetime.as_millis()).unwrap_or(u64::MAX));
        }
        Ok(tokens)
    }

    async fn ask(&mut self, store: Option<&dyn dynamic::TokenStore>) -> Result<TokenSet, Error> {
        let client = &self.engine.client;
        self.until = client.clock().now().monotonic.saturating_add(client.timeout());
        let mut refused = None;
        let mut store_was_read_again = false;
        while let Some(used) = self.refresh_token() {
            let result = self.refresh(&used).await;
            let dead_end = result.as_ref().is_err_and(|error| self.is_dead_end(error));
            if (dead_end || result.is_ok()) && self.engine.request.grant().refresh_token() == Some(&used) {
                self.engine.given_is_used();
                self.past.given_is_used = true;
            }
            match result {
                Err(error) if dead_end => refused = Some(error),
                other => return other,
            }
            self.engine.refused(&used);
            self.past.refused.push(used);
            // Another process may have rotated it meanwhile: what the store holds now counts, once.
            if let Some(store) = store.filter(|_| !store_was_read_again) {
                store_was_read_again = true;
                if let Some(tokens) = self.read_again(store).await? {
                    return Ok(tokens);
                }
            }
        }
        let result = self.anew(refused).await;
        if let (Err(error), Some(store)) = (&result, store)
            && error.is_reauthorization_required()
        {
            // Told already, and the grant is lost all the same.
            let _ = remove(self.engine, store, self.past.revision).await;
        }
        result
    }

    /// Takes in what the store holds by now; returns it when it is good as it is.
    async fn read_again(&mut self, store: &dyn dynamic::TokenStore) -> Result<Option<TokenSet>, Error> {
        let stored = self.load(store).await?;
        let Some(stored) = stored.filter(|stored| Some(stored.revision) != self.past.revision) else {
            return Ok(None);
        };
        let held = self.past.token.as_ref().map(AccessToken::secret);
        let news = held != Some(stored.tokens.access_token());
        self.past.revision = Some(stored.revision);
        self.past.token = self.known(stored.tokens.clone())?;
        let good = self.freshness(&stored.tokens).is_some_and(|freshness| freshness != Freshness::Expired);
        Ok(Some(stored.tokens).filter(|_| news && good))
    }

    /// The refresh token to try next: of the last token, else the one that the grant starts from. A person who has
    /// logged in again gives a new one there, while the store still holds the old one. None is sent again once it was
    /// refused.
    fn refresh_token(&self) -> Option<Secret> {
        let held = self.past.token.as_ref().and_then(|token| token.tokens().refresh_token());
        let given = self.engine.request.grant().refresh_token().filter(|_| !self.past.given_is_used);
        held.into_iter().chain(given).find(|token| !self.past.refused.contains(token)).cloned()
    }

    /// Whether a refresh token is of no more use after this refusal. Some servers give one out beside
    /// client_credentials and then refuse the refresh_token grant itself: where the grant can be asked for anew, any
    /// lasting refusal ends the refresh token, unless it is about the client or its key, who would fare no better.
    fn is_dead_end(&self, error: &Error) -> bool {
        let anew = !self.is_of_a_person();
        let of_the_client =
            ["invalid_client", "use_dpop_nonce", "invalid_dpop_proof"].contains(&error.code());
        let lasting = error.refused().is_some() && !error.is_transient() && !of_the_client;
        error.code() == "invalid_grant" || anew && lasting
    }

    /// Asks by the grant itself, where it is good for another use.
    async fn anew(&mut self, refused: Option<Error>) -> Result<TokenSet, Error> {
        let person = self.is_of_a_person();
        if let Some(lost) = self.past.lost.take() {
            return Err(lost);
        }
        let never_asked = self.engine.request.grant().renewal() == Renewal::Login;
        if never_asked || person && (refused.is_some() || self.past.token.is_some()) {
            return Err(self.lost(refused));
        }
        let parameters = self.engine.request.to_parameters();
        match self.attempt(&parameters, !person).await {
            Err(error) if self.is_the_end(&error) => Err(self.lost(Some(error))),
            other => other,
        }
    }

    /// Whether only a person helps after this refusal of the grant itself.
    fn is_the_end(&self, error: &Error) -> bool {
        match (self.engine.request.grant().renewal(), error.code()) {
            (Renewal::Person | Renewal::AnewUntilRefused, "invalid_grant") => true,
            // RFC 8693 section 2.2.2 has `invalid_request` for a bad subject token, too. Of a request that has worked
            // before, only the token can have gone bad.
            (Renewal::AnewUntilRefused, "invalid_token") => true,
            (Renewal::AnewUntilRefused, "invalid_request") => self.past.token.is_some(),
            _ => false,
        }
    }

    fn is_of_a_person(&self) -> bool {
        self.engine.request.grant().renewal().needs_a_person()
    }

    fn lost(&self, refused: Option<Error>) -> Error {
        let error = Error::new(Kind::Reauthorization(refused.and_then(|error| error.refused().cloned())));
        self.engine.give_up(&error);
        error
    }

    async fn refresh(&self, used: &Secret) -> Result<TokenSet, Error> {
        let parameters = self.engine.request.to_refresh_parameters(&RefreshToken(used.clone()));
        let mut tokens = match self.attempt(&parameters, false).await {
            Ok(tokens) => tokens,
            Err(mut error) => {
                if let Some(rotated) = error.take_rotated().filter(|rotated| rotated != used) {
                    self.keep(used, rotated).await;
                }
                return Err(error);
            }
        };
        // RFC 6749 section 6: a server may keep the refresh token, and the scope, as they were, and say nothing.
        tokens.refresh_token.get_or_insert_with(|| used.clone());
        if let Some(before) = self.past.token.as_ref().map(AccessToken::tokens) {
            tokens.scope = tokens.scope.or_else(|| before.scope.clone());
            if let (Some(before), Some(after)) = (&before.id_token, &tokens.id_token)
                && let Err(error) = id_token::same_person(before, after)
            {
                if let Some(rotated) = tokens.refresh_token.filter(|rotated| rotated != used) {
                    self.keep(used, rotated).await;
                }
                return Err(error);
            }
            tokens.id_token = tokens.id_token.or_else(|| before.id_token.clone());
        }
        Ok(tokens)
    }

    /// The server has given another refresh token in an answer that is of no other use: the one before is spent, and
    /// to send it again would look like theft. What else was had stays as it is.
    async fn keep(&self, used: &Secret, rotated: Secret) {
        let client = &self.engine.client;
        if self.engine.request.grant().refresh_token() == Some(used) {
            self.engine.given_is_used();
        }
        let tokens = match self.past.token.as_ref().map(AccessToken::tokens) {
            Some(before) => TokenSet { refresh_token: Some(rotated), ..before.clone() },
            None => {
                let now = u64::try_from(client.clock().now().wall.as_millis()).unwrap_or(u64::MAX);
                TokenSet::expired(rotated, now, client.dpop_jkt())
            }
        };
        self.engine.rotated(&tokens);
        if let Some(store) = &self.engine.settings.store {
            let revision = persist(self.engine, &**store, &tokens, self.past.revision).await;
            if let Some(revision) = revision {
                self.engine.persisted(tokens.access_token(), revision);
            }
        }
    }

    /// Sends the request, and again after transient failures, as long as the time limit allows. What may have been
    /// acted upon without our seeing the answer is sent again only when it is `repeatable`: a refresh token may have
    /// rotated.
    async fn attempt(&self, parameters: &Parameters, repeatable: bool) -> Result<TokenSet, Error> {
        let client = &self.engine.client;
        let left = || self.until.saturating_sub(client.clock().now().monotonic);
        for attempt in 1.. {
            let mut was_sent = false;
            let on_send = || {
                was_sent = true;
                self.engine.requests.fetch_add(1, Ordering::Relaxed);
                measure::token_request();
            };
            let error = match client.exchange(parameters.clone(), left(), on_send).await {
                Err(error) if attempt < MAX_ATTEMPTS && error.is_transient() => error,
                other => return other,
            };
            let wait = match error.retry_after().filter(|wait| !wait.is_zero()) {
                // Never before it, and not all clients at the same moment after it.
                Some(wait) => wait + wait / 10 - jittered(wait / 10),
                None => between_attempts(attempt - 1),
            };
            let is_lost = was_sent && error.is_outcome_unknown();
            if (is_lost && !repeatable) || wait >= left() {
                return Err(error);
            }
            tokio::time::sleep(wait).await;
        }
        Err(Error::new(Kind::Interrupted))
    }

    /// What the store holds. A store that cannot be read is reported. A person's refresh token may have been rotated by
    /// another process meanwhile, and to send the old one would end the login for both: so as long as the token in hand
    /// is good the refresh is put off, and without one it fails. Once ours has expired it goes on: a store that has
    /// failed for good must not cost the token.
    async fn load(&self, store: &dyn dynamic::TokenStore) -> Result<Option<Stored>, Error> {
        match within(store.load(&self.engine.settings.key)).await {
            Ok(stored) => Ok(stored),
            Err(error) => {
                let error = store_error(error);
                self.engine.tell(Event::StoreFailed { error: error.clone() });
                let risky = self.is_of_a_person() && (self.past.token.is_none() || self.can_wait());
                if risky { Err(error) } else { Ok(None) }
            }
        }
    }

    /// Takes over what somebody else left in the store, if it is news and good.
    fn adopt(&self, stored: Option<Stored>) -> Option<Obtained> {
        let Stored { tokens, revision } = stored?;
        let now = self.engine.client.clock().now();
        let wanted = match &self.past.token {
            Some(token) if token.secret() == tokens.access_token() => return None,
            // What was there before ours, when ours could not be written.
            Some(token)
                if Some(revision) == self.past.revision
                    || tokens.issued_at() < token.tokens().issued_at() =>
            {
                return None;
            }
            // While ours is still good, only a fresher one is worth taking.
            Some(token) if !self.past.rejected && token.freshness(now) != Freshness::Expired => {
                self.freshness(&tokens) == Some(Freshness::Fresh)
            }
            _ => self.freshness(&tokens).is_some_and(|freshness| freshness != Freshness::Expired),
        };
        wanted.then_some(Obtained { tokens, revision: Some(revision), from_store: true })
    }

    fn freshness(&self, tokens: &TokenSet) -> Option<Freshness> {
        Some(self.held(tokens.clone())?.freshness(self.engine.client.clock().now()))
    }

    /// A stored token set to start from. A person's that is bound to another key stays where it is, for whoever has
    /// that key.
    fn known(&self, tokens: TokenSet) -> Result<Option<AccessToken>, Error> {
        match self.engine.client.check_key(&tokens) {
            Ok(()) => Ok(self.held(tokens)),
            Err(error) if self.is_of_a_person() => Err(error),
            Err(_) => Ok(None),
        }
    }

    /// A stored token set as a token; `None` when it could not be put into a header.
    fn held(&self, tokens: TokenSet) -> Option<AccessToken> {
        let (client, lifetime) = (&self.engine.client, self.engine.settings.default_lifetime);
        let (now, margin) = (client.clock().now(), self.engine.margin(&tokens));
        AccessToken::new(tokens, 0, now, lifetime, margin, client.prover()).ok()
    }

    /// Whether the token in hand is still good, so that a refresh can wait.
    fn can_wait(&self) -> bool {
        let now = self.engine.client.clock().now();
        let held = self.past.token.as_ref().filter(|_| !self.past.rejected);
        held.is_some_and(|token| token.freshness(now) != Freshness::Expired)
    }

    /// The right to refresh. Whoever crashed while holding it delays us no longer than it was lent for; a store that
    /// cannot lend is reported and, as when it cannot be read, done without only where nothing is to be had by waiting.
    pub(super) async fn lease(&self, store: &dyn dynamic::TokenStore) -> Result<Option<Lease>, Error> {
        let longest = longest_lease(self.engine);
        let polling = async {
            loop {
                match within(store.lease(&self.engine.settings.key, longest)).await {
                    Ok(Some(lease)) => return Ok(lease),
                    Ok(None) => tokio::time::sleep(jittered(LEASE_POLL)).await,
                    Err(error) => return Err(error),
                }
            }
        };
        match tokio::time::timeout(longest, polling).await {
            Ok(Ok(lease)) => Ok(Some(lease)),
            Ok(Err(error)) => {
                let error = store_error(error);
                self.engine.tell(Event::StoreFailed { error: error.clone() });
                if self.is_of_a_person() && self.can_wait() { Err(error) } else { Ok(None) }
            }
            // The lease has run out by now, whoever holds it.
            Err(_) => Ok(None),
        }
    }
}
