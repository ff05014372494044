//! What is configured about DPoP.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use base64::Engine;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use oauth_client::clock::Now;
use oauth_client::token::Secret;

use super::nonce::Nonces;
use super::{ClockMark, DpopRules, Past};
use crate::defaults;
use crate::error::Problems;
use crate::jose::{Algorithm, algorithm};
use crate::replay::{Replay, ReplayStore};

/// Accepts tokens that are bound to a key of the client (RFC 9449), and checks the proof of each request. A stolen
/// token is then useless without the key. Passed to [`GuardBuilder::dpop`](crate::GuardBuilder::dpop).
///
/// Without it a guard refuses bound tokens, since nothing would check that the caller is the one they were issued to.
///
/// Set [`public_url`](crate::GuardBuilder::public_url) (or [`resource`](crate::GuardBuilder::resource)) too: proofs
/// name the URL that callers see. Without these settings the guard uses the `Host` header, which the caller writes.
///
/// ```
/// use oauth_guard::{Algorithm, Dpop, Guard, Issuer};
///
/// let guard = Guard::builder()
///     .issuer(Issuer::new("https://auth.example.com").audience("orders-api"))
///     .public_url("https://api.example.com")
///     .dpop(Dpop::new().required().algorithms([Algorithm::Es256]))
///     .build()?;
/// # Ok::<(), oauth_guard::BuildError>(())
/// ```
#[derive(Clone)]
#[must_use = "pass it to `GuardBuilder::dpop`"]
pub struct Dpop {
    required: bool,
    algorithms: Option<Vec<Algorithm>>,
    max_age: Duration,
    nonce: bool,
    /// A configuration says that no nonce is asked for, so that the settings of one may wait beside it.
    nonce_off: bool,
    nonce_lifetime: Option<Duration>,
    nonce_key: Option<Secret>,
    replay: Option<Replay>,
    replay_capacity: Option<usize>,
}

/// What is accepted when nothing else is configured.
const ALGORITHMS: [Algorithm; 5] =
    [Algorithm::Es256, Algorithm::Es384, Algorithm::EdDsa, Algorithm::Rs256, Algorithm::Ps256];

impl Dpop {
    /// Bound tokens need a proof, and unbound ones are accepted as bearer tokens.
    pub fn new() -> Self {
        Self {
            required: false,
            algorithms: None,
            max_age: defaults::PROOF_MAX_AGE,
            nonce: false,
            nonce_off: false,
            nonce_lifetime: None,
            nonce_key: None,
            replay: None,
            replay_capacity: None,
        }
    }

    /// Accepts bound tokens only. For some routes alone, see [`Requirement::bound`](crate::Requirement::bound).
    pub fn required(mut self) -> Self {
        self.required = true;
        self
    }

    /// The only signature algorithms of proofs to accept. By default ES256, ES384, EdDSA, RS256 and PS256.
    pub fn algorithms(mut self, algorithms: impl IntoIterator<Item = Algorithm>) -> Self {
        self.algorithms = Some(algorithms.into_iter().collect());
        self
    }

    /// How old a proof may be, by its `iat`; in whole seconds. By default 60. It may be five seconds ahead. A reload with a
    /// longer time gives it to the proofs that are made from then on.
    ///
    /// When the wall clock is set back, by this time at most in all, proofs stay as old as they were, so that no used one
    /// passes again; those that are made from then on pass. After a larger step every proof is refused for as long as used
    /// ones are noted: this time and six seconds. What was used before such a step passes again when the clock has come
    /// back to its time.
    pub fn max_age(mut self, age: Duration) -> Self {
        self.max_age = age;
        self
    }

    /// Requires a nonce of this guard in each proof (RFC 9449 section 9), so that no proof can be made in advance. A
    /// client's first request is then rejected with a nonce, and sent once more by the client; after that good responses
    /// bring the next one in time.
    pub fn require_nonce(mut self) -> Self {
        self.nonce = true;
        self
    }

    /// Asks for no nonce, and says so.
    pub(crate) fn nonce_off(mut self) -> Self {
        self.nonce_off = true;
        self
    }

    /// How long a nonce is good; in whole seconds. By default 300. From half of that on, good responses bring the next. It
    /// needs [`require_nonce`](Self::require_nonce).
    pub fn nonce_lifetime(mut self, time: Duration) -> Self {
        self.nonce_lifetime = Some(time);
        self
    }

    /// The key that nonces are sealed with, for a fleet whose guards are to accept each other's nonces: at least 32
    /// bytes, in base64 or base64url. By default each guard makes one for itself. After a reload with another key,
    /// nonces that were made under the previous key stay good for the rest of their lifetime, and it makes no more of
    /// them: only those of the next minute count, which guards that are reloaded a little later still make. It needs
    /// [`require_nonce`](Self::require_nonce).
    pub fn nonce_key(mut self, key: impl Into<Secret>) -> Self {
        self.nonce_key = Some(key.into());
        self
    }

    /// Where used proofs are noted. By default in memory, which is right for a single process. A reload without one keeps
    /// the store. After a reload with a store at another place, as its [identity](ReplayStore::identity) says, the
    /// guard asks both stores about proofs that were made before the reload, so that none is good a second time. While
    /// the previous store is away, such a proof gets 503; the client's next proof is made after the reload. While the
    /// guards of a fleet are reloaded one after another, they do not see each other's proofs: for as long as that
    /// takes, a proof could be used once more.
    pub fn replay_store(mut self, store: impl ReplayStore) -> Self {
        self.replay = Some(Replay::foreign(store));
        self
    }

    /// How many proofs the store in memory can hold; one key's proofs can hold a 64th of them. By default 4,194,304, which
    /// allows one client a thousand requests per second. When it is full, requests with bound tokens get 503. A reload
    /// does not change it.
    pub fn replay_capacity(mut self, proofs: usize) -> Self {
        self.replay_capacity = Some(proofs);
        self
    }

    pub(crate) fn supported(&self) -> &[Algorithm] {
        self.algorithms.as_deref().unwrap_or(&ALGORITHMS)
    }

    pub(crate) fn is_required(&self) -> bool {
        self.required
    }

    /// The store that was named, and the capacity of one in memory.
    pub(in crate::possession) fn replay_settings(&self) -> (Option<Replay>, Option<usize>) {
        (self.replay.clone(), self.replay_capacity)
    }

    /// The checks in force after those before.
    pub(in crate::possession) fn rules(
        &self,
        before: Option<&DpopRules>,
        past: Option<Past>,
        mark: &Arc<ClockMark>,
        now: Now,
        problems: &mut Problems,
    ) -> Option<DpopRules> {
        let algorithms = self.supported();
        if algorithms.is_empty() {
            problems.add("dpop.algorithms", "expected at least one, such as ES256");
        }
        for other in algorithms.iter().filter(|one| one.is_symmetric() || !algorithm::is_supported(**one)) {
            problems.add(
                "dpop.algorithms",
                format!(
                    "{other} is not supported for proofs: expected ES256, ES384, EdDSA, or one of RS… and PS…"
                ),
            );
        }
        if !self.nonce && !self.nonce_off {
            // A nonce that is not asked for protects nothing, and a key that is configured says that it should; unless it is
            // turned off by name.
            let given = [
                ("dpop.nonce_key", self.nonce_key.is_some()),
                ("dpop.nonce_seconds", self.nonce_lifetime.is_some()),
            ];
            for (field, _) in given.into_iter().filter(|(_, is_given)| *is_given) {
                problems.add(
                    field,
                    "is given, and no nonce is asked for; set nonce = \"require\" too, or nonce = \"off\"",
                );
            }
        }
        let nonce_lifetime = self.nonce_lifetime.unwrap_or(defaults::NONCE_LIFETIME);
        for (field, time) in [("dpop.max_age_seconds", self.max_age), ("dpop.nonce_seconds", nonce_lifetime)]
        {
            if time.as_secs() == 0 {
                problems.add(field, "expected at least one second");
            }
        }
        let key = match &self.nonce_key {
            Some(text) => match key_bytes(text.expose()) {
                Some(key) => Some((key, true)),
                None => {
                    problems.add("dpop.nonce_key", "expected at least 32 random bytes in base64");
                    return None;
                }
            },
            None => {
                let mut key = vec![0; 32];
                match getrandom::fill(&mut key) {
                    Ok(()) => Some((key, false)),
                    Err(_) => {
                        problems.add("dpop.nonce_key", "the system has no random bytes to make one");
                        return None;
                    }
                }
            }
        };
        let nonces = key.filter(|_| self.nonce).map(|(key, is_shared)| {
            let mut nonces = Nonces::new(&key, is_shared, nonce_lifetime.as_secs());
            if let Some(before) = before.and_then(|before| before.nonces.as_ref()) {
                nonces.succeed(before, now);
            }
            nonces
        });
        Some(DpopRules {
            required: self.required,
            algorithms: algorithms.into(),
            max_age: self.max_age.as_secs(),
            past,
            mark: Arc::clone(mark),
            nonces,
            hinted: AtomicBool::new(false),
        })
    }
}

/// Base64 in either alphabet, padded or not, with a line end or not.
fn key_bytes(text: &str) -> Option<Vec<u8>> {
    let config = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let text = text.trim();
    [STANDARD, URL_SAFE]
        .iter()
        .find_map(|alphabet| GeneralPurpose::new(alphabet, config).decode(text).ok())
        .filter(|key| key.len() >= 32)
}

impl Default for Dpop {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Dpop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dpop")
            .field("required", &self.required)
            .field("algorithms", &self.supported())
            .field("max_age", &self.max_age)
            .field("nonce", &self.nonce)
            .field("nonce_lifetime", &self.nonce_lifetime)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nonce_key_is_base64_of_32_bytes_at_least() {
        let thirty_two = "++//AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
        let url_safe = thirty_two.replace('+', "-").replace('/', "_");
        for good in
            [thirty_two.to_owned(), format!("{thirty_two}=\n"), url_safe.clone(), format!(" {url_safe}=")]
        {
            assert_eq!(key_bytes(&good).map(|key| key.len()), Some(32), "{good}");
        }
        for bad in [
            "",
            "AAAA",
            &thirty_two[..42],
            "not base64 at all, although it is long enough for a key",
            &format!("{thirty_two}\n{thirty_two}"),
        ] {
            assert_eq!(key_bytes(bad), None, "{bad}");
        }
    }
}
