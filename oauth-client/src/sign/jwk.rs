//! Keys as JSON (RFC 7517, RFC 7518 section 6, RFC 8037), and their thumbprints (RFC 7638).

use aws_lc_rs::digest;
use aws_lc_rs::rsa::{KeyPairComponents, PublicKeyComponents};
use aws_lc_rs::signature::{EcdsaKeyPair, Ed25519KeyPair, KeyPair, RsaKeyPair};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::algorithm::{Algorithm, CURVES};
use super::jws::base64url;
use super::pair::{Octets, Pair};
use crate::error::Error;
use crate::json;

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
    let trimmed = |name| {
        let octets = jwk.octets(name)?;
        // RFC 7518 section 6.3.1.1 forbids the zero in front that some libraries write; it does no harm.
        let zeros = octets.iter().take_while(|octet| **octet == 0).count();
        Ok::<Octets, Error>(Zeroizing::new(octets.get(zeros..).unwrap_or_default().to_vec()))
    };
    if jwk.0.contains_key("oth") {
        return Err(wrong("is an RSA key of more than two primes (oth), which few libraries support"));
    }
    let components = KeyPairComponents {
        public_key: PublicKeyComponents { n: trimmed("n")?, e: trimmed("e")? },
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
    let name = jwk.text("crv")?;
    let curve = CURVES
        .iter()
        .find(|curve| curve.name == name)
        .ok_or_else(|| wrong("is on a curve that is not known here; expected crv P-256, P-384 or P-521"))?;
    let [x, y, d] = [jwk.octets("x")?, jwk.octets("y")?, jwk.octets("d")?];
    // RFC 7518 section 6.2.1.2: full length, leading zeros included.
    if [&x, &y, &d].iter().any(|octets| octets.len() != curve.length) {
        return Err(wrong(format!(
            "has x, y or d of a wrong length; on {name} each has {} bytes",
            curve.length
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

/// RFC 7638 section 3: the required members in the order of their names, without white space.
pub(super) fn thumbprint(required: &Map<String, Value>) -> String {
    let mut names: Vec<_> = required.keys().collect();
    names.sort_unstable();
    let members: Vec<_> = names.into_iter().map(|name| format!("\"{name}\":{}", required[name])).collect();
    let text = format!("{{{}}}", members.join(","));
    base64url(digest::digest(&digest::SHA256, text.as_bytes()).as_ref())
}

/// The members of a private JWK, whose texts are wiped in the end.
struct Wiped(Map<String, Value>);

impl Wiped {
    fn text(&self, name: &str) -> Result<&str, Error> {
        match self.0.get(name) {
            Some(Value::String(text)) => Ok(text),
            Some(_) => Err(wrong(format!("has a member {name} that is no string"))),
            None if name == "d" => Err(wrong("is a public key (it has no d); give the private key")),
            None => Err(wrong(format!("has no member {name}"))),
        }
    }

    fn octets(&self, name: &str) -> Result<Octets, Error> {
        BASE64_URL_SAFE_NO_PAD
            .decode(self.text(name)?)
            .map(Zeroizing::new)
            .map_err(|_| wrong(format!("has a member {name} that is not base64url without padding")))
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
