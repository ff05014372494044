//! Certificates in a header of their own: RFC 9440, and nginx.

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use oauth_client::jose::sha256;

use crate::reject::Rejection;

pub(super) const MALFORMED: Rejection = Rejection::MalformedRequest("the certificate header is malformed");

/// RFC 8941 section 4.2.7: a reader does not insist on the padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A byte sequence (RFC 8941 section 3.3.5) with the certificate in DER form. A proxy sends no header, or an empty one, for
/// a caller without a certificate.
pub(super) fn client_cert(text: &str) -> Result<Option<[u8; 32]>, Rejection> {
    if text.trim().is_empty() {
        return Ok(None);
    }
    let inside = text.trim().strip_prefix(':').and_then(|rest| rest.strip_suffix(':')).ok_or(MALFORMED)?;
    let der = BASE64.decode(inside).map_err(|_| MALFORMED)?;
    Ok(Some(thumbprint(&der)?))
}

/// A PEM text with percent-encodings. nginx sends no header, or an empty one, for a caller without a certificate.
pub(super) fn nginx(text: &str) -> Result<Option<[u8; 32]>, Rejection> {
    if text.trim().is_empty() {
        return Ok(None);
    }
    escaped_pem(text.trim()).map(Some)
}

/// The thumbprint of the one certificate in a PEM text with percent-encodings.
pub(super) fn escaped_pem(text: &str) -> Result<[u8; 32], Rejection> {
    let pem = unescaped(text).ok_or(MALFORMED)?;
    let body = pem
        .trim()
        .strip_prefix("-----BEGIN CERTIFICATE-----")
        .and_then(|rest| rest.strip_suffix("-----END CERTIFICATE-----"))
        .ok_or(MALFORMED)?;
    // A second certificate shows by its dashes.
    let body: String = body.chars().filter(|char| !char.is_ascii_whitespace()).collect();
    thumbprint(&BASE64.decode(body).map_err(|_| MALFORMED)?)
}

/// The SHA-256 of what has the outer form of a certificate: one DER sequence and nothing behind it.
fn thumbprint(der: &[u8]) -> Result<[u8; 32], Rejection> {
    let body = |length: usize, rest: &[u8]| length == rest.len();
    let is_whole = match *der {
        [0x30, 0x81, length, ref rest @ ..] => length >= 0x80 && body(length.into(), rest),
        [0x30, 0x82, high, low, ref rest @ ..] => body(usize::from(high) << 8 | usize::from(low), rest),
        [0x30, length @ 1..=0x7f, ref rest @ ..] => body(length.into(), rest),
        _ => false,
    };
    if is_whole { Ok(sha256(der)) } else { Err(MALFORMED) }
}

/// Percent-encodings resolved; a plus is a plus.
fn unescaped(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        bytes.push(digit(rest.next()?)? << 4 | digit(rest.next()?)?);
    }
    String::from_utf8(bytes).ok()
}
