//! The guard's health, for a health endpoint.

use std::sync::Arc;

use serde::Serialize;

use crate::guard::Guard;
use crate::introspect::IntrospectionHealth;
use crate::issuer::IssuerState;
use crate::keys::IssuerKeys;

/// A guard's state at one moment, from [`Guard::health`]. Serialize it as it is.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Health {
    /// Whether the tokens of every configured issuer can be validated now. Issuers resolved at run time are listed, but do
    /// not count: one tenant's outage must not take the service out of rotation.
    pub ok: bool,
    /// One for each issuer, by name.
    pub issuers: Vec<IssuerHealth>,
    /// The cache of verified tokens.
    pub cache: CacheHealth,
}

/// The keys of one issuer.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct IssuerHealth {
    /// The issuer's name.
    pub issuer: String,
    /// Whether its tokens can be validated now: there are keys, and they are not too old.
    pub ok: bool,
    /// How many keys it has.
    pub keys: usize,
    /// Seconds since the keys were fetched. `None` if they never were.
    pub age_seconds: Option<u64>,
    /// Whether the keys are older than their maximum age, or missing: the server is unreachable, or no request needed them
    /// yet.
    pub stale: bool,
    /// Failed fetches since the last successful one.
    pub failures: u32,
    /// The code of the last failure, until a fetch succeeds.
    pub last_error: Option<String>,
    /// The questions about its tokens, if it is asked (RFC 7662). Its tokens then count as validatable without keys: it may
    /// publish none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub introspection: Option<IntrospectionHealth>,
}

/// The cache of verified tokens.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct CacheHealth {
    /// Cached tokens.
    pub entries: u64,
    /// Their size in bytes, roughly.
    pub bytes: u64,
    /// Requests whose token was cached.
    pub hits: u64,
    /// Requests whose token was not cached.
    pub misses: u64,
    /// Hits among all, from 0 to 1. `None` before the first request.
    pub hit_ratio: Option<f64>,
}

impl<T: Send + Sync + 'static> Guard<T> {
    /// The state of keys, fetches and cache. Cheap enough for a probe every second.
    ///
    /// Within a tokio runtime it also starts the fetches that are due, as a request would, and does not wait for them. So a
    /// service that gets no traffic before it is ready becomes ready by its readiness probe: the first response says that
    /// it is not, a later one that it is. [`warm_up`](Self::warm_up) waits.
    ///
    /// ```
    /// use oauth_guard::{Guard, Issuer};
    ///
    /// let guard = Guard::builder().issuer(Issuer::new("https://auth.example.com").audience("orders-api")).build()?;
    /// let health = guard.health();
    /// let status = if health.ok { 200 } else { 503 };
    /// assert_eq!(status, 503); // no keys yet
    /// # Ok::<(), oauth_guard::BuildError>(())
    /// ```
    #[must_use]
    pub fn health(&self) -> Health {
        let snapshot = self.snapshot();
        let now = snapshot.clock.now();
        let mut issuers: Vec<_> = snapshot
            .all_issuers()
            .iter()
            .map(|issuer| {
                let keys = issuer.keys.current().len();
                let name = issuer.name().to_owned();
                let introspection = issuer.introspector.as_ref().map(|one| one.health());
                match &issuer.keys {
                    IssuerKeys::Static(_) => IssuerHealth {
                        issuer: name,
                        ok: introspection.as_ref().map_or(keys > 0, |asked| asked.ok),
                        keys,
                        age_seconds: None,
                        stale: false,
                        failures: 0,
                        last_error: None,
                        introspection,
                    },
                    IssuerKeys::Remote(remote) => {
                        let status = remote.status(now);
                        IssuerHealth {
                            issuer: name,
                            ok: introspection.as_ref().map_or(keys > 0 && status.usable, |asked| asked.ok),
                            keys,
                            age_seconds: status.age.map(|age| age.as_secs()),
                            stale: status.stale,
                            failures: status.failures,
                            last_error: status.last_error,
                            introspection,
                        }
                    }
                }
            })
            .collect();
        let is_ok = |issuer: &Arc<IssuerState>| match &issuer.introspector {
            Some(introspector) => introspector.health().ok,
            None => issuer.keys.are_usable(now),
        };
        let ok = snapshot.issuers.values().all(is_ok);
        for remote in snapshot.issuers.values().filter_map(|issuer| issuer.keys.remote()) {
            remote.fetch_if_due(now);
        }
        issuers.sort_by(|one, two| one.issuer.cmp(&two.issuer));
        let (entries, bytes, hits, misses) = snapshot.cache.stats();
        #[expect(clippy::cast_precision_loss, reason = "a ratio for people to read")]
        let hit_ratio = (hits + misses > 0).then(|| hits as f64 / (hits + misses) as f64);
        Health { ok, issuers, cache: CacheHealth { entries, bytes, hits, misses, hit_ratio } }
    }
}
