//! Keys that come with the configuration.

use aws_lc_rs::signature::{ParsedPublicKey, VerificationAlgorithm};
use aws_lc_rs::{digest, hmac};
use jsonwebtoken::DecodingKey;

use super::jwk;
use super::set::{KeySet, Material, VerifyingKey};
use super::static_key::StaticKey;
use crate::algorithm::Algorithm;

/// Collects configured keys; what is wrong is said in terms of what to do.
#[derive(Default)]
pub(crate) struct GivenKeys(Vec<VerifyingKey>);

impl GivenKeys {
    pub(crate) fn add(&mut self, key: &StaticKey) -> Result<(), &'static str> {
        let key = match key {
            StaticKey::Pem { key_id, algorithm, pem } => public(key_id.as_deref(), *algorithm, pem)?,
            StaticKey::Secret { algorithm, secret } => symmetric(None, *algorithm, secret)?,
        };
        self.0.push(key);
        Ok(())
    }

    pub(crate) fn into_set(self) -> KeySet {
        KeySet::of(self.0, Vec::new())
    }
}

/// jsonwebtoken takes the PEM and its ASN.1 apart; nothing of it verifies anything here.
fn public(key_id: Option<&str>, algorithm: Algorithm, pem: &[u8]) -> Result<VerifyingKey, &'static str> {
    const EXPECTED: &str = "expected a public key in PEM form, of the kind the algorithm needs";
    let (read, parameters): (_, &'static dyn VerificationAlgorithm) = if let Some(rsa) = algorithm.rsa() {
        (DecodingKey::from_rsa_pem(pem), rsa)
    } else if let Some((_, _, curve)) = algorithm.ec() {
        (DecodingKey::from_ec_pem(pem), curve)
    } else if algorithm == Algorithm::EdDsa {
        (DecodingKey::from_ed_pem(pem), &aws_lc_rs::signature::ED25519)
    } else {
        return Err("a public key cannot verify HS256, HS384 or HS512");
    };
    let read = read.map_err(|_| EXPECTED)?;
    let bytes = read.try_get_as_bytes().map_err(|_| EXPECTED)?;
    if algorithm == Algorithm::EdDsa {
        jwk::ed25519(bytes)?;
    }
    let parsed = ParsedPublicKey::new(parameters, bytes).map_err(|_| EXPECTED)?;
    Ok(VerifyingKey::new(key_id.map(Into::into), algorithm, bytes.into(), Material::Public(Box::new(parsed))))
}

pub(crate) fn symmetric(
    key_id: Option<&str>,
    algorithm: Algorithm,
    secret: &[u8],
) -> Result<VerifyingKey, &'static str> {
    let hash = algorithm.hmac().ok_or("a secret can only verify HS256, HS384 or HS512")?;
    if secret.len() < hash.digest_algorithm().output_len() {
        return Err("the secret has to be at least as long as the hash: 32, 48 or 64 bytes");
    }
    // Tells two secrets apart without keeping a second copy of either.
    let identity = digest::digest(&digest::SHA256, secret).as_ref().into();
    Ok(VerifyingKey::new(
        key_id.map(Into::into),
        algorithm,
        identity,
        Material::Secret(Box::new(hmac::Key::new(hash, secret))),
    ))
}
