//! One key that verifies signatures under one algorithm.

use std::borrow::Cow;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};

use aws_lc_rs::signature::{ED25519, ParsedPublicKey, VerificationAlgorithm};
use aws_lc_rs::{digest, hmac};
use jsonwebtoken::DecodingKey;

use super::jwk::{self, UnusableKey};
use super::{Algorithm, Issued};

/// A key and the one algorithm it verifies with.
///
/// On lines of the processor's cache that are not written: tokens are counted by it on another one.
#[repr(align(64))]
pub struct VerifyingKey {
    /// `kid`.
    pub key_id: Option<Box<str>>,
    /// The algorithm.
    pub algorithm: Algorithm,
    /// `issuer`, where a set that several issuers share says whose the key is.
    pub issuer: Option<Box<str>>,
    pub(super) identity: Box<[u8]>,
    material: Material,
    /// Falls when a refresh no longer shows the key, and takes every token that was cached under it with it.
    trusted: AtomicBool,
}

pub(super) enum Material {
    /// Parsed once, since parsing costs a sixth of a verification.
    Public(Box<ParsedPublicKey>),
    Secret(Box<hmac::Key>),
}

impl VerifyingKey {
    pub(super) fn new(
        key_id: Option<Box<str>>,
        algorithm: Algorithm,
        identity: Box<[u8]>,
        material: Material,
    ) -> Self {
        Self { key_id, algorithm, issuer: None, identity, material, trusted: AtomicBool::new(true) }
    }

    /// A public key in PEM form (`PUBLIC KEY` or `RSA PUBLIC KEY`), also as shells and platforms mangle it: in one line,
    /// with `\n` written out, indented, in quotes, with another line end or a byte order mark.
    ///
    /// # Errors
    /// [`UnusableKey::Invalid`], with what is expected.
    pub fn from_pem(key_id: Option<&str>, algorithm: Algorithm, pem: &[u8]) -> Result<Self, UnusableKey> {
        const EXPECTED: &str = "expected a public key in PEM form, of the kind the algorithm needs";
        let pem = &*repaired(pem);
        // jsonwebtoken takes the PEM and its ASN.1 apart; nothing of it verifies anything here.
        let (read, parameters): (_, &'static dyn VerificationAlgorithm) =
            if let Some(rsa) = algorithm.rsa_verification() {
                (DecodingKey::from_rsa_pem(pem), rsa)
            } else if let Some(curve) = algorithm.curve() {
                (DecodingKey::from_ec_pem(pem), curve.verification)
            } else if algorithm == Algorithm::EdDsa {
                (DecodingKey::from_ed_pem(pem), &ED25519)
            } else {
                return Err(UnusableKey::Invalid("a public key cannot verify HS256, HS384 or HS512"));
            };
        let read = read.map_err(|_| EXPECTED)?;
        let bytes = read.try_get_as_bytes().map_err(|_| EXPECTED)?;
        if algorithm.rsa_verification().is_some() {
            let (n, e) = rsa_numbers(bytes).ok_or(EXPECTED)?;
            jwk::check_rsa(n, e)?;
        }
        if algorithm == Algorithm::EdDsa {
            jwk::ed25519(bytes)?;
        }
        let parsed = ParsedPublicKey::new(parameters, bytes).map_err(|_| EXPECTED)?;
        Ok(Self::new(key_id.map(Into::into), algorithm, bytes.into(), Material::Public(Box::new(parsed))))
    }

    /// A secret that both sides hold, as long as the algorithm's hash at least (RFC 7518 section 3.2): a shorter one can
    /// be guessed from a single token.
    ///
    /// # Errors
    /// [`UnusableKey::Invalid`], with what is expected.
    pub fn from_secret(
        key_id: Option<&str>,
        algorithm: Algorithm,
        secret: &[u8],
    ) -> Result<Self, UnusableKey> {
        let hash = algorithm.hmac().ok_or("a secret can only verify HS256, HS384 or HS512")?;
        if secret.len() < hash.digest_algorithm().output_len() {
            return Err(UnusableKey::Invalid(
                "the secret has to be at least as long as the hash: 32, 48 or 64 bytes",
            ));
        }
        // Tells two secrets apart without keeping a second copy of either.
        let identity = digest::digest(&digest::SHA256, secret).as_ref().into();
        let material = Material::Secret(Box::new(hmac::Key::new(hash, secret)));
        Ok(Self::new(key_id.map(Into::into), algorithm, identity, material))
    }

    /// Whether the key made that signature.
    #[must_use]
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        match &self.material {
            Material::Public(key) => key.verify_sig(message, signature).is_ok(),
            Material::Secret(key) => hmac::verify(key, message, signature).is_ok(),
        }
    }

    /// Whether it may have signed a token of that issuer: a key that names its `issuer` signs for no other.
    #[inline]
    #[must_use]
    pub fn is_for(&self, issued: Issued<'_>) -> bool {
        self.issuer.as_deref().is_none_or(|name| issued.is_by(name))
    }

    /// Whether its issuer still shows it.
    #[inline]
    #[must_use]
    pub fn is_trusted(&self) -> bool {
        self.trusted.load(Ordering::Acquire)
    }

    /// Its issuer no longer shows it.
    pub fn withdraw(&self) {
        self.trusted.store(false, Ordering::Release);
    }

    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.algorithm == other.algorithm
            && self.key_id == other.key_id
            && self.issuer == other.issuer
            && self.identity == other.identity
    }
}

/// Modulus and exponent of an `RSAPublicKey` (RFC 8017 appendix A.1.1), without zeros in front.
fn rsa_numbers(der: &[u8]) -> Option<(&[u8], &[u8])> {
    const INTEGER: u8 = 0x02;
    const SEQUENCE: u8 = 0x30;
    let (numbers, []) = element(SEQUENCE, der)? else { return None };
    let (n, rest) = element(INTEGER, numbers)?;
    let (e, []) = element(INTEGER, rest)? else { return None };
    let zeros = |number: &[u8]| number.iter().take_while(|octet| **octet == 0).count();
    Some((n.get(zeros(n)..)?, e.get(zeros(e)..)?))
}

/// The content of the DER element with this tag, and what follows it (X.690 section 8.1).
fn element(tag: u8, der: &[u8]) -> Option<(&[u8], &[u8])> {
    let [found, length, rest @ ..] = der else { return None };
    let (length, rest) = match *length {
        short @ 0..=0x7f => (usize::from(short), rest),
        long @ 0x81..=0x84 => {
            let (octets, rest) = rest.split_at_checked(usize::from(long & 0x7f))?;
            (octets.iter().fold(0, |length, octet| length << 8 | usize::from(*octet)), rest)
        }
        _ => return None,
    };
    rest.split_at_checked(length).filter(|_| *found == tag)
}

/// The first section of a PEM text, its base64 in lines of 64 characters (RFC 7468 section 2): what variables and
/// templates have done to the white space is undone. A text without a section stays as it is.
fn repaired(pem: &[u8]) -> Cow<'_, [u8]> {
    let section = || {
        let text = std::str::from_utf8(pem).ok()?;
        let (_, rest) = text.split_once("-----BEGIN ")?;
        let (label, rest) = rest.split_once("-----")?;
        let (body, _) = rest.split_once(&format!("-----END {label}-----"))?;
        let body = body.replace("\\r", "").replace("\\n", "");
        let body: String = body.chars().filter(|char| !char.is_ascii_whitespace()).collect();
        // What is no base64 is for the parser to reject.
        let lines: Vec<_> = body.as_bytes().chunks(64).collect();
        let head = format!("-----BEGIN {label}-----\n").into_bytes();
        Some([head, lines.join(&b'\n'), format!("\n-----END {label}-----\n").into_bytes()].concat())
    };
    section().map_or(Cow::Borrowed(pem), Cow::Owned)
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifyingKey")
            .field("key_id", &self.key_id)
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEM: &str = "-----BEGIN PUBLIC KEY-----\n\
        MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEssu3hv8Zkh2/E1NN63CKobjWBcJ7\n\
        PL3wK02hDDbJBK3vRcPNMKd3sg5LdnnAvrZEbVPHwN4UpqC1apUf0F95aw==\n\
        -----END PUBLIC KEY-----\n";

    #[test]
    fn a_pem_is_read_as_shells_and_platforms_mangle_it() {
        let read = |pem: &str| VerifyingKey::from_pem(None, Algorithm::Es256, pem.as_bytes());
        let good = read(PEM).unwrap();
        let one_line = PEM.replace('\n', "");
        let mangled = [
            PEM.replace('\n', "\\n"),
            PEM.replace('\n', "\\r\\n"),
            PEM.replace('\n', "\r\n"),
            PEM.replace('\n', "\r"),
            PEM.replace('\n', " "),
            PEM.replace('\n', "  \n\t"),
            PEM.replace('\n', "\n\n"),
            format!("\u{feff}{PEM}"),
            format!("\"{}\"\n", PEM.replace('\n', "\\n")),
            format!("'{PEM}'"),
            format!("the key of the issuer\n{PEM}   \n"),
            one_line.clone(),
        ];
        for pem in mangled {
            let read = read(&pem).unwrap_or_else(|why| panic!("{pem:?}: {why}"));
            assert!(read.is_same(&good), "{pem:?}");
        }
        let cut = &one_line[..one_line.len() - 40];
        let private = PEM.replace("PUBLIC", "PRIVATE");
        for bad in ["", "MFkw", cut, &private, &PEM.replace("MFkw", "M*kw")] {
            assert!(read(bad).is_err(), "{bad:?}");
        }
    }
}
