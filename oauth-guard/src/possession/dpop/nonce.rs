//! Nonces (RFC 9449 section 9): a time and a seal over it. No guard keeps a list of them, and all guards that share a key
//! take each other's.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use aws_lc_rs::{constant_time, hmac};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use http::HeaderValue;
use oauth_client::clock::Now;

use crate::jose::decode_base64url;

/// What the seal is for, so that a key that is used elsewhere too seals nothing else like this.
const CONTEXT: &[u8] = b"oauth-guard dpop nonce 1";
/// Half of SHA-256: enough for what lives for minutes and can only be tried online.
const SEAL: usize = 16;
const TIME: usize = 8;
/// How far ahead the clock of another guard with the same key may be, in seconds.
const AHEAD: u64 = 60;

/// The nonces of one guard.
pub(crate) struct Nonces {
    /// The first one seals; a reload with another key leaves the one before it for the nonces at large.
    keys: Vec<hmac::Key>,
    /// Whether the key came from the configuration.
    pub(super) is_shared: bool,
    seconds: u64,
    current: ArcSwapOption<Made>,
}

struct Made {
    at: u64,
    header: HeaderValue,
}

/// What a nonce is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NonceState {
    Good,
    /// Good still, and time for another one.
    Aging,
    /// Old, foreign, or no nonce at all.
    Bad,
}

impl Nonces {
    pub(super) fn new(secret: &[u8], is_shared: bool, seconds: u64) -> Self {
        let keys = vec![hmac::Key::new(hmac::HMAC_SHA256, secret)];
        Self { keys, is_shared, seconds, current: ArcSwapOption::empty() }
    }

    /// The nonces of the configuration before stay good.
    pub(super) fn succeed(&mut self, before: &Self) {
        let Some(old) = before.keys.first() else { return };
        if self.is_shared || before.is_shared {
            self.keys.push(old.clone());
        } else {
            self.keys = vec![old.clone()];
        }
    }

    /// A nonce of this second.
    pub(crate) fn current(&self, now: Now) -> HeaderValue {
        let at = now.wall.as_secs();
        if let Some(made) = &*self.current.load()
            && made.at == at
        {
            return made.header.clone();
        }
        let mut bytes = [0; TIME + SEAL];
        let (time, seal) = bytes.split_at_mut(TIME);
        time.copy_from_slice(&at.to_be_bytes());
        if let Some(key) = self.keys.first() {
            seal.copy_from_slice(&sealed(key, at));
        }
        // Of this alphabet every text is a header value.
        let header = HeaderValue::try_from(BASE64_URL_SAFE_NO_PAD.encode(bytes))
            .unwrap_or_else(|_| HeaderValue::from_static(""));
        self.current.store(Some(Arc::new(Made { at, header: header.clone() })));
        header
    }

    /// What a nonce that came with a proof is worth. Half of its time is left for requests under way when a good response
    /// brings the next one.
    pub(super) fn state(&self, nonce: &str, now: Now) -> NonceState {
        if nonce.len() != (TIME + SEAL) / 3 * 4 {
            return NonceState::Bad;
        }
        let Ok(bytes) = decode_base64url(nonce) else { return NonceState::Bad };
        let Some((time, seal)) = bytes.split_first_chunk::<TIME>() else { return NonceState::Bad };
        let (at, now) = (u64::from_be_bytes(*time), now.wall.as_secs());
        if at > now.saturating_add(AHEAD) || now >= at.saturating_add(self.seconds) {
            return NonceState::Bad;
        }
        let is_ours =
            |key: &hmac::Key| constant_time::verify_slices_are_equal(&sealed(key, at), seal).is_ok();
        if !self.keys.iter().any(is_ours) {
            return NonceState::Bad;
        }
        if now >= at.saturating_add(self.seconds / 2) { NonceState::Aging } else { NonceState::Good }
    }
}

fn sealed(key: &hmac::Key, at: u64) -> [u8; SEAL] {
    let mut context = hmac::Context::with_key(key);
    context.update(CONTEXT);
    context.update(&at.to_be_bytes());
    let tag = context.sign();
    tag.as_ref().first_chunk().copied().unwrap_or_default()
}

impl fmt::Debug for Nonces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Nonces").field("seconds", &self.seconds).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(seconds: u64) -> Now {
        Now { wall: Duration::from_secs(seconds), monotonic: Duration::ZERO }
    }

    fn text(nonces: &Nonces, now: u64) -> String {
        nonces.current(at(now)).to_str().unwrap().to_owned()
    }

    #[test]
    fn a_nonce_ages_and_ends() {
        let nonces = Nonces::new(&[7; 32], true, 300);
        let nonce = text(&nonces, 1_000);
        assert_eq!(nonce.len(), 32);
        for (now, expected) in [
            (940, NonceState::Good),
            (939, NonceState::Bad), // of a clock that is too far ahead
            (1_000, NonceState::Good),
            (1_149, NonceState::Good),
            (1_150, NonceState::Aging),
            (1_299, NonceState::Aging),
            (1_300, NonceState::Bad),
            (u64::MAX, NonceState::Bad),
            (0, NonceState::Bad),
        ] {
            assert_eq!(nonces.state(&nonce, at(now)), expected, "at {now}");
        }
    }

    #[test]
    fn a_fleet_shares_them_and_no_one_else_makes_them() {
        let (one, other) = (Nonces::new(&[7; 32], true, 300), Nonces::new(&[7; 32], true, 300));
        let foreign = Nonces::new(&[8; 32], true, 300);
        let nonce = text(&one, 1_000);
        assert_eq!(other.state(&nonce, at(1_000)), NonceState::Good);
        assert_eq!(foreign.state(&nonce, at(1_000)), NonceState::Bad);
        assert_ne!(text(&one, 1_000), text(&foreign, 1_000));
        assert_ne!(text(&one, 1_000), text(&one, 1_001));
        // Each character of it counts.
        for index in 0..nonce.len() {
            for other in ["A", "B", "_", "=", "+", "\u{e9}"] {
                if nonce[index..=index] != *other {
                    let changed = [&nonce[..index], other, &nonce[index + 1..]].concat();
                    assert_eq!(one.state(&changed, at(1_000)), NonceState::Bad, "{changed}");
                }
            }
        }
        for bad in ["", "abc", &nonce[1..], &format!("{nonce}A"), &nonce.repeat(300)] {
            assert_eq!(one.state(bad, at(1_000)), NonceState::Bad, "{bad}");
        }
    }

    #[test]
    fn another_key_leaves_the_nonces_at_large_good() {
        let old = Nonces::new(&[7; 32], true, 300);
        let mut new = Nonces::new(&[8; 32], true, 300);
        new.succeed(&old);
        assert_eq!(new.state(&text(&old, 1_000), at(1_010)), NonceState::Good);
        assert_ne!(text(&new, 1_000), text(&old, 1_000));
        // Keys that were made at start stay as they are.
        let old = Nonces::new(&[1; 32], false, 300);
        let mut new = Nonces::new(&[2; 32], false, 300);
        new.succeed(&old);
        assert_eq!(text(&new, 1_000), text(&old, 1_000));
        assert!(!format!("{new:?}").contains("key"));
    }
}
