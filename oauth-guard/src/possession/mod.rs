//! Step 4b: is the caller the one that the token was issued to? Proofs of possession, for tokens that are bound to a key:
//! DPoP (RFC 9449) and client certificates (RFC 8705 section 3).
//!
//! A token that is bound names its key in `cnf`. The identity of such a token is cached like any other; what proves the
//! possession of its key is checked with every request.

mod before;
mod binding;
pub(crate) mod certificates;
mod check;
pub(crate) mod dpop;
mod elements;
mod evidence;
mod explain;
mod forwarded;
mod peer;
mod public_url;
mod settings;

pub(crate) use self::before::{Proven, leave};
pub(crate) use self::binding::{Binding, Provable};
pub use self::certificates::{CertificateSource, Certificates};
pub use self::dpop::Dpop;
pub(crate) use self::dpop::ProofError;
pub(crate) use self::evidence::Scheme;
pub(crate) use self::peer::TrustedProxies;
pub use self::peer::{PeerAddr, TlsPeer};
pub(crate) use self::public_url::PublicUrl;
pub(crate) use self::settings::PossessionSettings;
use std::sync::Arc;

use crate::reject::Rejection;
use crate::replay::Replay;
use crate::request::RequestHead;

/// What a guard checks beside the token.
#[derive(Debug, Default)]
pub(crate) struct Possession {
    pub(crate) dpop: Option<dpop::DpopRules>,
    pub(crate) certificates: Option<Certificates>,
    pub(crate) public_url: PublicUrl,
    pub(crate) proxies: TrustedProxies,
    /// Outlives a reload, so that no reload lets a used proof pass again.
    pub(crate) replay: Option<Replay>,
    /// The stores that reloads have replaced, while they may know of proofs that are still good.
    replaced: Vec<Replaced>,
    /// What holds for proofs that were made before the last reload.
    past: Option<dpop::Past>,
    /// What the clock showed before it was set back. Outlives a reload, as the store does.
    mark: Option<Arc<dpop::ClockMark>>,
}

/// A store that a reload has replaced.
#[derive(Clone, Debug)]
struct Replaced {
    store: Replay,
    /// It may have noted proofs with this `iat`, or an earlier one.
    until: u64,
}

impl Replaced {
    fn may_have(&self, iat: u64) -> bool {
        iat <= self.until
    }
}

impl Possession {
    /// Which bindings can be proven here.
    pub(crate) fn provable(&self) -> Provable {
        Provable { dpop: self.dpop.is_some(), certificate: self.certificates.is_some() }
    }

    /// Whether every token has to be bound.
    fn requires_binding(&self) -> bool {
        self.dpop.as_ref().is_some_and(|dpop| dpop.required)
            || self.certificates.as_ref().is_some_and(|certificates| certificates.required)
    }

    /// Rejects a request that brings a certificate in a header although its sender is no trusted proxy.
    #[inline]
    pub(crate) fn screen(&self, request: RequestHead<'_>) -> Result<(), Rejection> {
        match &self.certificates {
            Some(certificates) => certificates.screen(request, &self.proxies),
            None => Ok(()),
        }
    }
}
