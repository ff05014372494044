//! Private keys from files: PEM and DER, and what to say of files that hold none.

use aws_lc_rs::signature::{EcdsaKeyPair, Ed25519KeyPair, RsaKeyPair};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use rustls_pki_types::pem::{PemObject, SectionKind};
use zeroize::Zeroizing;

use super::pair::Pair;
use crate::error::Error;

/// The first private key in the text.
pub(super) fn read(text: &str) -> Result<Pair, Error> {
    // An encrypted PKCS#1 key says so inside, where the decoder would only stumble.
    if text.contains("-----BEGIN ENCRYPTED PRIVATE KEY-----") || text.contains("Proc-Type: 4,ENCRYPTED") {
        return Err(wrong("is encrypted; decrypt it first, as with openssl pkcs8 -in key.pem"));
    }
    let sections = <(SectionKind, Vec<u8>)>::pem_slice_iter(text.as_bytes());
    let mut others = Vec::new();
    for section in sections {
        let (kind, der) = section.map_err(|_| {
            wrong("is damaged PEM: a section does not end, or is not base64; was the whole file copied?")
        })?;
        let der = Zeroizing::new(der);
        match kind {
            SectionKind::PrivateKey => return pkcs8(&der),
            SectionKind::RsaPrivateKey => return rsa(&der),
            SectionKind::EcPrivateKey => return sec1(&der),
            other => others.push(other),
        }
    }
    Err(wrong(match others.first() {
        Some(SectionKind::PublicKey) => "is a public key; give the private key that belongs to it",
        Some(SectionKind::Certificate) => "is a certificate; give the private key that belongs to it",
        Some(_) => "is PEM without a private key; expected a section PRIVATE KEY",
        None if text.contains("-----BEGIN OPENSSH PRIVATE KEY-----") => {
            "is in OpenSSH's own form; convert it, as with ssh-keygen -p -m pkcs8 -f key"
        }
        None if text.contains("-----BEGIN RSA PUBLIC KEY-----") => {
            "is a public key; give the private key that belongs to it"
        }
        None if text.trim().is_empty() => "is empty; expected a private key as PEM or JWK",
        None => "is not PEM; expected -----BEGIN PRIVATE KEY----- and what follows it, or a JWK",
    }))
}

/// RFC 5208, which names the kind of key inside.
pub(super) fn pkcs8(der: &[u8]) -> Result<Pair, Error> {
    if let Some(pair) = Pair::ec(|curve| EcdsaKeyPair::from_pkcs8(curve.signing, der).ok()) {
        return Ok(pair);
    }
    if let Ok(pair) = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der) {
        return Ok(Pair::Ed(pair));
    }
    match RsaKeyPair::from_pkcs8(der) {
        Ok(pair) => Pair::rsa(pair),
        Err(_) => Err(wrong(
            "is not a private key that can be used; expected RSA of 2048 to 8192 bits, P-256, P-384, P-521 or Ed25519, as PKCS#8",
        )),
    }
}

/// RFC 8017 appendix A.1.2.
fn rsa(der: &[u8]) -> Result<Pair, Error> {
    let pair = RsaKeyPair::from_der(der)
        .map_err(|_| wrong("is not an RSA key that can be used; expected 2048 to 8192 bits"))?;
    Pair::rsa(pair)
}

/// RFC 5915.
fn sec1(der: &[u8]) -> Result<Pair, Error> {
    Pair::ec(|curve| EcdsaKeyPair::from_private_key_der(curve.signing, der).ok())
        .ok_or_else(|| wrong("is not an EC key that can be used; expected one on P-256, P-384 or P-521"))
}

/// PKCS#8 with its armour (RFC 7468 section 10), in one buffer that does not grow.
pub(super) fn write(der: &[u8]) -> String {
    const LINE: usize = 64;
    let coded = Zeroizing::new(BASE64_STANDARD.encode(der));
    let mut out = String::with_capacity(coded.len() + coded.len() / LINE + 64);
    out.push_str("-----BEGIN PRIVATE KEY-----\n");
    let mut rest = coded.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(LINE));
        out.push_str(line);
        out.push('\n');
        rest = after;
    }
    out.push_str("-----END PRIVATE KEY-----\n");
    out
}

fn wrong(what: &str) -> Error {
    Error::config("private_key", what)
}
