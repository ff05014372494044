//! A signing key that may be rotated.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use super::{Algorithm, SigningKey};
use crate::clock::Now;
use crate::error::Error;
use crate::secret::SecretSource;
use crate::token::Secret;

/// A private key as it is, or the [source](SecretSource) of its text, as PEM or JWK. A key whose file is replaced is
/// read again, and with a JWK comes its new name (`kid`).
#[derive(Clone)]
pub struct KeySource(Kind);

#[derive(Clone)]
enum Kind {
    Fixed(SigningKey),
    Text(Arc<Text>),
}

struct Text {
    source: SecretSource,
    /// The last text, and the key in it.
    read: Mutex<Option<(Secret, SigningKey)>>,
}

/// A key, and the text it was read from, where it may change.
pub(crate) type Read = (SigningKey, Option<Secret>);

impl KeySource {
    /// The key, where it never changes.
    pub(crate) fn fixed(&self) -> Option<&SigningKey> {
        match &self.0 {
            Kind::Fixed(key) => Some(key),
            Kind::Text(_) => None,
        }
    }

    /// The current key.
    pub(crate) async fn get(&self, now: Now) -> Result<Read, Error> {
        match &self.0 {
            Kind::Fixed(key) => Ok((key.clone(), None)),
            Kind::Text(text) => text.key(text.source.get(FIELD, now).await?),
        }
    }

    /// Whether the key is another one by now than the one that was read from this text.
    pub(crate) async fn has_changed(&self, used: &Secret, now: Now) -> bool {
        let Kind::Text(text) = &self.0 else { return false };
        let read = text.source.read(FIELD, now).await.and_then(|read| text.key(read));
        read.is_ok_and(|(_, text)| text.as_ref() != Some(used))
    }
}

const FIELD: &str = "private_key";

impl Text {
    fn key(&self, text: Secret) -> Result<Read, Error> {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, key)) = read.as_ref().filter(|(known, _)| *known == text) {
            return Ok((key.clone(), Some(known.clone())));
        }
        match (SigningKey::from_text(text.expose()), read.as_ref()) {
            (Ok(key), _) => {
                *read = Some((text.clone(), key.clone()));
                Ok((key, Some(text)))
            }
            // It may be in the middle of being written.
            (Err(error), Some((known, key))) => {
                tracing::warn!(error = %error, source = ?self.source, "the new private key cannot be used; the last one is kept");
                Ok((key.clone(), Some(known.clone())))
            }
            (Err(error), None) => Err(error),
        }
    }
}

impl KeySource {
    /// With what the configuration says about it, which has to fit.
    pub(crate) fn adjusted(
        mut key: SigningKey,
        algorithm: Option<Algorithm>,
        key_id: Option<&str>,
    ) -> Result<SigningKey, Error> {
        if let Some(algorithm) = algorithm {
            key = key.with_algorithm(algorithm)?;
        }
        Ok(match key_id {
            Some(key_id) => key.with_key_id(key_id),
            None => key,
        })
    }
}

impl From<SigningKey> for KeySource {
    fn from(key: SigningKey) -> Self {
        Self(Kind::Fixed(key))
    }
}

impl From<SecretSource> for KeySource {
    fn from(source: SecretSource) -> Self {
        Self(Kind::Text(Arc::new(Text { source, read: Mutex::default() })))
    }
}

impl fmt::Debug for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Fixed(key) => key.fmt(f),
            Kind::Text(text) => text.source.fmt(f),
        }
    }
}
