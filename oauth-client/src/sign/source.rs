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
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    /// The last text that is a key, and that key.
    read: Option<(Secret, SigningKey)>,
    /// A later text that is none. It is not looked at again, and was reported.
    rejected: Option<Secret>,
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
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let is_rejected = held.rejected.as_ref() == Some(&text);
        if let Some((known, key)) = held.read.as_ref().filter(|(known, _)| is_rejected || *known == text) {
            return Ok((key.clone(), Some(known.clone())));
        }
        let error = match SigningKey::from_text(text.expose()) {
            Ok(key) => {
                *held = Held { read: Some((text.clone(), key.clone())), rejected: None };
                return Ok((key, Some(text)));
            }
            Err(error) => error,
        };
        // It may be in the middle of being written.
        let (known, key) = held.read.clone().ok_or_else(|| error.clone())?;
        tracing::warn!(error = %error, source = ?self.source, "the new private key cannot be used; the last one is kept");
        held.rejected = Some(text);
        Ok((key, Some(known)))
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
        Self(Kind::Text(Arc::new(Text { source, held: Mutex::default() })))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Clock as _, SystemClock};
    use crate::logged::Logged;

    #[tokio::test]
    async fn a_key_that_cannot_be_used_is_reported_once() {
        let pem = |_| SigningKey::generate(Algorithm::Es256).unwrap().to_pem().unwrap().expose().to_owned();
        let [first, second] = [1, 2].map(pem);
        let held = Arc::new(Mutex::new(first.clone()));
        let text = Arc::clone(&held);
        let key = KeySource::from(crate::secret::from_fn(move || {
            let text = text.lock().unwrap().clone();
            async move { Ok::<_, std::io::Error>(text) }
        }));
        let now = SystemClock.now();
        let used = async || key.get(now).await.unwrap().1.unwrap().expose().to_owned();
        assert_eq!(used().await, first);
        let logged = Logged::listen();
        for bad in ["half a key", "half a key", "half a key", "another half", "another half"] {
            bad.clone_into(&mut held.lock().unwrap());
            assert_eq!(used().await, first, "the last one is kept");
        }
        second.clone_into(&mut held.lock().unwrap());
        assert_eq!(used().await, second);
        assert_eq!(
            logged.end().matches("the new private key cannot be used").count(),
            2,
            "once for each text"
        );
    }
}
