//! The configuration in force, and the path of one request through it: token, cache, keys, validation, authorization,
//! rejection.

mod introspecting;
mod rejecting;

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http::Request;
use oauth_client::clock::{Clock, Now};
use serde::de::DeserializeOwned;

use crate::authorize::{
    Authorization, Known, Need, OfLayer, Requirement, RouteRules, Surroundings, Vocabulary,
};
use crate::bearer::{self, Presented, TokenLocations};
use crate::cache::{Digest, TokenCache};
use crate::check::{Check, CheckFuture};
use crate::claims::{Claims, Held, SubjectToken, Until, Verified, extensions};
use crate::defaults;
use crate::describe::ResourceMetadata;
use crate::error::TokenError;
use crate::escape::escaped;
use crate::guard::Assembler;
use crate::introspect::IntrospectedTokens;
use crate::issuer::IssuerState;
use crate::jose::{self, Issued, by_name, has_hole};
use crate::keys::{Flight, Freshness};
use crate::possession::{self, Possession};
use crate::reject::{Challenge, Rejection};
use crate::request::RequestHead;
use crate::revocation::{Feeds, RevocationSettings, Verdict};
use crate::telemetry;
use crate::tenants::{TenantLookup, Tenants};
use crate::validate::{
    Buffers, FailFast, IssuerLookup, ParsedToken, PendingFetch, Validation, check_size, unavailable,
};

/// The configuration in force. A request loads it once and is decided by it alone; a reload replaces it whole.
///
/// Requests read it and do not count themselves: what counts is on another line of the processor's cache.
#[repr(align(64))]
pub(crate) struct Snapshot<T> {
    /// Counts the snapshots of a guard.
    pub(crate) generation: u64,
    pub(crate) issuers: HashMap<Box<str>, Arc<IssuerState>>,
    /// Those of them that are asked about tokens.
    pub(crate) introspecting: Box<[Arc<IssuerState>]>,
    /// Those of them whose names have a hole for the tenant, in the order of the configuration.
    pub(crate) with_tenants: Vec<Arc<IssuerState>>,
    /// Issuers that are resolved at run time.
    pub(crate) tenants: Option<Arc<Tenants>>,
    /// The longest token that any issuer accepts; each has its own limit besides.
    pub(crate) max_token_bytes: usize,
    pub(crate) cache: Arc<TokenCache<T>>,
    pub(crate) clock: Arc<dyn Clock>,
    /// What is revoked, and what fills that list: the same for all snapshots of a guard.
    pub(crate) feeds: Arc<Feeds>,
    pub(crate) revocation: RevocationSettings,
    /// What its issuers were built with, for the next snapshot.
    pub(crate) assembler: Assembler,
    pub(crate) challenge: Arc<Challenge>,
    pub(crate) rules: RouteRules,
    /// By which the facts are known that layers ask for: the same for all snapshots of a guard, as layers are.
    pub(crate) of_layers: Arc<Vocabulary>,
    pub(crate) resource: Option<ResourceMetadata>,
    pub(crate) token_locations: TokenLocations,
    /// What is checked of tokens that are bound to a key.
    pub(crate) possession: Possession,
    /// Deserializes the user's type from claims that are known to be an object.
    pub(crate) custom: fn(&str) -> Option<T>,
    /// Says why it cannot, for the operator.
    pub(crate) misfit: fn(&str) -> Option<String>,
}

/// What a token needs next.
enum Step<T> {
    Done(Result<Claims<T>, Rejection>),
    Introspect { issuer: Arc<IssuerState>, jwt: Option<Arc<Verified<T>>> },
    Wait(Flight, PendingFetch),
}

/// Steps 1 to 4: the token of a request, validated.
impl<T: DeserializeOwned + Send + Sync + 'static> Snapshot<T> {
    pub(crate) fn check(self: &Arc<Self>, request: &RequestHead<'_>) -> Check<T> {
        if let Err(rejection) = self.possession.screen(*request) {
            return Check::Ready(Err(self.logged(rejection)));
        }
        let found = self.token_locations.token(request);
        if let Ok(Some(presented)) = &found {
            return self.check_presented(presented, request);
        }
        Check::Ready(found.map(|_| None).map_err(|rejection| self.logged(rejection)))
    }

    /// Whose token it is, and whether the caller may present it.
    #[inline]
    fn check_presented(self: &Arc<Self>, presented: &Presented<'_>, request: &RequestHead<'_>) -> Check<T> {
        // Returned where it was made. To move the claims of a known token takes a tenth of what the whole check does.
        let mut check = self.identify(&presented.token);
        if self.possession.concerns(&check, presented) {
            check = self.possessed(check, presented, *request);
        }
        check
    }

    /// Whose token it is. Possession is checked later.
    #[inline]
    fn identify(self: &Arc<Self>, token: &[u8]) -> Check<T> {
        if self.feeds.list.is_starting() {
            return self.identify_when_started(token.to_vec());
        }
        self.identify_now(token)
    }

    /// The sources of revocations have not been read yet: the first requests wait a moment for them.
    #[cold]
    fn identify_when_started(self: &Arc<Self>, token: Vec<u8>) -> Check<T> {
        let snapshot = Arc::clone(self);
        Check::Pending(CheckFuture::new(async move {
            snapshot.feeds.started().await;
            snapshot.identify_now(&token).resolve().await
        }))
    }

    #[inline]
    fn identify_now(self: &Arc<Self>, token: &[u8]) -> Check<T> {
        let now = self.clock.now();
        let Some(digest) = self.cache.known_as(token) else {
            return self.check_uncached(token, None, now);
        };
        if let Some(held) = self.cache.near(digest, self.generation, now.monotonic.as_secs()) {
            if self.still_holds(held.verified(), now) == Some(true) {
                telemetry::cache(true);
                return Check::Ready(match self.revoked(held.verified(), now) {
                    Ok(()) => Ok(Some(Claims::held(held))),
                    Err(rejection) => Err(self.logged(rejection)),
                });
            }
            // The main cache may have a newer one.
            self.cache.let_go(digest);
        }
        self.identify_far(token, digest, now)
    }

    /// Not held by this thread: it may be in the main cache.
    fn identify_far(self: &Arc<Self>, token: &[u8], digest: Digest, now: Now) -> Check<T> {
        if let Some(verified) = self.cache.get(digest) {
            match self.still_holds(&verified, now) {
                Some(true) => {
                    telemetry::cache(true);
                    let accepted =
                        self.revoked(&verified, now).map(|()| Some(self.hold(digest, verified, now)));
                    return Check::Ready(accepted.map_err(|rejection| self.logged(rejection)));
                }
                Some(false) => self.cache.remove(digest),
                None => {}
            }
        }
        telemetry::cache(false);
        self.check_uncached(token, Some(digest), now)
    }

    /// Whether a cached token is still what it was: the cache holds identity, and all that can have changed since is checked
    /// on each hit. `None`: its keys have to be fetched before that can be said.
    #[inline]
    fn still_holds(&self, verified: &Verified<T>, now: Now) -> Option<bool> {
        let keys = match verified.key {
            Some(_) => verified.issuer.keys.freshness(now),
            // No key has signed it.
            None => Freshness::Fresh,
        };
        if keys != Freshness::Fresh {
            return None;
        }
        let holds = verified.is_within_lifetime(now)
            && !verified.introspected_until.is_over(now)
            && verified.is_key_trusted()
            && verified.issuer.is_in_force(self.generation);
        if holds && let Some(tenants) = &self.tenants {
            tenants.touch(&verified.issuer, now);
        }
        Some(holds)
    }

    /// The claims of a token in the main cache. When it comes again soon, this thread holds it from then on.
    fn hold(&self, digest: Digest, verified: Arc<Verified<T>>, now: Now) -> Claims<T> {
        if !self.cache.is_to_be_held(digest) {
            return Claims::new(verified, &self.challenge);
        }
        let known = [self.rules.vocabulary(), self.of_layers.id()].map(Known::new);
        let held = Arc::new(Held::new(verified, Arc::clone(&self.challenge), known));
        self.cache.hold(digest, self.generation, now.monotonic.as_secs(), &held);
        Claims::held(held)
    }

    /// Not in the cache, or no longer valid as it was.
    #[cold]
    fn check_uncached(self: &Arc<Self>, token: &[u8], digest: Option<Digest>, now: Now) -> Check<T> {
        let text = match bearer::as_text(token) {
            Ok(text) => text,
            Err(rejection) => return Check::Ready(Err(self.logged(rejection))),
        };
        match self.next_step(text, self.validate(text, digest, now, true), now) {
            // Decided, and no fetch would help or may start now: there is nothing to wait for.
            Step::Done(outcome) => {
                Check::Ready(outcome.map(Some).map_err(|rejection| self.rejected(text, rejection)))
            }
            Step::Introspect { issuer, jwt } => self.introspect_later(issuer, jwt, text, digest, now),
            Step::Wait(flight, fetch) => {
                let (snapshot, token) = (Arc::clone(self), Box::from(text));
                Check::Pending(CheckFuture::new(async move {
                    let outcome = Arc::clone(&snapshot).validate_after(flight, &token, fetch).await;
                    outcome.map(Some).map_err(|rejection| snapshot.rejected(&token, rejection))
                }))
            }
        }
    }
}

impl<T: Send + Sync + 'static> Snapshot<T> {
    /// Validates with the keys at hand. `refresh` says whether keys that are merely overdue are fetched first.
    pub(crate) fn validate(
        &self,
        token: &str,
        digest: Option<Digest>,
        now: Now,
        refresh: bool,
    ) -> Validation<T> {
        match self.try_validate(token, digest, now, refresh) {
            Ok(validation) => validation,
            Err(error) => Validation::Done(Err(error.into())),
        }
    }

    fn try_validate(
        &self,
        text: &str,
        digest: Option<Digest>,
        now: Now,
        refresh: bool,
    ) -> Result<Validation<T>, TokenError> {
        // What has no dot is no JWT, and nothing of it has to be decoded.
        if !self.introspecting.is_empty()
            && memchr::memchr(b'.', text.as_bytes()).is_none()
            && let Some(issuer) = self.asked_about(text, Err(&TokenError::NotACompactJws), now)?
        {
            return Ok(Validation::Introspect { issuer, jwt: None });
        }
        let mut buffers = Buffers::new();
        let parsed = ParsedToken::parse(text, self.max_token_bytes, &mut buffers);
        if !self.introspecting.is_empty()
            && let Some(issuer) = self.asked_about(text, parsed.as_ref(), now)?
        {
            return Ok(Validation::Introspect { issuer, jwt: None });
        }
        let ParsedToken { compact, header, payload, claims } = parsed?;
        let (header, payload, claims) = (header?, payload?, claims?);
        // Keys belong to their issuer: the one that the token names decides which keys may have signed it.
        let (name, tenant) = (claims.issuer()?, claims.tenant());
        let issued = Issued { issuer: &name, tenant: tenant.as_deref() };
        let issuer = match self.issuer(issued, now)? {
            IssuerLookup::Found(issuer) => issuer,
            IssuerLookup::Unavailable(retry_after) => {
                return Ok(Validation::Done(Err(unavailable(retry_after))));
            }
            IssuerLookup::Pending(fetch) => return Ok(Validation::Pending(fetch)),
        };
        let issuer = &issuer;
        check_size(text, issuer.rules.max_token_bytes)?;
        if !issuer.rules.algorithms.contains(&header.algorithm) {
            return Err(TokenError::AlgorithmNotAllowed);
        }
        let lifetime =
            claims.validate(issuer, header.typ, now, &mut FailFast)?.ok_or(TokenError::Claim("exp"))?;
        let binding = claims.binding(self.possession.provable())?;
        if let Some(remote) = issuer.keys.remote() {
            match issuer.keys.freshness(now) {
                Freshness::Fresh => {}
                Freshness::Overdue if !refresh => {}
                Freshness::Overdue => {
                    return Ok(Validation::Pending(PendingFetch::FresherKeys(Arc::clone(remote))));
                }
                Freshness::Missing => {
                    return Ok(Validation::Pending(PendingFetch::Keys(Arc::clone(remote))));
                }
            }
        }
        let key = match (
            jose::signed_by(&issuer.keys.current(), &header, &compact, issued),
            issuer.keys.remote(),
        ) {
            (Ok(key), _) => key,
            (Err(TokenError::UnknownKey), Some(remote)) => {
                tracing::debug!(
                    target: "oauth_guard",
                    issuer = issuer.name(),
                    key_id = header.key_id.as_deref().map(escaped),
                    "a token names an unknown key"
                );
                let key_id = header.key_id.as_deref().map(Into::into);
                return Ok(Validation::Pending(PendingFetch::NewerKeys(Arc::clone(remote), key_id)));
            }
            (Err(error), _) => return Err(error),
        };
        let custom = (self.custom)(payload).ok_or(TokenError::CustomClaims)?;
        let parts = claims.to_parts(issuer, &lifetime).ok_or(TokenError::TooLong)?;
        if let Some(tenants) = &self.tenants {
            tenants.verified(issuer, now);
        }
        let introspector =
            issuer.introspector.as_ref().filter(|one| one.tokens != IntrospectedTokens::Opaque);
        let introspected_until = introspector.map_or(Until::FOREVER, |one| Until::after(now, one.cache));
        let verified = Arc::new(Verified {
            issuer: Arc::clone(issuer),
            key: Some(key),
            introspected_until,
            binding,
            parts,
            marks: OnceLock::new(),
            custom,
        });
        self.feeds.list.saw(&verified, now);
        if introspector.is_some() {
            return Ok(Validation::Introspect { issuer: Arc::clone(issuer), jwt: Some(verified) });
        }
        self.cache.insert(text.as_bytes(), digest, &verified);
        Ok(Validation::Done(self.accept(verified, now)))
    }

    /// The last check of a valid token, on each request: is it revoked?
    pub(crate) fn accept(&self, verified: Arc<Verified<T>>, now: Now) -> Result<Claims<T>, Rejection> {
        self.revoked(&verified, now).map(|()| Claims::new(verified, &self.challenge))
    }

    #[inline]
    fn revoked(&self, verified: &Verified<T>, now: Now) -> Result<(), Rejection> {
        self.revocation_of(verified.issuer.revocations.check(verified, now))
    }

    /// What follows from what the list says about a token.
    #[inline]
    pub(crate) fn revocation_of(&self, verdict: Verdict) -> Result<(), Rejection> {
        match verdict {
            Verdict::Accepted => Ok(()),
            Verdict::Revoked => Err(TokenError::Revoked.into()),
            Verdict::Unavailable => {
                Err(Rejection::RevocationsUnavailable { retry_after: Duration::from_secs(1) })
            }
        }
    }

    /// What follows from a validation. A fetch that is optional and may not start now is done without.
    fn next_step(&self, token: &str, validation: Validation<T>, now: Now) -> Step<T> {
        let validation = match validation {
            Validation::Pending(fetch) => match fetch.start(now) {
                Ok(flight) => return Step::Wait(flight, fetch),
                Err(rejection) if !fetch.is_optional() => return Step::Done(Err(rejection)),
                Err(_) => self.validate(token, None, now, false),
            },
            decided => decided,
        };
        match validation {
            Validation::Done(outcome) => Step::Done(outcome),
            Validation::Introspect { issuer, jwt } => Step::Introspect { issuer, jwt },
            Validation::Pending(fetch) => match fetch.start(now) {
                Ok(flight) => Step::Wait(flight, fetch),
                Err(rejection) => Step::Done(Err(rejection)),
            },
        }
    }

    /// Waits for a fetch and validates again. Ends after a few rounds: another fetch is started only when this one was
    /// lost, or was started for another token and did not bring what this one needs.
    async fn validate_after(
        self: Arc<Self>,
        mut flight: Flight,
        token: &str,
        mut fetch: PendingFetch,
    ) -> Result<Claims<T>, Rejection> {
        // An issuer, its keys, newer keys; and one of them again.
        const ROUNDS: usize = 4;
        for _ in 0..ROUNDS {
            let refresh = fetch.wait(flight).await?;
            let now = self.clock.now();
            match self.next_step(token, self.validate(token, None, now, refresh), now) {
                Step::Done(outcome) => return outcome,
                Step::Introspect { issuer, jwt } => return self.introspect(issuer, jwt, token, None).await,
                Step::Wait(next_flight, next) => (flight, fetch) = (next_flight, next),
            }
        }
        Err(fetch.exhausted(self.clock.now()))
    }

    /// What has to be fetched before the token's signature can be checked; nothing if it can be checked now.
    pub(crate) fn pending_fetch(&self, text: &str, now: Now) -> Option<PendingFetch> {
        let mut buffers = Buffers::new();
        let token = ParsedToken::parse(text, self.max_token_bytes, &mut buffers).ok()?;
        let (header, claims) = (token.header.ok()?, token.claims.ok()?);
        let (name, tenant) = (claims.issuer().ok()?, claims.tenant());
        let issued = Issued { issuer: &name, tenant: tenant.as_deref() };
        let issuer = match self.issuer(issued, now).ok()? {
            IssuerLookup::Found(issuer) => issuer,
            IssuerLookup::Unavailable(_) => return None,
            IssuerLookup::Pending(fetch) => return Some(fetch),
        };
        let remote = issuer.keys.remote()?;
        if remote.freshness(now) == Freshness::Missing {
            return Some(PendingFetch::Keys(Arc::clone(remote)));
        }
        let found = jose::signed_by(&issuer.keys.current(), &header, &token.compact, issued);
        matches!(found, Err(TokenError::UnknownKey))
            .then(|| PendingFetch::NewerKeys(Arc::clone(remote), header.key_id.as_deref().map(Into::into)))
    }

    /// The issuer that a token names: configured by that name, or with a hole that the token's tenant fills, or resolved
    /// at run time.
    pub(crate) fn issuer(&self, issued: Issued<'_>, now: Now) -> Result<IssuerLookup, TokenError> {
        let name = issued.issuer;
        // A name whose hole is open is a configured one, and no token's.
        if has_hole(name) {
            return Err(TokenError::UnknownIssuer);
        }
        let with_tenants = || self.with_tenants.iter().find(|issuer| issued.is_by(issuer.name()));
        match (by_name(&self.issuers, name).or_else(with_tenants), &self.tenants) {
            (Some(issuer), _) => Ok(IssuerLookup::Found(Arc::clone(issuer))),
            (None, None) => Err(TokenError::UnknownIssuer),
            // The caller wrote the name, and nothing vouches for it yet.
            (None, Some(_)) if name.len() > defaults::ISSUER_BYTES => Err(TokenError::UnknownIssuer),
            (None, Some(tenants)) => match tenants.get(name, now) {
                TenantLookup::Known(issuer) => Ok(IssuerLookup::Found(issuer)),
                TenantLookup::Unknown => Err(TokenError::UnknownIssuer),
                TenantLookup::Unavailable(retry_after) => Ok(IssuerLookup::Unavailable(retry_after)),
                TenantLookup::NotAsked => {
                    Ok(IssuerLookup::Pending(PendingFetch::Issuer(Arc::clone(tenants), name.into())))
                }
            },
        }
    }

    /// Every issuer in force at the moment, configured or resolved.
    pub(crate) fn all_issuers(&self) -> Vec<Arc<IssuerState>> {
        let resolved = self.tenants.iter().flat_map(|tenants| tenants.all());
        self.issuers.values().cloned().chain(resolved).collect()
    }
}

/// Step 5: is it enough?
impl<T> Snapshot<T> {
    /// What a request needs: from the rules of its route, and from the layer in front of it.
    #[inline]
    pub(crate) fn authorization<'a>(
        &'a self,
        request: &RequestHead<'a>,
        layer: &'a OfLayer,
    ) -> Result<Authorization<'a>, Rejection> {
        Authorization::for_route(&self.rules, request, layer, self.surroundings())
    }

    /// What authorization needs beside rules and claims.
    #[inline]
    fn surroundings(&self) -> Surroundings<'_> {
        Surroundings {
            clock: &*self.clock,
            implied: self.rules.implied(),
            rules: self.rules.vocabulary(),
            log: &self.challenge.log,
        }
    }

    /// What the requests of a route need by the rules, for a description of the API.
    pub(crate) fn need(&self, request: RequestHead<'_>) -> Need<'_> {
        self.rules.need(request)
    }

    /// A valid token that meets this requirement, whatever the route.
    pub(crate) fn requirement_only<'a>(&'a self, requirement: &'a Requirement) -> Authorization<'a> {
        Authorization::new(Some(requirement), self.rules.dry_run(), self.surroundings())
    }

    /// Inserts the claims into the request, and redacts or strips the token they are from; other credentials are redacted.
    #[inline]
    pub(crate) fn forward<B>(&self, request: &mut Request<B>, claims: Option<Claims<T>>)
    where
        T: Send + Sync + 'static,
    {
        self.possession.strip(request);
        match claims {
            Some(claims) => {
                self.token_locations.redact(request);
                if let Some(proof) = claims.proof() {
                    possession::leave(request.extensions_mut(), proof);
                }
                extensions::insert(request.extensions_mut(), claims);
            }
            // It has no token of the guard's. What another scheme brings is as secret.
            None => {
                self.token_locations.mark_all(request.headers_mut());
                extensions::clear(request.extensions_mut());
            }
        }
    }

    /// The token that these claims are from.
    pub(crate) fn subject_token<B>(&self, request: &Request<B>, claims: &Claims<T>) -> Option<SubjectToken> {
        let presented = self.token_locations.token(&RequestHead::from(request)).ok()??;
        Some(SubjectToken::new(bearer::as_text(&presented.token).ok()?, claims.expires_at()))
    }

    /// A request whose token is not validated: whatever could be one is redacted or stripped all the same.
    pub(crate) fn forward_unchecked<B>(&self, request: &mut Request<B>) {
        self.possession.strip(request);
        self.token_locations.redact_all(request);
        extensions::clear(request.extensions_mut());
    }
}
