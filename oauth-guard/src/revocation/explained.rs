//! For an explanation: what the list says about a token that was not validated by a request.

use std::sync::{Arc, OnceLock};

use oauth_client::clock::Now;

use super::list::Verdict;
use crate::claims::{Until, Verified};
use crate::issuer::IssuerState;
use crate::validate::{ClaimSet, Lifetime};

impl ClaimSet<'_> {
    /// `None` while nothing is revoked, and no source has to be read.
    pub(crate) fn revocation(
        &self,
        issuer: &Arc<IssuerState>,
        lifetime: &Lifetime,
        now: Now,
    ) -> Option<Verdict> {
        let list = &issuer.revocations;
        if list.is_idle() {
            return None;
        }
        let (key, introspected_until, marks) = (None, Until::FOREVER, OnceLock::new());
        let (issuer, parts) = (Arc::clone(issuer), self.to_parts(issuer, lifetime)?);
        let verified = Verified { issuer, key, introspected_until, binding: None, parts, marks, custom: () };
        Some(list.check(&verified, now))
    }
}
