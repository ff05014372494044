//! What signing asks of an algorithm, beyond what it shares with verifying.

use std::str::FromStr;

use aws_lc_rs::hmac;
use aws_lc_rs::signature::{self, RsaEncoding};

use crate::error::Error;
use crate::jose::Algorithm;
use crate::token::Secret;

impl Algorithm {
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

/// By the registered name, which is case-sensitive (RFC 7515 section 4.1.1), or Ed25519's own (RFC 9864).
impl FromStr for Algorithm {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        Self::from_name(name).ok_or_else(|| {
            let known = Self::ALL.map(Self::name).join(", ");
            Error::config("signing_alg", format!("is not a signature algorithm; expected one of {known}"))
        })
    }
}
