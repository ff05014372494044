//! The signature of a JWS, against the keys that fit its header.

use std::sync::Arc;

use crate::jose::{Compact, Header, Scratch};
use crate::keys::{KeySet, VerifyingKey};
use crate::reject::TokenError;

/// The key that signed the token.
///
/// # Errors
/// [`TokenError::UnknownKey`] when none fits the header, in which case a newer key set may help;
/// [`TokenError::BadSignature`] when those that fit did not sign it.
pub(crate) fn signed_by(
    keys: &KeySet,
    header: &Header<'_>,
    token: &Compact<'_>,
) -> Result<Arc<VerifyingKey>, TokenError> {
    let key_id = header.key_id.as_deref();
    let mut candidates = keys.candidates(key_id, header.algorithm).peekable();
    if candidates.peek().is_none() {
        return Err(TokenError::UnknownKey);
    }
    let mut scratch = Scratch::new();
    let signature = token.signature(&mut scratch)?;
    match candidates.find(|key| key.verifies(token.signed.as_bytes(), signature)) {
        Some(key) => Ok(Arc::clone(key)),
        // Keys without a name were tried on the chance; the one the token means may be new.
        None if key_id.is_none_or(|id| !keys.names(id)) => Err(TokenError::UnknownKey),
        None => Err(TokenError::BadSignature),
    }
}
