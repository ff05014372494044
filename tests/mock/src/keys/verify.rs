use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rsa::PublicKeyComponents;
use aws_lc_rs::signature::{self, ParsedPublicKey, RsaParameters, VerificationAlgorithm};
use serde_json::{Value, json};

use super::Alg;
use crate::encode::{b64url, from_b64url};

/// Whether the public key of `jwk` verifies this signature (RFC 7515 section 5.2), by the numbers of the JWK alone.
///
/// `alg`, `use` and `key_ops` of the JWK are not looked at; type, curve and length of the key are.
pub(crate) fn verifies(jwk: &Value, alg: Alg, message: &[u8], signature: &[u8]) -> bool {
    verified(jwk, alg, message, signature).is_some()
}

fn verified(jwk: &Value, alg: Alg, message: &[u8], signature: &[u8]) -> Option<()> {
    let number = |name: &str| from_b64url(jwk.get(name)?.as_str()?);
    let is = |name: &str, value: &str| (jwk.get(name)?.as_str()? == value).then_some(());
    let rsa = |parameters: &'static RsaParameters| {
        is("kty", "RSA")?;
        let components = PublicKeyComponents { n: number("n")?, e: number("e")? };
        components.verify(parameters, message, signature).ok()
    };
    let plain = |algorithm: &'static dyn VerificationAlgorithm, key: Vec<u8>| {
        let key = ParsedPublicKey::new(algorithm, key).ok()?;
        key.verify_sig(message, signature).ok()
    };
    let ec = |algorithm: &'static dyn VerificationAlgorithm, crv: &str, length: usize| {
        is("kty", "EC").and(is("crv", crv))?;
        let (x, y) = (number("x")?, number("y")?);
        // RFC 7518 section 6.2.1.2: the full size of a coordinate, leading zeros included.
        (x.len() == length && y.len() == length).then_some(())?;
        plain(algorithm, [vec![4], x, y].concat())
    };
    match alg {
        Alg::Rs256 => rsa(&signature::RSA_PKCS1_2048_8192_SHA256),
        Alg::Rs384 => rsa(&signature::RSA_PKCS1_2048_8192_SHA384),
        Alg::Rs512 => rsa(&signature::RSA_PKCS1_2048_8192_SHA512),
        Alg::Ps256 => rsa(&signature::RSA_PSS_2048_8192_SHA256),
        Alg::Ps384 => rsa(&signature::RSA_PSS_2048_8192_SHA384),
        Alg::Ps512 => rsa(&signature::RSA_PSS_2048_8192_SHA512),
        Alg::Es256 => ec(&signature::ECDSA_P256_SHA256_FIXED, "P-256", 32),
        Alg::Es384 => ec(&signature::ECDSA_P384_SHA384_FIXED, "P-384", 48),
        Alg::Es512 => ec(&signature::ECDSA_P521_SHA512_FIXED, "P-521", 66),
        Alg::Es256k => ec(&signature::ECDSA_P256K1_SHA256_FIXED, "secp256k1", 32),
        Alg::EdDsa | Alg::Ed25519 => {
            is("kty", "OKP").and(is("crv", "Ed25519"))?;
            plain(&signature::ED25519, number("x")?)
        }
        Alg::Hs256 | Alg::Hs384 | Alg::Hs512 | Alg::None => None,
    }
}

/// The SHA-256 thumbprint of a public key (RFC 7638 section 3); `None` when it lacks a member that the thumbprint
/// needs.
pub(crate) fn thumbprint(jwk: &Value) -> Option<String> {
    // In lexical order (RFC 7638 section 3.2, RFC 8037 section 2).
    let members: &[&str] = match jwk.get("kty")?.as_str()? {
        "RSA" => &["e", "kty", "n"],
        "EC" => &["crv", "kty", "x", "y"],
        "OKP" => &["crv", "kty", "x"],
        _ => return None,
    };
    let member = |name: &&str| Some(format!("{}:{}", json!(name), json!(jwk.get(name)?.as_str()?)));
    let members: Vec<_> = members.iter().map(member).collect::<Option<_>>()?;
    Some(b64url(digest(&SHA256, format!("{{{}}}", members.join(",")).as_bytes())))
}
