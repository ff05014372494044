//! Key sets that go from one process or snapshot to the next.

use std::borrow::Cow;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use oauth_client::clock::Now;
use oauth_client::jose::sha256;
use url::Url;

use super::{JwksLocation, Remote};
use crate::keys::KeySet;

impl Remote {
    /// The current set as it was served, and when it was fetched (Unix time in seconds).
    pub(crate) fn exported(&self) -> Option<(u64, Bytes)> {
        let state = self.state();
        Some((state.fetched?.wall.as_secs(), state.document.clone()))
    }

    /// Where its sets come from, as exports name it.
    pub(crate) fn location_name(&self) -> Cow<'_, str> {
        match &self.location {
            // No URL.
            JwksLocation::Discovery => Cow::Borrowed("discovery"),
            JwksLocation::Uri(url) => exported_url(url),
        }
    }

    /// Takes over a set that another process fetched at `fetched_at`, unless it is unusable or older than the current one.
    pub(crate) fn preload(&self, fetched_at: u64, document: Bytes) -> bool {
        let now = self.clock.now();
        let fetched_wall = Duration::from_secs(fetched_at);
        let Some(old) = now.wall.checked_sub(fetched_wall) else { return false };
        let mut state = self.state();
        let has_newer = state.fetched.is_some_and(|fetched| fetched.wall >= fetched_wall);
        if old >= self.policy.max_stale || has_newer || document.len() > self.policy.max_bytes {
            return false;
        }
        let Ok(set) = KeySet::parse(&document, &self.algorithms, self.policy.max_keys) else { return false };
        // Its age is known on the wall clock only; the monotonic one counts from now, and either may end it.
        self.install(&mut state, set, document, Now { wall: fetched_wall, monotonic: now.monotonic });
        state.fresh_for = self.policy.max_age;
        self.update_fresh_until(&state, now);
        true
    }

    /// Whether the other one fetches the same keys in the same way.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.has_same_location(other)
            && self.algorithms == other.algorithms
            && self.policy == other.policy
            && self.limits.allow_http == other.limits.allow_http
            && self.allow_private == other.allow_private
            && self.fetching.is_same(&other.fetching)
    }

    fn has_same_location(&self, other: &Self) -> bool {
        self.issuer == other.issuer && self.location == other.location
    }

    /// Whether it would trust what the other one has fetched: from the same location, over a connection that was as safe.
    /// Private addresses are no matter of trust in the keys; the next fetch obeys what is allowed.
    pub(super) fn may_take_over(&self, other: &Self) -> bool {
        self.has_same_location(other)
            && self.limits.allow_http >= other.limits.allow_http
            && self.fetching.trusts_same(&other.fetching)
    }

    /// Starts with the set that another one fetched, if it [may](Self::may_take_over). Failures are not taken over: the new
    /// configuration may fix them.
    pub(crate) fn take_over(&self, other: &Self) {
        if !self.may_take_over(other) {
            return;
        }
        let (discovered, document, fetched, fresh_for, unknown_keys, reported) = {
            let theirs = other.state();
            let (document, unknown_keys) = (theirs.document.clone(), theirs.unknown_keys.clone());
            let (discovered, reported) = (theirs.discovered.clone(), theirs.reported.clone());
            (discovered, document, theirs.fetched, theirs.fresh_for, unknown_keys, reported)
        };
        let Some(fetched) = fetched else { return };
        let Ok(set) = KeySet::parse(&document, &self.algorithms, self.policy.max_keys) else { return };
        let mut state = self.state();
        state.reported = reported;
        self.install(&mut state, set, document, fetched);
        state.discovered = discovered;
        state.fresh_for = fresh_for.min(self.policy.max_age);
        state.unknown_keys = unknown_keys;
        self.update_fresh_until(&state, self.clock.now());
    }
}

/// A URL without what may be secret in it. A query selects other keys, and may hold a key of an API: a hash stands for it.
fn exported_url(url: &Url) -> Cow<'_, str> {
    if url.query().is_none() && url.fragment().is_none() {
        return Cow::Borrowed(url.as_str());
    }
    let hash = URL_SAFE_NO_PAD.encode(sha256(url.as_str().as_bytes()));
    let mut shown = url.clone();
    shown.set_query(None);
    shown.set_fragment(Some(&format!("sha256={hash}")));
    Cow::Owned(shown.into())
}
