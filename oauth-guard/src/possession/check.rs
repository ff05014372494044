//! From a valid token to a caller who may use it.

use std::sync::Arc;
use std::time::Duration;

use smallvec::SmallVec;

use super::dpop::Used;
use super::evidence::{Evidence, Scheme};
use super::{Binding, Possession, Proven};
use crate::bearer::Presented;
use crate::check::{Check, CheckFuture};
use crate::claims::Claims;
use crate::error::TokenError;
use crate::reject::{Rejection, RequiredBinding};
use crate::replay::{Insertion, Replay, ReplayError};
use crate::request::RequestHead;
use crate::snapshot::Snapshot;
use crate::telemetry;

/// What is left to do once every check but the last has passed.
enum Checked {
    Done(Option<Arc<Proven>>),
    /// Stores have to be asked: one of the user's own, or those before a reload as well.
    Insert(Box<(Used, Stores)>),
}

impl<T: Send + Sync + 'static> Snapshot<T> {
    /// The same, if the request proves what a valid token asks for.
    pub(crate) fn possessed(
        self: &Arc<Self>,
        check: Check<T>,
        presented: &Presented<'_>,
        request: RequestHead<'_>,
    ) -> Check<T> {
        let claims = match check {
            Check::Ready(Ok(Some(claims))) => claims,
            Check::Pending(check) => return Check::Pending(self.possessed_later(check, presented, request)),
            check @ Check::Ready(_) => return check,
        };
        let checked = self.possession.check(
            claims.binding(),
            presented.scheme,
            || Evidence::of(request, presented, &self.possession),
            self,
        );
        match checked {
            Ok(Checked::Done(proven)) => Check::Ready(Ok(Some(claims.proven(proven)))),
            Ok(Checked::Insert(insertion)) => {
                let (used, stores) = *insertion;
                let (snapshot, token) = (Arc::clone(self), presented.token.clone().into_owned());
                Check::Pending(CheckFuture::new(async move {
                    match insert(used, stores).await {
                        Ok(proven) => Ok(Some(claims.proven(Some(proven)))),
                        Err(rejection) => Err(snapshot.rejected_bytes(&token, rejection)),
                    }
                }))
            }
            Err(rejection) => Check::Ready(Err(self.rejected_bytes(&presented.token, rejection))),
        }
    }

    /// The same for a token that waits: what proves possession is taken along. Also where nothing can be proven here: a token
    /// that the cache has from the configuration before may be bound.
    #[cold]
    fn possessed_later(
        self: &Arc<Self>,
        check: CheckFuture<T>,
        presented: &Presented<'_>,
        request: RequestHead<'_>,
    ) -> CheckFuture<T> {
        if self.possession.proves_nothing() {
            return check.unbound(self, presented.scheme);
        }
        let snapshot = Arc::clone(self);
        let (scheme, token) = (presented.scheme, presented.token.clone().into_owned());
        let evidence = Evidence::of(request, presented, &self.possession).map(Evidence::into_owned);
        CheckFuture::new(async move {
            let Some(claims) = check.await? else { return Ok(None) };
            let checked = snapshot.possession.check(claims.binding(), scheme, || evidence, &snapshot);
            let outcome = match checked {
                Ok(Checked::Done(proven)) => Ok(proven),
                Ok(Checked::Insert(insertion)) => {
                    let (used, stores) = *insertion;
                    insert(used, stores).await.map(Some)
                }
                Err(rejection) => Err(rejection),
            };
            match outcome {
                Ok(proven) => Ok(Some(claims.proven(proven))),
                Err(rejection) => Err(snapshot.rejected_bytes(&token, rejection)),
            }
        })
    }

    fn rejected_bytes(&self, token: &[u8], rejection: Rejection) -> Rejection {
        self.rejected(std::str::from_utf8(token).unwrap_or_default(), rejection)
    }
}

impl<T> Snapshot<T> {
    /// The claims of a valid token, where no binding can be proven: a bound one is rejected.
    #[inline]
    pub(crate) fn unbound(&self, claims: Claims<T>, scheme: Scheme) -> Result<Claims<T>, Rejection> {
        let outcome = match claims.binding() {
            None if scheme != Scheme::Dpop => return Ok(claims),
            binding => Possession::check_scheme(binding, scheme),
        };
        let rejection = outcome.err().unwrap_or_else(|| TokenError::BoundToKey.into());
        self.challenge.log.rejected(&rejection, || claims.origin());
        Err(rejection)
    }
}

impl Possession {
    /// Whether there is anything to prove: nearly every token is a bearer token.
    #[inline]
    pub(crate) fn concerns<T>(&self, check: &Check<T>, presented: &Presented<'_>) -> bool {
        match check {
            Check::Ready(Ok(Some(claims))) => {
                claims.binding().is_some() || presented.scheme == Scheme::Dpop || self.requires_binding()
            }
            Check::Ready(_) => false,
            Check::Pending(_) => true,
        }
    }

    /// Whether no binding can be proven here, and none has to be.
    fn proves_nothing(&self) -> bool {
        self.dpop.is_none() && self.certificates.is_none()
    }

    /// Scheme, certificate, and then the proof, whose last step uses it up.
    fn check<'e, T>(
        &self,
        binding: Option<&Binding>,
        scheme: Scheme,
        evidence: impl FnOnce() -> Result<Evidence<'e>, Rejection>,
        snapshot: &Snapshot<T>,
    ) -> Result<Checked, Rejection> {
        Self::check_scheme(binding, scheme)?;
        self.check_required(binding)?;
        let Some(binding) = binding else { return Ok(Checked::Done(None)) };
        // What a reload no longer checks is not accepted unchecked, though it may be cached.
        if !binding.is_provable(self.provable()) {
            return Err(TokenError::BoundToKey.into());
        }
        let evidence = evidence()?;
        Self::check_certificate(binding, &evidence)?;
        let (Some(dpop), Some(jkt), Some(given)) = (&self.dpop, binding.jkt, &evidence.dpop) else {
            return Ok(Checked::Done(None));
        };
        let now = snapshot.clock.now();
        let used = dpop.check(given, &evidence.token, binding, &jkt, now)?;
        // There is a store wherever proofs are checked.
        let Some(store) = &self.replay else {
            return Err(Rejection::ReplayUnavailable { retry_after: RETRY_AFTER });
        };
        // A layer on a route inside of a layer on the router: the same request, noted in the same place.
        let noted = |store: &Replay| {
            given.noted.as_ref().and_then(|noted| noted.find(store, &jkt, used.jti.as_str()))
        };
        if let Some(proven) = noted(store) {
            return Ok(Checked::Done(Some(Arc::clone(proven))));
        }
        let mut before = self.replaced.iter().filter(|one| one.may_have(used.iat)).peekable();
        match store {
            Replay::Memory(memory) if before.peek().is_none() => {
                inserted(memory.insert_now(used.id(), used.keep))?;
                Ok(Checked::Done(Some(used.into_proven(store.clone()))))
            }
            _ => {
                let before = before.map(|one| &one.store).filter(|store| noted(store).is_none());
                let before = before.cloned().collect();
                Ok(Checked::Insert(Box::new((used, Stores { before, store: store.clone() }))))
            }
        }
    }

    /// RFC 9449 section 7.2: a token that was bound may not be used as if it were not; and one that is not bound is none for
    /// the scheme `DPoP`.
    pub(super) fn check_scheme(binding: Option<&Binding>, scheme: Scheme) -> Result<(), Rejection> {
        let is_bound = binding.is_some_and(|binding| binding.jkt.is_some());
        match scheme {
            Scheme::Bearer if is_bound => Err(TokenError::OtherScheme.into()),
            Scheme::Dpop if !is_bound => Err(TokenError::OtherScheme.into()),
            _ => Ok(()),
        }
    }

    pub(super) fn check_required(&self, binding: Option<&Binding>) -> Result<(), Rejection> {
        let (jkt, x5t) = binding.map_or((None, None), |binding| (binding.jkt, binding.x5t));
        let wants_jkt = self.dpop.as_ref().is_some_and(|dpop| dpop.required);
        let wants_x5t = self.certificates.as_ref().is_some_and(|certificates| certificates.required);
        if wants_jkt && jkt.is_none() {
            return Err(Rejection::TokenNotBound(RequiredBinding::Key));
        }
        if wants_x5t && x5t.is_none() {
            return Err(Rejection::TokenNotBound(RequiredBinding::Certificate));
        }
        Ok(())
    }

    pub(super) fn check_certificate(binding: &Binding, evidence: &Evidence<'_>) -> Result<(), Rejection> {
        match (&binding.x5t, &evidence.certificate) {
            (None, _) => Ok(()),
            (Some(expected), Some(shown)) if is_equal(expected, shown) => Ok(()),
            _ => Err(TokenError::OtherCertificate.into()),
        }
    }
}

/// When to retry while the store cannot decide: room comes back with every second.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Where a proof has to be new.
struct Stores {
    /// Those that a reload has replaced.
    before: SmallVec<[Replay; 1]>,
    store: Replay,
}

async fn insert(used: Used, stores: Stores) -> Result<Arc<Proven>, Rejection> {
    let Stores { before, store } = stores;
    for store in before.iter().chain([&store]) {
        inserted(store.insert(used.id(), used.keep).await)?;
    }
    Ok(used.into_proven(store))
}

fn inserted(outcome: Result<Insertion, ReplayError>) -> Result<(), Rejection> {
    let result = match &outcome {
        Ok(Insertion::Inserted) => "first",
        Ok(Insertion::Present) => "replayed",
        Err(_) => "failed",
    };
    telemetry::count("oauth_guard_replay_checks_total", result);
    match outcome {
        Ok(Insertion::Inserted) => Ok(()),
        Ok(Insertion::Present) => Err(super::ProofError::Replayed.into()),
        Err(error) => {
            if let ReplayError::Away(cause) = &error {
                tracing::debug!(target: "oauth_guard", error = %cause, "the store of used proofs is unavailable");
            }
            Err(Rejection::ReplayUnavailable { retry_after: RETRY_AFTER })
        }
    }
}

fn is_equal(one: &[u8; 32], other: &[u8; 32]) -> bool {
    aws_lc_rs::constant_time::verify_slices_are_equal(one, other).is_ok()
}
