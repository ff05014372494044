//! Envoy's `x-forwarded-client-cert`: elements by commas, each with pairs by semicolons. Every proxy on the way adds an
//! element, so the last one is that of the proxy in front.

use super::header::{MALFORMED, escaped_pem};
use crate::possession::elements::{last_element, pairs};
use crate::reject::Rejection;

/// The thumbprint in the last element: its `Hash`, its `Cert`, or both if they agree.
pub(super) fn read(text: &str) -> Result<Option<[u8; 32]>, Rejection> {
    if text.trim().is_empty() {
        return Ok(None);
    }
    let element = last_element(text).ok_or(MALFORMED)?;
    let (mut hash, mut certificate) = (None, None);
    for pair in pairs(element) {
        let pair = pair.ok_or(MALFORMED)?;
        let value = if pair.is_quoted { unescaped(pair.value) } else { pair.value.to_owned() };
        let twice = if pair.is("hash") {
            hash.replace(hex(&value).ok_or(MALFORMED)?).is_some()
        } else if pair.is("cert") {
            certificate.replace(escaped_pem(&value)?).is_some()
        } else {
            false
        };
        if twice {
            return Err(MALFORMED);
        }
    }
    match (hash, certificate) {
        (Some(hash), Some(certificate)) if hash != certificate => {
            Err(Rejection::MalformedRequest("Hash and Cert of x-forwarded-client-cert contradict each other"))
        }
        (None, None) => Err(MALFORMED),
        (hash, certificate) => Ok(hash.or(certificate)),
    }
}

/// What was quoted, without its escapes.
fn unescaped(value: &str) -> String {
    let mut chars = value.chars();
    std::iter::from_fn(|| chars.next().and_then(|char| if char == '\\' { chars.next() } else { Some(char) }))
        .collect()
}

/// SHA-256 in hexadecimal digits of either case.
fn hex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(bytes)
}
