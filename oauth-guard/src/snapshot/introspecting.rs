//! Tokens that their server is asked about: which of them, and what becomes of its response.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use oauth_client::Secret;
use oauth_client::clock::Now;

use super::Snapshot;
use crate::bearer;
use crate::cache::Digest;
use crate::check::{Check, CheckFuture};
use crate::claims::{Claims, Until, Verified};
use crate::error::TokenError;
use crate::introspect::{IntrospectedTokens, Settled, contradicts};
use crate::issuer::IssuerState;
use crate::jose::{Issued, Typ};
use crate::reject::Rejection;
use crate::validate::{Buffers, ClaimSet, FailFast, IssuerLookup, ParsedToken, check_size, is_jws};

/// Step 4 for tokens that their server is asked about.
impl<T: Send + Sync + 'static> Snapshot<T> {
    /// The issuer to ask about this token, if its keys are not used: an opaque token, or any token of an issuer that is asked
    /// about all of them.
    pub(crate) fn asked_without_keys(
        &self,
        text: &str,
        now: Now,
    ) -> Result<Option<Arc<IssuerState>>, TokenError> {
        let mut buffers = Buffers::new();
        let parsed = ParsedToken::parse(text, self.max_token_bytes, &mut buffers);
        self.asked_about(text, parsed.as_ref(), now)
    }

    pub(super) fn asked_about(
        &self,
        text: &str,
        parsed: Result<&ParsedToken<'_>, &TokenError>,
        now: Now,
    ) -> Result<Option<Arc<IssuerState>>, TokenError> {
        let takes = |issuer: &Arc<IssuerState>| text.starts_with(&*issuer.rules.token_prefix);
        let asks_about_all = |issuer: &Arc<IssuerState>| {
            issuer.introspector.as_ref().is_some_and(|one| one.tokens == IntrospectedTokens::Any)
        };
        let mut asking = self.introspecting.iter();
        let issuer = if parsed.is_ok_and(ParsedToken::is_jws) || is_jws(text) {
            let parsed = parsed.map_err(|error| *error)?;
            // RFC 9701 section 8.1: what a server says of a token is no token.
            if parsed.header.as_ref().is_ok_and(|header| header.typ == Typ::Introspection) {
                return Err(TokenError::WrongType);
            }
            let named = parsed.claims.as_ref().ok().and_then(|claims| {
                let (name, tenant) = (claims.issuer().ok()?, claims.tenant());
                self.issuer(Issued { issuer: &name, tenant: tenant.as_deref() }, now).ok()
            });
            match named {
                // It names its issuer, which decides; a tenant of a configured name does so too.
                Some(IssuerLookup::Found(issuer)) => Some(issuer).filter(asks_about_all).filter(takes),
                // It may have one that has to be resolved first.
                Some(IssuerLookup::Pending(_) | IssuerLookup::Unavailable(_)) => None,
                None => asking.find(|issuer| asks_about_all(issuer) && takes(issuer)).cloned(),
            }
        } else {
            asking.find(|issuer| takes(issuer)).cloned()
        };
        let Some(issuer) = issuer else { return Ok(None) };
        check_size(text, issuer.rules.max_token_bytes)?;
        // A malformed request: nothing of it is sent on.
        if bearer::is_token68(text) { Ok(Some(issuer)) } else { Err(TokenError::NotACompactJws) }
    }

    pub(super) fn introspect_later(
        self: &Arc<Self>,
        issuer: Arc<IssuerState>,
        jwt: Option<Arc<Verified<T>>>,
        text: &str,
        digest: Option<Digest>,
        now: Now,
    ) -> Check<T> {
        let digest = digest.unwrap_or_else(|| self.cache.digest(text.as_bytes()));
        let known = issuer.introspector.as_ref().and_then(|one| one.known(digest, now));
        if let Some(settled) = known {
            let outcome = self.settle(&issuer, jwt, digest, settled);
            return Check::Ready(outcome.map(Some).map_err(|rejection| self.rejected(text, rejection)));
        }
        let (snapshot, token) = (Arc::clone(self), Secret::from(text));
        Check::Pending(CheckFuture::new(async move {
            let outcome = snapshot.ask(&issuer, jwt, &token, digest).await;
            outcome.map(Some).map_err(|rejection| snapshot.rejected(token.expose(), rejection))
        }))
    }

    pub(crate) async fn introspect(
        self: &Arc<Self>,
        issuer: Arc<IssuerState>,
        jwt: Option<Arc<Verified<T>>>,
        token: &str,
        digest: Option<Digest>,
    ) -> Result<Claims<T>, Rejection> {
        let digest = digest.unwrap_or_else(|| self.cache.digest(token.as_bytes()));
        self.ask(&issuer, jwt, &Secret::from(token), digest).await
    }

    /// Asks about a token, unless another question has brought what it needs.
    async fn ask(
        self: &Arc<Self>,
        issuer: &Arc<IssuerState>,
        jwt: Option<Arc<Verified<T>>>,
        token: &Secret,
        digest: Digest,
    ) -> Result<Claims<T>, Rejection> {
        let Some(introspector) = &issuer.introspector else { return Err(TokenError::UnknownKey.into()) };
        let on_active = || {
            let (snapshot, jwt) = (Arc::clone(self), jwt.clone());
            // The cache has it before anyone else may ask again.
            move |issuer: &Arc<IssuerState>, claims: &ClaimSet<'_>, body: &str| {
                snapshot.active(issuer, jwt, digest, claims, body)
            }
        };
        let learnt = |now| self.learnt(issuer, digest, now).map(Ok);
        match introspector.ask(token, digest, issuer, on_active, learnt).await {
            (_, Some(verified)) => self.accept(verified?, self.clock.now()),
            (settled, None) => self.settle(issuer, jwt, digest, settled),
        }
    }

    /// From the outcome of a question to claims or a rejection.
    #[cold]
    fn settle(
        &self,
        issuer: &Arc<IssuerState>,
        jwt: Option<Arc<Verified<T>>>,
        digest: Digest,
        settled: Settled,
    ) -> Result<Claims<T>, Rejection> {
        match settled {
            Settled::Unavailable(retry_after) => Err(Rejection::IntrospectionUnavailable { retry_after }),
            Settled::Inactive => Err(TokenError::Inactive.into()),
            Settled::Active(body) => {
                let verified = match self.learnt(issuer, digest, self.clock.now()) {
                    Some(verified) => verified,
                    None => {
                        let body = std::str::from_utf8(&body).map_err(|_| TokenError::NotUtf8)?;
                        self.active(issuer, jwt, digest, &ClaimSet::read(body)?, body)?
                    }
                };
                self.accept(verified, self.clock.now())
            }
        }
    }

    /// What is cached of a token that the issuer was asked about, as long as it need not be asked again.
    pub(crate) fn learnt(
        &self,
        issuer: &Arc<IssuerState>,
        digest: Digest,
        now: Now,
    ) -> Option<Arc<Verified<T>>> {
        self.cache.peek(digest).filter(|found| {
            found.is_within_lifetime(now)
                && !found.introspected_until.is_over(now)
                && Arc::ptr_eq(&found.issuer, issuer)
        })
    }

    /// Validates a response about an active token, and caches what it says.
    fn active(
        &self,
        issuer: &Arc<IssuerState>,
        jwt: Option<Arc<Verified<T>>>,
        digest: Digest,
        claims: &ClaimSet<'_>,
        body: &str,
    ) -> Result<Arc<Verified<T>>, Rejection> {
        let cache = issuer.introspector.as_ref().map_or(Duration::ZERO, |one| one.cache);
        let verified = match jwt {
            Some(jwt) => {
                let subject = jwt.parts.text(jwt.parts.subject);
                if contradicts(claims, jwt.issuer_name(), subject) {
                    return Err(TokenError::Contradicted.into());
                }
                jwt
            }
            None => {
                let now = self.clock.now();
                let lifetime = claims
                    .validate_introspected(issuer, now, cache, &mut FailFast)?
                    .ok_or(TokenError::Claim("exp"))?;
                let binding = claims.binding(self.possession.provable())?;
                let custom = (self.custom)(body).ok_or(TokenError::CustomClaims)?;
                let parts = claims.to_parts(issuer, &lifetime).ok_or(TokenError::TooLong)?;
                let introspected_until = Until::after(now, cache);
                let issuer = Arc::clone(issuer);
                let marks = OnceLock::new();
                let verified =
                    Verified { issuer, key: None, introspected_until, binding, parts, marks, custom };
                self.feeds.list.saw(&verified, now);
                Arc::new(verified)
            }
        };
        if !cache.is_zero() {
            self.cache.insert_as(digest, &verified);
        }
        Ok(verified)
    }
}
