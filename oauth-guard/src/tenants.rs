//! Issuers that are found at run time.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
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
    resolver: Resolver,
    assembler: Assembler,
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
    pub(crate) fn new(resolver: Resolver, assembler: Assembler) -> Arc<Self> {
        Arc::new(Self {
            resolver,
            assembler,
            known: Cache::builder()
                .max_capacity(defaults::TENANTS)
                .eviction_policy(EvictionPolicy::lru())
                .build(),
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
        let forgotten = self.known.remove(name);
        if let Some(issuer) = &forgotten {
            issuer.retire();
        }
        forgotten.is_some()
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
                self.known.insert(name.into(), Arc::new(issuer));
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

    fn assemble(&self, name: &str, issuer: &Issuer) -> Option<IssuerState> {
        let mut problems = Problems::default();
        if issuer.name != name {
            problems.add("issuer", "the resolver answered with an issuer of another name");
        }
        let state = self.assembler.issuer(issuer, &|field| field.to_owned(), &mut problems);
        if problems.is_empty() {
            return state;
        }
        let (issuer, problems) = (printable(name), problems.into_error());
        tracing::error!(target: "oauth_guard", issuer, %problems, "an issuer that was looked up is described wrongly");
        None
    }
}
