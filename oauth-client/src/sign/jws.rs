//! Compact JWS (RFC 7515 section 7.1).

use aws_lc_rs::{hmac, rand};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::Serialize;
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use crate::error::Error;
use crate::jose::Algorithm;
use crate::token::Secret;

/// A JWS by a shared secret (RFC 7518 section 3.2).
///
/// # Errors
/// `config` when the algorithm is not HMAC, or the secret is shorter than its hash.
pub(crate) fn sign_with_secret(
    algorithm: Algorithm,
    secret: &Secret,
    mut header: Map<String, Value>,
    claims: &impl Serialize,
) -> Result<Secret, Error> {
    let hmac = algorithm.secret_fits(Some(secret))?;
    header.insert("alg".to_owned(), algorithm.name().into());
    let key = hmac::Key::new(hmac, secret.expose().as_bytes());
    compact(&encoded(&header)?, claims, |message| Some(hmac::sign(&key, message).as_ref().to_vec()))
}

/// A header as it stands in a JWS, for those that always have the same.
pub(super) fn encoded(header: &Map<String, Value>) -> Result<String, Error> {
    serde_json::to_vec(header).map(|header| base64url(&header)).map_err(unwritable)
}

pub(super) fn compact(
    header: &str,
    claims: &impl Serialize,
    sign: impl FnOnce(&[u8]) -> Option<Vec<u8>>,
) -> Result<Secret, Error> {
    let claims = Zeroizing::new(serde_json::to_vec(claims).map_err(unwritable)?);
    // Room for all of it, a signature of 8192 bits included: what grows leaves copies behind.
    let mut text = String::with_capacity(header.len() + claims.len().div_ceil(3) * 4 + 1400);
    text.push_str(header);
    text.push('.');
    BASE64_URL_SAFE_NO_PAD.encode_string(&*claims, &mut text);
    let signature = sign(text.as_bytes())
        .ok_or_else(|| Error::config("private_key", "could not sign; the key or its algorithm is broken"))?;
    text.push('.');
    BASE64_URL_SAFE_NO_PAD.encode_string(signature, &mut text);
    Ok(Secret::new(text))
}

fn unwritable(_: serde_json::Error) -> Error {
    Error::config("assertion", "cannot be written as JSON")
}

pub(crate) fn base64url(octets: &[u8]) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(octets)
}

/// An identifier that cannot be guessed and never repeats: 128 bits of the machine's randomness (`jti`).
///
/// # Errors
/// `interrupted` when the machine has no randomness to give: nothing weaker takes its place.
pub(crate) fn unique_id() -> Result<String, Error> {
    let mut octets = [0; 16];
    rand::fill(&mut octets).map_err(|_| Error::new(crate::error::Kind::Interrupted))?;
    Ok(base64url(&octets))
}
