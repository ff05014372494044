//! Issuers that are resolved at run time.

mod members;

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use oauth_client::clock::Now;

use self::members::Members;
use crate::defaults;
use crate::error::Problems;
use crate::escape::escaped;
use crate::guard::Assembler;
use crate::issuer::{Issuer, IssuerState};
use crate::keys::{Flight, Preloaded, Probation, ProbationBudget};
use crate::sync::{Mutex, MutexGuard};

type Resolved = Result<Option<Issuer>, String>;
type Resolving = Pin<Box<dyn Future<Output = Resolved> + Send>>;

/// The user's function from a name to an issuer.
#[derive(Clone)]
pub(crate) struct Resolver(Arc<dyn Fn(String) -> Resolving + Send + Sync>);

impl Resolver {
    pub(crate) fn new<F, Fut, E>(resolve: F) -> Self
    where
        F: Fn(String) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Option<Issuer>, E>> + Send + 'static,
        E: fmt::Display,
    {
        Self(Arc::new(move |name| {
            let found = resolve(name);
            Box::pin(async move { found.await.map_err(|error| error.to_string()) })
        }))
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Resolver")
    }
}

/// What is known of a name.
pub(crate) enum TenantLookup {
    Known(Arc<IssuerState>),
    Unknown,
    Unavailable(Duration),
    /// The resolver has to be called first.
    NotAsked,
}

/// The issuers resolved so far. Known and unknown names are kept apart, so that a flood of invented names displaces no
/// real one; and so are names that a resolver accepts by a rule, until a token of theirs is verified.
pub(crate) struct Tenants {
    resolver: Arc<Resolver>,
    assembler: Assembler,
    /// The key fetches of tenants on probation.
    budget: Arc<ProbationBudget>,
    /// Key sets that were preloaded for issuers not resolved yet.
    pub(crate) preloaded: Preloaded,
    members: Mutex<Members>,
    /// How many became members: orders the uses within one second.
    inserted: AtomicU64,
    /// Names that are not resolved again before a time on the monotonic clock.
    unknown: Cache<Box<str>, Negative>,
    /// Until when, on the monotonic clock in milliseconds, failures are logged at debug level.
    quiet_until: AtomicU64,
}

/// The resolutions under way, each with a number. One whose number is no longer here was abandoned, and its result is
/// dropped.
#[derive(Default)]
struct Flights {
    by_name: HashMap<Box<str>, (u64, Flight)>,
    started: u64,
}

#[derive(Clone, Copy)]
enum Negative {
    UnknownUntil(Duration),
    FailedUntil(Duration),
}

impl Tenants {
    pub(crate) fn new(resolver: Arc<Resolver>, assembler: Assembler, old: Option<&Self>) -> Arc<Self> {
        let preloaded = Preloaded::default();
        if let Some(old) = old {
            preloaded.take_over(&old.preloaded);
        }
        let before = old.map(|old| old.members().hand_over(assembler.max_tenants)).unwrap_or_default();
        Arc::new(Self {
            resolver,
            budget: old.map(|old| Arc::clone(&old.budget)).unwrap_or_default(),
            preloaded,
            members: Mutex::new(Members::new(assembler.max_tenants, before)),
            inserted: AtomicU64::new(0),
            unknown: unknown(assembler.keys.cooldown),
            assembler,
            quiet_until: AtomicU64::new(0),
        })
    }

    pub(crate) fn get(&self, name: &str, now: Now) -> TenantLookup {
        match self.member(name) {
            Some(issuer) => TenantLookup::Known(issuer),
            None => self.negative(name, now.monotonic),
        }
    }

    fn negative(&self, name: &str, now: Duration) -> TenantLookup {
        match self.unknown.get(name) {
            Some(Negative::UnknownUntil(until)) if now < until => TenantLookup::Unknown,
            Some(Negative::FailedUntil(until)) if now < until => {
                TenantLookup::Unavailable(until.saturating_sub(now))
            }
            _ => TenantLookup::NotAsked,
        }
    }

    /// A valid token of that tenant is used: the tenants used last are kept. Writes once a second at most, unless others
    /// became members in between.
    pub(crate) fn touch(&self, issuer: &IssuerState, now: Now) {
        let turn = self.inserted.load(Ordering::Relaxed) & u64::from(u32::MAX);
        issuer.used_at((now.monotonic.as_secs() << 32) | turn);
    }

    /// A token of that tenant was verified, which ends its probation.
    pub(crate) fn verified(&self, issuer: &Arc<IssuerState>, now: Now) {
        self.touch(issuer, now);
        if let Some(probation) = issuer.probation.as_ref().filter(|probation| !probation.is_over())
            && self.members().promote(issuer)
        {
            probation.end();
        }
    }

    /// Calls the resolver, or joins the call under way. `None` outside of a tokio runtime, and when too many calls are
    /// under way.
    pub(crate) fn resolve(self: &Arc<Self>, name: &str) -> Option<Flight> {
        let now = self.assembler.clock.now().monotonic;
        let mut members = self.members();
        // The resolution that another caller waited for may have landed since this one looked.
        if members.get(name).is_some() || !matches!(self.negative(name, now), TenantLookup::NotAsked) {
            return Some(Flight::over());
        }
        let flights = &mut members.flights;
        if let Some((_, flight)) = flights.by_name.get(name).filter(|(_, flight)| !flight.is_over(now)) {
            return Some(flight.clone());
        }
        if flights.by_name.len() >= defaults::PENDING_RESOLUTIONS {
            // Those on a runtime that is no longer driven do not count.
            flights.by_name.retain(|_, (_, flight)| !flight.is_over(now));
            if flights.by_name.len() >= defaults::PENDING_RESOLUTIONS {
                return None;
            }
        }
        flights.started += 1;
        let (this, resolved_name, number) = (Arc::clone(self), Box::from(name), flights.started);
        let timeout = self.assembler.keys.timeout;
        let flight = Flight::start(now, timeout, async move {
            // Created inside the task: one that never ran has no entry to remove, and is dropped while the list is locked.
            let resolution = Resolution { tenants: this, name: resolved_name, number };
            let this = &resolution.tenants;
            let resolving = (this.resolver.0)(resolution.name.to_string());
            let resolved = match tokio::time::timeout(timeout, resolving).await {
                Ok(resolved) => resolved,
                Err(_) => Err("the resolver timed out".to_owned()),
            };
            this.land(&resolution, resolved);
        })?;
        flights.by_name.insert(name.into(), (number, flight.clone()));
        Some(flight)
    }

    /// Also forgets that a name is unknown, and abandons a resolution under way: its result is as old as what is forgotten.
    pub(crate) fn forget(&self, name: &str) -> bool {
        let mut members = self.members();
        self.unknown.invalidate(name);
        members.forget(name)
    }

    /// That generation and all later ones do not have these tenants, nor those being resolved.
    pub(crate) fn end(&self, generation: u64) {
        self.members().end(generation);
    }

    pub(crate) fn resolver(&self) -> Arc<Resolver> {
        Arc::clone(&self.resolver)
    }

    pub(crate) fn member(&self, name: &str) -> Option<Arc<IssuerState>> {
        self.members().get(name).cloned()
    }

    /// Those of which a token was verified, and those on probation.
    pub(crate) fn all(&self) -> Vec<Arc<IssuerState>> {
        self.members().all().cloned().collect()
    }

    /// Those of which a token was verified.
    pub(crate) fn known(&self) -> Vec<Arc<IssuerState>> {
        self.members().known().cloned().collect()
    }

    /// Of how many a token was verified, and all of them. Requests wait while the list is locked, so what is to be known of
    /// each is looked at afterwards.
    pub(crate) fn known_and_all(&self) -> (usize, Vec<Arc<IssuerState>>) {
        let members = self.members();
        let mut all = Vec::with_capacity(members.len());
        all.extend(members.all().cloned());
        (members.known().len(), all)
    }

    fn land(&self, resolution: &Resolution, resolved: Resolved) {
        let name = &*resolution.name;
        let resolved = match resolved {
            Ok(issuer) => issuer.map(|issuer| self.assemble(name, &issuer).ok_or(())).transpose(),
            Err(error) => {
                self.warn(name, &"an issuer could not be resolved", &error);
                Err(())
            }
        };
        let mut members = self.members();
        if !members.flights.is_under_way(resolution) {
            return;
        }
        let now = self.assembler.clock.now();
        match resolved {
            Ok(Some(issuer)) => self.admit(&mut members, &issuer, now),
            Ok(None) => {
                let until = now.monotonic.saturating_add(self.assembler.keys.cooldown);
                self.unknown.insert(name.into(), Negative::UnknownUntil(until));
            }
            Err(()) => self.remember_failure(name, now.monotonic),
        }
    }

    fn admit(&self, members: &mut Members, issuer: &Arc<IssuerState>, now: Now) {
        let remote = issuer.keys.remote().map(|remote| &**remote);
        self.preloaded.apply(issuer.name(), remote);
        let is_on_probation = issuer.probation.as_ref().filter(|probation| !probation.is_over());
        if let (Some(probation), Some(remote)) = (is_on_probation, remote)
            && !remote.status(now).usable
            && !probation.prepay(now.monotonic)
        {
            // Not even admitted: it would displace one whose fetch is paid for.
            self.remember_failure(issuer.name(), now.monotonic);
            tracing::debug!(
                target: "oauth_guard",
                issuer = escaped(issuer.name()),
                "too many tenants without a verified token: their keys are not fetched"
            );
            return;
        }
        self.unknown.invalidate(issuer.name());
        self.inserted.fetch_add(1, Ordering::Relaxed);
        self.touch(issuer, now);
        members.insert(issuer);
    }

    fn remember_failure(&self, name: &str, now: Duration) {
        self.unknown.insert(name.into(), Negative::FailedUntil(now.saturating_add(defaults::RESOLVER_PAUSE)));
    }

    fn assemble(&self, name: &str, issuer: &Issuer) -> Option<Arc<IssuerState>> {
        let mut problems = Problems::default();
        if *issuer.name != *name {
            problems.add("issuer", "the resolver returned an issuer with another name");
        }
        if issuer.max_token_bytes > self.assembler.tenant_token_bytes {
            problems.add(
                "max_token_bytes",
                "more than the guard accepts; raise GuardBuilder::tenant_token_bytes",
            );
        }
        let before = self.members().before(name);
        // A tenant that was known before a reload is still no invention.
        let known = before.as_ref().and_then(|before| before.probation.clone());
        let probation = known.unwrap_or_else(|| Probation::new(Arc::clone(&self.budget)));
        let field = |field: &str| field.to_owned();
        let state = self.assembler.issuer(issuer, before.as_ref(), Some(probation), &field, &mut problems);
        if problems.is_empty() {
            return state;
        }
        self.warn(name, &"a resolved issuer has an invalid configuration", &problems.into_error());
        None
    }

    /// Warns, at most once a second: callers decide how many names fail.
    fn warn(&self, name: &str, what: &dyn fmt::Display, error: &dyn fmt::Display) {
        let issuer = escaped(name);
        let now = millis(self.assembler.clock.now().monotonic);
        let until = now.saturating_add(millis(defaults::RESOLVER_PAUSE));
        let quiet = self.quiet_until.fetch_max(until, Ordering::Relaxed) > now;
        if quiet {
            tracing::debug!(target: "oauth_guard", issuer, %error, "{what}");
        } else {
            tracing::warn!(target: "oauth_guard", issuer, %error, "{what}");
        }
    }

    fn members(&self) -> MutexGuard<'_, Members> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Flights {
    fn is_under_way(&self, resolution: &Resolution) -> bool {
        self.by_name.get(&resolution.name).is_some_and(|(number, _)| *number == resolution.number)
    }
}

/// A resolution under way; it removes its entry when it ends, also by a panic.
struct Resolution {
    tenants: Arc<Tenants>,
    name: Box<str>,
    number: u64,
}

impl Drop for Resolution {
    fn drop(&mut self) {
        let tenants = &self.tenants;
        let mut members = tenants.members();
        if members.flights.is_under_way(self) {
            members.flights.by_name.remove(&self.name);
            if std::thread::panicking() {
                tenants.remember_failure(&self.name, tenants.assembler.clock.now().monotonic);
            }
        }
    }
}

/// Unknown names, with a capacity in bytes. They expire some time after they stop counting, whether used or not.
fn unknown(cooldown: Duration) -> Cache<Box<str>, Negative> {
    // What an entry takes besides its name, in bytes, roughly.
    const ENTRY: usize = 200;
    Cache::<Box<str>, Negative>::builder()
        .max_capacity(defaults::UNKNOWN_ISSUER_BYTES)
        .weigher(|name, _| u32::try_from(name.len().saturating_add(ENTRY)).unwrap_or(u32::MAX))
        .eviction_policy(EvictionPolicy::lru())
        .time_to_live(cooldown.clamp(defaults::RESOLVER_PAUSE, Duration::from_secs(24 * 3600)))
        .build()
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod models;
#[cfg(test)]
mod tests;
