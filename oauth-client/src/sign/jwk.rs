//! Private keys as JSON (RFC 7517, RFC 7518 section 6, RFC 8037), and their public halves.

use aws_lc_rs::rsa::{KeyPairComponents, PublicKeyComponents};
use aws_lc_rs::signature::{EcdsaKeyPair, Ed25519KeyPair, KeyPair, RsaKeyPair};
use serde_json::{Map, Value};

use super::Algorithm;
use super::jws::base64url;
use super::pair::{Octets, Pair};
use crate::error::Error;
use crate::jose::algorithm::Curve;
use crate::jose::json;
use crate::jose::jwk::{Jwk, MemberError};

/// A private key, and what its JWK says beside it.
pub(super) struct Read {
    pub(super) pair: Pair,
    pub(super) algorithm: Option<Algorithm>,
    pub(super) key_id: Option<String>,
}

pub(super) fn read(text: &str) -> Result<Read, Error> {
    let mut members =
        Wiped(json::object(text.as_bytes()).map_err(|what| wrong(format!("is no JWK: {what}")))?);
    if members.0.get("keys").is_some_and(Value::is_array) {
        return Err(wrong("is a set of keys; give the one private key that is meant"));
    }
    let jwk = &members;
    let pair = match jwk.text("kty")? {
        "RSA" => rsa(jwk)?,
        "EC" => ec(jwk)?,
        "OKP" => ed25519(jwk)?,
        "oct" => return Err(wrong("is a shared secret (kty oct), not a private key")),
        _ => return Err(wrong("has a kty that is not known here; expected RSA, EC or OKP")),
    };
    if jwk.0.get("use").is_some_and(|usage| usage != "sig") {
        return Err(wrong("is not for signatures; expected use \"sig\", or none"));
    }
    if let Some(Value::Array(operations)) = jwk.0.get("key_ops")
        && !operations.iter().any(|one| one == "sign")
    {
        return Err(wrong("is not for signing; expected \"sign\" among its key_ops, or no key_ops"));
    }
    let algorithm = match jwk.0.get("alg") {
        None => None,
        Some(_) => Some(jwk.text("alg")?.parse()?),
    };
    let key_id = match members.0.remove("kid") {
        None => None,
        Some(Value::String(key_id)) => Some(key_id),
        Some(_) => return Err(wrong("has a kid that is no string")),
    };
    Ok(Read { pair, algorithm, key_id })
}

fn rsa(jwk: &Wiped) -> Result<Pair, Error> {
    if jwk.0.contains_key("oth") {
        return Err(wrong("is an RSA key of more than two primes (oth), which few libraries support"));
    }
    let components = KeyPairComponents {
        public_key: PublicKeyComponents { n: jwk.number("n")?, e: jwk.number("e")? },
        d: jwk.octets("d")?,
        p: jwk.octets("p")?,
        q: jwk.octets("q")?,
        dP: jwk.octets("dp")?,
        dQ: jwk.octets("dq")?,
        qInv: jwk.octets("qi")?,
    };
    let pair = RsaKeyPair::from_components(&components).map_err(|_| {
        wrong(
            "is not an RSA key that can be used; expected 2048 to 8192 bits, and parts that belong together",
        )
    })?;
    Pair::rsa(pair)
}

fn ec(jwk: &Wiped) -> Result<Pair, Error> {
    let curve = jwk
        .curve()?
        .ok_or_else(|| wrong("is on a curve that is not known here; expected crv P-256, P-384 or P-521"))?;
    let [x, y, d] = [jwk.octets("x")?, jwk.octets("y")?, jwk.octets("d")?];
    // RFC 7518 section 6.2.1.2: full length, leading zeros included.
    if [&x, &y, &d].iter().any(|octets| octets.len() != curve.length) {
        return Err(wrong(format!(
            "has x, y or d of a wrong length; on {} each has {} bytes",
            curve.name, curve.length
        )));
    }
    let point = [&[4][..], &x, &y].concat();
    EcdsaKeyPair::from_private_key_and_public_key(curve.signing, &d, &point)
        .map(|pair| Pair::Ec(curve, pair))
        .map_err(|_| wrong("has x, y and d that do not belong together"))
}

fn ed25519(jwk: &Wiped) -> Result<Pair, Error> {
    if jwk.text("crv")? != "Ed25519" {
        return Err(wrong("is on a curve that is not known here; expected crv Ed25519"));
    }
    Ed25519KeyPair::from_seed_and_public_key(&jwk.octets("d")?, &jwk.octets("x")?)
        .map(Pair::Ed)
        .map_err(|_| wrong("has x and d that do not belong together, or are not 32 bytes each"))
}

/// The public half: the members that RFC 7638 section 3.2 (and RFC 8037 section 2) requires.
pub(super) fn public(pair: &Pair) -> Map<String, Value> {
    let octets = pair.public_octets();
    let members = match pair {
        Pair::Rsa(pair) => {
            let key = pair.public_key();
            let [n, e] = [key.modulus(), key.exponent()]
                .map(|number| base64url(number.big_endian_without_leading_zero()));
            vec![("e", e), ("kty", "RSA".to_owned()), ("n", n)]
        }
        Pair::Ec(curve, _) => {
            // 4, x, y: an uncompressed point.
            let (x, y) =
                octets.get(1..).unwrap_or_default().split_at_checked(curve.length).unwrap_or_default();
            let [x, y] = [x, y].map(base64url);
            vec![("crv", curve.name.to_owned()), ("kty", "EC".to_owned()), ("x", x), ("y", y)]
        }
        Pair::Ed(_) => {
            vec![("crv", "Ed25519".to_owned()), ("kty", "OKP".to_owned()), ("x", base64url(octets))]
        }
    };
    members.into_iter().map(|(name, value)| (name.to_owned(), Value::String(value))).collect()
}

/// The members of a private JWK, whose texts are wiped in the end.
struct Wiped(Map<String, Value>);

impl Wiped {
    fn text(&self, name: &str) -> Result<&str, Error> {
        Jwk::new(&self.0).required_text(name).map_err(|error| unusable(name, error))
    }

    fn octets(&self, name: &str) -> Result<Octets, Error> {
        Jwk::new(&self.0).octets(name).map_err(|error| unusable(name, error))
    }

    fn number(&self, name: &str) -> Result<Octets, Error> {
        Jwk::new(&self.0).number(name).map_err(|error| unusable(name, error))
    }

    fn curve(&self) -> Result<Option<&'static Curve>, Error> {
        Jwk::new(&self.0).curve().map_err(|error| unusable("crv", error))
    }
}

fn unusable(name: &str, error: MemberError) -> Error {
    match error {
        MemberError::Missing if name == "d" => wrong("is a public key (it has no d); give the private key"),
        MemberError::Missing => wrong(format!("has no member {name}")),
        MemberError::NotAString => wrong(format!("has a member {name} that is no string")),
        MemberError::NotBase64url => {
            wrong(format!("has a member {name} that is not base64url without padding"))
        }
    }
}

impl Drop for Wiped {
    fn drop(&mut self) {
        use zeroize::Zeroize;
        for value in self.0.values_mut() {
            if let Value::String(text) = value {
                text.zeroize();
            }
        }
    }
}

fn wrong(what: impl Into<String>) -> Error {
    Error::config("private_key", what)
}
