//! The header of a JWS and its signature, against one key.

use aws_lc_rs::digest;
use aws_lc_rs::hmac;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ECDSA_P521_SHA512_FIXED, ED25519,
    RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512,
    RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512, RsaParameters,
    VerificationAlgorithm,
};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::{LONGEST, json_part};
use crate::error::{Error, printable};
use crate::token::Secret;

/// What an ID token may be signed with. There is no `none`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Algorithm {
    Public(PublicAlgorithm),
    Hmac(Hash),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PublicAlgorithm {
    RsaPkcs1(Hash),
    RsaPss(Hash),
    /// P-256 with SHA-256, P-384 with SHA-384, P-521 with SHA-512.
    Ecdsa(Hash),
    Ed25519,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hash {
    Sha256,
    Sha384,
    Sha512,
}

impl Algorithm {
    /// By its registered name, which is case-sensitive (RFC 7515 section 4.1.1).
    pub(super) fn from_name(name: &str) -> Option<Self> {
        use PublicAlgorithm::{Ecdsa, Ed25519, RsaPkcs1, RsaPss};
        Some(Self::Public(match name {
            "RS256" => RsaPkcs1(Hash::Sha256),
            "RS384" => RsaPkcs1(Hash::Sha384),
            "RS512" => RsaPkcs1(Hash::Sha512),
            "PS256" => RsaPss(Hash::Sha256),
            "PS384" => RsaPss(Hash::Sha384),
            "PS512" => RsaPss(Hash::Sha512),
            "ES256" => Ecdsa(Hash::Sha256),
            "ES384" => Ecdsa(Hash::Sha384),
            "ES512" => Ecdsa(Hash::Sha512),
            "EdDSA" | "Ed25519" => Ed25519,
            "HS256" => return Some(Self::Hmac(Hash::Sha256)),
            "HS384" => return Some(Self::Hmac(Hash::Sha384)),
            "HS512" => return Some(Self::Hmac(Hash::Sha512)),
            _ => return None,
        }))
    }

    /// OpenID Connect Core section 3.1.3.6: the left half of the hash that the algorithm uses.
    pub(super) fn half_hash(self, text: &str) -> String {
        let hash = match self {
            Self::Hmac(hash)
            | Self::Public(
                PublicAlgorithm::RsaPkcs1(hash)
                | PublicAlgorithm::RsaPss(hash)
                | PublicAlgorithm::Ecdsa(hash),
            ) => hash,
            Self::Public(PublicAlgorithm::Ed25519) => Hash::Sha512,
        };
        let hash = match hash {
            Hash::Sha256 => &digest::SHA256,
            Hash::Sha384 => &digest::SHA384,
            Hash::Sha512 => &digest::SHA512,
        };
        let whole = digest::digest(hash, text.as_bytes());
        BASE64_URL_SAFE_NO_PAD.encode(&whole.as_ref()[..whole.as_ref().len() / 2])
    }
}

impl PublicAlgorithm {
    /// How RSA keys verify under it, 2048 to 8192 bits.
    pub(super) fn rsa(self) -> Option<&'static RsaParameters> {
        Some(match self {
            Self::RsaPkcs1(Hash::Sha256) => &RSA_PKCS1_2048_8192_SHA256,
            Self::RsaPkcs1(Hash::Sha384) => &RSA_PKCS1_2048_8192_SHA384,
            Self::RsaPkcs1(Hash::Sha512) => &RSA_PKCS1_2048_8192_SHA512,
            Self::RsaPss(Hash::Sha256) => &RSA_PSS_2048_8192_SHA256,
            Self::RsaPss(Hash::Sha384) => &RSA_PSS_2048_8192_SHA384,
            Self::RsaPss(Hash::Sha512) => &RSA_PSS_2048_8192_SHA512,
            Self::Ecdsa(_) | Self::Ed25519 => return None,
        })
    }

    /// Its curve: the name in a JWK, the length of a coordinate, and how keys on it verify. RFC 7518 section 3.4: a
    /// signature is two numbers side by side, never DER.
    pub(super) fn curve(self) -> Option<(&'static str, usize, &'static dyn VerificationAlgorithm)> {
        Some(match self {
            Self::Ecdsa(Hash::Sha256) => ("P-256", 32, &ECDSA_P256_SHA256_FIXED),
            Self::Ecdsa(Hash::Sha384) => ("P-384", 48, &ECDSA_P384_SHA384_FIXED),
            Self::Ecdsa(Hash::Sha512) => ("P-521", 66, &ECDSA_P521_SHA512_FIXED),
            Self::Ed25519 => ("Ed25519", 32, &ED25519),
            _ => return None,
        })
    }
}

/// A compact JWS, taken apart.
pub(super) struct Signed<'a> {
    pub(super) algorithm: Algorithm,
    pub(super) key_id: Option<String>,
    pub(super) message: &'a [u8],
    pub(super) signature: Vec<u8>,
}

impl<'a> Signed<'a> {
    pub(super) fn parse(token: &'a Secret) -> Result<Self, Error> {
        let text = token.expose();
        if text.len() > LONGEST {
            return Err(Error::id_token(format!("it is longer than {LONGEST} bytes")));
        }
        let mut parts = text.split('.');
        let (Some(header), Some(claims), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(Error::id_token("it is not a signed JWT of three parts"));
        };
        let message = &text.as_bytes()[..header.len() + 1 + claims.len()];
        let header = json_part(header, "its header is")?;
        check_header(&header)?;
        let name = match header.get("alg") {
            Some(Value::String(name)) => name,
            _ => return Err(Error::id_token("alg: expected a string")),
        };
        let algorithm = Algorithm::from_name(name).ok_or_else(|| {
            Error::id_token(format!("alg: {:?} is not one that is believed", printable(name, 32)))
        })?;
        let key_id = match header.get("kid") {
            None => None,
            Some(Value::String(id)) => Some(id.clone()),
            Some(_) => return Err(Error::id_token("kid: expected a string")),
        };
        let signature = BASE64_URL_SAFE_NO_PAD
            .decode(signature)
            .map_err(|_| Error::id_token("its signature is not base64url"))?;
        Ok(Self { algorithm, key_id, message, signature })
    }

    pub(super) fn check_hmac(&self, hash: Hash, secret: &Secret) -> Result<(), Error> {
        let (algorithm, least) = match hash {
            Hash::Sha256 => (hmac::HMAC_SHA256, 32),
            Hash::Sha384 => (hmac::HMAC_SHA384, 48),
            Hash::Sha512 => (hmac::HMAC_SHA512, 64),
        };
        let secret = secret.expose().as_bytes();
        // RFC 7518 section 3.2: a shorter one can be guessed from a single token.
        if secret.len() < least {
            return Err(Error::id_token(format!(
                "the client's secret is shorter than the {least} bytes it takes"
            )));
        }
        let key = hmac::Key::new(algorithm, secret);
        hmac::verify(&key, self.message, &self.signature).map_err(|_| not_signed())
    }
}

pub(super) fn not_signed() -> Error {
    Error::id_token("its signature is not its issuer's")
}

/// What would make the token another thing than a plain signed JWT.
fn check_header(header: &Map<String, Value>) -> Result<(), Error> {
    // RFC 7515 section 4.1.11: what is critical must be understood, and nothing that can be is.
    if let Some(name) = ["crit", "b64", "enc", "zip"].into_iter().find(|name| header.contains_key(*name)) {
        return Err(Error::id_token(format!("{name}: is not understood")));
    }
    match header.get("typ") {
        None => Ok(()),
        Some(Value::String(kind)) if kind.eq_ignore_ascii_case("jwt") => Ok(()),
        // An access token (RFC 9068) or a logout token is signed with the same keys.
        Some(_) => Err(Error::id_token("typ: it is another kind of token")),
    }
}
