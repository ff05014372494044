//! A private key, read once and used often.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{EcdsaKeyPair, Ed25519KeyPair, RsaKeyPair};
use serde::Serialize;
use serde_json::{Map, Value};

use super::pair::Pair;
use super::{jwk, jws, pem};
use crate::error::Error;
use crate::jose::algorithm::Algorithm;
use crate::jose::jwk::thumbprint;
use crate::token::Secret;

/// A private key with its algorithm and key id. Cheap to clone; never printed.
///
/// It is parsed once, so that signing costs only the signature.
#[derive(Clone)]
pub struct SigningKey {
    parsed: Arc<Parsed>,
    algorithm: Algorithm,
    key_id: Option<Arc<str>>,
}

struct Parsed {
    pair: Pair,
    /// The members of the public key that RFC 7638 section 3.2 requires, and no others.
    public: Map<String, Value>,
    thumbprint: String,
}

impl SigningKey {
    /// A private key in PEM form: PKCS#8 (`PRIVATE KEY`), PKCS#1 (`RSA PRIVATE KEY`) or SEC1 (`EC PRIVATE KEY`).
    /// Anything else in the text, such as a certificate, is skipped.
    ///
    /// # Errors
    /// `config` for field `private_key`, which says what the text is instead: an encrypted key, a public key, a
    /// certificate alone, a key of a kind or size that is not usable.
    pub fn from_pem(pem: &str) -> Result<Self, Error> {
        pem::read(pem).map(Self::of)
    }

    /// A private key in DER form: PKCS#8 (RFC 5208), without encryption.
    ///
    /// # Errors
    /// `config` for field `private_key`.
    pub fn from_der(der: &[u8]) -> Result<Self, Error> {
        pem::pkcs8(der).map(Self::of)
    }

    /// A private key as JWK (RFC 7517, RFC 7518 section 6), with its `kid` and `alg` where it has them. RSA keys need
    /// `p`, `q`, `dp`, `dq` and `qi`, too.
    ///
    /// # Errors
    /// `config` for field `private_key`, naming the member that is wrong or missing.
    pub fn from_jwk(json: &str) -> Result<Self, Error> {
        let jwk::Read { pair, algorithm, key_id } = jwk::read(json)?;
        let mut key = Self::of(pair);
        if let Some(algorithm) = algorithm {
            key = key.with_algorithm(algorithm)?;
        }
        Ok(match key_id {
            Some(key_id) => key.with_key_id(key_id),
            None => key,
        })
    }

    /// A private key in any text form: JWK where it begins with `{`, PEM otherwise. What shells and secret managers do to
    /// such a text is undone: quotes around it, a byte order mark, `\n` or blanks in place of line breaks.
    ///
    /// # Errors
    /// As [`from_jwk`](Self::from_jwk) and [`from_pem`](Self::from_pem).
    pub fn from_text(text: &str) -> Result<Self, Error> {
        let text = pem::unmangled(text);
        if text.starts_with('{') { Self::from_jwk(&text) } else { Self::from_pem(&text) }
    }

    /// A new key: 2048 bits for RSA, which takes a moment; the others are there at once.
    ///
    /// # Errors
    /// `config` for an HMAC algorithm, which has no private key; or when the machine's random numbers fail.
    pub fn generate(algorithm: Algorithm) -> Result<Self, Error> {
        let failed = |_| Error::config("private_key", "cannot be generated on this machine");
        let pair = if algorithm.rsa().is_some() {
            Pair::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).map_err(failed)?)
        } else if let Some(curve) = algorithm.curve() {
            Pair::Ec(curve, EcdsaKeyPair::generate(curve.signing).map_err(failed)?)
        } else if algorithm == Algorithm::EdDsa {
            Pair::Ed(Ed25519KeyPair::generate().map_err(failed)?)
        } else {
            let message = format!("{algorithm} signs with a shared secret and has no private key");
            return Err(Error::config("signing_alg", message));
        };
        Self::of(pair).with_algorithm(algorithm)
    }

    /// Another algorithm for the same key. RSA keys sign RS256 unless set otherwise here or by a JWK; all other keys
    /// have one algorithm only.
    ///
    /// # Errors
    /// `config` for field `signing_alg` when it does not fit the key.
    pub fn with_algorithm(mut self, algorithm: Algorithm) -> Result<Self, Error> {
        let fits = match &self.parsed.pair {
            Pair::Rsa(_) => algorithm.rsa().is_some(),
            Pair::Ec(..) | Pair::Ed(_) => algorithm == self.parsed.pair.usual_algorithm(),
        };
        if !fits {
            let expected = match &self.parsed.pair {
                Pair::Rsa(_) => "RS256, RS384, RS512, PS256, PS384 or PS512",
                _ => self.parsed.pair.usual_algorithm().name(),
            };
            let message = format!("{algorithm} does not fit this key, which signs {expected}");
            return Err(Error::config("signing_alg", message));
        }
        self.algorithm = algorithm;
        Ok(self)
    }

    /// The key's name (`kid`), by which the server finds its public half.
    #[must_use]
    pub fn with_key_id(mut self, key_id: impl Into<String>) -> Self {
        self.key_id = Some(key_id.into().into());
        self
    }

    /// The algorithm it signs with.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The key's name, where it has one.
    #[must_use]
    pub fn key_id(&self) -> Option<&str> {
        self.key_id.as_deref()
    }

    /// The public half as JWK, to be registered at the server: with `use`, `alg`, and `kid` where there is one.
    #[must_use]
    pub fn public_jwk(&self) -> Map<String, Value> {
        let mut jwk = self.parsed.public.clone();
        jwk.insert("use".to_owned(), "sig".into());
        jwk.insert("alg".to_owned(), self.algorithm.name().into());
        jwk.extend(self.key_id().map(|key_id| ("kid".to_owned(), key_id.into())));
        jwk
    }

    /// The key's SHA-256 thumbprint, base64url (RFC 7638): the `jkt` of tokens that are bound to it, and a good `kid`.
    #[must_use]
    pub fn thumbprint(&self) -> &str {
        &self.parsed.thumbprint
    }

    /// The key in PEM form (PKCS#8), to keep one that was [generated](Self::generate).
    ///
    /// # Errors
    /// `config` when the key cannot be written, which no key that works is known to do.
    pub fn to_pem(&self) -> Result<Secret, Error> {
        let failed = |_| Error::config("private_key", "cannot be written as PKCS#8");
        let text = match &self.parsed.pair {
            Pair::Rsa(pair) => {
                let der: Pkcs8V1Der<'_> = pair.as_der().map_err(failed)?;
                pem::write(der.as_ref())
            }
            Pair::Ec(_, pair) => pem::write(pair.to_pkcs8v1().map_err(failed)?.as_ref()),
            Pair::Ed(pair) => pem::write(pair.to_pkcs8v1().map_err(failed)?.as_ref()),
        };
        Ok(Secret::new(text))
    }

    /// The members of the public key that make up its identity, without `kid`, `use` and `alg`: the `jwk` of a proof.
    pub(crate) fn bare_public_jwk(&self) -> &Map<String, Value> {
        &self.parsed.public
    }

    /// A compact JWS (RFC 7515 section 7.1). `alg`, and `kid` where the key has one and the header brings no `jwk`, are
    /// set here.
    pub(crate) fn sign(&self, header: Map<String, Value>, claims: &impl Serialize) -> Result<Secret, Error> {
        self.sign_under(&self.header(header)?, claims)
    }

    /// A header that is made once, for [`sign_under`](Self::sign_under).
    pub(crate) fn header(&self, mut header: Map<String, Value>) -> Result<String, Error> {
        header.insert("alg".to_owned(), self.algorithm.name().into());
        if let Some(key_id) = self.key_id().filter(|_| !header.contains_key("jwk")) {
            header.insert("kid".to_owned(), key_id.into());
        }
        jws::encoded(&header)
    }

    /// As [`sign`](Self::sign), with a [header](Self::header) of this key's.
    pub(crate) fn sign_under(&self, header: &str, claims: &impl Serialize) -> Result<Secret, Error> {
        jws::compact(header, claims, |message| self.raw_signature(message))
    }

    pub(super) fn raw_signature(&self, message: &[u8]) -> Option<Vec<u8>> {
        // aws-lc has its own source of randomness and ignores the one it is given.
        let random = SystemRandom::new();
        match &self.parsed.pair {
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(self.algorithm.rsa()?, &random, message, &mut signature).ok()?;
                Some(signature)
            }
            Pair::Ec(_, pair) => Some(pair.sign(&random, message).ok()?.as_ref().to_vec()),
            Pair::Ed(pair) => Some(pair.try_sign(message).ok()?.as_ref().to_vec()),
        }
    }

    fn of(pair: Pair) -> Self {
        let public = jwk::public(&pair);
        let thumbprint = thumbprint(&public);
        let algorithm = pair.usual_algorithm();
        Self { parsed: Arc::new(Parsed { pair, public, thumbprint }), algorithm, key_id: None }
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey")
            .field("algorithm", &self.algorithm)
            .field("key_id", &self.key_id)
            .finish_non_exhaustive()
    }
}
