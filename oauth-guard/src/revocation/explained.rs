//! For an explanation: whether a token that was not validated by a request is revoked.

use std::sync::{Arc, OnceLock};

use crate::claims::{Until, Verified};
use crate::issuer::IssuerState;
use crate::validate::{ClaimSet, Lifetime};

impl ClaimSet<'_> {
    /// `None` while nothing is revoked.
    pub(crate) fn is_revoked(&self, issuer: &Arc<IssuerState>, lifetime: &Lifetime) -> Option<bool> {
        let list = &issuer.revocations;
        if list.entries() == 0 {
            return None;
        }
        let (key, introspected_until, marks) = (None, Until::FOREVER, OnceLock::new());
        let (issuer, parts) = (Arc::clone(issuer), self.to_parts(issuer, lifetime)?);
        let verified = Verified { issuer, key, introspected_until, binding: None, parts, marks, custom: () };
        Some(list.is_revoked(&verified))
    }
}
