//! The end of what a source holds: revoked at the server, and forgotten.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::Event;
use super::engine::{Engine, RefreshSlot};
use super::lease::{give_back, renewing};
use super::ledger::Held;
use super::persist::{MAX_CONFLICTS, conflicts, reported, within};
use super::refresh::Refresh;
use crate::error::{Error, Kind};
use crate::login::LogoutRequest;
use crate::retry::{MAX_ATTEMPTS, between_attempts};
use crate::store::Lease;
use crate::token::{AccessToken, Secret, TokenSet, TokenType};

/// What the server knows of a log-out.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum AtServer {
    /// It is told.
    Revoke,
    /// It ended the login by itself.
    Ended,
}

impl Engine {
    /// Revokes in a task of its own, which no caller can cancel, after the refresh that is under way. Returns what the server's
    /// own logout needs of what was forgotten.
    pub(super) async fn revoke(self: &Arc<Self>, at_server: AtServer) -> Result<LogoutRequest, Error> {
        let runtime = Handle::try_current().map_err(|_| {
            Error::config(
                "runtime",
                "tokens are to be revoked, and there is no tokio runtime here; call revoke() inside one",
            )
        })?;
        let (sender, receiver) = oneshot::channel();
        let engine = Arc::clone(self);
        runtime.spawn(async move {
            let RefreshSlot { held, login, flight, place } = loop {
                match engine.take_slot() {
                    Ok(claimed) => break claimed,
                    // Whatever it brings has to be revoked, too.
                    Err(mut flight) => engine.ended(&mut flight).await,
                }
            };
            let outcome = run(&engine, held, login.clone(), at_server).await;
            let event = match (&outcome, at_server) {
                (Ok(_), AtServer::Ended) => Some(Event::LoggedOut),
                (Ok(Done { revoked: true, .. }), AtServer::Revoke) => Some(Event::Revoked),
                (Ok(_), AtServer::Revoke) => {
                    tracing::debug!(target: "oauth_client", "there was no token to revoke");
                    None
                }
                (Err(_), _) => None,
            };
            if outcome.is_ok() {
                engine.forget(login.as_ref());
            }
            // Those who wait for a token try anew now, and find what has become of it.
            engine.free_slot(&flight);
            drop(place);
            if let Some(event) = event {
                engine.emit(event);
            }
            // There may be no waiting caller.
            let _ = sender.send(outcome.map(|done| done.logout));
        });
        receiver.await.unwrap_or_else(|_| Err(Error::new(Kind::Interrupted)))
    }
}

/// What a log-out has done.
struct Done {
    logout: LogoutRequest,
    /// Whether there was a token that the server was told of.
    revoked: bool,
}

async fn run(
    engine: &Arc<Engine>,
    held: Held,
    login: Option<TokenSet>,
    at_server: AtServer,
) -> Result<Done, Error> {
    let held_tokens = held.token.as_ref().map(|token| token.tokens().clone());
    let known = || login.iter().chain(&held_tokens);
    let refresh = Refresh::new(engine, held);
    let tells = at_server == AtServer::Revoke;
    let Some(store) = engine.settings.store.clone() else {
        let derived = engine.family.tokens();
        let revoked = tells && refresh.revoke(login.iter().chain(&derived)).await?;
        return Ok(Done { logout: logout(known()), revoked });
    };
    // Another process may be in the middle of a refresh, which must not bring back what is gone.
    let lease = refresh.take_lease(&*store).await?;
    let fence = lease.as_deref().and_then(Lease::fence);
    let revoking = async {
        let (mut revoked, mut before) = (false, None::<TokenSet>);
        for _ in 0..MAX_CONFLICTS {
            // What it holds is the newest there is. Unlike a refresh, a log-out that goes on without it is none.
            let found = within(store.load(&engine.settings.key)).await;
            let found = found.map_err(|error| reported(engine, error))?;
            // Another user's login is none of this one's, nor is a login that has taken the entry meanwhile.
            let is_other = found.as_ref().is_some_and(|found| {
                refresh.check_user(&found.tokens).is_err()
                    || before.as_ref().is_some_and(|before| before.family() != found.tokens.family())
            });
            let tokens = found.as_ref().map(|found| &found.tokens);
            let tokens = tokens.filter(|tokens| !is_other && !tokens.is_ended());
            let ending = refresh.ending(login.iter().chain(tokens));
            if tells {
                let derived = refresh.derived_tokens(&*store, &ending).await?;
                revoked |= refresh.revoke(login.iter().chain(tokens).chain(&derived)).await?;
            }
            refresh.remove_derived(&*store, &ending).await?;
            before = match is_other {
                true => None,
                false => refresh.end(&*store, found.as_ref(), login.as_ref(), fence).await?,
            };
            if before.is_none() {
                return Ok(Done { logout: logout(known().chain(tokens)), revoked });
            }
            // A refresh of this login was written late; it has to go as well.
        }
        Err(reported(engine, conflicts()))
    };
    let done = renewing(lease.as_deref(), revoking).await;
    give_back(engine, lease);
    done
}

/// The end of the session at the server that the newest ID token names.
fn logout<'a>(sets: impl Iterator<Item = &'a TokenSet>) -> LogoutRequest {
    let newest = sets.filter(|set| set.id_token().is_some()).max_by_key(|set| set.issued_at());
    newest
        .and_then(TokenSet::id_token)
        .into_iter()
        .fold(LogoutRequest::new(), |logout, token| logout.id_token_hint(token.clone()))
}

impl Refresh<'_> {
    /// The refresh token that the grant starts from, while it was not used. That of a derived source is its root's.
    pub(super) fn unused_refresh_token(&self) -> Option<&Secret> {
        let given = self.engine.request.grant().refresh_token()?;
        let is_unused = self.engine.root.is_none() && !self.engine.ledger(|ledger| ledger.initial_is_spent());
        is_unused.then_some(given)
    }

    /// Revokes all that is known: refresh tokens first, since access tokens can be obtained with them. Returns whether
    /// there was any.
    async fn revoke<'a>(
        &'a self,
        elsewhere: impl Iterator<Item = &'a TokenSet> + Clone,
    ) -> Result<bool, Error> {
        let held = self.held.token.as_ref().map(AccessToken::tokens);
        let given = self.unused_refresh_token();
        let sets = || held.into_iter().chain(elsewhere.clone());
        let refresh_tokens = each_once(sets().filter_map(TokenSet::refresh_token).chain(given));
        let access_tokens = each_once(sets().map(TokenSet::access_token));
        for token in &refresh_tokens {
            revoke(self.engine, token, TokenType::RefreshToken).await?;
        }
        for token in &access_tokens {
            match revoke(self.engine, token, TokenType::AccessToken).await {
                // Many servers cannot take back a JWT (RFC 7009 section 3): it dies by itself, and soon.
                Err(error) if error.code() == "unsupported_token_type" && !refresh_tokens.is_empty() => {}
                other => other?,
            }
        }
        Ok(!(refresh_tokens.is_empty() && access_tokens.is_empty()))
    }
}

fn each_once<'a>(tokens: impl Iterator<Item = &'a Secret>) -> Vec<&'a Secret> {
    tokens.fold(Vec::new(), |mut all, token| {
        if !all.contains(&token) {
            all.push(token);
        }
        all
    })
}

/// Revokes one token, and again after transient failures: to revoke twice does no harm.
async fn revoke(engine: &Engine, token: &Secret, kind: TokenType) -> Result<(), Error> {
    let client = &engine.client;
    let until = client.clock().now().monotonic.saturating_add(client.timeout());
    for attempt in 1.. {
        let left = until.saturating_sub(client.clock().now().monotonic);
        let error = match client.revoke(token, Some(kind.clone())).await {
            Err(error) if attempt < MAX_ATTEMPTS && error.is_transient() => error,
            other => return other,
        };
        let wait = error.retry_after().unwrap_or_else(|| between_attempts(attempt - 1));
        if wait >= left || wait > Duration::from_secs(60) {
            return Err(error);
        }
        tokio::time::sleep(wait).await;
    }
    Err(Error::new(Kind::Interrupted))
}
