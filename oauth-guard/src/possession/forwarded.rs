//! What a trusted proxy says that its caller has asked for: `Forwarded` (RFC 7239) and `X-Forwarded-*`.

use http::HeaderMap;

use super::elements::{last_element, pairs};
use crate::reject::Rejection;

/// As the last proxy wrote it. What stands in front of it in a list came from its own caller.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Forwarded<'a> {
    pub(super) scheme: Option<&'a str>,
    pub(super) host: Option<&'a str>,
    /// A path that the proxy has taken off, without a slash at the end.
    pub(super) prefix: Option<&'a str>,
}

const DISAGREE: Rejection = Rejection::MalformedRequest("Forwarded and X-Forwarded-* do not say the same");
const MALFORMED: Rejection = Rejection::MalformedRequest("a Forwarded or X-Forwarded-* header is malformed");

impl<'a> Forwarded<'a> {
    /// # Errors
    /// When they are malformed, and when `Forwarded` and `X-Forwarded-*` do not say the same: a proxy that writes the one and
    /// passes the other on would let its callers choose. A proxy that writes some of `X-Forwarded-*` and passes
    /// the others on looks like one that writes them all, and is not noticed.
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
        let usual = Self {
            scheme: last(headers, "x-forwarded-proto")?,
            host: last(headers, "x-forwarded-host")?,
            prefix: last(headers, "x-forwarded-prefix")?
                .map(|prefix| prefix.trim_end_matches('/'))
                .filter(|prefix| !prefix.is_empty()),
        };
        let Self { scheme, host, prefix } = one_of(standard, usual)?;
        let is_scheme = |text: &str| ["http", "https"].iter().any(|one| text.eq_ignore_ascii_case(one));
        let is_host = |text: &str| !text.is_empty() && !text.contains(['/', '?', '#', '@', ' ', ',', '"']);
        let is_path = |text: &str| text.starts_with('/') && !text.contains(['?', '#', ' ']);
        if !scheme.is_none_or(is_scheme) || !host.is_none_or(is_host) || !prefix.is_none_or(is_path) {
            return Err(MALFORMED);
        }
        Ok(Self { scheme, host, prefix })
    }
}

/// The one that is there. Where both are, each says all that the other one says; a prefix is in the usual ones alone.
fn one_of<'a>(standard: Forwarded<'a>, usual: Forwarded<'a>) -> Result<Forwarded<'a>, Rejection> {
    let is_same = |one: Option<&str>, other: Option<&str>| match (one, other) {
        (Some(one), Some(other)) => one.eq_ignore_ascii_case(other),
        (one, other) => one == other,
    };
    let nothing = Forwarded::default();
    if standard != nothing
        && usual != nothing
        && !(is_same(standard.scheme, usual.scheme) && is_same(standard.host, usual.host))
    {
        return Err(DISAGREE);
    }
    Ok(if usual == nothing { standard } else { usual })
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
