//! Step 1: find the token in the request, and redact or strip it there.

use std::borrow::Cow;

use http::header::{AUTHORIZATION, COOKIE};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Uri};

use crate::error::TokenError;
use crate::possession::{Scheme, dpop};
use crate::reject::Rejection;
use crate::request::RequestHead;

const BEARER: &[u8] = b"bearer";
const DPOP: &[u8] = b"dpop";

/// A token as a request presents it.
#[derive(Debug)]
pub(crate) struct Presented<'r> {
    pub(crate) token: Cow<'r, [u8]>,
    pub(crate) scheme: Scheme,
}

/// Where a request may carry its token besides the `Authorization` header, and whether it is stripped there.
#[derive(Clone, Debug, Default)]
pub(crate) struct TokenLocations {
    pub(crate) header: Option<HeaderName>,
    pub(crate) cookie: Option<Box<str>>,
    /// RFC 9700 section 4.3.2: it ends up in logs. Only set by a `danger_` method.
    pub(crate) query: Option<Box<str>>,
    /// Whether the token is removed before the request is forwarded.
    pub(crate) strip: bool,
    /// Whether `Authorization: DPoP` is read too (RFC 9449 section 7.1). Without it that is another scheme.
    pub(crate) dpop: bool,
}

impl TokenLocations {
    /// The token, if the request has one. Its characters are not checked yet: a cached token has valid ones.
    #[inline]
    pub(crate) fn token<'r>(&self, request: &RequestHead<'r>) -> Result<Option<Presented<'r>>, Rejection> {
        let (value, others) = authorization(request.headers);
        if let Some(token) = value.and_then(as_usual)
            && !others
            && self.header.is_none()
            && self.cookie.is_none()
            && self.query.is_none()
        {
            return Ok(Some(Presented { token: Cow::Borrowed(token), scheme: Scheme::Bearer }));
        }
        self.token_anywhere(*request)
    }

    /// However it is written, and in the other places as well, of which one may have it.
    fn token_anywhere<'r>(&self, request: RequestHead<'r>) -> Result<Option<Presented<'r>>, Rejection> {
        let standard = in_authorization(request.headers, self.dpop)?;
        let mut found = standard.map(|(token, scheme)| Presented { token: Cow::Borrowed(token), scheme });
        let mut add = |other: Option<Cow<'r, [u8]>>| match (&found, other) {
            (Some(_), Some(_)) => Err(Rejection::MalformedRequest("the request has more than one token")),
            (None, Some(token)) => {
                found = Some(Presented { token, scheme: Scheme::Unnamed });
                Ok(())
            }
            (_, None) => Ok(()),
        };
        if let Some(name) = &self.header {
            in_header(request.headers, name).try_for_each(|token| add(Some(Cow::Borrowed(token))))?;
        }
        if let Some(name) = &self.cookie {
            in_cookies(request.headers, name).try_for_each(|token| add(Some(Cow::Borrowed(token))))?;
        }
        if let Some(name) = &self.query {
            in_query(request.uri, name).try_for_each(|token| add(Some(token)))?;
        }
        match found {
            Some(found) if found.token.is_empty() => Err(Rejection::MalformedRequest("the token is empty")),
            found => Ok(found),
        }
    }

    /// Marks the token's header as sensitive, so that its `Debug` does not show it; or strips the token from the request
    /// if configured.
    #[inline]
    pub(crate) fn redact<B>(&self, request: &mut Request<B>) {
        if self.strip {
            self.strip(request);
            return;
        }
        let headers = request.headers_mut();
        // The one that there is. To look it up by its hash takes longer than to go through what a request has.
        if let Some((_, value)) = headers.iter_mut().find(|(name, _)| **name == AUTHORIZATION) {
            value.set_sensitive(true);
        }
        if self.header.is_some() || self.cookie.is_some() {
            for (_, value) in headers.iter_mut().filter(|(name, _)| self.is_location(name)) {
                value.set_sensitive(true);
            }
        }
    }

    /// As [`redact`](Self::redact), for a request that was not checked: it may have several `Authorization` headers.
    pub(crate) fn redact_all<B>(&self, request: &mut Request<B>) {
        if self.strip {
            self.strip(request);
        }
        self.mark_all(request.headers_mut());
    }

    /// Marks whatever may be credentials as sensitive, a token or not: `Authorization` of any scheme is a secret.
    pub(crate) fn mark_all(&self, headers: &mut HeaderMap) {
        for (name, value) in headers {
            if name == AUTHORIZATION || self.is_location(name) {
                value.set_sensitive(true);
            }
        }
    }

    /// Whether this header, besides `Authorization`, may hold the token.
    fn is_location(&self, name: &HeaderName) -> bool {
        Some(name) == self.header.as_ref() || (name == COOKIE && self.cookie.is_some())
    }

    #[cold]
    fn strip<B>(&self, request: &mut Request<B>) {
        let headers = request.headers_mut();
        retain(headers, AUTHORIZATION, |value| {
            let has_token = has_token(value, BEARER) || (self.dpop && has_token(value, DPOP));
            (!has_token).then(|| value.clone())
        });
        if self.dpop {
            headers.remove(dpop::DPOP);
        }
        if let Some(name) = &self.header {
            headers.remove(name);
        }
        if let Some(name) = &self.cookie {
            retain(headers, COOKIE, |value| without_cookie(value, name));
        }
        let Some(name) = &self.query else { return };
        if let Some(uri) = without_parameter(request.uri(), name) {
            *request.uri_mut() = uri;
        }
        // A router in front of the guard keeps a copy.
        #[cfg(feature = "axum")]
        if let Some(original) = request.extensions_mut().get_mut::<::axum::extract::OriginalUri>()
            && let Some(uri) = without_parameter(&original.0, name)
        {
            original.0 = uri;
        }
    }
}

/// Keeps what the function returns of each value of a header, marked as sensitive.
fn retain(headers: &mut HeaderMap, name: HeaderName, keep: impl Fn(&HeaderValue) -> Option<HeaderValue>) {
    let values: Vec<HeaderValue> = headers.get_all(&name).iter().filter_map(keep).collect();
    headers.remove(&name);
    for mut value in values {
        value.set_sensitive(true);
        headers.append(name.clone(), value);
    }
}

/// Whether there is a token of this scheme in an `Authorization` header, well-formed or not, also behind other
/// credentials: a proxy may have joined two headers.
fn has_token(value: &HeaderValue, scheme: &[u8]) -> bool {
    let mut parts = value.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
    parts.any(|part| is_of(part, scheme) && !is_longer_scheme(part.get(scheme.len()..).unwrap_or_default()))
}

fn is_of(credentials: &[u8], scheme: &[u8]) -> bool {
    credentials.get(..scheme.len()).is_some_and(|one| one.eq_ignore_ascii_case(scheme))
}

/// Whether what follows `Bearer` makes it another scheme: `Bearers abc`. `Bearerabc` is this one without a space.
fn is_longer_scheme(rest: &[u8]) -> bool {
    let longer =
        rest.iter().take_while(|byte| byte.is_ascii_alphanumeric() || b"-_.+".contains(byte)).count();
    longer > 0 && rest.get(longer) == Some(&b' ')
}

/// RFC 6750 section 2.1, and RFC 9449 section 7.1.
fn in_authorization(headers: &HeaderMap, dpop: bool) -> Result<Option<(&[u8], Scheme)>, Rejection> {
    match authorization(headers) {
        (None, _) => Ok(None),
        (Some(value), false) => credentials(value, dpop),
        // RFC 9110 section 5.3: with two credentials, two readers could each use another one.
        _ => Err(Rejection::MalformedRequest("the request has more than one Authorization header")),
    }
}

/// The `Authorization` header, and whether there are others.
#[inline]
fn authorization(headers: &HeaderMap) -> (Option<&HeaderValue>, bool) {
    // As quick as to look it up by its hash, or quicker, for as many headers as requests have.
    let mut values = headers.iter().filter(|(name, _)| **name == AUTHORIZATION).map(|(_, value)| value);
    (values.next(), values.next().is_some())
}

/// The whole value of such a header is the token.
fn in_header<'r>(headers: &'r HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'r [u8]> {
    headers.get_all(name).iter().map(HeaderValue::as_bytes)
}

/// RFC 6265 section 4.2.1. HTTP/2 may send the cookies as several headers; a logout may leave an empty one.
fn in_cookies<'r>(headers: &'r HeaderMap, name: &str) -> impl Iterator<Item = &'r [u8]> {
    let pairs = headers.get_all(COOKIE).iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b';'));
    pairs.filter_map(move |pair| cookie_value(pair, name)).filter(|value| !value.is_empty())
}

fn cookie_value<'r>(pair: &'r [u8], name: &str) -> Option<&'r [u8]> {
    let value = pair.trim_ascii().strip_prefix(name.as_bytes())?.strip_prefix(b"=")?;
    Some(value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\"")).unwrap_or(value))
}

fn without_cookie(value: &HeaderValue, name: &str) -> Option<HeaderValue> {
    let others: Vec<&[u8]> = value
        .as_bytes()
        .split(|byte| *byte == b';')
        .filter(|pair| cookie_value(pair, name).is_none())
        .map(<[u8]>::trim_ascii)
        .collect();
    let text = others.join(&b"; "[..]);
    HeaderValue::from_bytes(&text).ok().filter(|value| !value.is_empty())
}

/// RFC 6750 section 2.3.
fn in_query<'r>(uri: &'r Uri, name: &str) -> impl Iterator<Item = Cow<'r, [u8]>> {
    url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes())
        .filter(move |(one, _)| *one == name)
        .map(|(_, value)| match value {
            Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
            Cow::Owned(text) => Cow::Owned(text.into_bytes()),
        })
}

fn without_parameter(uri: &Uri, name: &str) -> Option<Uri> {
    let is_it =
        |pair: &&str| url::form_urlencoded::parse(pair.as_bytes()).next().is_some_and(|(one, _)| one == name);
    let others: Vec<&str> = uri.query()?.split('&').filter(|pair| !is_it(pair)).collect();
    let path = if others.is_empty() {
        uri.path().to_owned()
    } else {
        format!("{}?{}", uri.path(), others.join("&"))
    };
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(path).ok()?);
    Uri::from_parts(parts).ok()
}

/// A bearer token as nearly every client writes it.
#[inline]
fn as_usual(value: &HeaderValue) -> Option<&[u8]> {
    value
        .as_bytes()
        .strip_prefix(b"Bearer ")
        .filter(|token| token.first().is_some_and(|first| *first != b' '))
}

fn credentials(value: &HeaderValue, dpop: bool) -> Result<Option<(&[u8], Scheme)>, Rejection> {
    if let Some(token) = as_usual(value) {
        return Ok(Some((token, Scheme::Bearer)));
    }
    let bytes = value.as_bytes();
    let (name, scheme) = match bytes {
        _ if is_of(bytes, BEARER) => (BEARER, Scheme::Bearer),
        _ if dpop && is_of(bytes, DPOP) => (DPOP, Scheme::Dpop),
        _ if !bytes.is_empty() && bytes.iter().all(|byte| matches!(byte, b'\t' | b' '..=b'~')) => {
            return Ok(None);
        }
        _ => {
            return Err(Rejection::MalformedRequest(
                "the Authorization header has characters other than visible ASCII",
            ));
        }
    };
    let rest = bytes.get(name.len()..).unwrap_or_default();
    if is_longer_scheme(rest) {
        return Ok(None);
    }
    let spaces = rest.iter().take_while(|byte| **byte == b' ').count();
    match rest.get(spaces..) {
        Some(token) if spaces > 0 && !token.is_empty() => Ok(Some((token, scheme))),
        _ => Err(Rejection::MalformedRequest("expected `Bearer` or `DPoP`, a space and a token")),
    }
}

/// Whether the request presents its token with the scheme `DPoP`.
pub(crate) fn is_dpop(headers: &HeaderMap) -> bool {
    headers.get(AUTHORIZATION).is_some_and(|value| has_token(value, DPOP))
}

/// The token as text.
pub(crate) fn as_text(token: &[u8]) -> Result<&str, Rejection> {
    std::str::from_utf8(token).map_err(|_| not_a_token())
}

/// The final rejection of a token: one that is not `token68` (RFC 9110 section 11.2) is a malformed request, whatever
/// else is wrong with it. Checked last, since every valid token consists of these characters.
pub(crate) fn classify(token: &str, rejection: Rejection) -> Rejection {
    match rejection {
        // All of its parts were decoded before its signature was checked: it has no other characters.
        Rejection::InvalidToken(why) if why == TokenError::BadSignature.into() => rejection,
        Rejection::InvalidToken(_) if !is_token68(token) => not_a_token(),
        other => other,
    }
}

/// Whether it consists of a token's characters (RFC 9110 section 11.2).
pub(crate) fn is_token68(token: &str) -> bool {
    let letters = token.trim_end_matches('=');
    // Without an early exit, so that the compiler vectorizes it: an invalid token should not cost more than a valid
    // one. `-./` and the digits are neighbours in ASCII.
    let allowed = |byte: u8| {
        (byte | 0x20).wrapping_sub(b'a') < 26
            || byte.wrapping_sub(b'-') < 13
            || matches!(byte, b'_' | b'~' | b'+')
    };
    !letters.is_empty() && letters.bytes().fold(true, |all, byte| all & allowed(byte))
}

pub(crate) fn not_a_token() -> Rejection {
    Rejection::MalformedRequest("the token has characters that are not allowed in a token")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(values: &[&[u8]]) -> Result<Option<String>, &'static str> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, HeaderValue::from_bytes(value).unwrap());
        }
        let mut request = Request::new(());
        *request.headers_mut() = headers;
        let token =
            TokenLocations::default().token(&(&request).into()).map_err(|rejection| rejection.code())?;
        let Some(text) = token
            .as_ref()
            .map(|found| as_text(&found.token))
            .transpose()
            .map_err(|rejection| rejection.code())?
        else {
            return Ok(None);
        };
        match classify(text, TokenError::Base64.into()) {
            Rejection::InvalidToken(_) => Ok(Some(text.to_owned())),
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
    fn malformed_headers_are_rejected() {
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
    fn credentials_of_any_scheme_are_marked_in_each_header() {
        let locations = TokenLocations {
            header: Some(HeaderName::from_static("x-token")),
            cookie: Some("at".into()),
            ..TokenLocations::default()
        };
        let mut request = Request::new(());
        for (name, value) in [
            ("authorization", "DPoP secret"),
            ("authorization", "Basic secret"),
            ("authorization", "secret"),
            ("x-token", "secret"),
            ("x-token", "secret"),
            ("cookie", "at=secret"),
            ("x-other", "shown"),
        ] {
            request.headers_mut().append(name, HeaderValue::from_static(value));
        }
        locations.mark_all(request.headers_mut());
        let text = format!("{request:?}");
        assert!(!text.contains("secret") && text.contains("shown"), "{text}");
        assert_eq!(text.matches("Sensitive").count(), 6, "{text}");
    }

    #[test]
    fn two_headers_are_rejected_whatever_their_value() {
        assert_eq!(read(&[b"Bearer a.b.c", b"Bearer a.b.c"]), Err("invalid_request"));
        assert_eq!(read(&[b"Basic YTpi", b"Bearer a.b.c"]), Err("invalid_request"));
    }
}
