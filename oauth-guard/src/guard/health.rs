//! The guard's health, for a health endpoint.

use oauth_client::clock::Now;
use serde::Serialize;

use super::handle::Guard;
use crate::defaults::TENANTS_LISTED;
use crate::introspect::IntrospectionHealth;
use crate::issuer::IssuerState;
use crate::replay::{Replay, ReplayHealth};
use crate::revocation::{OnOutage, RevocationHealth};
use crate::tenants::Tenants;

/// A guard's state at one moment, from [`Guard::health`]. Serialize it as it is.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Health {
    /// Whether the tokens of every configured issuer can be validated now, and used proofs be noted. Issuers resolved at run time do not count: one
    /// tenant's outage must not take the service out of rotation.
    pub ok: bool,
    /// One for each configured issuer, by name; then at most [ten](crate::defaults::TENANTS_LISTED) of those resolved at
    /// run time, which are tenants' names: first those without usable keys. [`tenants`](Self::tenants) counts all.
    pub issuers: Vec<IssuerHealth>,
    /// The issuers resolved at run time. `None` without [`resolve_issuers`](crate::GuardBuilder::resolve_issuers).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenants: Option<TenantsHealth>,
    /// The cache of verified tokens.
    pub cache: CacheHealth,
    /// What is revoked, and where that comes from.
    pub revocations: RevocationHealth,
    /// The store of used proofs. `None` without [`Dpop`](crate::Dpop).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replay: Option<ReplayHealth>,
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

/// The issuers resolved at run time.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct TenantsHealth {
    /// How many are known: a token of theirs was verified.
    pub known: usize,
    /// How many were resolved, but no token of theirs was verified yet.
    pub on_probation: usize,
    /// How many of both have no usable keys.
    pub without_keys: usize,
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
    /// The state of keys, fetches and cache. Cheap enough for a probe every second: what it costs grows with the issuers that
    /// are resolved at run time, by some milliseconds for 20,000 of them, and requests do not wait for it meanwhile.
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
        let configured = snapshot.issuers.values().map(|issuer| IssuerHealth::new(issuer, now));
        let mut issuers: Vec<_> = configured.collect();
        issuers.sort_by(|one, two| one.issuer.cmp(&two.issuer));
        let tenants = snapshot.tenants.as_ref().map(|tenants| {
            let (health, listed) = TenantsHealth::new(tenants, now);
            issuers.extend(listed);
            health
        });
        if snapshot.feeds.list.has_feeds_to_start() {
            snapshot.feeds.start();
        }
        let revocations = RevocationHealth::new(&snapshot.feeds);
        // Where nothing is served during an outage, this service is out of order with it.
        let is_refusing = snapshot.revocation.on_outage == OnOutage::Refuse
            && revocations.feeds.iter().any(|feed| !feed.ok);
        let ok = !is_refusing && snapshot.issuers.values().all(|issuer| issuer.is_usable(now));
        for remote in snapshot.issuers.values().filter_map(|issuer| issuer.keys.remote()) {
            remote.fetch_if_due(now);
        }
        let (entries, bytes, hits, misses) = snapshot.cache.stats();
        #[expect(clippy::cast_precision_loss, reason = "a ratio for people to read")]
        let hit_ratio = (hits + misses > 0).then(|| hits as f64 / (hits + misses) as f64);
        let possession = &snapshot.possession;
        let replay = possession.dpop.as_ref().and(possession.replay.as_ref()).map(Replay::health);
        let ok = ok && replay.as_ref().is_none_or(|replay| replay.ok);
        let cache = CacheHealth { entries, bytes, hits, misses, hit_ratio };
        Health { ok, issuers, tenants, cache, revocations, replay }
    }
}

impl TenantsHealth {
    /// Also the few that are listed by name. There may be 100,000 tenants, so no more is made of the others than a count.
    fn new(tenants: &Tenants, now: Now) -> (Self, Vec<IssuerHealth>) {
        let (known, all) = tenants.known_and_all();
        let on_probation = all.len().saturating_sub(known);
        let mut each: Vec<_> =
            all.iter().map(|issuer| (issuer.is_usable(now), issuer.name(), issuer)).collect();
        let without_keys = each.iter().filter(|(ok, ..)| !ok).count();
        let order = |one: &(bool, &str, _), two: &(bool, &str, _)| (one.0, one.1).cmp(&(two.0, two.1));
        if each.len() > TENANTS_LISTED {
            each.select_nth_unstable_by(TENANTS_LISTED, order);
            each.truncate(TENANTS_LISTED);
        }
        each.sort_unstable_by(order);
        let listed = each.into_iter().map(|(.., issuer)| IssuerHealth::new(issuer, now)).collect();
        (Self { known, on_probation, without_keys }, listed)
    }
}

impl IssuerHealth {
    fn new(issuer: &IssuerState, now: Now) -> Self {
        let keys = issuer.keys.current().len();
        let status = issuer.keys.remote().map(|remote| remote.status(now));
        let introspection = issuer.introspector.as_ref().map(|introspector| introspector.health(now));
        Self {
            issuer: issuer.name().to_owned(),
            ok: issuer.is_usable(now),
            keys,
            age_seconds: status.as_ref().and_then(|status| status.age).map(|age| age.as_secs()),
            stale: status.as_ref().is_some_and(|status| status.stale),
            failures: status.as_ref().map_or(0, |status| status.failures),
            last_error: status.and_then(|status| status.last_error),
            introspection,
        }
    }
}
