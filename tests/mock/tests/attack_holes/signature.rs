//! Which signatures a key verifies, and the holes that lie there.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac;
use aws_lc_rs::rsa::PublicKeyComponents;
use aws_lc_rs::signature::{self as sig, ParsedPublicKey, RsaParameters, VerificationAlgorithm};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use num_bigint::BigUint;
use serde_json::Value;

use crate::api::Hole;

/// Half of the order of P-256, above which `s` is the higher of its twins.
const HALF_ORDER: [u8; 8] = [0x7f, 0xff, 0xff, 0xff, 0x80, 0, 0, 0];

/// Whether this key may be used at all, whatever the token says.
pub(crate) fn usable(jwk: &Value, hole: Hole) -> bool {
    let text = |name: &str| jwk[name].as_str().unwrap_or_default();
    let for_signatures = (jwk.get("use").is_none() || text("use") == "sig")
        && jwk
            .get("key_ops")
            .is_none_or(|ops| ops.as_array().is_some_and(|ops| ops.iter().any(|op| op == "verify")))
        && !text("alg").starts_with("RSA-OAEP");
    if !for_signatures && !hole.is("keys-not-for-signatures") {
        return false;
    }
    if jwk.get("d").is_some() {
        return false;
    }
    match text("kty") {
        "RSA" => {
            let (n, e) = (bytes(jwk, "n").unwrap_or_default(), bytes(jwk, "e").unwrap_or_default());
            (n.len() >= 256 || hole.is("keys-short-rsa")) && (e.len() > 1 || hole.is("keys-rsa-exponent-one"))
        }
        "EC" => true,
        "OKP" => {
            let x = bytes(jwk, "x").unwrap_or_default();
            let small = x.first().is_some_and(|first| *first <= 1)
                && x.get(1..).is_some_and(|rest| rest.iter().all(|byte| *byte == 0));
            !small || hole.is("keys-ed25519-small-order")
        }
        "oct" => hole.is("keys-symmetric"),
        _ => false,
    }
}

/// Whether `jwk` verifies a token of this algorithm.
pub(crate) fn verifies(jwk: &Value, alg: &str, message: &[u8], signature: &[u8], hole: Hole) -> bool {
    let kty = jwk["kty"].as_str().unwrap_or_default();
    match alg {
        "HS256" if kty == "oct" => {
            let secret = bytes(jwk, "k").unwrap_or_default();
            hmac::verify(&hmac::Key::new(hmac::HMAC_SHA256, &secret), message, signature).is_ok()
        }
        "RS256" | "RS384" | "RS512" | "PS256" | "PS384" | "PS512" if kty == "RSA" => {
            rsa(jwk, alg, message, signature, hole)
        }
        "ES256" | "ES384" | "ES512" | "ES256K" if kty == "EC" => ec(jwk, alg, message, signature, hole),
        "EdDSA" | "Ed25519" if kty == "OKP" => {
            let mut x = bytes(jwk, "x").unwrap_or_default();
            if hole.is("keys-ed25519-wrong-length") {
                x.truncate(32);
            }
            let of_curve = jwk["crv"] == "Ed25519" || hole.is("keys-wrong-curve");
            of_curve && plain(&sig::ED25519, &x, message, signature)
        }
        _ => false,
    }
}

fn rsa(jwk: &Value, alg: &str, message: &[u8], signature: &[u8], hole: Hole) -> bool {
    let (Some(n), Some(e)) = (bytes(jwk, "n"), bytes(jwk, "e")) else { return false };
    let with = |parameters: &'static RsaParameters| {
        PublicKeyComponents { n: &n, e: &e }.verify(parameters, message, signature).is_ok()
    };
    let block = || {
        let [s, e, n] = [signature, &e, &n].map(BigUint::from_bytes_be);
        s.modpow(&e, &n).to_bytes_be()
    };
    match alg {
        // The private operation undone, and the block searched instead of compared.
        "RS256" if hole.is("signature-pkcs1-forged-padding") => {
            let hash = digest(&SHA256, message);
            block().windows(32).any(|window| window == hash.as_ref())
        }
        "RS256" if hole.is("keys-short-rsa") || hole.is("keys-rsa-exponent-one") => {
            let hash = digest(&SHA256, message);
            let block = block();
            block.first() == Some(&1) && block.ends_with(hash.as_ref())
        }
        "RS256" => with(&sig::RSA_PKCS1_2048_8192_SHA256),
        "RS384" => with(&sig::RSA_PKCS1_2048_8192_SHA384),
        "RS512" => with(&sig::RSA_PKCS1_2048_8192_SHA512),
        "PS256" => {
            with(&sig::RSA_PSS_2048_8192_SHA256)
                || (hole.is("signature-pss-other-parameters") && with(&sig::RSA_PKCS1_2048_8192_SHA256))
        }
        "PS384" => with(&sig::RSA_PSS_2048_8192_SHA384),
        "PS512" => with(&sig::RSA_PSS_2048_8192_SHA512),
        _ => false,
    }
}

fn ec(jwk: &Value, alg: &str, message: &[u8], signature: &[u8], hole: Hole) -> bool {
    let x = bytes(jwk, "x").unwrap_or_default();
    let y = bytes(jwk, "y").unwrap_or_default();
    let (algorithm, crv, length): (&'static dyn VerificationAlgorithm, _, _) = match alg {
        "ES256" => (&sig::ECDSA_P256_SHA256_FIXED, "P-256", 32),
        "ES384" => (&sig::ECDSA_P384_SHA384_FIXED, "P-384", 48),
        "ES512" => (&sig::ECDSA_P521_SHA512_FIXED, "P-521", 66),
        _ => (&sig::ECDSA_P256K1_SHA256_FIXED, "secp256k1", 32),
    };
    if jwk["crv"] != crv && !hole.is("keys-wrong-curve") {
        return false;
    }
    if alg == "ES256" && hole.is("signature-psychic") && signature.iter().all(|byte| *byte == 0) {
        return !signature.is_empty();
    }
    if alg == "ES256"
        && hole.is("signature-high-s")
        && signature.get(32..40).is_some_and(|s| s > &HALF_ORDER[..])
    {
        return false;
    }
    if hole.is("keys-ec-invalid-point") {
        // The second coordinate is made up, whatever the key says.
        return [2, 3].iter().any(|sign| plain(algorithm, &[&[*sign], &x[..]].concat(), message, signature));
    }
    if x.len() != length || y.len() != length {
        return false;
    }
    let point = [&[4], &x[..], &y[..]].concat();
    if alg == "ES256" && hole.is("signature-in-der") && signature.len() != 64 {
        return plain(&sig::ECDSA_P256_SHA256_ASN1, &point, message, signature);
    }
    let cut = hole.is("signature-of-wrong-length") && signature.len() > 64;
    let signature = if cut { &signature[..64] } else { signature };
    plain(algorithm, &point, message, signature)
}

fn plain(
    algorithm: &'static dyn VerificationAlgorithm,
    key: &[u8],
    message: &[u8],
    signature: &[u8],
) -> bool {
    ParsedPublicKey::new(algorithm, key).is_ok_and(|key| key.verify_sig(message, signature).is_ok())
}

pub(crate) fn bytes(jwk: &Value, member: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(jwk.get(member)?.as_str()?).ok()
}

/// HS256 under this secret.
pub(crate) fn mac(secret: &[u8], message: &[u8], signature: &[u8]) -> bool {
    hmac::verify(&hmac::Key::new(hmac::HMAC_SHA256, secret), message, signature).is_ok()
}

/// A public key as PEM; RSA of 2048 bits, P-256 and Ed25519.
pub(crate) fn pem(jwk: &Value) -> Option<String> {
    const RSA: [u8; 33] = [
        0x30, 0x82, 0x01, 0x22, 0x30, 0x0d, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1, 5, 0, 3, 0x82,
        1, 0x0f, 0, 0x30, 0x82, 1, 0x0a, 2, 0x82, 1, 1, 0,
    ];
    const P256: [u8; 27] = [
        0x30, 0x59, 0x30, 19, 6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d,
        3, 1, 7, 3, 0x42, 0, 4,
    ];
    const ED25519: [u8; 12] = [0x30, 0x2a, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 3, 0x21, 0];
    let der = match jwk["kty"].as_str()? {
        "RSA" => [&RSA[..], &bytes(jwk, "n")?, &[2, 3], &bytes(jwk, "e")?].concat(),
        "EC" => [&P256[..], &bytes(jwk, "x")?, &bytes(jwk, "y")?].concat(),
        _ => [&ED25519[..], &bytes(jwk, "x")?].concat(),
    };
    let text = STANDARD.encode(der);
    let lines: Vec<_> = text.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
    Some(format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", lines.join("\n")))
}

/// RS256 by the key of a certificate, without asking who signed the certificate.
pub(crate) fn by_certificate(certificate: &[u8], message: &[u8], signature: &[u8]) -> bool {
    // Certificate, TBSCertificate; in it version, serial, algorithm, issuer, validity, subject, and then the key.
    let spki = inside(certificate).and_then(|(tbs, _)| inside(tbs)).and_then(|(mut rest, _)| {
        for _ in 0..6 {
            rest = &rest[element_length(rest)?..];
        }
        rest.get(..element_length(rest)?)
    });
    spki.is_some_and(|spki| plain(&sig::RSA_PKCS1_2048_8192_SHA256, spki, message, signature))
}

fn inside(der: &[u8]) -> Option<(&[u8], usize)> {
    let whole = element_length(der)?;
    let header = if der[1] < 0x80 { 2 } else { 2 + usize::from(der[1] & 0x7f) };
    Some((&der[header..whole], whole))
}

fn element_length(der: &[u8]) -> Option<usize> {
    let first = usize::from(*der.get(1)?);
    if first < 0x80 {
        return Some(2 + first);
    }
    let long = der.get(2..2 + (first & 0x7f))?;
    Some(2 + long.len() + long.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)))
}
