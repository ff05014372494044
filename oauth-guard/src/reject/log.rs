//! What the operator reads of a rejection: code, reason, issuer and key id, and nothing else of the token.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use http::{HeaderMap, Method};
use oauth_client::clock::{Clock, SystemClock};

use super::advice::{self, InsteadOfToken};
use super::rejection::Rejection;
use crate::defaults::WARNING_INTERVAL;
use crate::escape::escaped;
use crate::issuer::Profile;

/// Who issued a token and which key signed it, as far as the token is readable. In a rejected token the caller wrote
/// both: they are escaped and cut.
#[derive(Debug, Default)]
pub(crate) struct Origin {
    pub(crate) issuer: Option<String>,
    pub(crate) key_id: Option<String>,
    /// The kind of token that it says it is.
    pub(crate) typ: Option<&'static str>,
    /// Which claim does not fit the program's type. The issuer signed it.
    pub(crate) misfit: Option<String>,
    /// What kind of token is expected of that issuer.
    pub(crate) profile: Option<Profile>,
    /// What the request has in place of a token.
    pub(crate) instead: Option<InsteadOfToken>,
}

impl Origin {
    /// Of a valid token.
    pub(crate) fn verified(issuer: &str, key_id: Option<&str>) -> Self {
        Self { issuer: Some(issuer.to_owned()), key_id: key_id.map(escaped), ..Self::default() }
    }

    /// Of a request without a token.
    pub(crate) fn nowhere(head: Option<(&Method, &HeaderMap)>) -> Self {
        let instead = head.and_then(|(method, headers)| InsteadOfToken::of(method, headers));
        Self { instead, ..Self::default() }
    }
}

/// How many reasons are told apart. There are about sixty; further ones would share the last place.
const PLACES: usize = 128;

/// The log of a guard's rejections.
///
/// Any caller can cause as many as it likes, so they are logged at debug level: but the first of each reason within a
/// minute is a warning that says what to change, so that a new service does not reject in silence. What went wrong
/// elsewhere, such as a key fetch, is warned of there.
///
/// A flood takes no lock and writes to no memory that is shared: it reads when the next warning is due.
pub(crate) struct RejectionLog {
    clock: Arc<dyn Clock>,
    places: [Place; PLACES],
}

#[derive(Default)]
struct Place {
    reason: OnceLock<&'static str>,
    /// When the next warning is due, in milliseconds on the monotonic clock.
    due: AtomicU64,
}

impl RejectionLog {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, places: std::array::from_fn(|_| Place::default()) }
    }

    /// Logs a rejection. Where it comes from is found out only if someone listens.
    #[cold]
    pub(crate) fn rejected(&self, rejection: &Rejection, origin: impl FnOnce() -> Origin) {
        let (code, reason) = (rejection.code(), rejection.reason());
        let is_due = tracing::enabled!(target: "oauth_guard", tracing::Level::WARN) && self.is_due(rejection);
        if !is_due && !tracing::enabled!(target: "oauth_guard", tracing::Level::DEBUG) {
            return;
        }
        let Origin { issuer, key_id, typ, misfit, profile, instead } = origin();
        let (issuer, key_id, misfit) = (issuer.as_deref(), key_id.as_deref(), misfit.as_deref());
        if is_due {
            let needed = match rejection {
                Rejection::InsufficientScope { needed } => {
                    Some(&**needed).filter(|needed| !needed.is_empty())
                }
                _ => None,
            };
            let of_instead = instead.and_then(|instead| instead.advice(rejection));
            let change = of_instead.or_else(|| advice::of_rejection(rejection, profile));
            tracing::warn!(
                target: "oauth_guard", code, reason, issuer, key_id, typ, misfit, needed, change,
                "{rejection}; further ones are logged at debug level for a minute"
            );
        } else {
            tracing::debug!(target: "oauth_guard", code, reason, issuer, key_id, typ, misfit, "{rejection}");
        }
    }

    /// Whether this is the first of its reason in a while. One of several at a time gets a yes.
    fn is_due(&self, rejection: &Rejection) -> bool {
        if is_no_news(rejection) {
            return false;
        }
        let Some(place) = self.place(rejection.reason()) else { return false };
        let millis = |time: std::time::Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let now = self.clock.now().monotonic;
        let due = place.due.load(Ordering::Relaxed);
        let next = millis(now.saturating_add(WARNING_INTERVAL));
        millis(now) >= due
            && place.due.compare_exchange(due, next, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// The place of a reason: the same one each time, found without a lock.
    fn place(&self, reason: &'static str) -> Option<&Place> {
        let hash = reason.bytes().fold(0_usize, |hash, byte| hash.wrapping_mul(31).wrapping_add(byte.into()));
        let from = |start: usize| self.places.iter().cycle().skip(start % PLACES).take(PLACES);
        from(hash).find(|place| *place.reason.get_or_init(|| reason) == reason).or(self.places.last())
    }
}

/// Whether the cause is logged as a warning or an error where it happens, or is a step of the protocol.
fn is_no_news(rejection: &Rejection) -> bool {
    matches!(
        rejection,
        Rejection::KeysUnavailable { .. }
            | Rejection::IntrospectionUnavailable { .. }
            | Rejection::NotGuarded
            | Rejection::UncheckedBody
            | Rejection::UseDpopNonce
    )
}

impl Default for RejectionLog {
    fn default() -> Self {
        Self::new(Arc::new(SystemClock))
    }
}

impl fmt::Debug for RejectionLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RejectionLog")
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use oauth_client::clock::TestClock;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_first_of_each_reason_is_due_once_a_minute_however_many_ask_at_a_time() {
        let log = RejectionLog::new(Arc::new(TestClock::new()));
        for _ in 0..3 {
            let (due, runtime) = (std::sync::Barrier::new(8), tokio::runtime::Handle::current());
            let ask = || {
                let _paused = runtime.enter();
                due.wait();
                (0..1000).filter(|_| log.is_due(&Rejection::MissingToken)).count()
            };
            let count: usize = std::thread::scope(|scope| {
                let threads: Vec<_> = (0..8).map(|_| scope.spawn(ask)).collect();
                threads.into_iter().map(|thread| thread.join().unwrap()).sum()
            });
            assert_eq!(count, 1);
            assert!(log.is_due(&Rejection::NoRule), "another reason");
            assert!(!log.is_due(&Rejection::NotGuarded), "an error of its own");
            tokio::time::advance(Duration::from_millis(59_999)).await;
            assert!(!log.is_due(&Rejection::MissingToken));
            tokio::time::advance(Duration::from_millis(1)).await;
        }
    }

    #[test]
    fn each_reason_has_its_place_and_too_many_share_one() {
        let log = RejectionLog::default();
        let names: Vec<&'static str> = (0..200).map(|n| &*format!("reason {n}").leak()).collect();
        let places: Vec<_> = names.iter().map(|name| std::ptr::from_ref(log.place(name).unwrap())).collect();
        let again: Vec<_> = names.iter().map(|name| std::ptr::from_ref(log.place(name).unwrap())).collect();
        assert_eq!(places, again);
        let mut distinct = places[..PLACES].to_vec();
        distinct.sort_unstable();
        distinct.dedup();
        assert_eq!(distinct.len(), PLACES);
    }
}
