//! One refresh, from the lease to the persisted token set. It runs in a task of its own.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::watch;

use super::derive;
use super::engine::{Engine, Progress, is_stillborn};
use super::lease::{give_back, lease_wait, renewing};
use super::ledger::{Held, Ledger};
use super::metrics;
use super::persist::{Over, STORE_TIMEOUT, Write, persist, remove};
use crate::error::{Error, Kind};
use crate::grant::{RefreshToken, Renewal, TokenRequest};
use crate::id_token;
use crate::retry::{MAX_ATTEMPTS, between_attempts, jittered};
use crate::store::{Lease, Revision, Stored, dynamic};
use crate::token::{AccessToken, Freshness, Secret, TokenSet, family_of};
use crate::token_endpoint::{BeforeSend, Parameters, TimeLimit, TokenRequestError};

/// How long the response to a user's refresh token is read, counted from sending it, whatever the callers' limit: the
/// server may have rotated it.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(60);

/// The result of a refresh.
pub(super) struct RefreshOutcome {
    pub(super) tokens: TokenSet,
    pub(super) revision: Option<Revision>,
    pub(super) from_store: bool,
}

pub(super) async fn run(
    engine: &Arc<Engine>,
    held: Held,
    login: Option<TokenSet>,
    progress: &watch::Sender<Progress>,
) -> Result<RefreshOutcome, Error> {
    if let Some(root) = &engine.root {
        return derive::run(engine, root, held, progress).await;
    }
    let mut refresh = Refresh { waiting: Some((engine, progress)), ..Refresh::new(engine, held) };
    if let Some(tokens) = login {
        let taken = refresh.take_over(tokens.clone()).await;
        // One that was born expired is used once; that is as often as a login can be asked for.
        if refresh.freshness(&taken.tokens) != Some(Freshness::Expired) || is_stillborn(&taken.tokens) {
            return Ok(taken);
        }
        if !engine.start_over(&tokens, &taken) {
            return Err(Error::new(Kind::Interrupted));
        }
        refresh.held = engine.ledger(|ledger| ledger.held.clone());
        refresh.superseded = true;
    }
    match engine.settings.store.clone() {
        None => {
            let tokens = refresh.request_tokens(None).await?;
            Ok(RefreshOutcome { tokens, revision: None, from_store: false })
        }
        Some(store) => refresh.with_store(&*store).await,
    }
}

/// How long a refresh can last at most, waiting for the lease included.
pub(super) fn longest(engine: &Engine) -> Duration {
    let asking = engine.client.timeout().saturating_add(4 * STORE_TIMEOUT);
    let person = engine.request.grant().renewal().needs_a_person();
    let reading = if person { response_timeout(engine) } else { Duration::ZERO };
    lease_wait(engine).saturating_add(asking).saturating_add(reading)
}

fn response_timeout(engine: &Engine) -> Duration {
    engine.client.timeout().max(RESPONSE_TIMEOUT)
}

pub(super) struct Refresh<'a> {
    pub(super) engine: &'a Arc<Engine>,
    /// What it starts from: the source's token, or a newer one that the store holds.
    pub(super) held: Held,
    /// What is asked for; the source's own request, but for a derived source.
    pub(super) request: TokenRequest,
    /// Whether `held` is newer than the grant that was lost.
    pub(super) superseded: bool,
    /// The revision of the entry, where it is not ours: a log-out from before our login, or the login of another process
    /// that is bound to the key of that one. It is written over, and never removed.
    pub(super) not_ours: Option<Revision>,
    /// When the callers' time limit for asking the server ends, on the monotonic clock; it begins once we may ask.
    pub(super) until: Duration,
    /// The refresh token that was sent last.
    pub(super) sent: Option<Secret>,
    /// The right to refresh, where there is a store.
    pub(super) lease: Option<Arc<Lease>>,
    /// Those who wait for it, and at which source.
    pub(super) waiting: Option<(&'a Arc<Engine>, &'a watch::Sender<Progress>)>,
    /// The place it has taken at another source, whose callers wait, too.
    pub(super) place: Option<&'a watch::Sender<Progress>>,
}

impl<'a> Refresh<'a> {
    pub(super) fn new(engine: &'a Arc<Engine>, held: Held) -> Self {
        Self {
            engine,
            held,
            request: engine.request.clone(),
            superseded: false,
            not_ours: None,
            until: Duration::ZERO,
            sent: None,
            lease: None,
            waiting: None,
            place: None,
        }
    }

    /// Lease, re-read, adopt what is newer, only then ask the server; persist before any caller sees the token.
    async fn with_store(mut self, store: &dyn dynamic::TokenStore) -> Result<RefreshOutcome, Error> {
        let stored = self.look(store).await?;
        if let Some(found) = self.adopt(stored)? {
            return Ok(found);
        }
        self.lease = self.take_lease(store).await?;
        let lease = self.lease.clone();
        let engine = self.engine;
        let refreshed = renewing(lease.as_deref(), self.with_lease(store)).await;
        give_back(engine, lease);
        refreshed
    }

    async fn with_lease(mut self, store: &dyn dynamic::TokenStore) -> Result<RefreshOutcome, Error> {
        // The previous holder of the lease has probably left a newer token.
        let stored = self.look(store).await?;
        if let Some(found) = self.adopt(stored.clone())? {
            return Ok(found);
        }
        if let Some(newer) = stored.filter(|stored| self.is_another(stored)) {
            self.held.revision = Some(newer.revision);
            // Otherwise the store has fallen back to an older set, and ours is written over it.
            if !self.is_spent(&newer.tokens) {
                self.superseded = true;
                self.held.token = self.known(newer.tokens)?;
            }
        }
        let mut tokens = self.request_tokens(Some(store)).await?;
        tokens.fence = self.fence();
        let place = persist(self.engine, store, self.write(&tokens)).await;
        let from_store = place.newer.is_some();
        let tokens = place.newer.unwrap_or(tokens);
        Ok(RefreshOutcome { tokens, revision: self.ours(place.revision), from_store })
    }

    /// The number of the lease.
    pub(super) fn fence(&self) -> Option<u64> {
        self.lease.as_deref().and_then(Lease::fence)
    }

    /// The write of what the server has given.
    fn write<'b>(&'b self, tokens: &'b TokenSet) -> Write<'b> {
        let used = self.sent.as_ref().filter(|_| self.is_of_a_person());
        Write {
            tokens,
            expected: self.not_ours.or(self.held.revision),
            over: used.cloned().map_or(Over::Anything, Over::Predecessor),
            lease: self.lease.clone(),
        }
    }

    /// Gets a token set from the server: by a refresh token first, by the grant where all are refused or there is none.
    pub(super) async fn request_tokens(
        &mut self,
        store: Option<&dyn dynamic::TokenStore>,
    ) -> Result<TokenSet, Error> {
        let client = &self.engine.client;
        let end = self.engine.request.grant().good_until();
        if end.is_some_and(|end| end <= client.clock().now().wall) {
            return Err(self.lost(None));
        }
        let mut tokens = self.request_in_turn(store).await?;
        if let Some(end) = end {
            let most = end.saturating_sub(tokens.issued_at());
            let lifetime =
                tokens.lifetime().unwrap_or_else(|| self.engine.unknown_lifetime(&tokens)).min(most);
            tokens.lifetime_ms = Some(u64::try_from(lifetime.as_millis()).unwrap_or(u64::MAX));
        }
        Ok(tokens)
    }

    /// Where several sources share a refresh token, a server that has asked one of them for time is left alone by all.
    async fn request_in_turn(&mut self, store: Option<&dyn dynamic::TokenStore>) -> Result<TokenSet, Error> {
        let (family, clock) = (&self.engine.family, self.engine.client.clock());
        if !self.is_of_a_person() {
            return self.request_until_refused(store).await;
        }
        if let Some(error) = family.held_back(clock.now().monotonic) {
            return Err(error);
        }
        let logins = family.logins();
        let result = self.request_until_refused(store).await;
        if let Err(error) = &result {
            family.note(error, logins, clock.now().monotonic);
        }
        result
    }

    async fn request_until_refused(
        &mut self,
        store: Option<&dyn dynamic::TokenStore>,
    ) -> Result<TokenSet, Error> {
        let client = &self.engine.client;
        self.until = client.clock().now().monotonic.saturating_add(client.timeout());
        let mut refused = None;
        let mut store_was_read_again = false;
        while let Some(used) = self.refresh_token() {
            self.sent = Some(used.clone());
            let result = self.refresh(&used).await;
            let dead_end = result.as_ref().is_err_and(|error| self.is_dead_end(error));
            if (dead_end || result.is_ok()) && self.engine.request.grant().refresh_token() == Some(&used) {
                self.engine.ledger(Ledger::spend_initial);
            }
            match result {
                Err(error) if dead_end => refused = Some(error),
                other => return other,
            }
            self.engine.ledger(|ledger| ledger.refuse(&used));
            // Another process may have rotated it meanwhile: what the store holds now counts, once.
            if let Some(store) = store.filter(|_| !store_was_read_again) {
                store_was_read_again = true;
                if let Some(tokens) = self.read_again(store).await? {
                    return Ok(tokens);
                }
            }
        }
        let result = self.anew(refused).await;
        if let (Err(error), Some(store), Some(revision)) = (&result, store, self.held.revision)
            && error.is_reauthorization_required()
        {
            // Reported already, and the grant is lost all the same.
            let _ = remove(self.engine, store, revision).await;
        }
        result
    }

    /// Takes in what the store holds by now; returns it when it is good as it is.
    async fn read_again(&mut self, store: &dyn dynamic::TokenStore) -> Result<Option<TokenSet>, Error> {
        let stored = self.look(store).await?;
        let is_news = |stored: &Stored| self.is_another(stored) && !self.is_spent(&stored.tokens);
        let Some(stored) = stored.filter(is_news) else { return Ok(None) };
        let held = self.held.token.as_ref().map(AccessToken::secret);
        let news = held != Some(stored.tokens.access_token());
        self.held.revision = Some(stored.revision);
        self.held.token = self.known(stored.tokens.clone())?;
        let good = self.freshness(&stored.tokens).is_some_and(|freshness| freshness != Freshness::Expired);
        // A derived source asks with its refresh token: the access token is for all that the login has.
        Ok(Some(stored.tokens).filter(|_| news && good && !self.is_derived()))
    }

    /// The refresh token to try next: of the last token, else the one that the grant starts from. A person who has
    /// logged in again gives a new one there, while the store still holds the old one. None is sent again once it was
    /// refused.
    fn refresh_token(&self) -> Option<Secret> {
        let held = self.held.token.as_ref().and_then(|token| token.tokens().refresh_token());
        let initial = self.engine.request.grant().refresh_token();
        self.engine.ledger(|ledger| ledger.sendable(held, initial).cloned())
    }

    /// Whether a refresh token is unusable after this error. Some servers give one out beside
    /// client_credentials and then refuse the refresh_token grant itself: where the grant can be asked for again, any
    /// lasting error ends the refresh token, unless it is about the client or its key, which would fail again.
    fn is_dead_end(&self, error: &Error) -> bool {
        let anew = !self.is_of_a_person();
        let of_the_client =
            ["invalid_client", "use_dpop_nonce", "invalid_dpop_proof"].contains(&error.code());
        let lasting = error.error_response().is_some() && !error.is_transient() && !of_the_client;
        error.code() == "invalid_grant" || error.is_refresh_token_lost() || anew && lasting
    }

    /// Asks by the grant itself, where it is good for another use.
    async fn anew(&mut self, refused: Option<Error>) -> Result<TokenSet, Error> {
        let person = self.is_of_a_person();
        if let Some(lost) = self.engine.ledger(|ledger| ledger.lost()).filter(|_| !self.superseded) {
            return Err(lost);
        }
        let never_asked = self.engine.request.grant().renewal() == Renewal::Login;
        if never_asked || person && (refused.is_some() || self.held.token.is_some()) {
            return Err(self.lost(refused));
        }
        let parameters = self.request.to_parameters();
        self.sent = None;
        let mut result = self.attempt(&parameters, !person).await;
        let refused = result.as_ref().is_err_and(|failed| failed.error.code() == "invalid_grant");
        if refused && self.engine.request.grant().refused() {
            result = self.attempt(&parameters, !person).await;
        }
        match result {
            Err(failed) if self.is_the_end(&failed.error) => Err(self.lost(Some(failed.error))),
            other => other.map_err(|failed| failed.error),
        }
    }

    /// Whether only a person helps after this error of the grant itself.
    fn is_the_end(&self, error: &Error) -> bool {
        match (self.engine.request.grant().renewal(), error.code()) {
            (Renewal::Person | Renewal::AnewUntilRefused, "invalid_grant") => true,
            // RFC 8693 section 2.2.2 has `invalid_request` for a bad subject token, too. Of a request that has worked
            // before, only the token can have gone bad.
            (Renewal::AnewUntilRefused, "invalid_token") => true,
            // A gateway's bare 400 is not the server's word.
            (Renewal::AnewUntilRefused, "invalid_request") => {
                self.held.token.is_some() && error.provider_code().is_some()
            }
            _ => false,
        }
    }

    /// Whether it is for a source that shares the refresh token of this one.
    fn is_derived(&self) -> bool {
        self.waiting.is_some_and(|(engine, _)| engine.root.is_some())
    }

    pub(super) fn is_of_a_person(&self) -> bool {
        self.engine.request.grant().renewal().needs_a_person()
    }

    fn lost(&self, refused: Option<Error>) -> Error {
        let refused = refused.and_then(|error| error.error_response().cloned());
        let error = Error::new(match refused {
            // It was no login that was refused but what this request was given to show: the server's own word counts.
            Some(refused) if self.engine.request.grant().renewal() == Renewal::AnewUntilRefused => {
                Kind::GrantRefused(refused)
            }
            refused => Kind::Reauthorization(refused),
        });
        self.engine.ledger(|ledger| ledger.lose(&error));
        error
    }

    async fn refresh(&self, used: &Secret) -> Result<TokenSet, Error> {
        // A fetcher is always asked for all that the source wants.
        let whole = self.engine.client.fetcher().is_some();
        let parameters = self.request.to_refresh_parameters(&RefreshToken(used.clone()), whole);
        let mut tokens = match self.attempt(&parameters, false).await {
            Ok(tokens) => tokens,
            Err(TokenRequestError { error, rotated }) => {
                if let Some(rotated) = rotated.filter(|rotated| rotated != used) {
                    self.keep(used, rotated).await;
                }
                return Err(error);
            }
        };
        // RFC 6749 section 6: a server may keep the refresh token, and the scope, as they were, and say nothing.
        tokens.refresh_token.get_or_insert_with(|| used.clone());
        let before = self.held.token.as_ref().map(AccessToken::tokens);
        if self.is_of_a_person() {
            tokens.family = before.and_then(TokenSet::family).or_else(|| Some(family_of(used)));
        }
        if let Some(before) = before {
            // What was asked for is narrower than what the login has.
            let scope = before.scope.clone().filter(|_| !self.is_derived());
            tokens.scope = tokens.scope.or(scope);
            tokens.sub.clone_from(&before.sub);
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

    /// The server has given another refresh token in a response that is of no other use: the one before is spent, and
    /// to send it again would look like theft. All else stays as it is.
    pub(super) async fn keep(&self, used: &Secret, rotated: Secret) {
        let client = &self.engine.client;
        if self.engine.request.grant().refresh_token() == Some(used) {
            self.engine.ledger(Ledger::spend_initial);
        }
        let before = self.held.token.as_ref().map(AccessToken::tokens);
        let family = before.and_then(TokenSet::family).or_else(|| Some(family_of(used)));
        let family = family.filter(|_| self.is_of_a_person());
        let tokens = match before {
            Some(before) => {
                TokenSet { refresh_token: Some(rotated), family, fence: self.fence(), ..before.clone() }
            }
            None => {
                let now = u64::try_from(client.clock().now().wall.as_millis()).unwrap_or(u64::MAX);
                TokenSet { family, ..TokenSet::expired(rotated, now, client.dpop_jkt()) }
            }
        };
        self.engine
            .ledger(|ledger| ledger.rotate(|generation| self.engine.usable(tokens.clone(), generation)));
        if let Some(store) = &self.engine.settings.store {
            let place = persist(self.engine, &**store, self.write(&tokens)).await;
            if let Some(revision) = self.ours(place.revision) {
                self.engine.ledger(|ledger| ledger.persisted(&tokens, revision));
            }
        }
    }

    /// Sends the request, and again after transient failures, as long as the callers' time limit allows. What may have
    /// been acted upon without our seeing the response is sent again only when it is `repeatable`: a refresh token may
    /// have rotated. That of a user is sent with the whole time for its response before it, and read beyond the
    /// callers' limit.
    async fn attempt(
        &self,
        parameters: &Parameters,
        repeatable: bool,
    ) -> Result<TokenSet, TokenRequestError> {
        let client = &self.engine.client;
        let once = !repeatable && self.is_of_a_person();
        for attempt in 1.. {
            let mut sending = Sending { refresh: self, was_sent: false };
            let time = match once {
                true => TimeLimit::apart(self.left(), response_timeout(self.engine)),
                false => TimeLimit::whole(self.left()),
            };
            let request = client.request_tokens(parameters.clone(), time, &mut sending);
            let result = if once { self.past_the_limit(request).await } else { request.await };
            let failed = match result {
                Err(failed) if attempt < MAX_ATTEMPTS && failed.error.is_transient() => failed,
                other => return other,
            };
            let error = &failed.error;
            let wait = match error.retry_after().filter(|wait| !wait.is_zero()) {
                // Never before it, and not all clients at the same moment after it.
                Some(wait) => wait + wait / 10 - jittered(wait / 10),
                None => between_attempts(attempt - 1),
            };
            let is_lost = sending.was_sent && error.is_outcome_unknown();
            if (is_lost && !repeatable) || wait >= self.left() {
                return Err(failed);
            }
            tokio::time::sleep(wait).await;
        }
        Err(Error::new(Kind::Interrupted).into())
    }

    /// What is left of the callers' time limit.
    fn left(&self) -> Duration {
        self.until.saturating_sub(self.engine.client.clock().now().monotonic)
    }

    /// Goes on with a request when the callers' time limit has passed; they get an error then.
    async fn past_the_limit<T>(&self, request: impl Future<Output = T>) -> T {
        let mut request = pin!(request);
        if let Ok(done) = tokio::time::timeout(self.left(), &mut request).await {
            return done;
        }
        if let Some((engine, progress)) = self.waiting {
            engine.overdue(progress);
        }
        if let Some(place) = self.place {
            self.engine.overdue(place);
        }
        request.await
    }

    /// Adopts the store's entry, if it is new and valid.
    ///
    /// # Errors
    /// When it is another user's.
    pub(super) fn adopt(&self, stored: Option<Stored>) -> Result<Option<RefreshOutcome>, Error> {
        let Some(Stored { tokens, revision }) = stored else { return Ok(None) };
        self.check_user(&tokens)?;
        let now = self.engine.client.clock().now();
        let wanted = match &self.held.token {
            Some(token) if token.secret() == tokens.access_token() => false,
            // What was there before ours, when ours could not be written.
            Some(token)
                if Some(revision) == self.held.revision
                    || token.tokens().is_newer_than(&tokens)
                    || self.is_spent(&tokens) =>
            {
                false
            }
            // While ours is still good, only a fresher one is worth taking.
            Some(token) if !self.held.rejected && token.freshness(now) != Freshness::Expired => {
                self.freshness(&tokens) == Some(Freshness::Fresh)
            }
            _ => self.freshness(&tokens).is_some_and(|freshness| freshness != Freshness::Expired),
        };
        Ok(wanted.then_some(RefreshOutcome { tokens, revision: Some(revision), from_store: true }))
    }

    /// Whether the refresh token of a stored set was replaced by one that we have.
    pub(super) fn is_spent(&self, stored: &TokenSet) -> bool {
        self.engine.ledger(|ledger| ledger.is_spent(stored))
    }

    /// Whether a stored set is another one than ours, and not one that only the process that it is of can use.
    pub(super) fn is_another(&self, stored: &Stored) -> bool {
        let at = Some(stored.revision);
        at != self.held.revision && at != self.not_ours
    }

    /// Whether only another process can use a stored set, while this one has a login of its own.
    pub(super) fn is_of_another_process(&self, stored: &TokenSet) -> bool {
        let ours = self.held.token.as_ref().map(AccessToken::tokens);
        ours.is_some_and(|ours| self.engine.client.is_of_another_process(stored, ours))
    }

    /// The revision of what we have, where ours is in the store.
    fn ours(&self, revision: Option<Revision>) -> Option<Revision> {
        revision.filter(|revision| Some(*revision) != self.not_ours)
    }

    /// Whether a stored set is of the user that this source is for, as far as both are known.
    ///
    /// # Errors
    /// `config`, with the way out.
    pub(super) fn check_user(&self, stored: &TokenSet) -> Result<(), Error> {
        let ours = self.held.token.as_ref().map(AccessToken::tokens);
        if !ours.is_some_and(|ours| ours.is_of_another_user(stored)) {
            return Ok(());
        }
        Err(Error::config(
            "subject",
            "is the same for two users: the store's entry of this source has another user's login by now, whose `sub` is \
             not that of the ID token this source started with. Give each user's source its own subject \
             (TokenRequest::subject, or `subject` in the configuration), or log in again to take the entry over",
        ))
    }

    fn freshness(&self, tokens: &TokenSet) -> Option<Freshness> {
        Some(self.usable(tokens.clone())?.freshness(self.engine.client.clock().now()))
    }

    /// A stored token set to start from. A person's that is bound to another key stays in the store, for the holder of
    /// that key.
    pub(super) fn known(&self, tokens: TokenSet) -> Result<Option<AccessToken>, Error> {
        self.check_user(&tokens)?;
        match self.engine.client.check_key(&tokens) {
            Ok(()) => Ok(self.usable(tokens)),
            Err(error) if self.is_of_a_person() => Err(error),
            Err(_) => Ok(None),
        }
    }

    /// A stored token set as a token; `None` when a header cannot carry it.
    fn usable(&self, tokens: TokenSet) -> Option<AccessToken> {
        self.engine.usable(tokens, 0).ok()
    }
}

/// Notes that a request goes out, and keeps it back where it must not.
struct Sending<'a> {
    refresh: &'a Refresh<'a>,
    was_sent: bool,
}

impl BeforeSend for Sending<'_> {
    async fn before_send(&mut self) -> Result<(), Error> {
        self.refresh.check_lease().await?;
        self.was_sent = true;
        let engine = self.refresh.waiting.map_or(self.refresh.engine, |(engine, _)| engine);
        engine.requests.fetch_add(1, Ordering::Relaxed);
        metrics::token_request(&engine.client);
        Ok(())
    }
}
