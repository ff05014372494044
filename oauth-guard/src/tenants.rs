//! Issuers that are found at run time.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use oauth_client::clock::Now;

use crate::assemble::Assembler;
use crate::defaults;
use crate::error::Problems;
use crate::issuer::{Issuer, IssuerState};
use crate::keys::{Flight, printable};

/// How long after a failure the resolver is left alone, for the name it failed on.
const AFTER_FAILURE: Duration = Duration::from_secs(1);

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
    /// Until when, on the monotonic clock, not to ask again.
    unknown: Cache<Box<str>, Not>,
    flights: Mutex<HashMap<Box<str>, Flight>>,
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
        Arc::new(Self {
            resolver,
            assembler,
            ended: AtomicU64::new(u64::MAX),
            before,
            known: states(),
            unknown: Cache::builder()
                .max_capacity(defaults::UNKNOWN_ISSUERS)
                .eviction_policy(EvictionPolicy::lru())
                .build(),
            flights: Mutex::default(),
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

    /// Asks, or joins those who do. `None` outside of a runtime.
    pub(crate) fn resolve(self: &Arc<Self>, name: &str) -> Option<Flight> {
        let mut flights = self.flights.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(flight) = flights.get(name).filter(|flight| !flight.is_over()) {
            return Some(flight.clone());
        }
        let (this, asked) = (Arc::clone(self), Box::<str>::from(name));
        let flight = Flight::start(async move {
            let timeout = this.assembler.keys.timeout;
            let resolved = match tokio::time::timeout(timeout, (this.resolver.0)(asked.to_string())).await {
                Ok(resolved) => resolved,
                Err(_) => Err("it took too long".to_owned()),
            };
            this.land(&asked, resolved);
        })?;
        flights.insert(name.into(), flight.clone());
        Some(flight)
    }

    pub(crate) fn forget(&self, name: &str) -> bool {
        self.before.invalidate(name);
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

    pub(crate) fn known(&self) -> impl Iterator<Item = Arc<IssuerState>> {
        self.known.iter().map(|(_, issuer)| issuer)
    }

    fn land(&self, name: &str, resolved: Resolved) {
        let now = self.assembler.clock.now().monotonic;
        let not_answered = Not::AnsweredUntil(now.saturating_add(AFTER_FAILURE));
        match resolved.map(|issuer| issuer.map(|issuer| self.assemble(name, &issuer))) {
            Ok(Some(Some(issuer))) => {
                self.unknown.invalidate(name);
                self.known.insert(name.into(), Arc::clone(&issuer));
                // Either the end saw it among the known, or it is seen here that the end has been.
                issuer.end(self.ended.load(Ordering::SeqCst));
            }
            // Wrongly described, which has been logged.
            Ok(Some(None)) => self.unknown.insert(name.into(), not_answered),
            Ok(None) => {
                let until = now.saturating_add(self.assembler.keys.cooldown);
                self.unknown.insert(name.into(), Not::KnownUntil(until));
            }
            Err(error) => {
                let issuer = printable(name);
                tracing::warn!(target: "oauth_guard", issuer, error, "an issuer could not be looked up");
                self.unknown.insert(name.into(), not_answered);
            }
        }
        self.flights.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
    }

    fn assemble(&self, name: &str, issuer: &Issuer) -> Option<Arc<IssuerState>> {
        let mut problems = Problems::default();
        if issuer.name != name {
            problems.add("issuer", "the resolver answered with an issuer of another name");
        }
        let before = self.before.remove(name);
        let state = self.assembler.issuer(issuer, before.as_ref(), &|field| field.to_owned(), &mut problems);
        if problems.is_empty() {
            return state;
        }
        let (issuer, problems) = (printable(name), problems.into_error());
        tracing::error!(target: "oauth_guard", issuer, %problems, "an issuer that was looked up is described wrongly");
        None
    }
}
