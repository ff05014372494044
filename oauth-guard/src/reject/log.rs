//! What the operator reads of a rejection: code, reason, issuer and key id, and nothing else of the token.

use super::rejection::Rejection;
use crate::escape::escaped;

/// Who issued a token and which key signed it, as far as the token is readable. In a rejected token the caller wrote
/// both: they are escaped and cut.
#[derive(Debug, Default)]
pub(crate) struct Origin {
    pub(crate) issuer: Option<String>,
    pub(crate) key_id: Option<String>,
}

impl Origin {
    /// Of a valid token.
    pub(crate) fn verified(issuer: &str, key_id: Option<&str>) -> Self {
        Self { issuer: Some(issuer.to_owned()), key_id: key_id.map(escaped) }
    }
}

/// Logs a rejection. At debug level, since any caller can cause it as often as it likes; what the operator has to fix
/// is warned of once, where it happens.
pub(crate) fn rejected(rejection: &Rejection, origin: &Origin) {
    let (code, reason) = (rejection.code(), rejection.reason());
    let (issuer, key_id) = (origin.issuer.as_deref(), origin.key_id.as_deref());
    tracing::debug!(target: "oauth_guard", code, reason, issuer, key_id, "{rejection}");
}
