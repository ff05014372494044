//! One JWK (RFC 7517): its members, the keys it can verify with, and its thumbprint (RFC 7638).
//!
//! Whatever is wrong with one never touches the others of its set.

use std::fmt;

use aws_lc_rs::signature::{self, ParsedPublicKey, RsaPublicKeyComponents};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::algorithm::{Algorithm, CURVES, Curve};
use super::edwards::is_point;
use super::key::{Material, VerifyingKey};

/// Members that only private and symmetric keys have (RFC 7518 section 6).
const PRIVATE: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

/// Why a key is not used. It holds nothing of the key but the names of members.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum UnusableKey {
    /// It is for another purpose, or for an algorithm that is not accepted: nothing is wrong with it.
    OtherPurpose(&'static str),
    /// It is malformed, or using it would be unsafe.
    Invalid(&'static str),
}

impl UnusableKey {
    /// The reason in words.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::OtherPurpose(reason) | Self::Invalid(reason) => reason,
        }
    }

    /// Whether something is wrong with it.
    #[must_use]
    pub fn is_invalid(self) -> bool {
        matches!(self, Self::Invalid(_))
    }
}

impl fmt::Display for UnusableKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason())
    }
}

impl std::error::Error for UnusableKey {}

impl From<&'static str> for UnusableKey {
    fn from(reason: &'static str) -> Self {
        Self::Invalid(reason)
    }
}

/// The members of a JWK, public or private.
#[derive(Clone, Copy)]
pub(crate) struct Jwk<'a>(&'a Map<String, Value>);

/// What is wrong with one member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MemberError {
    Missing,
    NotAString,
    NotBase64url,
}

impl<'a> Jwk<'a> {
    pub(crate) fn new(members: &'a Map<String, Value>) -> Self {
        Self(members)
    }

    /// A member, unless it is `null`, `""` or `[]`: that is what serializers write for one that is not there.
    fn get(self, name: &str) -> Option<&'a Value> {
        self.0.get(name).filter(|value| match value {
            Value::Null => false,
            Value::String(text) => !text.is_empty(),
            Value::Array(items) => !items.is_empty(),
            _ => true,
        })
    }

    /// A member that has to be a string, if it is there.
    pub(crate) fn text(self, name: &str) -> Result<Option<&'a str>, MemberError> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(MemberError::NotAString),
        }
    }

    /// A member that has to be there, and a string.
    pub(crate) fn required_text(self, name: &str) -> Result<&'a str, MemberError> {
        self.text(name)?.ok_or(MemberError::Missing)
    }

    /// A member that has to be there, and base64url. It may be a private one.
    pub(crate) fn octets(self, name: &str) -> Result<Zeroizing<Vec<u8>>, MemberError> {
        let octets = BASE64_URL_SAFE_NO_PAD.decode(self.required_text(name)?);
        octets.map(Zeroizing::new).map_err(|_| MemberError::NotBase64url)
    }

    /// A number of an RSA key. RFC 7518 section 6.3.1.1 forbids the zero octet that some libraries put in front; it
    /// does no harm.
    pub(crate) fn number(self, name: &str) -> Result<Zeroizing<Vec<u8>>, MemberError> {
        let mut number = self.octets(name)?;
        let zeros = number.iter().take_while(|octet| **octet == 0).count();
        number.drain(..zeros);
        Ok(number)
    }

    /// Its curve; `None` for one that is not known.
    pub(crate) fn curve(self) -> Result<Option<&'static Curve>, MemberError> {
        let name = self.required_text("crv")?;
        Ok(CURVES.iter().find(|curve| curve.name == name))
    }

    /// Whether it may verify signatures (RFC 7517 sections 4.2 and 4.3).
    fn is_for_verifying(self) -> Result<(), UnusableKey> {
        if self.text("use").map_err(|_| NOT_A_STRING)?.is_some_and(|usage| usage != "sig") {
            return Err(UnusableKey::OtherPurpose("use is not sig"));
        }
        match self.get("key_ops") {
            None => Ok(()),
            Some(Value::Array(operations)) if operations.iter().any(|one| one == "verify") => Ok(()),
            Some(_) => Err(UnusableKey::OtherPurpose("key_ops has no verify")),
        }
    }
}

const NOT_A_STRING: UnusableKey = UnusableKey::Invalid("a member that has to be a string is none");

/// Of a coordinate or component.
impl From<MemberError> for UnusableKey {
    fn from(error: MemberError) -> Self {
        Self::Invalid(match error {
            MemberError::Missing => "a coordinate or component is missing",
            MemberError::NotAString => return NOT_A_STRING,
            MemberError::NotBase64url => "a coordinate or component is not base64url",
        })
    }
}

/// The keys in one element of a set: one for each allowed algorithm that fits it, exactly one when it names its
/// `alg`.
///
/// # Errors
/// Says why the element is of no use.
pub(super) fn verifying_keys(
    element: &Value,
    allowed: &[Algorithm],
) -> Result<Vec<VerifyingKey>, UnusableKey> {
    let Value::Object(members) = element else { return Err(UnusableKey::Invalid("not an object")) };
    let jwk = Jwk(members);
    let kty = jwk.text("kty")?.ok_or("kty is missing")?;
    if kty == "oct" {
        // A secret that anyone can fetch is none: RFC 7518 section 6.4 keys come from configuration or not at all.
        return Err(UnusableKey::Invalid("a symmetric key has no place in a key set"));
    }
    if PRIVATE.iter().any(|name| jwk.get(name).is_some()) {
        return Err(UnusableKey::Invalid("it holds a private key, which anyone may have read"));
    }
    jwk.is_for_verifying()?;
    let key_id: Option<Box<str>> = jwk.text("kid")?.map(Into::into);
    let issuer: Option<Box<str>> = jwk.text("issuer")?.map(Into::into);
    let named = match jwk.text("alg")? {
        None => None,
        Some(name) => {
            Some(Algorithm::from_name(name).ok_or(UnusableKey::OtherPurpose("alg is not supported"))?)
        }
    };
    let candidates = allowed.iter().copied().filter(|one| named.is_none_or(|named| named == *one));
    let (identity, parsed) = match kty {
        "RSA" => rsa(jwk, candidates)?,
        "EC" => elliptic(jwk, candidates)?,
        "OKP" => edwards(jwk, candidates)?,
        _ => return Err(UnusableKey::OtherPurpose("kty is not supported")),
    };
    if parsed.is_empty() {
        return Err(UnusableKey::OtherPurpose("no allowed algorithm fits it"));
    }
    let keys = parsed.into_iter().map(|(algorithm, key)| {
        let material = Material::Public(Box::new(key));
        let mut key = VerifyingKey::new(key_id.clone(), algorithm, identity.clone(), material);
        key.issuer.clone_from(&issuer);
        key
    });
    Ok(keys.collect())
}

type Parsed = (Box<[u8]>, Vec<(Algorithm, ParsedPublicKey)>);

fn rsa(jwk: Jwk<'_>, candidates: impl Iterator<Item = Algorithm>) -> Result<Parsed, UnusableKey> {
    let (n, e) = (jwk.number("n")?, jwk.number("e")?);
    let (n, e) = (n.as_slice(), e.as_slice());
    check_rsa(n, e)?;
    let parsed = candidates
        .filter_map(|algorithm| Some((algorithm, algorithm.rsa_verification()?)))
        .map(|(algorithm, parameters)| {
            let key = RsaPublicKeyComponents { n, e }.to_parsed_public_key(parameters);
            key.map(|key| (algorithm, key)).map_err(|_| NO_RSA_KEY)
        })
        .collect::<Result<_, _>>()?;
    Ok((identity(b"RSA", &[n, e]), parsed))
}

const NO_RSA_KEY: UnusableKey = UnusableKey::Invalid("n and e are not an RSA key");

/// Whether an RSA key of these numbers, without zeros in front, can verify anything safely.
pub(super) fn check_rsa(n: &[u8], e: &[u8]) -> Result<(), UnusableKey> {
    let bits = n.len() * 8 - n.first().map_or(0, |first| first.leading_zeros() as usize);
    if !(2048..=8192).contains(&bits) {
        return Err(UnusableKey::Invalid("n has to have 2048 to 8192 bits"));
    }
    // With e = 1 every message is its own signature; even exponents and moduli are no RSA at all.
    let odd = |number: &[u8]| number.last().is_some_and(|last| last & 1 == 1);
    if !odd(n) || !odd(e) || e == [1] || e.len() > 5 {
        return Err(NO_RSA_KEY);
    }
    Ok(())
}

fn elliptic(jwk: Jwk<'_>, mut candidates: impl Iterator<Item = Algorithm>) -> Result<Parsed, UnusableKey> {
    let name = jwk.text("crv")?.ok_or("crv is missing")?;
    let curve = jwk.curve()?.filter(|curve| candidates.any(|one| one == curve.algorithm));
    let curve = curve.ok_or(UnusableKey::OtherPurpose("no allowed algorithm fits its crv"))?;
    let (x, y) = (jwk.octets("x")?, jwk.octets("y")?);
    // RFC 7518 section 6.2.1.2: full length, leading zeros included.
    if x.len() != curve.length || y.len() != curve.length {
        return Err(UnusableKey::Invalid("x and y have to be as long as the curve says"));
    }
    let point = [&[4][..], &x, &y].concat();
    let key = ParsedPublicKey::new(curve.verification, &point).map_err(|_| "x and y are not on the curve")?;
    Ok((identity(name.as_bytes(), &[&point]), vec![(curve.algorithm, key)]))
}

fn edwards(jwk: Jwk<'_>, mut candidates: impl Iterator<Item = Algorithm>) -> Result<Parsed, UnusableKey> {
    if jwk.text("crv")? != Some("Ed25519") {
        return Err(UnusableKey::OtherPurpose("crv is not Ed25519"));
    }
    if !candidates.any(|one| one == Algorithm::EdDsa) {
        return Err(UnusableKey::OtherPurpose("no allowed algorithm fits it"));
    }
    let (identity, key) = ed25519(&jwk.octets("x")?)?;
    Ok((identity, vec![(Algorithm::EdDsa, key)]))
}

pub(super) fn ed25519(x: &[u8]) -> Result<(Box<[u8]>, ParsedPublicKey), &'static str> {
    let point: &[u8; 32] = x.try_into().map_err(|_| "x has to have 32 bytes")?;
    if is_small_order(point) {
        return Err("x is of small order, under which signatures prove nothing");
    }
    if !is_point(point) {
        return Err("x is not on the curve");
    }
    let key = ParsedPublicKey::new(&signature::ED25519, point).map_err(|_| "x is not an Ed25519 key")?;
    Ok((identity(b"Ed25519", &[point]), key))
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

/// The SHA-256 thumbprint (RFC 7638 section 3) of the members that identify a key, and no others: in the order of their
/// names, without white space.
pub(crate) fn thumbprint(required: &Map<String, Value>) -> String {
    let members = required.iter().map(|(name, value)| (name.as_str(), value));
    BASE64_URL_SAFE_NO_PAD.encode(sha256_of(members.collect()))
}

/// The same of a whole JWK, whose other members do not count.
pub(super) fn thumbprint_bytes(jwk: &Value) -> Option<[u8; 32]> {
    let required: &[&str] = match jwk.get("kty")?.as_str()? {
        "RSA" => &["e", "kty", "n"],
        "EC" => &["crv", "kty", "x", "y"],
        "OKP" => &["crv", "kty", "x"],
        _ => return None,
    };
    let members = required.iter().map(|name| Some((*name, jwk.get(name)?)));
    Some(sha256_of(members.collect::<Option<_>>()?))
}

fn sha256_of(mut members: Vec<(&str, &Value)>) -> [u8; 32] {
    members.sort_unstable_by_key(|(name, _)| *name);
    let members: Vec<_> = members.into_iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
    super::proof_key::sha256(format!("{{{}}}", members.join(",")).as_bytes())
}

#[cfg(test)]
mod tests;
