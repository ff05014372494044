//! The issuer's keys (RFC 7517): fetched when first needed, kept for an hour, fetched again for a key that is not known.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tokio::sync::Mutex;

use super::invalid;
use crate::client::Client;
use crate::error::{Error, printable};
use crate::jose::{self, Algorithm, CompactJws, Header, Issued, KEYS_PER_SET, KeySet};
use crate::transport::Limits;

/// How long keys are used before they are fetched again.
const LIFETIME: Duration = Duration::from_secs(3600);

/// How long keys are used while they cannot be fetched again.
const MAX_STALE: Duration = Duration::from_secs(24 * 3600);

/// How often a key that is not known may make us ask again: a rotation is rarer than an hour, a flood of forged key
/// ids is not.
const COOLDOWN: Duration = Duration::from_secs(30);

/// The keys of a client's issuer.
#[derive(Default)]
pub(crate) struct KeyCache {
    known: ArcSwapOption<Keys>,
    /// Held while keys are asked for, so that they are asked for once.
    asked: Mutex<Asked>,
}

/// How it went when keys were asked for, on the monotonic clock.
#[derive(Default)]
struct Asked {
    /// When they last were because of one that was not known.
    missed: Option<Duration>,
    /// When they were last unavailable, and why.
    failed: Option<(Duration, Error)>,
}

struct Keys {
    set: KeySet,
    /// On the monotonic clock.
    fetched_at: Duration,
}

impl KeyCache {
    /// Checks a signature against the issuer's keys.
    pub(super) async fn check(
        &self,
        client: &Client,
        header: &Header<'_>,
        signed: &CompactJws<'_>,
        issued: Issued<'_>,
    ) -> Result<(), Error> {
        let now = client.clock().now().monotonic;
        let known = self.known.load_full();
        if let Some(keys) = known.filter(|keys| now.saturating_sub(keys.fetched_at) < LIFETIME) {
            match keys.set.verify(header, signed, issued) {
                // Only a key that is not there may be in a newer set.
                Err(jose::Error::UnknownKey) => {}
                other => return other.map(|_| ()).map_err(invalid),
            }
        }
        let keys = self.refreshed(client).await?;
        keys.set
            .verify(header, signed, issued)
            .map(|_| ())
            .map_err(|error| explained(error, header, &keys.set))
    }

    /// Keys that are new enough: those at hand when they were asked for only just now.
    async fn refreshed(&self, client: &Client) -> Result<Arc<Keys>, Error> {
        let began = client.clock().now().monotonic;
        let mut asked = self.asked.lock().await;
        let now = client.clock().now().monotonic;
        let known = self.known.load_full();
        let usable = |keys: &Arc<Keys>| now.saturating_sub(keys.fetched_at) < MAX_STALE;
        if let Some(keys) = &known {
            let is_young = now.saturating_sub(keys.fetched_at) < LIFETIME;
            let cooling = asked.missed.is_some_and(|missed| now.saturating_sub(missed) < COOLDOWN);
            if keys.fetched_at > began || is_young && cooling {
                return Ok(Arc::clone(keys));
            }
            // Keys that were merely old say nothing about a key that is not known.
            asked.missed = if is_young { Some(now) } else { asked.missed };
        }
        // A caller that waited for a failed try shares its failure: a try of its own would take as long again.
        if let Some((_, error)) = asked.failed.as_ref().filter(|(at, _)| *at > began) {
            return known.filter(usable).ok_or_else(|| error.clone());
        }
        match fetch(client).await {
            Ok(set) => {
                let keys = Arc::new(Keys { set, fetched_at: client.clock().now().monotonic });
                self.known.store(Some(Arc::clone(&keys)));
                Ok(keys)
            }
            Err(error) => {
                asked.failed = Some((client.clock().now().monotonic, error.clone()));
                known.filter(usable).ok_or(error)
            }
        }
    }
}

impl fmt::Debug for KeyCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyCache").finish_non_exhaustive()
    }
}

/// With the reason why the key that the token names is not used, where that is it.
fn explained(error: jose::Error, header: &Header<'_>, keys: &KeySet) -> Error {
    let named = keys.skipped.iter().find(|key| key.key_id.as_deref() == header.key_id.as_deref());
    match (error, named) {
        (jose::Error::UnknownKey, Some(key)) => Error::id_token(format!(
            "its issuer publishes no key that made its signature; the one it names is not used: {}",
            key.why
        )),
        _ => invalid(error),
    }
}

async fn fetch(client: &Client) -> Result<KeySet, Error> {
    let metadata = client.metadata().await?;
    let Some(url) = &metadata.jwks_uri else {
        return Err(Error::discovery("the document names no jwks_uri, where the keys of ID tokens are"));
    };
    let response = client.http().get_key_set(url, &client.limits_at(url, Limits::keys())).await?;
    let set = KeySet::parse(response.body(), &Algorithm::ASYMMETRIC, KEYS_PER_SET).map_err(|_| {
        Error::malformed("the key set is not a JSON object with a list of keys (RFC 7517 section 5)")
    })?;
    for key in set.skipped.iter().filter(|key| key.why.is_invalid()) {
        let key_id = key.key_id.as_deref().map(|id| printable(id, 64));
        tracing::debug!(key_id, reason = key.why.reason(), "a key of the issuer's ID tokens is not used");
    }
    Ok(set)
}
