//! The signature algorithms, by their registered names, and how each verifies.

use std::fmt;

use aws_lc_rs::signature::{self, EcdsaSigningAlgorithm, RsaParameters, VerificationAlgorithm};
use aws_lc_rs::{digest, hmac};

/// A JWS signature algorithm (RFC 7518 section 3.1, RFC 8037, RFC 9864). There is no `none`.
///
/// A client signs with all of them. ID tokens are accepted under all asymmetric ones, and under HMAC where a client
/// secret is expected. A guard accepts what its issuers list, by default all asymmetric ones except `ES512`.
///
/// ```
/// use oauth_client::sign::Algorithm;
/// assert_eq!("PS256".parse::<Algorithm>()?, Algorithm::Ps256);
/// assert_eq!(Algorithm::EdDsa.to_string(), "EdDSA");
/// assert!("none".parse::<Algorithm>().is_err());
/// # Ok::<(), oauth_client::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Algorithm {
    /// RSA PKCS#1 v1.5 with SHA-256.
    Rs256,
    /// RSA PKCS#1 v1.5 with SHA-384.
    Rs384,
    /// RSA PKCS#1 v1.5 with SHA-512.
    Rs512,
    /// RSA PSS with SHA-256.
    Ps256,
    /// RSA PSS with SHA-384.
    Ps384,
    /// RSA PSS with SHA-512.
    Ps512,
    /// ECDSA over P-256 with SHA-256.
    Es256,
    /// ECDSA over P-384 with SHA-384.
    Es384,
    /// ECDSA over P-521 with SHA-512, for clients. A guard does not support it: it rejects such tokens, and an issuer
    /// that lists it is an error when the guard is built.
    Es512,
    /// Ed25519, under its old name `EdDSA` (RFC 8037) or its own, `Ed25519` (RFC 9864).
    EdDsa,
    /// HMAC with SHA-256, only with a secret that both sides hold.
    Hs256,
    /// HMAC with SHA-384, only with a secret that both sides hold.
    Hs384,
    /// HMAC with SHA-512, only with a secret that both sides hold.
    Hs512,
}

impl Algorithm {
    /// Every algorithm.
    pub(crate) const ALL: [Self; 13] = [
        Self::Rs256,
        Self::Rs384,
        Self::Rs512,
        Self::Ps256,
        Self::Ps384,
        Self::Ps512,
        Self::Es256,
        Self::Es384,
        Self::Es512,
        Self::EdDsa,
        Self::Hs256,
        Self::Hs384,
        Self::Hs512,
    ];

    /// Every algorithm whose signatures a public key verifies.
    #[doc(hidden)]
    pub const ASYMMETRIC: [Self; 10] = [
        Self::Rs256,
        Self::Rs384,
        Self::Rs512,
        Self::Ps256,
        Self::Ps384,
        Self::Ps512,
        Self::Es256,
        Self::Es384,
        Self::Es512,
        Self::EdDsa,
    ];

    /// The algorithm of that registered name. Names are case-sensitive (RFC 7515 section 4.1.1).
    ///
    /// ```
    /// use oauth_client::sign::Algorithm;
    /// assert_eq!(Algorithm::from_name("ES256"), Some(Algorithm::Es256));
    /// assert_eq!(Algorithm::from_name("Ed25519"), Some(Algorithm::EdDsa));
    /// assert_eq!(Algorithm::from_name("none"), None);
    /// ```
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "RS256" => Self::Rs256,
            "RS384" => Self::Rs384,
            "RS512" => Self::Rs512,
            "PS256" => Self::Ps256,
            "PS384" => Self::Ps384,
            "PS512" => Self::Ps512,
            "ES256" => Self::Es256,
            "ES384" => Self::Es384,
            "ES512" => Self::Es512,
            "EdDSA" | "Ed25519" => Self::EdDsa,
            "HS256" => Self::Hs256,
            "HS384" => Self::Hs384,
            "HS512" => Self::Hs512,
            _ => return None,
        })
    }

    /// The registered name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Rs384 => "RS384",
            Self::Rs512 => "RS512",
            Self::Ps256 => "PS256",
            Self::Ps384 => "PS384",
            Self::Ps512 => "PS512",
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::Es512 => "ES512",
            Self::EdDsa => "EdDSA",
            Self::Hs256 => "HS256",
            Self::Hs384 => "HS384",
            Self::Hs512 => "HS512",
        }
    }

    /// Whether it is HMAC: who can verify a signature can make one.
    #[doc(hidden)]
    #[must_use]
    pub fn is_symmetric(self) -> bool {
        self.hmac().is_some()
    }

    /// How RSA keys verify under this algorithm; 2048 to 8192 bits.
    pub(super) fn rsa_verification(self) -> Option<&'static RsaParameters> {
        Some(match self {
            Self::Rs256 => &signature::RSA_PKCS1_2048_8192_SHA256,
            Self::Rs384 => &signature::RSA_PKCS1_2048_8192_SHA384,
            Self::Rs512 => &signature::RSA_PKCS1_2048_8192_SHA512,
            Self::Ps256 => &signature::RSA_PSS_2048_8192_SHA256,
            Self::Ps384 => &signature::RSA_PSS_2048_8192_SHA384,
            Self::Ps512 => &signature::RSA_PSS_2048_8192_SHA512,
            _ => return None,
        })
    }

    /// Its curve, for ECDSA.
    pub(crate) fn curve(self) -> Option<&'static Curve> {
        CURVES.iter().find(|curve| curve.algorithm == self)
    }

    pub(crate) fn hmac(self) -> Option<hmac::Algorithm> {
        match self {
            Self::Hs256 => Some(hmac::HMAC_SHA256),
            Self::Hs384 => Some(hmac::HMAC_SHA384),
            Self::Hs512 => Some(hmac::HMAC_SHA512),
            _ => None,
        }
    }

    /// Its hash, which `at_hash` and `c_hash` are made with as well (OpenID Connect Core section 3.1.3.6).
    pub(crate) fn hash(self) -> &'static digest::Algorithm {
        match self {
            Self::Rs256 | Self::Ps256 | Self::Es256 | Self::Hs256 => &digest::SHA256,
            Self::Rs384 | Self::Ps384 | Self::Es384 | Self::Hs384 => &digest::SHA384,
            Self::Rs512 | Self::Ps512 | Self::Es512 | Self::EdDsa | Self::Hs512 => &digest::SHA512,
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A curve, and the one algorithm that RFC 7518 section 3.4 has for it. A signature is two numbers side by side, never
/// DER.
pub(crate) struct Curve {
    pub(crate) algorithm: Algorithm,
    /// Its name in a JWK.
    pub(crate) name: &'static str,
    /// Bytes of one coordinate, and of the private key.
    pub(crate) length: usize,
    pub(crate) signing: &'static EcdsaSigningAlgorithm,
    pub(crate) verification: &'static dyn VerificationAlgorithm,
}

pub(crate) static CURVES: [Curve; 3] = [
    Curve {
        algorithm: Algorithm::Es256,
        name: "P-256",
        length: 32,
        signing: &signature::ECDSA_P256_SHA256_FIXED_SIGNING,
        verification: &signature::ECDSA_P256_SHA256_FIXED,
    },
    Curve {
        algorithm: Algorithm::Es384,
        name: "P-384",
        length: 48,
        signing: &signature::ECDSA_P384_SHA384_FIXED_SIGNING,
        verification: &signature::ECDSA_P384_SHA384_FIXED,
    },
    Curve {
        algorithm: Algorithm::Es512,
        name: "P-521",
        length: 66,
        signing: &signature::ECDSA_P521_SHA512_FIXED_SIGNING,
        verification: &signature::ECDSA_P521_SHA512_FIXED,
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_algorithm_is_found_by_its_name() {
        for one in Algorithm::ALL {
            assert_eq!(Algorithm::from_name(one.name()), Some(one));
            assert_eq!(one.is_symmetric(), !Algorithm::ASYMMETRIC.contains(&one), "{one}");
        }
        for other in ["none", "rs256", "ES256K", "RSA-OAEP", ""] {
            assert_eq!(Algorithm::from_name(other), None, "{other}");
        }
    }
}
