//! Guards behind one another: what the outer one leaves in a request for the inner one. Only guards make these extensions,
//! and they never leave the process.

use std::sync::Arc;

use http::{Extensions, HeaderMap, HeaderName, HeaderValue, Request};

use super::Possession;
use super::dpop::Jti;
use crate::replay::Replay;
use crate::request::RequestHead;

/// A proof that this very request has used up: to a guard further in it is no replay.
#[derive(Debug)]
pub(crate) struct Proven {
    store: Replay,
    thumbprint: [u8; 32],
    jti: Jti,
    /// A nonce for the caller's next proof, where the one in use ages.
    pub(crate) renewal: Option<HeaderValue>,
}

impl Proven {
    pub(super) fn new(store: Replay, thumbprint: [u8; 32], jti: Jti, renewal: Option<HeaderValue>) -> Self {
        Self { store, thumbprint, jti, renewal }
    }

    /// Whether the same store has noted the same proof. A store of another guard has not seen it.
    fn is(&self, store: &Replay, thumbprint: &[u8; 32], jti: &str) -> bool {
        self.store.is_same(store) && self.thumbprint == *thumbprint && self.jti.as_str() == jti
    }
}

/// The proofs that guards further out have used up for this very request, the nearest guard's first: each in its own store.
#[derive(Clone, Debug)]
pub(super) struct Noted {
    proven: Arc<Proven>,
    further_out: Option<Arc<Self>>,
}

impl Noted {
    /// The one that is in this store.
    pub(super) fn find(&self, store: &Replay, thumbprint: &[u8; 32], jti: &str) -> Option<&Arc<Proven>> {
        let all = std::iter::successors(Some(self), |one| one.further_out.as_deref());
        all.map(|one| &one.proven).find(|proven| proven.is(store, thumbprint, jti))
    }
}

/// Leaves a proof for guards further in, beside those that are there.
pub(crate) fn leave(extensions: &mut Extensions, proven: &Arc<Proven>) {
    let further_out = extensions.remove::<Noted>();
    let is_there =
        |noted: &Noted| noted.find(&proven.store, &proven.thumbprint, proven.jti.as_str()).is_some();
    let noted = match further_out {
        Some(noted) if is_there(&noted) => noted,
        further_out => Noted { proven: Arc::clone(proven), further_out: further_out.map(Arc::new) },
    };
    extensions.insert(noted);
}

/// A certificate header that was taken out.
#[derive(Clone, Debug)]
struct TakenCertificate {
    name: HeaderName,
    value: HeaderValue,
}

impl Possession {
    /// Takes out of a request what only a trusted proxy may say, and leaves it for guards further in.
    #[inline]
    pub(crate) fn strip<B>(&self, request: &mut Request<B>) {
        if let Some(certificates) = &self.certificates
            && request.headers().keys().any(super::certificates::is_about_certificates)
        {
            let taken = take(request.headers_mut(), certificates.header());
            if let Some(taken) = taken {
                request.extensions_mut().insert(taken);
            }
        }
    }
}

/// Removes all headers that speak of certificates. The configured one is there once, from a trusted proxy, or not at all.
#[cold]
fn take(headers: &mut HeaderMap, configured: Option<HeaderName>) -> Option<TakenCertificate> {
    let taken = configured.and_then(|name| {
        let value = headers.get(&name)?.clone();
        Some(TakenCertificate { name, value })
    });
    for name in super::certificates::HEADERS {
        headers.remove(name);
    }
    taken
}

/// The value of a certificate header, also where a guard further out has taken it.
pub(super) fn certificate<'a>(request: RequestHead<'a>, name: &HeaderName) -> Option<&'a HeaderValue> {
    request.headers.get(name).or_else(|| {
        let taken: &TakenCertificate = request.extensions.get()?;
        (taken.name == *name).then_some(&taken.value)
    })
}

/// The proofs that guards further out have used up.
pub(super) fn noted(request: RequestHead<'_>) -> Option<&Noted> {
    request.extensions.get()
}
