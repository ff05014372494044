//! The signature algorithms, by their registered names.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::hmac;
use aws_lc_rs::signature::{self, EcdsaSigningAlgorithm, RsaEncoding};

use crate::error::Error;
use crate::token::Secret;

/// A JWS signature algorithm (RFC 7518 section 3.1, RFC 8037).
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
    /// ECDSA over P-521 with SHA-512.
    Es512,
    /// Ed25519.
    EdDsa,
    /// HMAC with SHA-256, for [`ClientAuth::client_secret_jwt`](crate::ClientAuth::client_secret_jwt) only.
    Hs256,
    /// HMAC with SHA-384, for [`ClientAuth::client_secret_jwt`](crate::ClientAuth::client_secret_jwt) only.
    Hs384,
    /// HMAC with SHA-512, for [`ClientAuth::client_secret_jwt`](crate::ClientAuth::client_secret_jwt) only.
    Hs512,
}

const ALL: [Algorithm; 13] = [
    Algorithm::Rs256,
    Algorithm::Rs384,
    Algorithm::Rs512,
    Algorithm::Ps256,
    Algorithm::Ps384,
    Algorithm::Ps512,
    Algorithm::Es256,
    Algorithm::Es384,
    Algorithm::Es512,
    Algorithm::EdDsa,
    Algorithm::Hs256,
    Algorithm::Hs384,
    Algorithm::Hs512,
];

impl Algorithm {
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

    pub(super) fn rsa(self) -> Option<&'static dyn RsaEncoding> {
        Some(match self {
            Self::Rs256 => &signature::RSA_PKCS1_SHA256,
            Self::Rs384 => &signature::RSA_PKCS1_SHA384,
            Self::Rs512 => &signature::RSA_PKCS1_SHA512,
            Self::Ps256 => &signature::RSA_PSS_SHA256,
            Self::Ps384 => &signature::RSA_PSS_SHA384,
            Self::Ps512 => &signature::RSA_PSS_SHA512,
            _ => return None,
        })
    }

    pub(super) fn curve(self) -> Option<&'static Curve> {
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

    /// The hash to sign with by this secret, where it is long enough.
    ///
    /// # Errors
    /// `config` when the algorithm is not HMAC, or the secret is shorter than its hash.
    pub(crate) fn secret_fits(self, secret: Option<&Secret>) -> Result<hmac::Algorithm, Error> {
        let Some(hmac) = self.hmac() else {
            let message = format!("{self} does not sign with a secret; expected HS256, HS384 or HS512");
            return Err(Error::config("signing_alg", message));
        };
        let least = hmac.digest_algorithm().output_len();
        if secret.is_some_and(|secret| secret.expose().len() < least) {
            return Err(Error::config(
                "client_secret",
                format!(
                    "is shorter than the {least} bytes that {self} needs (RFC 7518 section 3.2); ask the server for a longer one"
                ),
            ));
        }
        Ok(hmac)
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// By the registered name, which is case-sensitive (RFC 7515 section 4.1.1), or Ed25519's own (RFC 9864).
impl FromStr for Algorithm {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        let name = if name == "Ed25519" { "EdDSA" } else { name };
        ALL.into_iter().find(|one| one.name() == name).ok_or_else(|| {
            let known = ALL.map(Self::name).join(", ");
            Error::config("signing_alg", format!("is not a signature algorithm; expected one of {known}"))
        })
    }
}

/// A curve, and the one algorithm that RFC 7518 section 3.4 has for it.
pub(super) struct Curve {
    pub(super) algorithm: Algorithm,
    /// Its name in a JWK.
    pub(super) name: &'static str,
    /// Bytes of one coordinate, and of the private key.
    pub(super) length: usize,
    pub(super) signing: &'static EcdsaSigningAlgorithm,
}

pub(super) static CURVES: [Curve; 3] = [
    Curve {
        algorithm: Algorithm::Es256,
        name: "P-256",
        length: 32,
        signing: &signature::ECDSA_P256_SHA256_FIXED_SIGNING,
    },
    Curve {
        algorithm: Algorithm::Es384,
        name: "P-384",
        length: 48,
        signing: &signature::ECDSA_P384_SHA384_FIXED_SIGNING,
    },
    Curve {
        algorithm: Algorithm::Es512,
        name: "P-521",
        length: 66,
        signing: &signature::ECDSA_P521_SHA512_FIXED_SIGNING,
    },
];
