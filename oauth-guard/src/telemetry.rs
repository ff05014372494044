//! Counters through the `metrics` facade. Without the feature `metrics` nothing is counted, and nothing is called.
//!
//! The table in the crate's docs names them all.

use std::time::Duration;

#[cfg(feature = "metrics")]
use metrics::{counter, gauge};

use crate::introspect::Settled;
use crate::reject::Rejection;

/// A request was forwarded.
#[inline]
pub(crate) fn accepted() {
    #[cfg(feature = "metrics")]
    counter!("oauth_guard_requests_total", "result" => "accepted", "code" => "", "reason" => "").increment(1);
}

/// A request got a rejection.
pub(crate) fn rejected(rejection: &Rejection) {
    #[cfg(feature = "metrics")]
    counter!(
        "oauth_guard_requests_total",
        "result" => "rejected", "code" => rejection.code(), "reason" => rejection.reason()
    )
    .increment(1);
    #[cfg(not(feature = "metrics"))]
    let _ = rejection;
}

/// A token was looked for in the cache, and was valid there or not.
#[inline]
pub(crate) fn cache(hit: bool) {
    #[cfg(feature = "metrics")]
    if hit {
        counter!("oauth_guard_cache_lookups_total", "result" => "hit").increment(1);
    } else {
        counter!("oauth_guard_cache_lookups_total", "result" => "miss").increment(1);
    }
    #[cfg(not(feature = "metrics"))]
    let _ = hit;
}

/// Whom a key set or an introspection endpoint belongs to, as a label: issuers that were resolved at run time share one,
/// since callers can invent them.
#[derive(Clone, Copy)]
pub(crate) struct Owner<'a> {
    pub(crate) issuer: &'a str,
    pub(crate) is_resolved: bool,
}

#[cfg(feature = "metrics")]
impl Owner<'_> {
    fn label(self) -> String {
        if self.is_resolved { "resolved".to_owned() } else { self.issuer.to_owned() }
    }
}

/// A fetch of keys ended, now by the wall clock.
pub(crate) fn keys_fetched(owner: Owner<'_>, failure: Option<&str>, now: Duration) {
    #[cfg(feature = "metrics")]
    {
        let result = if failure.is_none() { "fetched" } else { "failed" };
        let code = failure.map_or("", known);
        counter!("oauth_guard_key_fetches_total", "issuer" => owner.label(), "result" => result, "code" => code)
            .increment(1);
        if failure.is_none() && !owner.is_resolved {
            gauge!("oauth_guard_keys_fetched_timestamp_seconds", "issuer" => owner.label()).set(seconds(now));
        }
    }
    #[cfg(not(feature = "metrics"))]
    let _ = (owner.issuer, owner.is_resolved, failure, now);
}

/// A server was asked about a token.
pub(crate) fn introspected(owner: Owner<'_>, settled: &Settled) {
    #[cfg(feature = "metrics")]
    {
        let result = match settled {
            Settled::Active(_) => "active",
            Settled::Inactive => "inactive",
            Settled::Unavailable(_) => "failed",
        };
        counter!("oauth_guard_introspections_total", "issuer" => owner.label(), "result" => result)
            .increment(1);
    }
    #[cfg(not(feature = "metrics"))]
    let _ = (owner, settled);
}

/// What has a name and a result: proofs of possession, and statements about revocations.
pub(crate) fn count(name: &'static str, result: &'static str) {
    #[cfg(feature = "metrics")]
    counter!(name, "result" => result).increment(1);
    #[cfg(not(feature = "metrics"))]
    let _ = (name, result);
}

#[cfg(feature = "metrics")]
#[expect(clippy::cast_precision_loss, reason = "seconds since 1970 fit")]
fn seconds(time: Duration) -> f64 {
    time.as_secs() as f64
}

/// A code that may be a label: servers may choose their own, and each new one would be a new time series.
#[cfg(feature = "metrics")]
fn known(code: &str) -> &'static str {
    const KNOWN: [&str; 8] = [
        "config",
        "discovery",
        "malformed_response",
        "rate_limited",
        "server_error",
        "timeout",
        "too_large",
        "transport",
    ];
    KNOWN.into_iter().find(|known| *known == code).unwrap_or("other")
}
