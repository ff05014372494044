//! How a guard is doing, for a health endpoint.

use serde::Serialize;

use crate::guard::Guard;
use crate::keys::IssuerKeys;

/// A guard's state at one moment. Made by [`Guard::health`]; serialize it as it is.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Health {
    /// Whether every issuer's tokens can be judged right now. Those that were found at run time are listed, but do not
    /// count: one tenant's server takes nobody else's requests along.
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
    /// Whether its tokens can be judged right now: there are keys, and none too old to be used.
    pub ok: bool,
    /// How many keys are held.
    pub keys: usize,
    /// Seconds since they were fetched. `None` if they never were.
    pub age_seconds: Option<u64>,
    /// The keys are older than they should be, or missing: the server cannot be reached, or nobody has needed them.
    pub stale: bool,
    /// How many fetches have failed since the last one that worked.
    pub failures: u32,
    /// The code of the last failure, while it lasts.
    pub last_error: Option<String>,
}

/// The cache of verified tokens.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct CacheHealth {
    /// Tokens held.
    pub entries: u64,
    /// What they take, in bytes, roughly.
    pub bytes: u64,
    /// Requests whose token was there.
    pub hits: u64,
    /// Requests whose token was not.
    pub misses: u64,
    /// Hits among all, from 0 to 1. `None` before the first request.
    pub hit_ratio: Option<f64>,
}

impl<T: Send + Sync + 'static> Guard<T> {
    /// How the guard is doing: keys, errors, cache. Cheap enough for a probe every second.
    ///
    /// Within a tokio runtime it also starts what fetch is due, as a request would, and does not wait for it. So a
    /// readiness probe gets a service going that is sent no request before it is ready: the first answer says that it
    /// is not, a later one that it is. [`warm_up`](Self::warm_up) waits.
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
        let policy = self.policy();
        let now = policy.clock.now();
        let mut issuers: Vec<_> = policy
            .all_issuers()
            .iter()
            .map(|issuer| {
                let keys = issuer.keys.current().len();
                let name = issuer.name().to_owned();
                match &issuer.keys {
                    IssuerKeys::Given(_) => IssuerHealth {
                        issuer: name,
                        ok: keys > 0,
                        keys,
                        age_seconds: None,
                        stale: false,
                        failures: 0,
                        last_error: None,
                    },
                    IssuerKeys::Remote(remote) => {
                        let report = remote.report(now);
                        IssuerHealth {
                            issuer: name,
                            ok: keys > 0 && report.usable,
                            keys,
                            age_seconds: report.age.map(|age| age.as_secs()),
                            stale: report.stale,
                            failures: report.failures,
                            last_error: report.last_error,
                        }
                    }
                }
            })
            .collect();
        let ok = policy.issuers.values().all(|issuer| issuer.keys.are_usable(now));
        for remote in policy.issuers.values().filter_map(|issuer| issuer.keys.remote()) {
            remote.fetch_if_due(now);
        }
        issuers.sort_by(|one, two| one.issuer.cmp(&two.issuer));
        let (entries, bytes, hits, misses) = policy.cache.report();
        #[expect(clippy::cast_precision_loss, reason = "a ratio for people to read")]
        let hit_ratio = (hits + misses > 0).then(|| hits as f64 / (hits + misses) as f64);
        Health { ok, issuers, cache: CacheHealth { entries, bytes, hits, misses, hit_ratio } }
    }
}
