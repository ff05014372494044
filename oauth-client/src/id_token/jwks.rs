//! The issuer's keys (RFC 7517): fetched when first needed, kept for an hour, fetched anew for a key that is not known.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use aws_lc_rs::signature::{RsaPublicKeyComponents, UnparsedPublicKey};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::{Map, Value};
use tokio::sync::Mutex;

use super::signature::{Algorithm, PublicAlgorithm, Signed, not_signed};
use crate::client::Client;
use crate::error::Error;
use crate::transport::Limits;

/// How long keys are used before they are fetched anew.
const LIFETIME: Duration = Duration::from_secs(3600);

/// How long keys are used while they cannot be fetched anew.
const MAX_STALE: Duration = Duration::from_secs(24 * 3600);

/// How often a key that is not known may make us ask again: a rotation is rarer than an hour, a flood of forged key
/// ids is not.
const COOLDOWN: Duration = Duration::from_secs(30);

/// The most keys that are kept of one issuer.
const MAX_KEYS: usize = 100;

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
    /// When they last could not be had, and why.
    failed: Option<(Duration, Error)>,
}

struct Keys {
    keys: Vec<Key>,
    /// On the monotonic clock.
    fetched_at: Duration,
}

struct Key {
    id: Option<String>,
    algorithm: Option<Algorithm>,
    material: Material,
}

enum Material {
    Rsa {
        n: Vec<u8>,
        e: Vec<u8>,
    },
    /// A point, as its curve's algorithm reads it.
    Curve {
        name: &'static str,
        point: Vec<u8>,
    },
}

impl KeyCache {
    /// Checks a signature against the issuer's keys.
    pub(super) async fn check(
        &self,
        client: &Client,
        signed: &Signed<'_>,
        algorithm: PublicAlgorithm,
    ) -> Result<(), Error> {
        let now = client.clock().now().monotonic;
        let known = self.known.load_full();
        let age = known.as_ref().map(|keys| now.saturating_sub(keys.fetched_at));
        if let Some(keys) = known.filter(|_| age.is_some_and(|age| age < LIFETIME)) {
            match keys.verify(signed, algorithm) {
                Some(true) => return Ok(()),
                // A signature that does not fit the key the token names will fit no newer one of that name.
                Some(false) if signed.key_id.is_some() => return Err(not_signed()),
                _ => {}
            }
        }
        match self.refreshed(client).await?.verify(signed, algorithm) {
            Some(true) => Ok(()),
            Some(false) => Err(not_signed()),
            None => Err(Error::id_token("its issuer publishes no key for it")),
        }
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
        // Whoever has waited for a try that failed shares its failure: one's own would take as long again.
        if let Some((_, error)) = asked.failed.as_ref().filter(|(at, _)| *at > began) {
            return known.filter(usable).ok_or_else(|| error.clone());
        }
        match fetch(client).await {
            Ok(keys) => {
                let keys = Arc::new(Keys { keys, fetched_at: client.clock().now().monotonic });
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

async fn fetch(client: &Client) -> Result<Vec<Key>, Error> {
    let metadata = client.metadata().await?;
    let Some(url) = &metadata.jwks_uri else {
        return Err(Error::discovery("the document names no jwks_uri, where the keys of ID tokens are"));
    };
    let limits = Limits { allow_http: client.allows_http(), ..Limits::keys() };
    let response = client.http().get_json(url, &limits).await?;
    let wrong =
        || Error::malformed("the key set is not a JSON object with a list of keys (RFC 7517 section 5)");
    let document: Value = serde_json::from_slice(response.body()).map_err(|_| wrong())?;
    let Some(Value::Array(items)) = document.get("keys") else { return Err(wrong()) };
    // One bad key spoils no other (RFC 7517 section 5).
    Ok(items.iter().filter_map(|item| key(item.as_object()?)).take(MAX_KEYS).collect())
}

impl Keys {
    /// Whether one of the keys that fit the header signed it; `None` when none fits.
    fn verify(&self, signed: &Signed<'_>, algorithm: PublicAlgorithm) -> Option<bool> {
        let mut fitting = self.keys.iter().filter(|key| {
            let named = match (&signed.key_id, &key.id) {
                (Some(wanted), Some(id)) => wanted == id,
                // OpenID Connect Core section 10.1: without a key id, any of the right type may be meant.
                (None, _) => true,
                (Some(_), None) => false,
            };
            named && key.fits(algorithm)
        });
        let first = fitting.next()?;
        Some(std::iter::once(first).chain(fitting).any(|key| key.signed(signed, algorithm)))
    }
}

impl Key {
    fn fits(&self, algorithm: PublicAlgorithm) -> bool {
        let of_kind = match &self.material {
            Material::Rsa { .. } => algorithm.rsa().is_some(),
            Material::Curve { name, .. } => algorithm.curve().is_some_and(|(curve, _, _)| curve == *name),
        };
        of_kind && self.algorithm.is_none_or(|one| one == Algorithm::Public(algorithm))
    }

    fn signed(&self, signed: &Signed<'_>, algorithm: PublicAlgorithm) -> bool {
        match &self.material {
            Material::Rsa { n, e } => algorithm.rsa().is_some_and(|parameters| {
                RsaPublicKeyComponents { n, e }.verify(parameters, signed.message, &signed.signature).is_ok()
            }),
            Material::Curve { point, .. } => algorithm.curve().is_some_and(|(_, _, parameters)| {
                UnparsedPublicKey::new(parameters, point).verify(signed.message, &signed.signature).is_ok()
            }),
        }
    }
}

/// One element of a key set; `None` when it is not a public key that can check signatures.
fn key(jwk: &Map<String, Value>) -> Option<Key> {
    let text = |name: &str| jwk.get(name).and_then(Value::as_str);
    let bytes = |name: &str| BASE64_URL_SAFE_NO_PAD.decode(text(name)?).ok();
    if jwk.get("use").is_some_and(|usage| usage != "sig") {
        return None;
    }
    if let Some(operations) = jwk.get("key_ops") {
        operations.as_array()?.iter().find(|one| *one == "verify")?;
    }
    let algorithm = match jwk.get("alg") {
        None => None,
        Some(name) => Some(Algorithm::from_name(name.as_str()?)?),
    };
    // A secret that anybody can fetch proves nothing: symmetric keys have no place here.
    let material = match text("kty")? {
        "RSA" => {
            let without_zeros = |number: Vec<u8>| {
                let zeros = number.iter().take_while(|byte| **byte == 0).count();
                number[zeros..].to_vec()
            };
            let (n, e) = (without_zeros(bytes("n")?), without_zeros(bytes("e")?));
            // With e = 1 every message is its own signature.
            if e.as_slice() <= [1].as_slice() {
                return None;
            }
            Material::Rsa { n, e }
        }
        "EC" => {
            let (name, length) = match text("crv")? {
                "P-256" => ("P-256", 32),
                "P-384" => ("P-384", 48),
                "P-521" => ("P-521", 66),
                _ => return None,
            };
            let (x, y) = (bytes("x")?, bytes("y")?);
            // RFC 7518 section 6.2.1.2: full length, leading zeros included.
            if x.len() != length || y.len() != length {
                return None;
            }
            Material::Curve { name, point: [&[4][..], &x, &y].concat() }
        }
        "OKP" if text("crv")? == "Ed25519" => {
            let point = bytes("x").filter(|x| x.len() == 32)?;
            Material::Curve { name: "Ed25519", point }
        }
        _ => return None,
    };
    Some(Key { id: text("kid").map(str::to_owned), algorithm, material })
}
