use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};

use super::pool::Half;
use super::{Alg, TestKey};
use crate::jws::Jws;

/// The keys of one issuer: which one signs, and what its key set publishes. Clones are handles to the same keys.
///
/// ```
/// let server = oauth_mock::MockServer::builder().in_process();
/// let first = server.keys().current_kid();
/// server.keys().rotate(); // graceful: the old key stays published
/// assert_ne!(server.keys().current_kid(), first);
/// assert_eq!(server.keys().kids().len(), 2);
/// ```
#[derive(Clone)]
pub struct Keys(Arc<Mutex<Ring>>);

struct Ring {
    initial: Initial,
    signer: TestKey,
    published: Vec<Published>,
    max_age: Option<Duration>,
}

/// What the issuer started with.
struct Initial {
    signer: TestKey,
    published: Vec<Published>,
}

/// One member of the key set; `key` is absent when it was given as raw JSON.
#[derive(Clone)]
pub(crate) struct Published {
    jwk: Value,
    key: Option<TestKey>,
}

impl Keys {
    pub(crate) fn new(algorithms: &[Alg]) -> Self {
        let mut keys = Vec::new();
        for alg in algorithms {
            keys.push(TestKey::none_of(&keys, *alg, Half::Issuers));
        }
        let signer =
            keys.first().cloned().unwrap_or_else(|| TestKey::none_of(&[], Alg::Rs256, Half::Issuers));
        let published = if keys.is_empty() { vec![signer.clone()] } else { keys };
        let published: Vec<_> = published.into_iter().map(Published::from).collect();
        let initial = Initial { signer: signer.clone(), published: published.clone() };
        Self(Arc::new(Mutex::new(Ring { initial, signer, published, max_age: None })))
    }

    /// Back to the keys of the start: the service under test may go on with those it has cached.
    pub(crate) fn reset(&self) {
        let mut ring = self.ring();
        ring.signer = ring.initial.signer.clone();
        ring.published = ring.initial.published.clone();
        ring.max_age = None;
    }

    /// The key that signs new tokens.
    #[must_use]
    pub fn current(&self) -> TestKey {
        self.ring().signer.clone()
    }

    /// The id of the key that signs new tokens.
    #[must_use]
    pub fn current_kid(&self) -> String {
        self.ring().signer.kid().to_owned()
    }

    /// The key ids published now, in order; members without one are left out.
    #[must_use]
    pub fn kids(&self) -> Vec<String> {
        let kid = |published: &Published| published.jwk.get("kid")?.as_str().map(str::to_owned);
        self.ring().published.iter().filter_map(kid).collect()
    }

    /// The published key of this id, or the one that signs, if it was not given as JSON.
    #[must_use]
    pub fn key(&self, kid: &str) -> Option<TestKey> {
        let ring = self.ring();
        let published = ring.published.iter().filter_map(|published| published.key.as_ref());
        published.chain([&ring.signer]).find(|key| key.kid() == kid).cloned()
    }

    /// A new key for `alg` that this server does not publish, under a key id of its own: what a forger has.
    ///
    /// ```
    /// use oauth_mock::MockServer;
    ///
    /// let server = MockServer::builder().in_process();
    /// let (own, foreign) = (server.keys().current(), server.keys().foreign(oauth_mock::Alg::Rs256));
    /// let forged = server.mint().signed_with(&foreign.with_kid(own.kid())).build();
    /// assert_eq!(forged.split('.').count(), 3);
    /// ```
    ///
    /// # Panics
    /// For `none` and the HMAC algorithms, which have no key pair.
    #[must_use]
    pub fn foreign(&self, alg: Alg) -> TestKey {
        self.ring().unpublished(alg, Half::Tests)
    }

    /// A graceful rotation: a new key of the same algorithm signs, the old one stays published.
    pub fn rotate(&self) {
        let mut ring = self.ring();
        let key = ring.unpublished(ring.signer.alg(), Half::Issuers);
        ring.published.push(key.clone().into());
        ring.signer = key;
    }

    /// An abrupt rotation: a new key signs, and the old one is no longer published.
    pub fn rotate_abruptly(&self) {
        let old = self.current_kid();
        self.rotate();
        self.withdraw(&old);
    }

    /// Publishes `key` beside the others, even if its key id is already there. It does not sign by itself.
    pub fn add(&self, key: &TestKey) {
        self.ring().published.push(key.clone().into());
    }

    /// Publishes any JSON as a member of the key set: a malformed key, one without `kid`, a private one …
    pub fn add_raw(&self, jwk: Value) {
        self.ring().published.push(Published { jwk, key: None });
    }

    /// Signs new tokens with `key`, whether it is published or not.
    pub fn sign_with(&self, key: &TestKey) {
        self.ring().signer = key.clone();
    }

    /// Stops publishing every key with this id.
    pub fn withdraw(&self, kid: &str) {
        let named = |published: &Published| published.jwk.get("kid").and_then(Value::as_str) == Some(kid);
        self.ring().published.retain(|published| !named(published));
    }

    /// Stops publishing every key but the one that signs: the end of a graceful rotation.
    pub fn retire(&self) {
        let mut ring = self.ring();
        let signer = ring.signer.kid().to_owned();
        ring.published.retain(|published| published.jwk.get("kid").and_then(Value::as_str) == Some(&*signer));
    }

    /// Publishes nothing: `{"keys":[]}`. The signer stays what it is.
    pub fn clear(&self) {
        self.ring().published.clear();
    }

    /// Sends `Cache-Control: max-age` with the key set from now on.
    pub fn set_max_age(&self, max_age: Duration) {
        self.ring().max_age = Some(max_age);
    }

    /// Whether one of the keys published now signed this.
    pub(crate) fn signed(&self, jws: &Jws<'_>) -> bool {
        let keys: Vec<_> = self.ring().published.iter().map(|published| published.jwk.clone()).collect();
        jws.verifies_with_any(&keys)
    }

    /// The key set as it is served (RFC 7517 section 5).
    #[must_use]
    pub fn jwks_json(&self) -> String {
        let keys: Vec<_> = self.ring().published.iter().map(|published| published.jwk.clone()).collect();
        json!({ "keys": keys }).to_string()
    }

    /// What is published now, to be [put back](Self::publish) later.
    pub(crate) fn published(&self) -> Vec<Published> {
        self.ring().published.clone()
    }

    /// Publishes exactly this.
    pub(crate) fn publish(&self, published: Vec<Published>) {
        self.ring().published = published;
    }

    pub(crate) fn max_age(&self) -> Option<Duration> {
        self.ring().max_age
    }

    /// The key that signs `alg`: the current one, else a published one, else a new one, published from now on.
    pub(crate) fn for_alg(&self, alg: Alg) -> TestKey {
        let mut ring = self.ring();
        if ring.signer.alg() == alg {
            return ring.signer.clone();
        }
        let known = ring.published.iter().rev().filter_map(|published| published.key.clone());
        if let Some(key) = known.into_iter().find(|key| key.alg() == alg) {
            return key;
        }
        let key = ring.unpublished(alg, Half::Issuers);
        ring.published.push(key.clone().into());
        key
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ring {
    /// A new key whose material is none of what is, or at the start was, published.
    fn unpublished(&self, alg: Alg, half: Half) -> TestKey {
        let all = self.published.iter().chain(&self.initial.published);
        let mut taken: Vec<_> = all.filter_map(|published| published.key.clone()).collect();
        taken.push(self.signer.clone());
        TestKey::none_of(&taken, alg, half)
    }
}

impl From<TestKey> for Published {
    fn from(key: TestKey) -> Self {
        Self { jwk: key.public_jwk(), key: Some(key) }
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").field("signs", &self.current_kid()).field("published", &self.kids()).finish()
    }
}
