//! Values as they stand in Redis: sealed, with the id of the key in front, and bound to their entry.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Salt};
use base64::Engine as _;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use base64::{alphabet, engine::DecodePaddingMode};
use oauth_client::{Error, Secret};
use zeroize::Zeroizing;

use crate::problem;

/// How much key there has to be.
const LEAST: usize = 32;
const ID: usize = 8;

/// The keys of a store: the first seals, all of them open.
pub(crate) struct SealKeys(Vec<SealKey>);

struct SealKey {
    id: [u8; ID],
    key: RandomizedNonceKey,
}

/// Why a value cannot be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unopened {
    /// No key of the list has sealed it.
    UnknownKey,
    /// It was changed, cut, or copied from another entry.
    Damaged,
}

impl SealKeys {
    /// Keys from text in base64.
    pub(crate) fn new(texts: &[Secret]) -> Result<Self, Error> {
        if texts.is_empty() {
            return Err(problem("seal_key", "is missing; give at least 32 random bytes in base64"));
        }
        texts.iter().map(SealKey::new).collect::<Result<_, _>>().map(Self)
    }

    /// Seals a value for the entry of this name.
    pub(crate) fn seal(&self, entry: &str, value: &[u8]) -> Option<Vec<u8>> {
        let SealKey { id, key } = self.0.first()?;
        let mut sealed = Zeroizing::new(Vec::with_capacity(value.len() + AES_256_GCM.tag_len()));
        sealed.extend_from_slice(value);
        let nonce = key.seal_in_place_append_tag(Aad::from(entry.as_bytes()), &mut *sealed).ok()?;
        Some([&id[..], nonce.as_ref(), &sealed].concat())
    }

    /// Opens a value of the entry of this name.
    pub(crate) fn open(&self, entry: &str, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, Unopened> {
        let (id, rest) = sealed.split_at_checked(ID).ok_or(Unopened::Damaged)?;
        let (nonce, rest) = rest.split_at_checked(NONCE_LEN).ok_or(Unopened::Damaged)?;
        let SealKey { key, .. } = self.0.iter().find(|key| key.id == id).ok_or(Unopened::UnknownKey)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| Unopened::Damaged)?;
        let mut value = Zeroizing::new(rest.to_vec());
        let opened = key.open_in_place(nonce, Aad::from(entry.as_bytes()), &mut value);
        let length = opened.map_err(|_| Unopened::Damaged)?.len();
        value.truncate(length);
        Ok(value)
    }
}

impl SealKey {
    fn new(text: &Secret) -> Result<Self, Error> {
        let wrong = |what: &str| problem("seal_key", format!("{what}; `openssl rand -base64 32` prints one"));
        let bytes = decode(text.expose().trim()).ok_or_else(|| wrong("is not base64"))?;
        if bytes.len() < LEAST {
            return Err(wrong("is shorter than 32 bytes"));
        }
        let secret = Salt::new(HKDF_SHA256, b"oauth-client tokens in redis").extract(&bytes);
        let mut derived = (Zeroizing::new([0; 32]), [0; ID]);
        let unable = |_| wrong("cannot be used by the library of cryptography");
        let expand = |what: &'static [u8], out: &mut [u8]| {
            secret.expand(&[what], Length(out.len())).and_then(|okm| okm.fill(out))
        };
        expand(b"seal", &mut *derived.0).map_err(unable)?;
        expand(b"id", &mut derived.1).map_err(unable)?;
        let key = RandomizedNonceKey::new(&AES_256_GCM, &*derived.0).map_err(unable)?;
        Ok(Self { id: derived.1, key })
    }
}

struct Length(usize);

impl KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

/// Either alphabet, padded or not.
fn decode(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let config = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    [alphabet::STANDARD, alphabet::URL_SAFE]
        .iter()
        .find_map(|alphabet| GeneralPurpose::new(alphabet, config).decode(text).ok())
        .map(Zeroizing::new)
}

impl fmt::Debug for SealKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealKeys({})", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};

    use super::*;

    fn keys(fill: &[u8]) -> SealKeys {
        let texts: Vec<_> = fill.iter().map(|byte| BASE64_STANDARD.encode([*byte; 32]).into()).collect();
        SealKeys::new(&texts).unwrap()
    }

    #[test]
    fn a_value_opens_for_its_own_entry_alone() {
        let keys = keys(&[1]);
        let sealed = keys.seal("alice", b"token").unwrap();
        assert_eq!(keys.open("alice", &sealed).unwrap().as_slice(), b"token");
        assert_eq!(keys.open("bob", &sealed).unwrap_err(), Unopened::Damaged);
        assert!(!sealed.windows(5).any(|window| window == b"token"));
        assert_ne!(keys.seal("alice", b"token").unwrap(), sealed, "no nonce comes twice");
        for n in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[n] ^= 1;
            assert!(keys.open("alice", &changed).is_err(), "byte {n}");
            assert!(keys.open("alice", &sealed[..n]).is_err(), "cut at {n}");
        }
    }

    #[test]
    fn the_first_key_seals_and_all_of_them_open() {
        let (old, both, new) = (keys(&[1]), keys(&[2, 1]), keys(&[2]));
        let before = old.seal("alice", b"token").unwrap();
        assert!(both.open("alice", &before).is_ok());
        assert_eq!(new.open("alice", &before).unwrap_err(), Unopened::UnknownKey);
        let after = both.seal("alice", b"token").unwrap();
        assert!(new.open("alice", &after).is_ok());
        assert_eq!(old.open("alice", &after).unwrap_err(), Unopened::UnknownKey);
    }

    #[test]
    fn keys_are_taken_in_both_alphabets_and_refused_when_short() {
        let bytes = [0xfb_u8; 33];
        let texts = [BASE64_STANDARD.encode(bytes), BASE64_URL_SAFE_NO_PAD.encode(bytes)];
        assert_ne!(texts[0], texts[1]);
        let [one, other] = texts.map(|text| SealKeys::new(&[text.into()]).unwrap());
        assert!(other.open("a", &one.seal("a", b"x").unwrap()).is_ok());
        let short = BASE64_STANDARD.encode([7; 31]);
        for (text, what) in
            [(short.as_str(), "shorter than 32"), ("not base64!", "not base64"), ("", "shorter")]
        {
            let error = SealKeys::new(&[text.into()]).unwrap_err();
            assert_eq!(error.problems()[0].field, "seal_key");
            assert!(error.to_string().contains(what), "{error}");
            assert!(text.is_empty() || !error.to_string().contains(text), "{error}");
        }
        assert!(SealKeys::new(&[]).is_err());
    }
}
