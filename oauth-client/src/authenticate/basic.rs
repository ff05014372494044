//! `client_secret_basic`: RFC 6749 section 2.3.1.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::HeaderValue;
use zeroize::Zeroizing;

use crate::error::Error;
use crate::token::Secret;

/// The value of the `Authorization` header.
pub(super) fn basic(client_id: &str, secret: &Secret) -> Result<HeaderValue, Error> {
    let pair = Zeroizing::new(format!("{}:{}", encode(client_id).as_str(), encode(secret.expose()).as_str()));
    let header = Zeroizing::new(format!("Basic {}", BASE64_STANDARD.encode(pair.as_bytes())));
    let mut value = HeaderValue::try_from(header.as_str())
        .map_err(|_| Error::config("client_secret", "cannot be written into a header"))?;
    value.set_sensitive(true);
    Ok(value)
}

/// `application/x-www-form-urlencoded`, but with a space as `%20`.
fn encode(text: &str) -> Zeroizing<String> {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let mut out = String::with_capacity(text.len() * 3);
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'*') {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push(char::from(HEX[usize::from(byte >> 4)]));
            out.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
    Zeroizing::new(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(id: &str, secret: &str) -> String {
        let value = basic(id, &secret.into()).unwrap();
        assert!(value.is_sensitive());
        let coded = value.to_str().unwrap().strip_prefix("Basic ").unwrap().to_owned();
        String::from_utf8(BASE64_STANDARD.decode(coded).unwrap()).unwrap()
    }

    #[test]
    fn id_and_secret_are_form_encoded_before_they_are_joined() {
        assert_eq!(header("svc", "s3cr3t"), "svc:s3cr3t");
        assert_eq!(header("a:b", "p%q r+ß"), "a%3Ab:p%25q%20r%2B%C3%9F");
    }
}
