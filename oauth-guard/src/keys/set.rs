//! The keys of one issuer at one moment.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use aws_lc_rs::hmac;
use aws_lc_rs::signature::ParsedPublicKey;
use serde_json::Value;

use super::jwk::{self, Unfit};
use crate::algorithm::Algorithm;
use crate::defaults::KEYS_TRIED;
use crate::escape::escaped;

/// A key and the one algorithm it verifies with.
pub(crate) struct VerifyingKey {
    pub(crate) key_id: Option<Box<str>>,
    pub(crate) algorithm: Algorithm,
    identity: Box<[u8]>,
    material: Material,
    /// Falls when a refresh no longer shows the key, and takes every cached token with it.
    trusted: AtomicBool,
}

pub(crate) enum Material {
    /// Parsed once, since parsing costs a sixth of a verification.
    Public(Box<ParsedPublicKey>),
    Secret(Box<hmac::Key>),
}

impl VerifyingKey {
    pub(crate) fn new(
        key_id: Option<Box<str>>,
        algorithm: Algorithm,
        identity: Box<[u8]>,
        material: Material,
    ) -> Self {
        Self { key_id, algorithm, identity, material, trusted: AtomicBool::new(true) }
    }

    pub(crate) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        match &self.material {
            Material::Public(key) => key.verify_sig(message, signature).is_ok(),
            Material::Secret(key) => hmac::verify(key, message, signature).is_ok(),
        }
    }

    pub(crate) fn is_trusted(&self) -> bool {
        self.trusted.load(Ordering::Acquire)
    }

    pub(crate) fn withdraw(&self) {
        self.trusted.store(false, Ordering::Release);
    }

    fn is_same(&self, other: &Self) -> bool {
        self.algorithm == other.algorithm && self.key_id == other.key_id && self.identity == other.identity
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifyingKey")
            .field("key_id", &self.key_id)
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}

/// Keys in the order of their document, found by key id. Immutable: a refresh makes a new one.
#[derive(Debug, Default)]
pub(crate) struct KeySet {
    keys: Vec<Arc<VerifyingKey>>,
    /// Where in `keys` those of one key id are, and those that have none.
    by_id: HashMap<Box<str>, Vec<usize>>,
    without_id: Vec<usize>,
    /// Keys as the issuer counts them: one may verify under several algorithms.
    count: usize,
    /// What was passed over.
    pub(crate) skipped: Vec<Skipped>,
}

/// A key that is not used.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Skipped {
    pub(crate) key_id: Option<String>,
    pub(crate) why: Unfit,
}

const TWIN: &str = "another key has the same kid, kty and alg";

/// A key set document that is none at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NotAKeySet;

impl KeySet {
    /// Reads a JWK Set (RFC 7517 §5). Keys that are no use are passed over; no more than `most` are taken.
    pub(crate) fn parse(document: &[u8], allowed: &[Algorithm], most: usize) -> Result<Self, NotAKeySet> {
        let document: Value = serde_json::from_slice(document).map_err(|_| NotAKeySet)?;
        let elements = document.get("keys").and_then(Value::as_array).ok_or(NotAKeySet)?;
        let mut keys = Vec::new();
        let mut skipped = Vec::new();
        let mut taken = 0;
        for element in elements {
            let outcome = if taken < most {
                jwk::read(element, allowed)
            } else {
                Err(Unfit::Broken("beyond the limit"))
            };
            match outcome {
                Ok(found) => {
                    taken += 1;
                    keys.extend(found);
                }
                // A set of a hundred thousand is not worth a hundred thousand lines.
                Err(why) if skipped.len() < 16 => {
                    let key_id = element.get("kid").and_then(Value::as_str).map(str::to_owned);
                    skipped.push(Skipped { key_id, why });
                }
                Err(_) => {}
            }
        }
        Ok(Self::of(keys, skipped))
    }

    pub(crate) fn of(keys: Vec<VerifyingKey>, mut skipped: Vec<Skipped>) -> Self {
        // What a token can ask for is a key id and an algorithm; the same key twice counts once.
        let mut shelves: HashMap<_, Vec<Arc<VerifyingKey>>> = HashMap::new();
        let mut ordered: Vec<Arc<VerifyingKey>> = Vec::with_capacity(keys.len());
        for key in keys {
            let shelf = shelves.entry((key.key_id.clone(), key.algorithm)).or_default();
            if !shelf.iter().any(|other| other.identity == key.identity) {
                let key = Arc::new(key);
                shelf.push(Arc::clone(&key));
                ordered.push(key);
            }
        }
        // Two keys under one name: which of them a signature is by, nobody can say. Neither is used.
        shelves.retain(|(key_id, _), shelf| key_id.is_some() && shelf.len() > 1);
        ordered.retain(|key| !shelves.contains_key(&(key.key_id.clone(), key.algorithm)));
        skipped.extend(
            shelves
                .into_keys()
                .map(|(id, _)| Skipped { key_id: id.map(String::from), why: Unfit::Broken(TWIN) }),
        );

        let mut by_id: HashMap<_, Vec<usize>> = HashMap::new();
        let mut without_id = Vec::new();
        for (index, key) in ordered.iter().enumerate() {
            match &key.key_id {
                Some(id) => by_id.entry(id.clone()).or_default().push(index),
                None => without_id.push(index),
            }
        }
        let count = ordered.iter().map(|key| (&key.key_id, &key.identity)).collect::<HashSet<_>>().len();
        Self { keys: ordered, by_id, without_id, count, skipped }
    }

    /// Whether both hold the same keys.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.keys.len() == other.keys.len()
            && self.keys.iter().zip(&other.keys).all(|(one, other)| one.is_same(other))
    }

    /// Says which keys are not used. `told` are the broken ones of the set before: they are no news. A key for another
    /// purpose is as it should be.
    pub(crate) fn tell_skipped(&self, issuer: &str, told: &mut Vec<Skipped>) {
        let is_broken = |skipped: &&Skipped| matches!(skipped.why, Unfit::Broken(_));
        let mut broken: Vec<_> = self.skipped.iter().filter(is_broken).cloned().collect();
        broken.sort();
        let is_news = broken != *told;
        for skipped in &self.skipped {
            let (key_id, reason) = (skipped.key_id.as_deref().map(escaped), skipped.why.reason());
            if is_news && is_broken(&skipped) {
                tracing::warn!(target: "oauth_guard", issuer, key_id, reason, "a key is not used");
            } else {
                tracing::debug!(target: "oauth_guard", issuer, key_id, reason, "a key is not used");
            }
        }
        *told = broken;
    }

    /// Takes over the keys that `old` has already, so that tokens cached under them stay good, and withdraws
    /// those that are gone.
    pub(crate) fn succeed(&mut self, old: &Self) {
        for key in &mut self.keys {
            let known = old.named(key.key_id.as_deref()).find(|one| one.is_same(key)).cloned();
            if let Some(known) = known {
                *key = known;
            }
        }
        for key in &old.keys {
            if !self.named(key.key_id.as_deref()).any(|one| Arc::ptr_eq(one, key)) {
                key.withdraw();
            }
        }
    }

    /// The keys that may have signed a token with this header: those it names, else those that have no name.
    /// A token that names none may be by any key.
    pub(crate) fn candidates(
        &self,
        key_id: Option<&str>,
        algorithm: Algorithm,
    ) -> impl Iterator<Item = &Arc<VerifyingKey>> {
        let any = if key_id.is_none() { &self.keys[..] } else { &[] };
        let named =
            key_id.map_or(&[][..], |id| self.by_id.get(id).map_or(&self.without_id[..], Vec::as_slice));
        named
            .iter()
            .filter_map(|index| self.keys.get(*index))
            .chain(any)
            .filter(move |key| key.algorithm == algorithm)
            .take(KEYS_TRIED)
    }

    /// Whether a key has that id, whatever its algorithm.
    pub(crate) fn names(&self, key_id: &str) -> bool {
        self.by_id.contains_key(key_id)
    }

    pub(crate) fn len(&self) -> usize {
        self.count
    }

    fn named(&self, key_id: Option<&str>) -> impl Iterator<Item = &Arc<VerifyingKey>> {
        let indices = match key_id {
            Some(id) => self.by_id.get(id).map_or(&[][..], Vec::as_slice),
            None => &self.without_id,
        };
        indices.iter().filter_map(|index| self.keys.get(*index))
    }
}
