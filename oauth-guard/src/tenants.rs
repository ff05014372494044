//! Issuers that are resolved at run time.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use oauth_client::clock::Now;

use crate::assemble::Assembler;
use crate::defaults;
use crate::error::Problems;
use crate::escape::escaped;
use crate::issuer::{Issuer, IssuerState};
use crate::keys::{Flight, Preloaded};

type Resolved = Result<Option<Issuer>, String>;
type Resolving = Pin<Box<dyn Future<Output = Resolved> + Send>>;

/// The user's function from a name to an issuer.
pub(crate) struct Resolver(Box<dyn Fn(String) -> Resolving + Send + Sync>);

impl Resolver {
    pub(crate) fn new<F, Fut, E>(resolve: F) -> Self
    where
        F: Fn(String) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Option<Issuer>, E>> + Send + 'static,
        E: fmt::Display,
    {
        Self(Box::new(move |name| {
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
/// real one.
pub(crate) struct Tenants {
    resolver: Arc<Resolver>,
    assembler: Assembler,
    /// The first generation that no longer has them.
    ended: AtomicU64,
    /// The issuers of the previous snapshot: their keys are reused if the issuer is still the same.
    before: Cache<Box<str>, Arc<IssuerState>>,
    known: Cache<Box<str>, Arc<IssuerState>>,
    /// Key sets that were preloaded for issuers not resolved yet.
    pub(crate) preloaded: Preloaded,
    /// Names that are not resolved again before a time on the monotonic clock.
    unknown: Cache<Box<str>, Negative>,
    flights: Mutex<Flights>,
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
        let states = || {
            Cache::builder().max_capacity(defaults::TENANTS).eviction_policy(EvictionPolicy::lru()).build()
        };
        let before = states();
        for (name, issuer) in old.iter().flat_map(|old| old.before.iter().chain(old.known.iter())) {
            before.insert(Box::clone(&name), issuer);
        }
        let preloaded = Preloaded::default();
        if let Some(old) = old {
            preloaded.take_over(&old.preloaded);
        }
        Arc::new(Self {
            preloaded,
            resolver,
            ended: AtomicU64::new(u64::MAX),
            before,
            known: states(),
            unknown: unknown(assembler.keys.cooldown),
            assembler,
            flights: Mutex::default(),
            quiet_until: AtomicU64::new(0),
        })
    }

    pub(crate) fn get(&self, name: &str, now: Now) -> TenantLookup {
        if let Some(issuer) = self.known.get(name) {
            return TenantLookup::Known(issuer);
        }
        match self.unknown.get(name) {
            Some(Negative::UnknownUntil(until)) if now.monotonic < until => TenantLookup::Unknown,
            Some(Negative::FailedUntil(until)) if now.monotonic < until => {
                TenantLookup::Unavailable(until.saturating_sub(now.monotonic))
            }
            _ => TenantLookup::NotAsked,
        }
    }

    /// Calls the resolver, or joins the call under way. `None` outside of a tokio runtime, and when too many calls are
    /// under way.
    pub(crate) fn resolve(self: &Arc<Self>, name: &str) -> Option<Flight> {
        let mut flights = self.flights();
        if let Some((_, flight)) = flights.by_name.get(name).filter(|(_, flight)| !flight.is_over()) {
            return Some(flight.clone());
        }
        if flights.by_name.len() >= defaults::PENDING_RESOLUTIONS {
            return None;
        }
        flights.started += 1;
        let (this, resolved_name, number) = (Arc::clone(self), Box::from(name), flights.started);
        let flight = Flight::start(async move {
            // Created inside the task: one that never ran has no entry to remove, and is dropped while the list is locked.
            let resolution = Resolution { tenants: this, name: resolved_name, number };
            let this = &resolution.tenants;
            let resolving = (this.resolver.0)(resolution.name.to_string());
            let resolved = match tokio::time::timeout(this.assembler.keys.timeout, resolving).await {
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
        let mut flights = self.flights();
        flights.by_name.remove(name);
        self.before.invalidate(name);
        self.unknown.invalidate(name);
        let forgotten = self.known.remove(name);
        if let Some(issuer) = &forgotten {
            // No generation has it.
            issuer.end(0);
        }
        forgotten.is_some()
    }

    /// That generation and all later ones do not have these tenants, nor those being resolved.
    pub(crate) fn end(&self, generation: u64) {
        self.ended.store(generation, Ordering::SeqCst);
        self.known().for_each(|issuer| issuer.end(generation));
    }

    pub(crate) fn resolver(&self) -> Arc<Resolver> {
        Arc::clone(&self.resolver)
    }

    pub(crate) fn known_as(&self, name: &str) -> Option<Arc<IssuerState>> {
        self.known.get(name)
    }

    pub(crate) fn known(&self) -> impl Iterator<Item = Arc<IssuerState>> {
        self.known.iter().map(|(_, issuer)| issuer)
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
        let flights = self.flights();
        if !flights.is_under_way(resolution) {
            return;
        }
        let now = self.assembler.clock.now().monotonic;
        match resolved {
            Ok(Some(issuer)) => {
                self.unknown.invalidate(name);
                self.preloaded.apply(issuer.name(), issuer.keys.remote().map(|remote| &**remote));
                self.known.insert(name.into(), Arc::clone(&issuer));
                // Either `end` saw it among the known ones, or its generation is read here.
                issuer.end(self.ended.load(Ordering::SeqCst));
            }
            Ok(None) => {
                let until = now.saturating_add(self.assembler.keys.cooldown);
                self.unknown.insert(name.into(), Negative::UnknownUntil(until));
            }
            Err(()) => self.remember_failure(name, now),
        }
    }

    fn remember_failure(&self, name: &str, now: Duration) {
        self.unknown.insert(name.into(), Negative::FailedUntil(now.saturating_add(defaults::RESOLVER_PAUSE)));
    }

    fn assemble(&self, name: &str, issuer: &Issuer) -> Option<Arc<IssuerState>> {
        let mut problems = Problems::default();
        if issuer.name != name {
            problems.add("issuer", "the resolver returned an issuer with another name");
        }
        if issuer.max_token_bytes > self.assembler.tenant_token_bytes {
            problems.add(
                "max_token_bytes",
                "more than the guard accepts; raise GuardBuilder::tenant_token_bytes",
            );
        }
        let before = self.before.remove(name);
        let state = self.assembler.issuer(issuer, before.as_ref(), &|field| field.to_owned(), &mut problems);
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

    fn flights(&self) -> MutexGuard<'_, Flights> {
        self.flights.lock().unwrap_or_else(PoisonError::into_inner)
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
        let mut flights = tenants.flights();
        if flights.is_under_way(self) {
            flights.by_name.remove(&self.name);
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
mod tests;
