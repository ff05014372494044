//! Which pages may send requests: the header `Origin` (RFC 6454 section 7).
//!
//! A page of another origin can reach a server in the user's network by rebinding its own name to that server's address
//! (DNS rebinding). The browser still sends the page's origin.

use http::HeaderMap;
use http::header::ORIGIN;
use url::Url;

use crate::error::Problems;
use crate::reject::Rejection;

/// The origins that are allowed.
#[derive(Debug)]
pub(crate) struct Origins(Box<[Box<str>]>);

impl Origins {
    pub(crate) fn new(configured: &[String], problems: &mut Problems) -> Self {
        let read = |(index, text): (usize, &String)| {
            origin(text).map_err(|why| problems.add(format!("allowed_origins[{index}]"), why)).ok()
        };
        Self(configured.iter().enumerate().filter_map(read).collect())
    }

    /// Requests that no page sent have no origin, and are let through.
    pub(crate) fn check(&self, headers: &HeaderMap) -> Result<(), Rejection> {
        let mut values = headers.get_all(ORIGIN).iter();
        let Some(origin) = values.next() else { return Ok(()) };
        if values.next().is_some() {
            return Err(Rejection::MalformedRequest("Origin occurs twice"));
        }
        if self.0.iter().any(|allowed| allowed.as_bytes() == origin.as_bytes()) {
            return Ok(());
        }
        Err(Rejection::OriginNotAllowed)
    }
}

/// An origin as browsers write it: without the scheme's own port, and in small letters.
fn origin(text: &str) -> Result<Box<str>, String> {
    const EXPECTED: &str = "expected an origin such as https://app.example.com";
    match text {
        "*" => return Err("`*` is no origin; leave allowed_origins out to allow every page".to_owned()),
        "null" => {
            return Err(
                "`null` is the origin of every sandboxed page, of any author; name origins".to_owned()
            );
        }
        _ => {}
    }
    let Ok(url) = Url::parse(text) else { return Err(EXPECTED.to_owned()) };
    let Some(host) = url.host_str().filter(|host| !host.is_empty()) else { return Err(EXPECTED.to_owned()) };
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    let origin = format!("{}://{host}{port}", url.scheme());
    // What follows the host, be it a lone slash, is never part of an origin.
    let rest = text.split_once("://").map_or("", |(_, rest)| rest);
    if rest.contains(['/', '?', '#', '@', '\\']) {
        return Err(format!("has more than scheme, host and port; write {origin}"));
    }
    if host.contains('*') || host.contains("%2A") {
        return Err("has a `*`, and origins are compared as a whole; name each of them".to_owned());
    }
    Ok(origin.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_scheme_host_and_port_and_nothing_else() {
        for (text, expected) in [
            ("https://app.example.com", "https://app.example.com"),
            ("https://App.Example.com:443", "https://app.example.com"),
            ("http://localhost:8080", "http://localhost:8080"),
            ("http://127.0.0.1:80", "http://127.0.0.1"),
            ("http://[::1]:3000", "http://[::1]:3000"),
            ("https://bücher.example", "https://xn--bcher-kva.example"),
            ("chrome-extension://abcdefghijklmnop", "chrome-extension://abcdefghijklmnop"),
        ] {
            assert_eq!(origin(text).as_deref(), Ok(expected), "{text}");
        }
        for (text, hint) in [
            ("https://app.example.com/", "write https://app.example.com"),
            ("https://app.example.com:8443/path", "write https://app.example.com:8443"),
            ("https://app.example.com?x=1", "write https://app.example.com"),
            ("https://app.example.com#top", "write https://app.example.com"),
            ("https://user@app.example.com", "write https://app.example.com"),
            ("https://*.example.com", "name each of them"),
            ("*", "leave allowed_origins out"),
            ("null", "name origins"),
            ("app.example.com", "expected an origin"),
            ("localhost:8080", "expected an origin"),
            ("file:///etc/passwd", "expected an origin"),
            ("", "expected an origin"),
        ] {
            let why = origin(text).unwrap_err();
            assert!(why.contains(hint), "{text}: {why}");
        }
    }
}
