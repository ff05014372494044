//! What a trusted proxy says that its caller has asked for: `Forwarded` (RFC 7239) and `X-Forwarded-*`.

use http::HeaderMap;

use super::elements::{last_element, pairs};
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
        if let Some(text) = value(headers, "forwarded")? {
            let element = last_element(text).ok_or(MALFORMED)?;
            for pair in pairs(element) {
                let pair = pair.ok_or(MALFORMED)?;
                let place = match &pair {
                    pair if pair.is("proto") => &mut standard.scheme,
                    pair if pair.is("host") => &mut standard.host,
                    _ => continue,
                };
                // A backslash in a host would be an escape that no host needs.
                if place.replace(pair.value).is_some() || pair.value.contains('\\') {
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

/// The last header of that name.
fn value<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, Rejection> {
    let value = headers.get_all(name).iter().next_back();
    value.map(|value| value.to_str().map_err(|_| MALFORMED)).transpose()
}

/// The last item of its list, which knows no quotes.
fn last<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, Rejection> {
    Ok(value(headers, name)?.and_then(|text| text.rsplit(',').next()).map(str::trim))
}
