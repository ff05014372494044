//! Authorization codes: single use, short-lived, bound to what they were asked with (RFC 6749 section 4.1.2).

use std::sync::{Mutex, PoisonError};

use aws_lc_rs::digest::{SHA256, digest};

use crate::encode::{b64url, random_text};
use crate::state::kept::Kept;
use crate::state::tokens::Grant;
use crate::wire::response::OAuthError;

/// Seconds a code lives; RFC 6749 section 4.1.2 recommends ten minutes at most.
const LIFETIME: i64 = 60;

#[derive(Default)]
pub(crate) struct Codes(Mutex<Kept<Issued>>);

struct Issued {
    code: Code,
    is_used: bool,
}

/// A code and all that its redemption must agree with.
#[derive(Clone)]
pub(crate) struct Code {
    pub(crate) grant: Grant,
    /// The redirect URI of the authorization request; `None` if it named none.
    pub(crate) redirect_uri: Option<String>,
    /// `code_challenge` of the method S256 (RFC 7636 section 4.2).
    pub(crate) challenge: Option<String>,
    pub(crate) nonce: Option<String>,
    /// The key that the token request must prove (RFC 9449 section 10).
    pub(crate) jkt: Option<String>,
    /// The family of the tokens it is good for, so that they can be revoked when it is used again.
    pub(crate) family: u64,
    pub(crate) issued_at: i64,
}

/// Why a code was refused, and the family to revoke for it.
pub(crate) struct Refused {
    pub(crate) error: OAuthError,
    pub(crate) revoke: Option<u64>,
}

impl Codes {
    pub(crate) fn issue(&self, code: Code) -> String {
        let text = random_text::<24>();
        let (now, issued) = (code.issued_at, Issued { code, is_used: false });
        let mut codes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        codes.keep(text.clone(), issued, now, |issued| issued.code.issued_at.saturating_add(LIFETIME));
        text
    }

    /// Makes the codes of a session that has ended worthless.
    pub(crate) fn end_session(&self, session: &str) {
        let of_session =
            |code: &Code| code.grant.login.as_ref().is_some_and(|login| login.session == session);
        let mut codes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        codes.retain(|_, issued| issued.is_used || !of_session(&issued.code));
    }

    pub(crate) fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Redeems a code (RFC 6749 section 4.1.3, RFC 7636 section 4.6).
    pub(crate) fn redeem(
        &self,
        text: &str,
        client: &str,
        redirect_uri: Option<&str>,
        verifier: Option<&str>,
        now: i64,
    ) -> Result<Code, Refused> {
        let refused = |why: &str| Refused { error: OAuthError::invalid_grant(why), revoke: None };
        let mut codes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let issued = codes.get_mut(text).filter(|issued| issued.code.grant.client == client);
        let issued = issued.ok_or_else(|| refused("the code is unknown"))?;
        // Used up by any attempt of its client: a wrong verifier must not be guessed twice.
        if std::mem::replace(&mut issued.is_used, true) {
            // RFC 6749 section 4.1.2: the tokens issued for it should be revoked.
            let revoke = Some(issued.code.family);
            return Err(Refused { revoke, ..refused("the code was used before; its tokens are revoked") });
        }
        let found = issued.code.clone();
        if now >= found.issued_at.saturating_add(LIFETIME) {
            return Err(refused("the code has expired"));
        }
        if found.redirect_uri.as_deref() != redirect_uri {
            return Err(refused("redirect_uri: differs from the authorization request"));
        }
        match (&found.challenge, verifier) {
            (None, None) => Ok(found),
            (None, Some(_)) => Err(refused("code_verifier: sent, but the request sent no code_challenge")),
            (Some(_), None) => Err(refused("code_verifier: missing")),
            (Some(_), Some(verifier)) if !is_verifier(verifier) => {
                Err(refused("code_verifier: not 43 to 128 unreserved characters"))
            }
            (Some(challenge), Some(verifier)) if s256(verifier) != *challenge => {
                Err(refused("code_verifier: does not fit the code_challenge"))
            }
            _ => Ok(found),
        }
    }
}

/// RFC 7636 section 4.2.
pub(crate) fn s256(verifier: &str) -> String {
    b64url(digest(&SHA256, verifier.as_bytes()))
}

/// RFC 7636 section 4.1.
fn is_verifier(text: &str) -> bool {
    (43..=128).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_challenge_is_that_of_rfc_7636_appendix_b() {
        let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        assert_eq!(s256(verifier), "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
    }
}
