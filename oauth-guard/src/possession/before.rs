//! Guards behind one another: what the outer one leaves in a request for the inner one. Only guards make these extensions,
//! and they never leave the process.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, Request};

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
    pub(super) fn is(&self, store: &Replay, thumbprint: &[u8; 32], jti: &str) -> bool {
        self.store.is_same(store) && self.thumbprint == *thumbprint && self.jti.as_str() == jti
    }
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
        if let Some(certificates) = &self.certificates {
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

/// The proof that a guard further out has used up.
pub(super) fn proven(request: RequestHead<'_>) -> Option<&Arc<Proven>> {
    request.extensions.get()
}
