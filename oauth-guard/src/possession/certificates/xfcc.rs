//! Envoy's `x-forwarded-client-cert`: elements by commas, each with pairs by semicolons. Every proxy on the way adds an
//! element, so the last one is that of the proxy in front.

use super::header::{MALFORMED, escaped_pem};
use crate::possession::forwarded::split_quoted;
use crate::reject::Rejection;

/// The thumbprint in the last element: its `Hash`, its `Cert`, or both if they agree.
pub(super) fn read(text: &str) -> Result<Option<[u8; 32]>, Rejection> {
    if text.trim().is_empty() {
        return Ok(None);
    }
    let element = split_quoted(text, ',').last().map(str::trim).unwrap_or_default();
    let (mut hash, mut certificate) = (None, None);
    for pair in split_quoted(element, ';') {
        let (name, value) = pair.split_once('=').ok_or(MALFORMED)?;
        let value = unquoted(value.trim()).ok_or(MALFORMED)?;
        let is = |known: &str| name.trim().eq_ignore_ascii_case(known);
        let twice = if is("hash") {
            hash.replace(hex(&value).ok_or(MALFORMED)?).is_some()
        } else if is("cert") {
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

/// A value without its quotes and escapes.
fn unquoted(value: &str) -> Option<String> {
    let Some(rest) = value.strip_prefix('"') else {
        return (!value.contains('"')).then(|| value.to_owned());
    };
    let (mut text, mut chars) = (String::new(), rest.chars());
    while let Some(char) = chars.next() {
        match char {
            '\\' => text.push(chars.next()?),
            '"' => return chars.next().is_none().then_some(text),
            other => text.push(other),
        }
    }
    None
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
