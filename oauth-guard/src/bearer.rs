//! Step 1: the token is taken out of the request.

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};

use crate::refuse::Refusal;

const SCHEME: &[u8] = b"bearer";

/// The bearer token of RFC 6750 §2.1, if the request has one. Its characters are not looked at yet: a token that
/// has been seen before had good ones.
///
/// Tokens in the query and in a form are not looked for (RFC 9700 §4.3.2): they end up in logs.
pub(crate) fn token(headers: &HeaderMap) -> Result<Option<&[u8]>, Refusal> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        // RFC 9110 §5.3: two credentials, and two readers might each take another.
        return Err(Refusal::MalformedRequest("the Authorization header is there more than once"));
    }
    credentials(value)
}

fn credentials(value: &HeaderValue) -> Result<Option<&[u8]>, Refusal> {
    let bytes = value.as_bytes();
    let is_bearer = bytes.get(..SCHEME.len()).is_some_and(|scheme| scheme.eq_ignore_ascii_case(SCHEME));
    if !is_bearer {
        return if !bytes.is_empty() && bytes.iter().all(|byte| matches!(byte, b'\t' | b' '..=b'~')) {
            Ok(None)
        } else {
            Err(Refusal::MalformedRequest("the Authorization header is not made of visible ASCII characters"))
        };
    }
    let rest = bytes.get(SCHEME.len()..).unwrap_or_default();
    // `Bearers abc` is another scheme; `Bearerabc` is this one without its space.
    let longer =
        rest.iter().take_while(|byte| byte.is_ascii_alphanumeric() || b"-_.+".contains(byte)).count();
    if longer > 0 && rest.get(longer) == Some(&b' ') {
        return Ok(None);
    }
    let spaces = rest.iter().take_while(|byte| **byte == b' ').count();
    match rest.get(spaces..) {
        Some(token) if spaces > 0 && !token.is_empty() => Ok(Some(token)),
        _ => Err(Refusal::MalformedRequest("expected `Bearer`, a space and a token")),
    }
}

/// The token as text, if it could be one at all.
pub(crate) fn as_text(token: &[u8]) -> Result<&str, Refusal> {
    std::str::from_utf8(token).map_err(|_| not_a_token())
}

/// Why a token was refused, seen again: what is not RFC 9110 §11.2 `token68` is a malformed header, whatever else was
/// found wrong with it. Asked only now, since every token that is accepted is made of such characters.
pub(crate) fn blame(token: &str, refusal: Refusal) -> Refusal {
    let letters = token.trim_end_matches('=');
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte);
    match refusal {
        Refusal::InvalidToken(_) if letters.is_empty() || !letters.bytes().all(allowed) => not_a_token(),
        other => other,
    }
}

fn not_a_token() -> Refusal {
    Refusal::MalformedRequest("the token holds characters that no token has")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::refuse::Flaw;

    fn read(values: &[&[u8]]) -> Result<Option<String>, &'static str> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, HeaderValue::from_bytes(value).unwrap());
        }
        let token = token(&headers).map_err(|refusal| refusal.code())?;
        let Some(text) = token.map(as_text).transpose().map_err(|refusal| refusal.code())? else {
            return Ok(None);
        };
        match blame(text, Flaw::BadSignature.into()) {
            Refusal::InvalidToken(_) => Ok(Some(text.to_owned())),
            other => Err(other.code()),
        }
    }

    #[test]
    fn the_scheme_is_read_in_any_case_and_with_any_number_of_spaces() {
        for good in ["Bearer a.b.c", "bearer a.b.c", "BEARER a.b.c", "bEaReR   a.b.c"] {
            assert_eq!(read(&[good.as_bytes()]), Ok(Some("a.b.c".to_owned())), "{good}");
        }
        assert_eq!(read(&[b"Bearer YQ=="]), Ok(Some("YQ==".to_owned())));
    }

    #[test]
    fn no_header_and_other_schemes_are_no_token() {
        assert_eq!(read(&[]), Ok(None));
        assert_eq!(read(&[b"Basic YTpi"]), Ok(None));
        assert_eq!(read(&[b"DPoP a.b.c"]), Ok(None));
        assert_eq!(read(&[b"Bearers a.b.c"]), Ok(None));
    }

    #[test]
    fn malformed_headers_are_refused() {
        let bad: [&[u8]; 14] = [
            b"Bearer",
            b"Bearer ",
            b"Bearer\ta.b.c",
            b"Bearera.b.c",
            b"Bearer a b",
            b"Bearer a,b",
            b"Bearer a.b.c, Bearer d.e.f",
            b"Bearer {\"payload\":\"\"}",
            b"Bearer a\x80b",
            b"Bearer =",
            b"Bearer a=b",
            b"",
            b"\x80",
            b"Bearer a ",
        ];
        for value in bad {
            assert_eq!(read(&[value]), Err("invalid_request"), "{}", value.escape_ascii());
        }
    }

    #[test]
    fn two_headers_are_refused_whatever_they_hold() {
        assert_eq!(read(&[b"Bearer a.b.c", b"Bearer a.b.c"]), Err("invalid_request"));
        assert_eq!(read(&[b"Basic YTpi", b"Bearer a.b.c"]), Err("invalid_request"));
    }
}
