//! One JWK (RFC 7517) to the keys it can verify with; whatever is wrong with one never touches the others.

use aws_lc_rs::signature::{self, ParsedPublicKey, RsaPublicKeyComponents};
use serde_json::{Map, Value};

use super::set::{Material, VerifyingKey};
use crate::algorithm::Algorithm;
use crate::jose;

/// Members that only private and symmetric keys have (RFC 7518 §6).
const PRIVATE: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

/// Why an element of a set is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Unfit {
    /// It is for another purpose, or for an algorithm that is not accepted: nothing is wrong with it.
    ForOthers(&'static str),
    Broken(&'static str),
}

impl Unfit {
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::ForOthers(reason) | Self::Broken(reason) => reason,
        }
    }
}

impl From<&'static str> for Unfit {
    fn from(reason: &'static str) -> Self {
        Self::Broken(reason)
    }
}

/// The keys in one element of a set: one for each allowed algorithm that fits it, exactly one when it names its
/// `alg`.
///
/// # Errors
/// Says why the element is of no use. None of its text is in the answer but the name of a member.
pub(crate) fn read(element: &Value, allowed: &[Algorithm]) -> Result<Vec<VerifyingKey>, Unfit> {
    let Value::Object(jwk) = element else { return Err(Unfit::Broken("not an object")) };
    let kty = text(jwk, "kty")?.ok_or("kty is missing")?;
    if kty == "oct" {
        // A secret that anyone can fetch is none: RFC 7518 §6.4 keys come from configuration or not at all.
        return Err(Unfit::Broken("a symmetric key has no place in a key set"));
    }
    if PRIVATE.iter().any(|name| jwk.contains_key(*name)) {
        return Err(Unfit::Broken("it holds a private key, which anyone may have read"));
    }
    // RFC 7517 §4.2, §4.3.
    if text(jwk, "use")?.is_some_and(|usage| usage != "sig") {
        return Err(Unfit::ForOthers("use is not sig"));
    }
    match jwk.get("key_ops") {
        None => {}
        Some(Value::Array(operations)) if operations.iter().any(|one| one == "verify") => {}
        Some(_) => return Err(Unfit::ForOthers("key_ops has no verify")),
    }
    let key_id: Option<Box<str>> = text(jwk, "kid")?.map(Into::into);
    let named = match text(jwk, "alg")? {
        None => None,
        Some(name) => Some(Algorithm::from_name(name).ok_or(Unfit::ForOthers("alg is not supported"))?),
    };
    let candidates = allowed.iter().copied().filter(|one| named.is_none_or(|named| named == *one));
    let (identity, parsed) = match kty {
        "RSA" => rsa(jwk, candidates)?,
        "EC" => elliptic(jwk, candidates)?,
        "OKP" => edwards(jwk, candidates)?,
        _ => return Err(Unfit::ForOthers("kty is not supported")),
    };
    if parsed.is_empty() {
        return Err(Unfit::ForOthers("no allowed algorithm fits it"));
    }
    let keys = parsed.into_iter().map(|(algorithm, key)| {
        VerifyingKey::new(key_id.clone(), algorithm, identity.clone(), Material::Public(Box::new(key)))
    });
    Ok(keys.collect())
}

type Parsed = (Box<[u8]>, Vec<(Algorithm, ParsedPublicKey)>);

fn rsa(
    jwk: &Map<String, Value>,
    candidates: impl Iterator<Item = Algorithm>,
) -> Result<Parsed, &'static str> {
    let modulus = bytes(jwk, "n")?;
    let exponent = bytes(jwk, "e")?;
    rsa_components(without_leading_zeros(&modulus), without_leading_zeros(&exponent), candidates)
}

pub(crate) fn rsa_components(
    n: &[u8],
    e: &[u8],
    candidates: impl Iterator<Item = Algorithm>,
) -> Result<Parsed, &'static str> {
    let bits = n.len() * 8 - n.first().map_or(0, |first| first.leading_zeros() as usize);
    if !(2048..=8192).contains(&bits) {
        return Err("n has to have 2048 to 8192 bits");
    }
    // With e = 1 every message is its own signature; even exponents and moduli are no RSA at all.
    let odd = |number: &[u8]| number.last().is_some_and(|last| last & 1 == 1);
    if !odd(n) || !odd(e) || e == [1] || e.len() > 5 {
        return Err("n and e are not an RSA key");
    }
    let parsed = candidates
        .filter_map(|algorithm| Some((algorithm, algorithm.rsa()?)))
        .map(|(algorithm, parameters)| {
            let key = RsaPublicKeyComponents { n, e }.to_parsed_public_key(parameters);
            key.map(|key| (algorithm, key)).map_err(|_| "n and e are not an RSA key")
        })
        .collect::<Result<_, _>>()?;
    Ok((identity(b"RSA", &[n, e]), parsed))
}

fn elliptic(
    jwk: &Map<String, Value>,
    mut candidates: impl Iterator<Item = Algorithm>,
) -> Result<Parsed, Unfit> {
    let curve = text(jwk, "crv")?.ok_or("crv is missing")?;
    let fitting = candidates.find_map(|one| {
        let (name, length, parameters) = one.ec()?;
        (name == curve).then_some((one, length, parameters))
    });
    let (algorithm, length, parameters) =
        fitting.ok_or(Unfit::ForOthers("no allowed algorithm fits its crv"))?;
    let (x, y) = (bytes(jwk, "x")?, bytes(jwk, "y")?);
    // RFC 7518 §6.2.1.2: full length, leading zeros included.
    if x.len() != length || y.len() != length {
        return Err(Unfit::Broken("x and y have to be as long as the curve says"));
    }
    let point = [&[4][..], &x, &y].concat();
    let key = ParsedPublicKey::new(parameters, &point).map_err(|_| "x and y are not on the curve")?;
    Ok((identity(curve.as_bytes(), &[&point]), vec![(algorithm, key)]))
}

fn edwards(
    jwk: &Map<String, Value>,
    mut candidates: impl Iterator<Item = Algorithm>,
) -> Result<Parsed, Unfit> {
    if text(jwk, "crv")? != Some("Ed25519") {
        return Err(Unfit::ForOthers("crv is not Ed25519"));
    }
    if !candidates.any(|one| one == Algorithm::EdDsa) {
        return Err(Unfit::ForOthers("no allowed algorithm fits it"));
    }
    Ok(ed25519(&bytes(jwk, "x")?)?)
}

pub(crate) fn ed25519(x: &[u8]) -> Result<Parsed, &'static str> {
    let point: &[u8; 32] = x.try_into().map_err(|_| "x has to have 32 bytes")?;
    if is_small_order(point) {
        return Err("x is of small order, under which signatures prove nothing");
    }
    let key = ParsedPublicKey::new(&signature::ED25519, point).map_err(|_| "x is not on the curve")?;
    Ok((identity(b"Ed25519", &[point]), vec![(Algorithm::EdDsa, key)]))
}

/// The eight points of small order on edwards25519 have these y coordinates, two of them spelled twice because
/// a coordinate need not be reduced. Under such a key one signature fits many messages (RFC 8032 leaves it to
/// the verifier).
fn is_small_order(point: &[u8; 32]) -> bool {
    const ORDER_EIGHT: [[u8; 32]; 2] = [
        [
            0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0,
            0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05,
        ],
        [
            0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f,
            0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a,
        ],
    ];
    let mut y = *point;
    y[31] &= 0x7f; // the sign of x is not part of y
    let [low, middle @ .., high] = &y;
    let near_zero = *low <= 1 && middle.iter().all(|byte| *byte == 0) && *high == 0;
    // p - 1, p and p + 1, where p = 2^255 - 19 ends in 0xed.
    let near_p = (0xec..=0xee).contains(low) && middle.iter().all(|byte| *byte == 0xff) && *high == 0x7f;
    near_zero || near_p || ORDER_EIGHT.contains(&y)
}

/// What tells two keys apart, whatever they are called.
fn identity(kind: &[u8], parts: &[&[u8]]) -> Box<[u8]> {
    let mut all = kind.to_vec();
    for part in parts {
        all.push(0);
        all.extend_from_slice(part);
    }
    all.into()
}

fn text<'a>(jwk: &'a Map<String, Value>, name: &'static str) -> Result<Option<&'a str>, &'static str> {
    match jwk.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err("a member that has to be a string is none"),
    }
}

fn bytes(jwk: &Map<String, Value>, name: &'static str) -> Result<Vec<u8>, &'static str> {
    let encoded = text(jwk, name)?.ok_or("a coordinate or component is missing")?;
    jose::decode(encoded).map_err(|_| "a coordinate or component is not base64url")
}

/// RFC 7518 §6.3.1.1 forbids the zero octet that some libraries put in front; it does no harm.
fn without_leading_zeros(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    number.get(zeros..).unwrap_or_default()
}

#[cfg(test)]
mod tests;
