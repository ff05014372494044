//! What the operator reads of a rejection: code, reason, issuer and key id, and nothing else of the token.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use oauth_client::clock::{Clock, SystemClock};

use super::rejection::Rejection;
use crate::defaults::WARNING_INTERVAL;
use crate::escape::escaped;

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
}

impl Origin {
    /// Of a valid token.
    pub(crate) fn verified(issuer: &str, key_id: Option<&str>) -> Self {
        Self { issuer: Some(issuer.to_owned()), key_id: key_id.map(escaped), typ: None, misfit: None }
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
        let Origin { issuer, key_id, typ, misfit } = origin();
        let (issuer, key_id, misfit) = (issuer.as_deref(), key_id.as_deref(), misfit.as_deref());
        if is_due {
            let needed = match rejection {
                Rejection::InsufficientScope { needed } => {
                    Some(&**needed).filter(|needed| !needed.is_empty())
                }
                _ => None,
            };
            let change = match (reason, needed) {
                ("insufficient_scope", None) => Some(OTHER_THAN_SCOPES),
                _ => advice(reason),
            };
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

/// Where a role or another claim was asked for.
const OTHER_THAN_SCOPES: &str = "what is required is a role or another claim, which the token lacks: compare the rule with \
     Guard::explain of the token; for roles in another claim set roles_claim";

/// What to look at or to change, by the reason of a rejection. Settings are named as in a configuration file.
pub(crate) fn advice(reason: &str) -> Option<&'static str> {
    Some(match reason {
        "missing_token" => {
            "the client has to send `Authorization: Bearer`; if it does, look for a proxy that removes the header, or name another place with token_header or token_cookie"
        }
        "invalid_request" => "the client has to change the request",
        "insufficient_scope" => {
            "the client has to ask for the scopes of the challenge; if the token has them in another claim, set scope_claim or scope_separator, for roles roles_claim"
        }
        "insufficient_user_authentication" => {
            "the client has to log the user in again, as the challenge says"
        }
        "no_rule" => "add a [[rule]] for the route, or leave out default_access = \"deny\"",
        "origin_not_allowed" => "add the page's origin to allowed_origins",
        "token_too_long" => "raise max_token_bytes of the issuer if its tokens are longer than 8 KiB",
        "token_malformed" => {
            "this is no JWT: if the issuer's tokens are opaque, set [issuer.introspection]; if the client sends an ID token or a key of its own, it has to send the access token"
        }
        "header_malformed" | "claims_malformed" => {
            "the token is not well-formed; look at it with Guard::explain"
        }
        "algorithm_unsupported" => {
            "the issuer has to sign with RS256, PS256, ES256, EdDSA or one of their kin"
        }
        "algorithm_not_allowed" => {
            "add the token's alg to algorithms of the issuer, if it is meant to be accepted"
        }
        "claim_missing_or_malformed" => {
            "the issuer's tokens may be no RFC 9068 access tokens, which have sub, client_id, iat and jti: set profile = \"jwt\""
        }
        "issuer_unknown" => {
            "issuer has to be exactly the token's iss, with or without a slash at the end as it is there"
        }
        "type_mismatch" => {
            "RFC 9068 access tokens have the typ at+jwt: if the issuer's access tokens have JWT or none, set profile = \"jwt\"; if this is an ID token, the client has to send the access token"
        }
        "audience_mismatch" => {
            "set audience of the issuer to what the token's aud names, if it stands for this API; else the client has to ask for a token for this API (audience or resource)"
        }
        "expired" => {
            "the client has to get a new token; if it did, compare the clocks of both machines (leeway_seconds)"
        }
        "not_yet_valid" => "compare the clocks of both machines (leeway_seconds)",
        "too_old" => "raise max_token_age_seconds of the issuer, or have it issue shorter-lived tokens",
        "client_not_allowed" => "add the client to clients of the issuer",
        "required_claim_mismatch" => "compare require of the issuer with the token, see Guard::explain",
        "bound_to_key" => {
            "the token is bound to a key of the client (cnf): accept proofs with [dpop] or [certificates]"
        }
        "scheme_mismatch" => {
            "the client has to send a bound token with the scheme DPoP and a proof, and any other as Bearer"
        }
        "token_not_bound" => {
            "the client has to ask for a bound token (RFC 9449), or leave out mode = \"require\""
        }
        "token_not_bound_to_certificate" => {
            "the client has to get its token over a connection with its certificate (RFC 8705), or leave out mode = \"require\" of [certificates]"
        }
        "proof_key_mismatch" => "the client has to sign its proof with the key that the token was issued for",
        "certificate_mismatch" => {
            "the client has to connect with the certificate that the token was issued for; behind a proxy, check source of [certificates] and trusted_proxies"
        }
        "proof_missing" => "the client has to send a DPoP proof with each request (RFC 9449)",
        "proof_htu_mismatch" => {
            "the proof is for another URL: set public_url to what clients see, or trusted_proxies to the proxies in front"
        }
        "proof_too_old" | "proof_from_the_future" => {
            "the client has to make a proof for each request; if it does, compare the clocks (max_age_seconds of [dpop])"
        }
        "proof_algorithm_not_allowed" => {
            "add the proof's alg to algorithms of [dpop], if it is meant to be accepted"
        }
        "proof_replayed" => {
            "the client has to make a new proof for each request, also when it tries one again"
        }
        "revoked" => "the token, its session or its user was revoked: the user has to log in again",
        "key_unknown" => {
            "the issuer's key set has no such key: check jwks_uri or jwks_file, and whether the token is from another environment"
        }
        "key_of_another_issuer" => {
            "the key set names another issuer for this key: check the tenant in issuer and jwks_uri"
        }
        "signature_invalid" => {
            "the token was changed, or is from another environment whose keys have the same ids"
        }
        "claims_do_not_fit" => {
            "change the type given to GuardBuilder::claims, or what the issuer puts into the claim: misfit names it"
        }
        "token_inactive" => {
            "the authorization server says no: the token was revoked, has expired, or this guard's client_id may not ask about it"
        }
        "introspection_contradicts" => {
            "the server's response is about another iss or sub: check the endpoint of [issuer.introspection]"
        }
        _ => return None,
    })
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
