//! Private keys, and what a client signs with them: assertions (RFC 7523) and proofs of possession (RFC 9449).
//!
//! ```
//! use oauth_client::sign::{Algorithm, SigningKey};
//!
//! let key = SigningKey::generate(Algorithm::Es256)?.with_key_id("2030-01");
//! let jwk = key.public_jwk(); // to be registered at the server
//! assert_eq!((&jwk["kty"], &jwk["crv"], &jwk["kid"]), (&"EC".into(), &"P-256".into(), &"2030-01".into()));
//! assert!(!jwk.contains_key("d"));
//!
//! // What cannot be used says why.
//! let error = SigningKey::from_pem("-----BEGIN PUBLIC KEY-----\nMCow\n-----END PUBLIC KEY-----").unwrap_err();
//! assert!(error.to_string().contains("public key"), "{error}");
//! # Ok::<(), oauth_client::Error>(())
//! ```

mod algorithm;
mod jwk;
mod jws;
mod key;
mod pair;
mod pem;
mod source;

pub(crate) use self::jws::{base64url, sign_with_secret, unique_id};
pub use self::key::SigningKey;
#[cfg(feature = "reqwest")]
pub(crate) use self::pem::unmangled;
pub(crate) use self::pem::{certificate_thumbprint, certificate_thumbprint_sha1};
pub use self::source::KeySource;
pub use crate::jose::Algorithm;

#[cfg(test)]
mod tests;
