//! A valid token, as the cache holds it.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use oauth_client::clock::Now;

use super::Parts;
use crate::issuer::IssuerState;
use crate::keys::VerifyingKey;
use crate::possession::Binding;
use crate::revocation::Marks;

/// A valid token, as the cache holds it. What every hit looks at comes first, so that it is on one or two lines of the
/// processor's cache: among a million tokens, none of them is at hand.
#[repr(C)]
pub(crate) struct Verified<T> {
    pub(crate) issuer: Arc<IssuerState>,
    /// The key that signed it. `None` for a token that only its server can read.
    pub(crate) key: Option<Arc<VerifyingKey>>,
    /// Until when the server need not be asked about it.
    pub(crate) introspected_until: Until,
    /// The keys that it is bound to. Their possession is proven with each request.
    pub(crate) binding: Option<Box<Binding>>,
    pub(crate) parts: Parts,
    /// What revocations know it by. Made once there are any, and apart, since most guards have none.
    pub(crate) marks: OnceLock<Box<Marks>>,
    pub(crate) custom: T,
}

/// A moment on the monotonic clock, in nanoseconds: half as long as a [`Duration`], and there is one for each token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Until(u64);

impl Until {
    /// The end of no clock: 584 years.
    pub(crate) const FOREVER: Self = Self(u64::MAX);

    /// So long after `now`.
    pub(crate) fn after(now: Now, time: Duration) -> Self {
        Self(nanos(now.monotonic.saturating_add(time)))
    }

    #[inline]
    pub(crate) fn is_over(self, now: Now) -> bool {
        self != Self::FOREVER && nanos(now.monotonic) >= self.0
    }

    pub(crate) fn left(self, now: Now) -> Duration {
        Duration::from_nanos(self.0).saturating_sub(now.monotonic)
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

impl<T> Verified<T> {
    /// Whether the token is within its lifetime, to the second and by the current wall clock.
    pub(crate) fn is_within_lifetime(&self, now: Now) -> bool {
        (self.parts.valid_from..self.parts.valid_until).contains(&now.wall.as_secs())
    }

    /// When it ends, in seconds since the Unix epoch. The server may say that an introspected token ends earlier.
    pub(crate) fn ends_at(&self) -> u64 {
        match self.key {
            Some(_) => self.parts.valid_until,
            None => self.parts.expires_at,
        }
    }

    /// `iss`: as configured, or with the tenant in the place of its hole.
    pub(crate) fn issuer_name(&self) -> &str {
        self.parts.text(self.parts.concrete_issuer).unwrap_or_else(|| self.issuer.name())
    }

    /// What the entry takes in memory, in bytes, roughly: the cache's own bookkeeping is about 250 bytes.
    pub(crate) fn weight(&self) -> u32 {
        let text = self.parts.bytes();
        let bytes = 250
            + size_of::<Self>()
            + text
            // A custom type keeps copies of some claims; their size is unknown.
            + if size_of::<T>() == 0 { 0 } else { text }
            + if self.binding.is_some() { Binding::BYTES } else { 0 };
        u32::try_from(bytes).unwrap_or(u32::MAX)
    }

    /// Whether the issuer still publishes the key, where one signed the token.
    pub(crate) fn is_key_trusted(&self) -> bool {
        self.key.as_ref().is_none_or(|key| key.is_trusted())
    }
}
