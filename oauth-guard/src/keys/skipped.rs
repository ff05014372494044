//! What the operator reads of the keys that are not used.

use oauth_client::jose::{KeySet, SkippedKey};

use crate::escape::escaped;

/// Logs which keys are not used. `reported` are the invalid ones of the set before: they are not logged again. A key for another
/// purpose is as it should be.
pub(crate) fn log_skipped(set: &KeySet, issuer: &str, reported: &mut Vec<SkippedKey>) {
    let mut invalid: Vec<_> = set.skipped.iter().filter(|key| key.why.is_invalid()).cloned().collect();
    invalid.sort();
    let is_news = invalid != *reported;
    for skipped in &set.skipped {
        let (key_id, reason) = (skipped.key_id.as_deref().map(escaped), skipped.why.reason());
        if is_news && skipped.why.is_invalid() {
            tracing::warn!(target: "oauth_guard", issuer, key_id, reason, "a key is not used");
        } else {
            tracing::debug!(target: "oauth_guard", issuer, key_id, reason, "a key is not used");
        }
    }
    *reported = invalid;
}
