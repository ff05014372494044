//! Private keys from files: PEM and DER, and what to say of files that hold none.

use aws_lc_rs::digest;
use aws_lc_rs::signature::{EcdsaKeyPair, Ed25519KeyPair, RsaKeyPair};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use rustls_pki_types::pem::{PemObject, SectionKind};
use zeroize::Zeroizing;

use super::pair::Pair;
use crate::error::Error;

/// The SHA-256 thumbprint of the first certificate in the text, base64url (RFC 7515 section 4.1.8).
///
/// # Errors
/// `config` for field `certificate`.
pub(crate) fn certificate_thumbprint(pem: &str) -> Result<String, Error> {
    thumbprint(pem, &digest::SHA256)
}

/// The SHA-1 thumbprint of it (RFC 7515 section 4.1.7), which names a key and proves nothing.
///
/// # Errors
/// `config` for field `certificate`.
pub(crate) fn certificate_thumbprint_sha1(pem: &str) -> Result<String, Error> {
    thumbprint(pem, &digest::SHA1_FOR_LEGACY_USE_ONLY)
}

fn thumbprint(pem: &str, algorithm: &'static digest::Algorithm) -> Result<String, Error> {
    let text = unmangled(pem);
    for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(text.as_bytes()) {
        match section {
            Ok((SectionKind::Certificate, der)) => {
                return Ok(super::base64url(digest::digest(algorithm, &der).as_ref()));
            }
            Ok(_) => {}
            Err(_) => {
                let message =
                    "is damaged PEM: a section does not end, or is not base64; was the whole file copied?";
                return Err(Error::config("certificate", message));
            }
        }
    }
    Err(Error::config("certificate", "has no section -----BEGIN CERTIFICATE-----; expected PEM"))
}

/// A key or certificate as shells, environment files and secret managers mangle it: a byte order mark, quotes around it,
/// `\n` in place of line breaks, or blanks in their place. Nothing of it can be part of PEM or of a JWK.
pub(crate) fn unmangled(text: &str) -> Zeroizing<String> {
    let mut text = text.trim().trim_start_matches('\u{feff}').trim();
    for quote in ['"', '\''] {
        text = text.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote)).unwrap_or(text).trim();
    }
    if text.starts_with('{') || !text.contains(BEGIN) {
        // A JWK that was quoted as a string of JSON.
        let quoted = text.starts_with("{\\\"");
        return Zeroizing::new(if quoted { text.replace("\\\"", "\"") } else { text.to_owned() });
    }
    let broken = Zeroizing::new(text.replace("\\r", "").replace("\\n", "\n").replace('\r', "\n"));
    // An indentation, as of a YAML file.
    let broken = Zeroizing::new(broken.lines().flat_map(|line| [line.trim(), "\n"]).collect::<String>());
    let is_flat = broken.lines().any(|line| line.contains(BEGIN) && line.contains(END));
    if is_flat { one_line(&broken) } else { broken }
}

const BEGIN: &str = "-----BEGIN ";
const END: &str = "-----END ";

/// PEM whose line breaks became blanks or nothing.
fn one_line(text: &str) -> Zeroizing<String> {
    let mut out = Zeroizing::new(String::with_capacity(text.len() * 2));
    for section in text.split(BEGIN).skip(1) {
        let Some((label, rest)) = section.split_once("-----") else { continue };
        let Some((body, _)) = rest.split_once(END) else { continue };
        out.push_str(&format!("{BEGIN}{label}-----\n"));
        let mut length = 0;
        for letter in body.chars().filter(|letter| !letter.is_whitespace()) {
            out.push(letter);
            length += 1;
            if length % LINE == 0 {
                out.push('\n');
            }
        }
        out.push_str(&format!("\n{END}{label}-----\n"));
    }
    out
}

/// How long a line of base64 is (RFC 7468 section 2).
const LINE: usize = 64;

/// The first private key in the text.
pub(super) fn read(text: &str) -> Result<Pair, Error> {
    let text = &*unmangled(text);
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
