//! The keys of one issuer at one moment, and which of them signed a token.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use serde_json::Value;

use super::by_name::by_name;
use super::jwk::{self, UnusableKey};
use super::{Algorithm, CompactJws, Error, Header, Issued, KEYS_TRIED, Scratch, VerifyingKey};
use crate::byte_order_mark::without_mark;

/// Keys in the order of their document, found by key id. Immutable: a refresh makes a new one.
#[derive(Debug, Default)]
pub struct KeySet {
    keys: Vec<Arc<VerifyingKey>>,
    /// Where in `keys` those of one key id are, and those that have none.
    by_id: HashMap<Box<str>, Vec<usize>>,
    without_id: Vec<usize>,
    /// Keys as the issuer counts them: one may verify under several algorithms.
    count: usize,
    /// The keys that are not used, the first sixteen of them.
    pub skipped: Vec<SkippedKey>,
}

/// A key that is not used.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SkippedKey {
    /// `kid`, as its issuer wrote it.
    pub key_id: Option<String>,
    /// Why.
    pub why: UnusableKey,
}

const TWIN: &str = "another key has the same kid, kty and alg";

/// A document that is not a JWK Set: not a JSON object with a list `keys`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAKeySet;

impl KeySet {
    /// Reads a JWK Set (RFC 7517 section 5). Unusable keys are skipped; no more than `most` are taken.
    ///
    /// # Errors
    /// [`NotAKeySet`].
    pub fn parse(document: &[u8], allowed: &[Algorithm], most: usize) -> Result<Self, NotAKeySet> {
        let document: Value = serde_json::from_slice(without_mark(document)).map_err(|_| NotAKeySet)?;
        let elements = document.get("keys").and_then(Value::as_array).ok_or(NotAKeySet)?;
        let mut keys = Vec::new();
        let mut skipped = Vec::new();
        let mut taken = 0;
        for element in elements {
            let outcome = if taken < most {
                jwk::verifying_keys(element, allowed)
            } else {
                Err(UnusableKey::Invalid("beyond the limit"))
            };
            match outcome {
                Ok(found) => {
                    taken += 1;
                    keys.extend(found);
                }
                // A set of a hundred thousand is not worth a hundred thousand lines.
                Err(why) if skipped.len() < 16 => {
                    let key_id = element.get("kid").and_then(Value::as_str).map(str::to_owned);
                    skipped.push(SkippedKey { key_id, why });
                }
                Err(_) => {}
            }
        }
        Ok(Self::new(keys, skipped))
    }

    /// Those keys. A key that is there twice counts once, unless it is of two issuers.
    #[must_use]
    pub fn new(keys: Vec<VerifyingKey>, mut skipped: Vec<SkippedKey>) -> Self {
        // What a token can ask for is a key id, an algorithm and an issuer's key; the same key twice counts once.
        let mut shelves: HashMap<_, Vec<Arc<VerifyingKey>>> = HashMap::new();
        let mut ordered: Vec<Arc<VerifyingKey>> = Vec::with_capacity(keys.len());
        for key in keys {
            let shelf = shelves.entry(shelf_of(&key)).or_default();
            if !shelf.iter().any(|other| other.identity == key.identity) {
                let key = Arc::new(key);
                shelf.push(Arc::clone(&key));
                ordered.push(key);
            }
        }
        // Two keys under one name: which of them made a signature is not known. Neither is used.
        shelves.retain(|(key_id, ..), shelf| key_id.is_some() && shelf.len() > 1);
        ordered.retain(|key| !shelves.contains_key(&shelf_of(key)));
        skipped.extend(
            shelves
                .into_keys()
                .map(|(id, ..)| SkippedKey { key_id: id.map(String::from), why: UnusableKey::Invalid(TWIN) }),
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
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        self.keys.len() == other.keys.len()
            && self.keys.iter().zip(&other.keys).all(|(one, other)| one.is_same(other))
    }

    /// Takes over the keys that `old` has already, so that tokens cached under them stay good, and withdraws
    /// those that are gone.
    pub fn succeed(&mut self, old: &Self) {
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
    fn candidates(
        &self,
        key_id: Option<&str>,
        algorithm: Algorithm,
    ) -> impl Iterator<Item = &Arc<VerifyingKey>> {
        let any = if key_id.is_none() { &self.keys[..] } else { &[] };
        let named = key_id.map_or(&[][..], |id| self.with_id(id).unwrap_or(&self.without_id));
        named
            .iter()
            .filter_map(|index| self.keys.get(*index))
            .chain(any)
            .filter(move |key| key.algorithm == algorithm)
    }

    /// The key that signed the token.
    ///
    /// # Errors
    /// [`Error::UnknownKey`] when none fits the header, in which case a newer key set may help;
    /// [`Error::OtherIssuersKey`] when those that fit belong to another issuer; [`Error::BadSignature`] when those that
    /// fit did not sign it; [`Error::Base64`].
    #[inline]
    pub fn verify(
        &self,
        header: &Header<'_>,
        token: &CompactJws<'_>,
        issued: Issued<'_>,
    ) -> Result<Arc<VerifyingKey>, Error> {
        let key_id = header.key_id.as_deref();
        let mut candidates = self.candidates(key_id, header.algorithm).peekable();
        if candidates.peek().is_none() {
            return Err(Error::UnknownKey);
        }
        let mut candidates = candidates.filter(|key| key.is_for(issued)).take(KEYS_TRIED).peekable();
        let is_foreign = candidates.peek().is_none();
        let mut scratch = Scratch::new();
        let signature = token.signature(&mut scratch)?;
        match candidates.find(|key| key.verifies(token.signed.as_bytes(), signature)) {
            Some(key) => Ok(Arc::clone(key)),
            // Keys without a name were tried on the chance; the one the token means may be new.
            None if key_id.is_none_or(|id| self.with_id(id).is_none()) => Err(Error::UnknownKey),
            None if is_foreign => Err(Error::OtherIssuersKey),
            None => Err(Error::BadSignature),
        }
    }

    /// How many keys there are, as the issuer counts them.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Where the keys of that key id are.
    #[inline]
    fn with_id(&self, id: &str) -> Option<&[usize]> {
        by_name(&self.by_id, id).map(Vec::as_slice)
    }

    fn named(&self, key_id: Option<&str>) -> impl Iterator<Item = &Arc<VerifyingKey>> {
        let indices = match key_id {
            Some(id) => self.with_id(id).unwrap_or_default(),
            None => &self.without_id,
        };
        indices.iter().filter_map(|index| self.keys.get(*index))
    }
}

/// What a token can ask for.
fn shelf_of(key: &VerifyingKey) -> (Option<Box<str>>, Algorithm, Option<Box<str>>) {
    (key.key_id.clone(), key.algorithm, key.issuer.clone())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::sign::SigningKey;

    fn key(id: &str) -> Value {
        Value::Object(SigningKey::generate(Algorithm::Es256).unwrap().with_key_id(id).public_jwk())
    }

    fn set(keys: &Value) -> KeySet {
        KeySet::parse(json!({ "keys": keys }).to_string().as_bytes(), &Algorithm::ASYMMETRIC, 100).unwrap()
    }

    #[test]
    fn a_key_that_a_newer_set_lacks_is_withdrawn_and_one_that_stays_is_the_same() {
        let (stays, goes) = (key("stays"), key("goes"));
        let old = set(&json!([stays, goes]));
        let mut new = set(&json!([key("comes"), stays]));
        assert!(!new.is_same(&old));
        new.succeed(&old);
        assert_eq!(old.keys.iter().map(|key| key.is_trusted()).collect::<Vec<_>>(), [true, false]);
        assert!(Arc::ptr_eq(&old.keys[0], &new.keys[1]));
        assert!(new.keys.iter().all(|key| key.is_trusted()));
    }

    #[test]
    fn a_key_that_changes_its_issuer_is_another_key() {
        let mut shared = key("k");
        let old = set(&json!([shared]));
        shared["issuer"] = "https://a.example".into();
        let mut new = set(&json!([shared]));
        new.succeed(&old);
        assert!(!old.keys[0].is_trusted() && new.keys[0].is_trusted());
    }

    #[test]
    fn a_key_of_one_issuer_verifies_no_token_of_another() {
        const HOLE: &str = "https://as.example/{tenantid}/v2.0";
        let signing = SigningKey::generate(Algorithm::Es256).unwrap().with_key_id("k");
        let owned = |issuer: &str| {
            let mut jwk = Value::Object(signing.public_jwk());
            jwk["issuer"] = issuer.into();
            jwk
        };
        let token = signing.sign(serde_json::Map::new(), &json!({})).unwrap();
        let token = CompactJws::split(token.expose(), 2048).unwrap();
        let mut scratch = Scratch::new();
        let header = Header::read(token.header, &mut scratch).unwrap();
        let verify = |keys: Value, iss: &str, tenant: Option<&str>| {
            set(&keys).verify(&header, &token, Issued { issuer: iss, tenant }).map(|_| ())
        };
        let (a, b) = ("https://as.example/a/v2.0", "https://as.example/b/v2.0");
        assert_eq!(verify(json!([owned(a)]), a, None), Ok(()));
        assert_eq!(verify(json!([owned(a)]), b, Some("b")), Err(Error::OtherIssuersKey));
        assert_eq!(verify(json!([owned(HOLE)]), a, Some("a")), Ok(()));
        for tenant in [None, Some(""), Some("b"), Some("a/v2.0"), Some("{tenantid}")] {
            assert_eq!(verify(json!([owned(HOLE)]), a, tenant), Err(Error::OtherIssuersKey), "{tenant:?}");
        }
        assert_eq!(verify(json!([owned(HOLE)]), HOLE, Some("{tenantid}")), Err(Error::OtherIssuersKey));
        // One key that is published for two issuers serves both, and no third.
        let both = json!([owned(a), owned(b)]);
        assert_eq!(verify(both.clone(), a, None).and(verify(both.clone(), b, None)), Ok(()));
        assert_eq!(verify(both, "https://as.example/c/v2.0", Some("c")), Err(Error::OtherIssuersKey));
    }

    #[test]
    fn a_set_may_begin_with_a_byte_order_mark() {
        let document = format!("\u{feff}{}", json!({ "keys": [key("k")] }));
        assert_eq!(KeySet::parse(document.as_bytes(), &Algorithm::ASYMMETRIC, 3).unwrap().len(), 1);
    }

    #[test]
    fn keys_that_are_not_used_are_listed_with_the_reason() {
        let mut private = key("private");
        private["d"] = "AQ".into();
        let mut encryption = key("encryption");
        encryption["use"] = "enc".into();
        let set = set(&json!([private, encryption, key("good"), 7]));
        let listed: Vec<_> = set.skipped.iter().map(|key| (key.key_id.as_deref(), key.why)).collect();
        assert_eq!(
            listed,
            [
                (Some("private"), UnusableKey::Invalid("it holds a private key, which anyone may have read")),
                (Some("encryption"), UnusableKey::OtherPurpose("use is not sig")),
                (None, UnusableKey::Invalid("not an object")),
            ]
        );
        assert_eq!(set.len(), 1);
    }

    #[test]
    fn no_more_keys_are_taken_than_allowed_and_no_more_than_sixteen_are_listed() {
        let many: Vec<_> = (0..30).map(|number| key(&number.to_string())).collect();
        let document = json!({ "keys": many }).to_string();
        let set = KeySet::parse(document.as_bytes(), &Algorithm::ASYMMETRIC, 3).unwrap();
        assert_eq!((set.len(), set.skipped.len()), (3, 16));
        for none in ["", "[]", "{}", r#"{"keys":{}}"#] {
            assert_eq!(KeySet::parse(none.as_bytes(), &Algorithm::ASYMMETRIC, 3).err(), Some(NotAKeySet));
        }
    }
}
