//! The signature algorithms that are understood, by their registered names.

use aws_lc_rs::hmac;
use aws_lc_rs::signature::{self, RsaParameters, VerificationAlgorithm};

/// A JWS signature algorithm (RFC 7518 §3.1, RFC 8037, RFC 9864).
///
/// There is no `none`. `ES512` and `ES256K` are known by name and refused: a token signed with one is answered
/// as any other bad token, and a key for one in a key set is passed over.
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
    /// Ed25519, under its old name `EdDSA` (RFC 8037) or its own, `Ed25519` (RFC 9864).
    EdDsa,
    /// HMAC with SHA-256; only with a secret given to [`Issuer::hmac_secret`](crate::Issuer::hmac_secret).
    Hs256,
    /// HMAC with SHA-384; only with a secret given to [`Issuer::hmac_secret`](crate::Issuer::hmac_secret).
    Hs384,
    /// HMAC with SHA-512; only with a secret given to [`Issuer::hmac_secret`](crate::Issuer::hmac_secret).
    Hs512,
}

impl Algorithm {
    /// What is accepted when nothing else is said: every asymmetric algorithm there is here.
    pub(crate) const DEFAULT: [Self; 9] = [
        Self::Rs256,
        Self::Ps256,
        Self::Es256,
        Self::EdDsa,
        Self::Rs384,
        Self::Ps384,
        Self::Es384,
        Self::Rs512,
        Self::Ps512,
    ];

    /// The algorithm of that registered name. Names are case-sensitive (RFC 7515 §4.1.1).
    ///
    /// ```
    /// use oauth_guard::Algorithm;
    /// assert_eq!(Algorithm::from_name("ES256"), Some(Algorithm::Es256));
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
            Self::EdDsa => "EdDSA",
            Self::Hs256 => "HS256",
            Self::Hs384 => "HS384",
            Self::Hs512 => "HS512",
        }
    }

    pub(crate) fn is_symmetric(self) -> bool {
        self.hmac().is_some()
    }

    /// How RSA keys verify under this algorithm; 2048 to 8192 bits.
    pub(crate) fn rsa(self) -> Option<&'static RsaParameters> {
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

    /// The curve's name in a JWK, the length of one coordinate, and how its keys verify. RFC 7518 §3.4: the
    /// signature is r and s side by side, never DER.
    pub(crate) fn ec(self) -> Option<(&'static str, usize, &'static dyn VerificationAlgorithm)> {
        match self {
            Self::Es256 => Some(("P-256", 32, &signature::ECDSA_P256_SHA256_FIXED)),
            Self::Es384 => Some(("P-384", 48, &signature::ECDSA_P384_SHA384_FIXED)),
            _ => None,
        }
    }

    pub(crate) fn hmac(self) -> Option<hmac::Algorithm> {
        match self {
            Self::Hs256 => Some(hmac::HMAC_SHA256),
            Self::Hs384 => Some(hmac::HMAC_SHA384),
            Self::Hs512 => Some(hmac::HMAC_SHA512),
            _ => None,
        }
    }
}
