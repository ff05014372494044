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
/// How many keys of configurations before are kept: each costs a hash for a nonce that is not good.
const MOST_RETIRED: usize = 8;

/// The nonces of one guard.
pub(crate) struct Nonces {
    key: hmac::Key,
    /// The keys before it, the last one first, for the nonces at large.
    retired: Vec<Retired>,
    /// Whether the key came from the configuration.
    pub(super) is_shared: bool,
    seconds: u64,
    current: ArcSwapOption<Made>,
}

/// A key that a reload has replaced.
#[derive(Clone)]
struct Retired {
    key: hmac::Key,
    /// When that was. What it sealed later than this, and [`AHEAD`], was made with a copy of it.
    at: u64,
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
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
        Self { key, retired: Vec::new(), is_shared, seconds, current: ArcSwapOption::empty() }
    }

    /// The nonces of the configuration before stay good for as long as they would have been.
    pub(super) fn succeed(&mut self, before: &Self, now: Now) {
        // Keys that were made at start stay as they are.
        if !self.is_shared && !before.is_shared {
            self.key = before.key.clone();
        }
        let now = now.wall.as_secs();
        let last = Retired { key: before.key.clone(), at: now };
        for one in std::iter::once(&last).chain(&before.retired) {
            let is_over = now >= one.at.saturating_add(AHEAD).saturating_add(self.seconds);
            let is_known = std::iter::once(&self.key)
                .chain(self.retired.iter().map(|known| &known.key))
                .any(|known| is_same(known, &one.key));
            if !is_over && !is_known && self.retired.len() < MOST_RETIRED {
                self.retired.push(one.clone());
            }
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
        seal.copy_from_slice(&sealed(&self.key, at));
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
        let mut retired = self.retired.iter().filter(|one| at <= one.at.saturating_add(AHEAD));
        if !is_ours(&self.key) && !retired.any(|one| is_ours(&one.key)) {
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

/// By what they seal: a key shows nothing else of itself.
fn is_same(one: &hmac::Key, other: &hmac::Key) -> bool {
    constant_time::verify_slices_are_equal(&sealed(one, 0), &sealed(other, 0)).is_ok()
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
        new.succeed(&old, at(1_000));
        assert_eq!(new.state(&text(&old, 1_000), at(1_010)), NonceState::Good);
        assert_eq!(new.state(&text(&old, 1_060), at(1_060)), NonceState::Good);
        assert_eq!(new.state(&text(&old, 1_061), at(1_061)), NonceState::Bad, "made after it was replaced");
        assert_ne!(text(&new, 1_000), text(&old, 1_000));
        // Keys that were made at start stay as they are.
        let old = Nonces::new(&[1; 32], false, 300);
        let mut new = Nonces::new(&[2; 32], false, 300);
        new.succeed(&old, at(1_000));
        assert_eq!(text(&new, 1_000), text(&old, 1_000));
        assert!(!format!("{new:?}").contains("key"));
    }

    #[test]
    fn each_key_is_kept_once_and_until_its_nonces_have_ended() {
        let mut nonces = Nonces::new(&[0; 32], true, 300);
        let mut reload = |key: u8, now: u64| {
            let mut next = Nonces::new(&[key; 32], true, 300);
            next.succeed(&nonces, at(now));
            nonces = next;
            nonces.retired.len()
        };
        assert_eq!([reload(1, 1_000), reload(1, 1_001), reload(2, 1_002), reload(1, 1_003)], [1, 1, 2, 2]);
        assert_eq!(reload(1, 1_359), 2, "the first one's last nonces are good");
        assert_eq!(reload(1, 1_360), 1);
        assert_eq!(reload(1, 1_363), 0);
        let many: Vec<_> = (0..20).map(|key| reload(key, 2_000)).collect();
        assert_eq!(many.last(), Some(&MOST_RETIRED));
    }
}
