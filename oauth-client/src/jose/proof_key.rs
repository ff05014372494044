//! The key that a proof of possession brings in its own header (RFC 9449 section 4.2): good for nothing until a token
//! names its thumbprint.

use aws_lc_rs::digest;
use serde_json::Value;

use super::jwk::{UnusableKey, thumbprint_bytes, verifying_keys};
use super::{Algorithm, VerifyingKey};

/// A public key with its thumbprint.
#[derive(Debug)]
pub struct ProofKey {
    /// The key, for the algorithm that was asked for.
    pub key: VerifyingKey,
    /// RFC 7638, SHA-256.
    pub thumbprint: [u8; 32],
}

impl ProofKey {
    /// Reads a JWK by the same rules as one of a key set: public, of a safe size, for verifying, and for this algorithm.
    ///
    /// # Errors
    /// Says why the key is of no use.
    pub fn from_jwk(json: &str, algorithm: Algorithm) -> Result<Self, UnusableKey> {
        let jwk: Value = serde_json::from_str(json).map_err(|_| UnusableKey::Invalid("not an object"))?;
        let mut keys = verifying_keys(&jwk, &[algorithm])?;
        let key = keys.pop().ok_or(UnusableKey::OtherPurpose("no allowed algorithm fits it"))?;
        let thumbprint =
            thumbprint_bytes(&jwk).ok_or(UnusableKey::Invalid("a member that identifies it is missing"))?;
        Ok(Self { key, thumbprint })
    }
}

/// SHA-256, as `ath` and the thumbprints of certificates are made with.
#[must_use]
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut sum = [0; 32];
    sum.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    sum
}
