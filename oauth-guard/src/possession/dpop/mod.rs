//! DPoP (RFC 9449): each request brings a proof, signed by the key that its token is bound to.

mod error;
mod htu;
mod nonce;
mod proof;
mod settings;

use std::sync::atomic::AtomicBool;
use std::time::Duration;

use http::{HeaderName, HeaderValue};
use smallvec::SmallVec;

pub(crate) use self::error::ProofError;
pub(super) use self::htu::{UrlMatch, compare};
pub(crate) use self::nonce::Nonces;
pub(crate) use self::proof::Visitor;
pub use self::settings::Dpop;
use crate::algorithm::Algorithm;
use crate::replay::ProofId;

/// The header with the proof.
pub(crate) const DPOP: HeaderName = HeaderName::from_static("dpop");
/// The header with a nonce for the next proof.
pub(crate) const DPOP_NONCE: HeaderName = HeaderName::from_static("dpop-nonce");

/// How far ahead a proof's clock may be. RFC 9449 section 11.1 wants proofs to be short-lived; a caller that is further
/// ahead than this made the proof for later.
const AHEAD: u64 = 5;
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
    /// `None`: no nonce is asked for.
    pub(crate) nonces: Option<Nonces>,
    /// Set when the hint about `public_url` was logged.
    hinted: AtomicBool,
}

/// A proof that passed every check but the last: it may have been used before.
#[derive(Debug)]
pub(super) struct Proven {
    pub(super) jti: Jti,
    /// How long it has to be remembered.
    pub(super) keep: Duration,
    /// A nonce for the next proof, where the one in use ages.
    pub(super) renewal: Option<HeaderValue>,
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

/// A proof to be noted as used.
#[derive(Debug)]
pub(super) struct Used {
    pub(super) thumbprint: [u8; 32],
    pub(super) jti: Jti,
    pub(super) keep: Duration,
}

impl Used {
    pub(super) fn id(&self) -> ProofId<'_> {
        ProofId::new(&self.thumbprint, self.jti.as_str())
    }
}
