//! Encodings of the wire, written here a second time on purpose: nothing is shared with the crates under test.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

/// Base64url without padding (RFC 7515 section 2).
pub(crate) fn b64url(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Base64url without padding and without stray bits; `None` for anything looser.
pub(crate) fn from_b64url(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

/// Standard base64, as HTTP Basic uses it (RFC 7617 section 2).
pub(crate) fn from_b64(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}

/// Standard base64, as PEM and `x5c` use it (RFC 7517 section 4.7).
pub(crate) fn to_b64(bytes: impl AsRef<[u8]>) -> String {
    STANDARD.encode(bytes)
}

/// The pairs of an `application/x-www-form-urlencoded` text, in order; `None` when an escape or the UTF-8 is bad.
///
/// Strict where a lenient reader would guess: the server must notice a client that encodes wrongly.
pub(crate) fn form_pairs(text: &[u8]) -> Option<Vec<(String, String)>> {
    text.split(|byte| *byte == b'&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let at = pair.iter().position(|byte| *byte == b'=');
            let (name, value) = at.map_or((pair, &b""[..]), |at| (&pair[..at], &pair[at + 1..]));
            Some((form_decode(name)?, form_decode(value)?))
        })
        .collect()
}

/// One form-encoded text: `+` and `%20` are both a space.
pub(crate) fn form_decode(text: &[u8]) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.iter();
    while let Some(byte) = rest.next() {
        out.push(match byte {
            b'+' => b' ',
            b'%' => hex_digit(*rest.next()?)? << 4 | hex_digit(*rest.next()?)?,
            other => *other,
        });
    }
    String::from_utf8(out).ok()
}

/// Percent-encodes everything but the unreserved characters of RFC 3986 section 2.3.
pub(crate) fn percent_encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// Text that is safe inside HTML elements and quoted attributes.
pub(crate) fn escape_html(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    out
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// An unguessable base64url text of `N` random bytes.
pub(crate) fn random_text<const N: usize>() -> String {
    b64url(random::<N>())
}

#[expect(clippy::expect_used, reason = "a machine without randomness can run no authorization server at all")]
pub(crate) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
    bytes
}

fn hex_digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_decoded_strictly() {
        let pairs = form_pairs(b"a=1&b=x+y%20z&c&&d=%C3%BC").unwrap();
        let expected = [("a", "1"), ("b", "x y z"), ("c", ""), ("d", "ü")];
        assert_eq!(pairs, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
        for bad in ["a=%", "a=%2", "a=%zz", "a=%ff"] {
            assert_eq!(form_pairs(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn percent_encoding_round_trips() {
        let text = "a b:c%d+ü/~";
        assert_eq!(percent_encode(text), "a%20b%3Ac%25d%2B%C3%BC%2F~");
        assert_eq!(form_decode(percent_encode(text).as_bytes()).unwrap(), text);
    }
}
