//! What the operator reads of a refusal: code, reason, issuer and key id, and nothing else of the token.

use crate::jose::{self, Scratch};
use crate::judge::Policy;
use crate::keys::escaped;
use crate::verify::ClaimSet;

use super::Refusal;

/// Whom a refused token says it is from. The caller wrote it: it is escaped and cut before anybody reads it.
#[derive(Debug, Default)]
pub(crate) struct Origin {
    issuer: Option<String>,
    key_id: Option<String>,
}

impl Origin {
    /// Of a token that was found true.
    pub(crate) fn known(issuer: &str, key_id: Option<&str>) -> Self {
        Self { issuer: Some(issuer.to_owned()), key_id: key_id.map(escaped) }
    }

    /// Of a token that was not. It is read again, which only those pay who log.
    fn told<T>(policy: &Policy<T>, token: &str) -> Self {
        let Some(compact) = jose::split(token).ok().filter(|_| token.len() <= policy.max_token_bytes) else {
            return Self::default();
        };
        let [mut header, mut payload] = [Scratch::new(), Scratch::new()];
        let header = jose::read_header(&compact, &mut header).ok();
        let payload = compact.payload(&mut payload).unwrap_or_default();
        let mut claims = ClaimSet::new();
        let issuer = claims.read(payload).and_then(|()| {
            let name = claims.issuer()?;
            // One that is configured has the operator's own name, whole.
            Ok(if policy.issuers.contains_key(&*name) { name.into_owned() } else { escaped(&name) })
        });
        Self { issuer: issuer.ok(), key_id: header.and_then(|header| header.key_id.as_deref().map(escaped)) }
    }
}

/// Notes the refusal of a token, and hands it back.
pub(crate) fn token_refused<T>(policy: &Policy<T>, token: Option<&str>, refusal: Refusal) -> Refusal {
    let origin = match token {
        Some(token) if tracing::enabled!(target: "oauth_guard", tracing::Level::DEBUG) => {
            Origin::told(policy, token)
        }
        _ => Origin::default(),
    };
    note(&refusal, &origin);
    refusal
}

/// Notes a refusal. The caller learns the code only.
pub(crate) fn note(refusal: &Refusal, origin: &Origin) {
    let (code, reason) = (refusal.code(), refusal.reason());
    let (issuer, key_id) = (origin.issuer.as_deref(), origin.key_id.as_deref());
    // Whatever it is: anybody can cause it, as often as he likes. What is the operator's to mend is warned of once,
    // where it happens.
    tracing::debug!(target: "oauth_guard", code, reason, issuer, key_id, "{refusal}");
}
