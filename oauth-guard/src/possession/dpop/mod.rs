//! DPoP (RFC 9449): each request brings a proof, signed by the key that its token is bound to.

mod error;
mod htu;
mod mark;
mod nonce;
mod proof;
mod settings;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use http::{HeaderName, HeaderValue};
use oauth_client::clock::Now;
use smallvec::SmallVec;

pub(crate) use self::error::ProofError;
pub(super) use self::htu::{UrlMatch, compare};
pub(super) use self::mark::ClockMark;
pub(crate) use self::nonce::Nonces;
pub(crate) use self::proof::Visitor;
pub use self::settings::Dpop;
use super::Proven;
use crate::jose::Algorithm;
use crate::replay::{ProofId, Replay};

/// The header with the proof.
pub(crate) const DPOP: HeaderName = HeaderName::from_static("dpop");
/// The header with a nonce for the next proof.
pub(crate) const DPOP_NONCE: HeaderName = HeaderName::from_static("dpop-nonce");

/// How far ahead a proof's clock may be. RFC 9449 section 11.1 wants proofs to be short-lived; a caller that is further
/// ahead than this made the proof for later.
pub(super) const AHEAD: u64 = 5;
/// The longest proof, in bytes.
const MAX_BYTES: usize = 8 * 1024;
/// The longest `jti`, in bytes.
const MAX_JTI: usize = 256;

/// The checks of a guard.
#[derive(Debug)]
pub(crate) struct DpopRules {
    pub(crate) required: bool,
    pub(crate) algorithms: Box<[Algorithm]>,
    /// In seconds.
    pub(crate) max_age: u64,
    /// What holds for proofs that were made before the last reload.
    past: Option<Past>,
    /// What the clock showed before it was set back.
    mark: Arc<ClockMark>,
    /// `None`: no nonce is asked for.
    pub(crate) nonces: Option<Nonces>,
    /// Set when the hint about `public_url` was logged.
    hinted: AtomicBool,
}

/// Proofs of the configuration before. They were noted for as long as that one would have accepted them, so a longer
/// `max_age` is not theirs: it would let them pass a second time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Past {
    /// Those with this `iat`, or an earlier one.
    until: u64,
    /// In seconds.
    max_age: u64,
}

impl Past {
    /// Under `rules`, which a reload replaces at `now`; `before` is what held in them of yet older ones. `latest` is what the
    /// clock would show if it had not been set back.
    pub(super) fn of(rules: Option<&DpopRules>, before: Option<Self>, now: u64, latest: u64) -> Option<Self> {
        let Some(rules) = rules else { return before };
        // Of those that are too old already nothing is left to say.
        let older = before.filter(|past| now <= past.until.saturating_add(rules.max_age));
        let max_age = older.map_or(rules.max_age, |past| past.max_age.min(rules.max_age));
        let until = older.map_or(0, |past| past.until).max(latest.saturating_add(AHEAD));
        Some(Self { until, max_age })
    }
}

impl DpopRules {
    /// The time by which a proof is too old.
    pub(super) fn latest(&self, now: Now) -> u64 {
        self.mark.latest(now, self.max_age)
    }

    /// How old a proof of this `iat` may be.
    fn max_age_of(&self, iat: u64) -> u64 {
        match self.past {
            Some(past) if iat <= past.until => past.max_age.min(self.max_age),
            _ => self.max_age,
        }
    }
}

/// A copy of an identifier, which needs no allocation where it is of a usual length.
#[derive(Clone, Debug)]
pub(super) struct Jti(SmallVec<[u8; 64]>);

impl Jti {
    fn new(text: &str) -> Self {
        Self(SmallVec::from_slice(text.as_bytes()))
    }

    pub(super) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

/// A proof that passed every check but the last: it may have been used before.
#[derive(Debug)]
pub(super) struct Used {
    thumbprint: [u8; 32],
    pub(super) jti: Jti,
    /// When it was made.
    pub(super) iat: u64,
    /// How long it has to be remembered.
    pub(super) keep: Duration,
    /// A nonce for the next proof, where the one in use ages.
    renewal: Option<HeaderValue>,
}

impl Used {
    pub(super) fn id(&self) -> ProofId<'_> {
        ProofId::new(&self.thumbprint, self.jti.as_str())
    }

    /// It is noted now.
    pub(super) fn into_proven(self, store: Replay) -> Arc<Proven> {
        Arc::new(Proven::new(store, self.thumbprint, self.jti, self.renewal))
    }
}
