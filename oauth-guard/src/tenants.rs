//! Issuers that are found at run time.

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
use crate::issuer::{Issuer, IssuerState};
use crate::keys::{Flight, Waiting, escaped};

type Resolved = Result<Option<Issuer>, String>;
type Resolving = Pin<Box<dyn Future<Output = Resolved> + Send>>;

/// The user's way from a name to an issuer.
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
pub(crate) enum Tenant {
    Known(Arc<IssuerState>),
    Unknown,
    Unavailable(Duration),
    Ask,
}

/// The issuers found so far. Known and unknown names are kept apart, so that a flood of invented ones displaces no
/// real one.
pub(crate) struct Tenants {
    resolver: Arc<Resolver>,
    assembler: Assembler,
    /// The first policy that no longer has them.
    ended: AtomicU64,
    /// What the policy before knew: keys to go on with, if a name still means the same.
    before: Cache<Box<str>, Arc<IssuerState>>,
    known: Cache<Box<str>, Arc<IssuerState>>,
    /// Keys that were preloaded for issuers not found yet.
    pub(crate) waiting: Waiting,
    /// Until when, on the monotonic clock, not to ask again.
    unknown: Cache<Box<str>, Not>,
    flights: Mutex<Flights>,
    /// Until when, on the monotonic clock in milliseconds, failures are told in a low voice.
    quiet_until: AtomicU64,
}

/// The questions under way, each with a number. One whose number is no longer here has been given up: what it brings
/// is dropped.
#[derive(Default)]
struct Flights {
    by_name: HashMap<Box<str>, (u64, Flight)>,
    started: u64,
}

#[derive(Clone, Copy)]
enum Not {
    KnownUntil(Duration),
    AnsweredUntil(Duration),
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
        let waiting = Waiting::default();
        if let Some(old) = old {
            waiting.take_over(&old.waiting);
        }
        Arc::new(Self {
            waiting,
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

    pub(crate) fn look_up(&self, name: &str, now: Now) -> Tenant {
        if let Some(issuer) = self.known.get(name) {
            return Tenant::Known(issuer);
        }
        match self.unknown.get(name) {
            Some(Not::KnownUntil(until)) if now.monotonic < until => Tenant::Unknown,
            Some(Not::AnsweredUntil(until)) if now.monotonic < until => {
                Tenant::Unavailable(until.saturating_sub(now.monotonic))
            }
            _ => Tenant::Ask,
        }
    }

    /// Asks, or joins those who do. `None` outside of a runtime, and when too much is being asked already.
    pub(crate) fn resolve(self: &Arc<Self>, name: &str) -> Option<Flight> {
        let mut flights = self.flights();
        if let Some((_, flight)) = flights.by_name.get(name).filter(|(_, flight)| !flight.is_over()) {
            return Some(flight.clone());
        }
        if flights.by_name.len() >= defaults::LOOK_UPS {
            return None;
        }
        flights.started += 1;
        let (this, name_asked, number) = (Arc::clone(self), Box::from(name), flights.started);
        let flight = Flight::start(async move {
            // Made in here: a task that never ran has nothing to cross off, and is dropped while the list is locked.
            let asking = Asking { tenants: this, name: name_asked, number };
            let this = &asking.tenants;
            let answer = (this.resolver.0)(asking.name.to_string());
            let resolved = match tokio::time::timeout(this.assembler.keys.timeout, answer).await {
                Ok(resolved) => resolved,
                Err(_) => Err("it took too long".to_owned()),
            };
            this.land(&asking, resolved);
        })?;
        flights.by_name.insert(name.into(), (number, flight.clone()));
        Some(flight)
    }

    /// Also forgets that it is none, and gives up asking: an answer that is on its way is as old as what is forgotten.
    pub(crate) fn forget(&self, name: &str) -> bool {
        let mut flights = self.flights();
        flights.by_name.remove(name);
        self.before.invalidate(name);
        self.unknown.invalidate(name);
        let forgotten = self.known.remove(name);
        if let Some(issuer) = &forgotten {
            // No policy has it, whatever its number.
            issuer.end(0);
        }
        forgotten.is_some()
    }

    /// That policy and all after it do not have these tenants, nor those that are still on their way.
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

    fn land(&self, asking: &Asking, resolved: Resolved) {
        let name = &*asking.name;
        let resolved = match resolved {
            Ok(issuer) => issuer.map(|issuer| self.assemble(name, &issuer).ok_or(())).transpose(),
            Err(error) => {
                self.tell(name, &"an issuer could not be looked up", &error);
                Err(())
            }
        };
        let flights = self.flights();
        if !flights.is_under_way(asking) {
            return;
        }
        let now = self.assembler.clock.now().monotonic;
        match resolved {
            Ok(Some(issuer)) => {
                self.unknown.invalidate(name);
                self.waiting.deliver(&issuer);
                self.known.insert(name.into(), Arc::clone(&issuer));
                // Either the end saw it among the known, or it is seen here that the end has been.
                issuer.end(self.ended.load(Ordering::SeqCst));
            }
            Ok(None) => {
                let until = now.saturating_add(self.assembler.keys.cooldown);
                self.unknown.insert(name.into(), Not::KnownUntil(until));
            }
            Err(()) => self.no_answer(name, now),
        }
    }

    fn no_answer(&self, name: &str, now: Duration) {
        self.unknown.insert(name.into(), Not::AnsweredUntil(now.saturating_add(defaults::RESOLVER_PAUSE)));
    }

    fn assemble(&self, name: &str, issuer: &Issuer) -> Option<Arc<IssuerState>> {
        let mut problems = Problems::default();
        if issuer.name != name {
            problems.add("issuer", "the resolver answered with an issuer of another name");
        }
        if issuer.max_token_bytes > self.assembler.tenant_token_bytes {
            problems.add(
                "max_token_bytes",
                "more than the guard looks at; raise GuardBuilder::tenant_token_bytes",
            );
        }
        let before = self.before.remove(name);
        let state = self.assembler.issuer(issuer, before.as_ref(), &|field| field.to_owned(), &mut problems);
        if problems.is_empty() {
            return state;
        }
        self.tell(name, &"an issuer that was looked up is described wrongly", &problems.into_error());
        None
    }

    /// Warns, but once a second at most: how many names there are to fail on is for others to say.
    fn tell(&self, name: &str, what: &dyn fmt::Display, error: &dyn fmt::Display) {
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
    fn is_under_way(&self, asking: &Asking) -> bool {
        self.by_name.get(&asking.name).is_some_and(|(number, _)| *number == asking.number)
    }
}

/// A question under way; when it is over, however it ends, it is crossed off.
struct Asking {
    tenants: Arc<Tenants>,
    name: Box<str>,
    number: u64,
}

impl Drop for Asking {
    fn drop(&mut self) {
        let tenants = &self.tenants;
        let mut flights = tenants.flights();
        if flights.is_under_way(self) {
            flights.by_name.remove(&self.name);
            if std::thread::panicking() {
                tenants.no_answer(&self.name, tenants.assembler.clock.now().monotonic);
            }
        }
    }
}

/// Names that are none, with a capacity in bytes. They are gone some time after they stopped to count, asked for or not.
fn unknown(cooldown: Duration) -> Cache<Box<str>, Not> {
    // What an entry takes besides its name, roughly.
    const ENTRY: usize = 200;
    Cache::<Box<str>, Not>::builder()
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
