//! A key pair of any supported kind, as the cryptographic library holds it.

use aws_lc_rs::signature::{EcdsaKeyPair, Ed25519KeyPair, KeyPair, RsaKeyPair};
use zeroize::Zeroizing;

use crate::error::Error;
use crate::jose::algorithm::{Algorithm, CURVES, Curve};

pub(super) enum Pair {
    Rsa(RsaKeyPair),
    Ec(&'static Curve, EcdsaKeyPair),
    Ed(Ed25519KeyPair),
}

/// Private numbers on their way into a key.
pub(super) type Octets = Zeroizing<Vec<u8>>;

impl Pair {
    pub(super) fn usual_algorithm(&self) -> Algorithm {
        match self {
            Self::Rsa(_) => Algorithm::Rs256,
            Self::Ec(curve, _) => curve.algorithm,
            Self::Ed(_) => Algorithm::EdDsa,
        }
    }

    /// The public key's octets: an uncompressed point, or Ed25519's `x`.
    pub(super) fn public_octets(&self) -> &[u8] {
        match self {
            Self::Rsa(pair) => pair.public_key().as_ref(),
            Self::Ec(_, pair) => pair.public_key().as_ref(),
            Self::Ed(pair) => pair.public_key().as_ref(),
        }
    }

    /// Whatever the curve is.
    pub(super) fn ec(read: impl Fn(&'static Curve) -> Option<EcdsaKeyPair>) -> Option<Self> {
        CURVES.iter().find_map(|curve| Some(Self::Ec(curve, read(curve)?)))
    }

    /// An RSA key that is long enough.
    pub(super) fn rsa(pair: RsaKeyPair) -> Result<Self, Error> {
        // RFC 7518 section 3.3 demands 2048 bits.
        if pair.public_modulus_len() < 256 {
            let message = "is an RSA key of less than 2048 bits (RFC 7518 section 3.3); make a longer one";
            return Err(Error::config("private_key", message));
        }
        Ok(Self::Rsa(pair))
    }
}
