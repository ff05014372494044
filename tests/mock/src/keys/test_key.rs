use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa;
use aws_lc_rs::signature::{self, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _};
use serde_json::{Value, json};

use super::Alg;
use super::pool::{self, Half};
use crate::encode::{b64url, hex, random};

/// A private signing key for one algorithm, with a key id of its own.
///
/// ```
/// use oauth_mock::{Alg, MockServer, TestKey};
///
/// let server = MockServer::builder().in_process();
/// let foreign = TestKey::generate(Alg::Es256);
/// let forged = server.mint().signed_with(&foreign).build();
/// assert_eq!(forged.split('.').count(), 3);
/// ```
#[derive(Clone)]
pub struct TestKey {
    kid: Arc<str>,
    alg: Alg,
    material: Arc<Material>,
}

/// Why a [`TestKey`] cannot do what was asked.
#[derive(Clone, Debug, thiserror::Error)]
pub enum KeyError {
    /// The key is of another type or curve than the algorithm needs.
    #[error("a key made for {key} cannot sign {asked}")]
    WrongType {
        /// What the key was made for.
        key: Alg,
        /// What was asked of it.
        asked: Alg,
    },
    /// The cryptographic library refused.
    #[error("the cryptographic library could not sign")]
    Refused,
}

pub(crate) enum Material {
    Rsa { pair: Arc<rsa::KeyPair>, der: Cow<'static, [u8]> },
    WeakRsa { der: Cow<'static, [u8]> },
    Ec { pair: EcdsaKeyPair, crv: &'static str },
    Ed25519(Ed25519KeyPair),
}

impl TestKey {
    /// A new key for `alg`: EC and Ed25519 keys are generated, RSA keys (2048 bits) come from a pool of six, which
    /// is not the pool of the mock servers' own keys.
    ///
    /// For a key that a server certainly does not publish, see [`Keys::foreign`](crate::Keys::foreign).
    ///
    /// # Panics
    /// For `none` and the HMAC algorithms, which have no key pair.
    #[must_use]
    pub fn generate(alg: Alg) -> Self {
        Self::of_half(alg, Half::Tests)
    }

    /// As [`TestKey::generate`]; an RSA key comes from that half of the pool.
    #[expect(
        clippy::expect_used,
        clippy::panic,
        reason = "asking for a key pair of `none` is an error in the test itself"
    )]
    fn of_half(alg: Alg, half: Half) -> Self {
        let ec =
            |signing, crv| Material::Ec { pair: EcdsaKeyPair::generate(signing).expect("a new EC key"), crv };
        let material = match alg {
            Alg::Es256 => ec(&signature::ECDSA_P256_SHA256_FIXED_SIGNING, "P-256"),
            Alg::Es384 => ec(&signature::ECDSA_P384_SHA384_FIXED_SIGNING, "P-384"),
            Alg::Es512 => ec(&signature::ECDSA_P521_SHA512_FIXED_SIGNING, "P-521"),
            Alg::Es256k => ec(&signature::ECDSA_P256K1_SHA256_FIXED_SIGNING, "secp256k1"),
            Alg::EdDsa | Alg::Ed25519 => {
                Material::Ed25519(Ed25519KeyPair::generate().expect("a new Ed25519 key"))
            }
            rsa if rsa.is_rsa() => {
                let (pair, der) = pool::next_rsa(half);
                Material::Rsa { pair, der: der.into() }
            }
            other => panic!("{other} has no key pair: use TokenBuilder::signed_with_secret or ::unsigned"),
        };
        Self::with_new_kid(alg, material)
    }

    /// A key of one half of the pool that is none of `taken`, whatever their key ids.
    pub(crate) fn none_of(taken: &[Self], alg: Alg, half: Half) -> Self {
        let thumbprints: Vec<_> = taken.iter().map(Self::thumbprint).collect();
        let is_free = |key: &Self| !thumbprints.contains(&key.thumbprint());
        // Others draw from the pool meanwhile, so that a whole round may miss a free key: the second finds it.
        let mut drawn = (0..2 * pool::HALF).map(|_| Self::of_half(alg, half));
        drawn.find(is_free).or_else(|| Self::fresh(alg)).unwrap_or_else(|| Self::of_half(alg, half))
    }

    /// A newly generated key for `alg`, RSA included; that takes up to a second. `None` for `none` and the
    /// HMAC algorithms, and when the cryptographic library fails.
    pub(crate) fn fresh(alg: Alg) -> Option<Self> {
        if !alg.is_rsa() {
            return alg.is_asymmetric().then(|| Self::generate(alg));
        }
        let (pair, der) = pool::new_rsa()?;
        Some(Self::with_new_kid(alg, Material::Rsa { pair: Arc::new(pair), der: der.into() }))
    }

    /// An RSA key of 3072 bits (always the same one, under a new key id).
    ///
    /// # Panics
    /// If `alg` is not an RSA algorithm.
    #[must_use]
    #[expect(clippy::expect_used, reason = "the key is part of this crate, and a test parses it")]
    pub fn rsa_3072(alg: Alg) -> Self {
        assert!(alg.is_rsa(), "{alg} is not an RSA algorithm");
        let pair = Arc::new(rsa::KeyPair::from_der(pool::RSA_3072).expect("the key is valid"));
        Self::with_new_kid(alg, Material::Rsa { pair, der: pool::RSA_3072.into() })
    }

    /// An RSA key of 1024 bits for RS256: too short (RFC 7518 section 3.3), so no API should accept it.
    #[must_use]
    pub fn rsa_1024() -> Self {
        Self::with_new_kid(Alg::Rs256, Material::WeakRsa { der: pool::RSA_1024.into() })
    }

    /// The key id.
    #[must_use]
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The algorithm it signs with.
    #[must_use]
    pub fn alg(&self) -> Alg {
        self.alg
    }

    /// The same key under another key id.
    #[must_use]
    pub fn with_kid(mut self, kid: &str) -> Self {
        self.kid = kid.into();
        self
    }

    /// The same key declared for another algorithm.
    ///
    /// # Errors
    /// [`KeyError::WrongType`] when the key cannot sign with it.
    pub fn with_alg(mut self, alg: Alg) -> Result<Self, KeyError> {
        let fits = match &*self.material {
            Material::Rsa { .. } => alg.is_rsa(),
            Material::WeakRsa { .. } => alg == Alg::Rs256,
            Material::Ec { .. } => alg == self.alg,
            Material::Ed25519(_) => matches!(alg, Alg::EdDsa | Alg::Ed25519),
        };
        if !fits {
            return Err(KeyError::WrongType { key: self.alg, asked: alg });
        }
        self.alg = alg;
        Ok(self)
    }

    /// The public key as a JWK (RFC 7517 section 4) with `kid`, `alg` and `use`.
    #[must_use]
    pub fn public_jwk(&self) -> Value {
        let mut jwk = match &*self.material {
            Material::Rsa { der, .. } | Material::WeakRsa { der } => {
                let [n, e, _] = rsa_numbers(der);
                json!({"kty": "RSA", "n": b64url(n), "e": b64url(e)})
            }
            Material::Ec { pair, crv } => {
                let point = pair.public_key().as_ref();
                // Uncompressed form (SEC 1 section 2.3.3): one byte 4, then x and y of equal length.
                let (x, y) = point[1..].split_at((point.len() - 1) / 2);
                json!({"kty": "EC", "crv": crv, "x": b64url(x), "y": b64url(y)})
            }
            Material::Ed25519(pair) => {
                json!({"kty": "OKP", "crv": "Ed25519", "x": b64url(pair.public_key())})
            }
        };
        jwk["kid"] = json!(&*self.kid);
        jwk["alg"] = json!(self.alg.as_str());
        jwk["use"] = json!("sig");
        jwk
    }

    /// The SHA-256 thumbprint of the public key (RFC 7638), as `cnf.jkt` names it (RFC 9449 section 6.1).
    #[must_use]
    pub fn thumbprint(&self) -> String {
        // Only a JWK that lacks a member has none, and the public JWK of this key lacks nothing.
        super::thumbprint(&self.public_jwk()).unwrap_or_default()
    }

    /// Signs `message` in the form JWS wants (RFC 7518 section 3).
    ///
    /// # Errors
    /// [`KeyError::Refused`] when the cryptographic library fails.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        let random = SystemRandom::new();
        match &*self.material {
            Material::Rsa { pair, .. } => {
                let encoding: &dyn signature::RsaEncoding = match self.alg {
                    Alg::Rs384 => &signature::RSA_PKCS1_SHA384,
                    Alg::Rs512 => &signature::RSA_PKCS1_SHA512,
                    Alg::Ps256 => &signature::RSA_PSS_SHA256,
                    Alg::Ps384 => &signature::RSA_PSS_SHA384,
                    Alg::Ps512 => &signature::RSA_PSS_SHA512,
                    _ => &signature::RSA_PKCS1_SHA256,
                };
                let mut out = vec![0; pair.public_modulus_len()];
                pair.sign(encoding, &random, message, &mut out).map_err(|_| KeyError::Refused)?;
                Ok(out)
            }
            Material::WeakRsa { der } => Ok(crate::keys::weak::sign_rs256(rsa_numbers(der), message)),
            Material::Ec { pair, .. } => {
                Ok(pair.sign(&random, message).map_err(|_| KeyError::Refused)?.as_ref().to_vec())
            }
            Material::Ed25519(pair) => {
                Ok(pair.try_sign(message).map_err(|_| KeyError::Refused)?.as_ref().to_vec())
            }
        }
    }

    /// The modulus, public and private exponent of an RSA key, big-endian.
    pub(crate) fn rsa_numbers(&self) -> Option<[&[u8]; 3]> {
        match &*self.material {
            Material::Rsa { der, .. } | Material::WeakRsa { der } => Some(rsa_numbers(der)),
            Material::Ec { .. } | Material::Ed25519(_) => None,
        }
    }

    /// The bare public key of an EC (uncompressed point) or Ed25519 key.
    pub(crate) fn public_point(&self) -> Option<Vec<u8>> {
        match &*self.material {
            Material::Ec { pair, .. } => Some(pair.public_key().as_ref().to_vec()),
            Material::Ed25519(pair) => Some(pair.public_key().as_ref().to_vec()),
            Material::Rsa { .. } | Material::WeakRsa { .. } => None,
        }
    }

    fn with_new_kid(alg: Alg, material: Material) -> Self {
        let kid = format!("{}-{}", alg.as_str().to_ascii_lowercase(), hex(&random::<8>()));
        Self { kid: kid.into(), alg, material: Arc::new(material) }
    }
}

impl fmt::Debug for TestKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestKey").field("kid", &self.kid).field("alg", &self.alg).finish_non_exhaustive()
    }
}

/// Modulus, public and private exponent of a PKCS#1 `RSAPrivateKey` (RFC 8017 section A.1.2), without leading zeros.
fn rsa_numbers(der: &[u8]) -> [&[u8]; 3] {
    let mut rest = der_value(der).0; // the SEQUENCE
    let mut next = || {
        let (value, after) = der_value(rest);
        rest = after;
        value
    };
    let _version = next();
    [next(), next(), next()].map(|number| match number {
        [0, trimmed @ ..] => trimmed,
        whole => whole,
    })
}

/// The content of the first DER element and what follows it; both empty when it is malformed.
fn der_value(der: &[u8]) -> (&[u8], &[u8]) {
    let (length, body) = match der {
        [_, short @ 0..=0x7f, body @ ..] => (usize::from(*short), body),
        [_, 0x81, length, body @ ..] => (usize::from(*length), body),
        [_, 0x82, high, low, body @ ..] => (usize::from(*high) << 8 | usize::from(*low), body),
        _ => return (&[], &[]),
    };
    body.split_at_checked(length).unwrap_or((&[], &[]))
}
