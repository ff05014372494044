//! What a trusted proxy says that its caller has asked for: `Forwarded` (RFC 7239) and `X-Forwarded-*`.

use http::HeaderMap;

use crate::reject::Rejection;

/// As the last proxy wrote it. What stands in front of it in a list came from its own caller.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Forwarded<'a> {
    pub(super) scheme: Option<&'a str>,
    pub(super) host: Option<&'a str>,
    /// A path that the proxy has taken off, without a slash at the end.
    pub(super) prefix: Option<&'a str>,
}

const DISAGREE: Rejection = Rejection::MalformedRequest("Forwarded and X-Forwarded-* contradict each other");
const MALFORMED: Rejection = Rejection::MalformedRequest("a Forwarded or X-Forwarded-* header is malformed");

impl<'a> Forwarded<'a> {
    /// # Errors
    /// When they are malformed or contradict each other: a proxy that writes one of them and passes the other on would let
    /// its callers choose.
    pub(super) fn read(headers: &'a HeaderMap) -> Result<Self, Rejection> {
        let mut standard = Self::default();
        if let Some(element) = last(headers, "forwarded")? {
            for pair in split_quoted(element, ';') {
                let Some((name, value)) = pair.split_once('=') else {
                    if pair.trim().is_empty() {
                        continue;
                    }
                    return Err(MALFORMED);
                };
                let place = match name.trim() {
                    name if name.eq_ignore_ascii_case("proto") => &mut standard.scheme,
                    name if name.eq_ignore_ascii_case("host") => &mut standard.host,
                    _ => continue,
                };
                let value = value.trim();
                let value = match value.strip_prefix('"') {
                    Some(rest) => rest.strip_suffix('"').ok_or(MALFORMED)?,
                    None => value,
                };
                // A backslash in a host would be an escape that no host needs.
                if place.replace(value).is_some() || value.contains(['\\', '"']) {
                    return Err(MALFORMED);
                }
            }
        }
        let scheme = either(standard.scheme, last(headers, "x-forwarded-proto")?, |one, two| {
            one.eq_ignore_ascii_case(two)
        })?;
        let host = either(standard.host, last(headers, "x-forwarded-host")?, |one, two| {
            one.eq_ignore_ascii_case(two)
        })?;
        let prefix = last(headers, "x-forwarded-prefix")?.map(|prefix| prefix.trim_end_matches('/'));
        let is_scheme = |text: &str| ["http", "https"].iter().any(|one| text.eq_ignore_ascii_case(one));
        let is_host = |text: &str| !text.is_empty() && !text.contains(['/', '?', '#', '@', ' ', ',', '"']);
        let is_path =
            |text: &str| text.is_empty() || (text.starts_with('/') && !text.contains(['?', '#', ' ']));
        if !scheme.is_none_or(is_scheme) || !host.is_none_or(is_host) || !prefix.is_none_or(is_path) {
            return Err(MALFORMED);
        }
        Ok(Self { scheme, host, prefix: prefix.filter(|prefix| !prefix.is_empty()) })
    }
}

fn either<'a>(
    one: Option<&'a str>,
    other: Option<&'a str>,
    is_same: impl Fn(&str, &str) -> bool,
) -> Result<Option<&'a str>, Rejection> {
    match (one, other) {
        (Some(one), Some(other)) if !is_same(one, other) => Err(DISAGREE),
        (one, other) => Ok(one.or(other)),
    }
}

/// The last element of a list, of the last header of that name.
fn last<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, Rejection> {
    let Some(value) = headers.get_all(name).iter().next_back() else { return Ok(None) };
    let text = value.to_str().map_err(|_| MALFORMED)?;
    Ok(split_quoted(text, ',').last().map(str::trim))
}

/// Splits where the separator is not within quotes.
pub(super) fn split_quoted(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    text.split(move |char| {
        if is_escaped {
            is_escaped = false;
            return false;
        }
        match char {
            '\\' if is_quoted => is_escaped = true,
            '"' => is_quoted = !is_quoted,
            _ => {}
        }
        char == separator && !is_quoted
    })
}
