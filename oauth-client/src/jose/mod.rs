//! JSON Object Signing: what reads and verifies a signed token, once for ID tokens and for the guard.
//!
//! A token passes through it in this order. Nothing here knows a clock, a claim or a policy: that is up to the caller,
//! and so is what an [`Error`] is reported as.
//!
//! ```
//! use oauth_client::jose::{Algorithm, CompactJws, Error, Header, Issued, KeySet, Scratch};
//!
//! # let (jwks, token) = (br#"{"keys":[]}"#, "eyJhbGciOiJFUzI1NiIsImtpZCI6ImEifQ.e30.AAAA");
//! let keys = KeySet::parse(jwks, &Algorithm::ASYMMETRIC, 100).map_err(|_| "no key set")?;
//! let token = CompactJws::split(token, 2048)?;
//! let mut scratch = Scratch::new();
//! let header = Header::read(token.header, &mut scratch)?;
//! assert_eq!((header.algorithm, header.key_id.as_deref()), (Algorithm::Es256, Some("a")));
//! let issued = Issued { issuer: "https://auth.example.com", tenant: None };
//! assert_eq!(keys.verify(&header, &token, issued).err(), Some(Error::UnknownKey));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

// 1 strict JSON
pub mod json;
// 2 three parts, base64url, and the header
mod jws;
// 3 how signatures are made
pub(crate) mod algorithm;
// whose tokens a key may have signed
mod tenant;
// 4 one key: from a JWK, a PEM file or a secret
pub(crate) mod jwk;
mod key;
// whether an Ed25519 key is a point of its curve
mod edwards;
// and from the header of a proof
mod proof_key;
// 5 the keys of one issuer, and the one that signed
mod key_set;
// how one of a few names is found
mod by_name;

mod error;

pub use self::algorithm::Algorithm;
pub use self::by_name::by_name;
pub use self::error::Error;
pub use self::jwk::UnusableKey;
pub use self::jws::{CompactJws, Header, Scratch, Typ, decode_base64url};
pub use self::key::VerifyingKey;
pub use self::key_set::{KeySet, NotAKeySet, SkippedKey};
pub use self::proof_key::{ProofKey, sha256};
pub use self::tenant::{Issued, TENANT, has_hole, is_for_some_tenant, is_tenant};

/// The longest key id, in bytes. Thumbprints have 43.
pub const KEY_ID_BYTES: usize = 256;
/// The longest signature, in bytes: that of RSA with 8192 bits.
pub const SIGNATURE_BYTES: usize = 1024;
/// How deep JSON may nest: a text that nests without end would use up the stack.
pub const JSON_DEPTH: usize = 32;
/// How many keys a token without a key id is tried against: each costs a signature check.
pub const KEYS_TRIED: usize = 8;
/// How many keys are taken of a set that was fetched.
pub const KEYS_PER_SET: usize = 100;

/// The claims of a JWT, without a look at its signature: good for what costs its holder at most, never for trust.
/// `None` for what is no JWT.
pub(crate) fn unverified_claims(token: &str) -> Option<serde_json::Map<String, serde_json::Value>> {
    let mut parts = token.split('.');
    let (_, payload, _) = (parts.next()?, parts.next()?, parts.next()?);
    json::object(&decode_base64url(payload).ok()?).ok()
}

#[cfg(test)]
mod wycheproof;
