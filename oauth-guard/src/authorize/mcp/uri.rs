//! URIs as patterns see them.
//!
//! A pattern compares texts, and a server parses: what it takes for one resource must not have a spelling that goes past the
//! rule. Where parsers agree about two spellings, one is accepted; where they differ, both meet the rule.

use std::borrow::Cow;

use url::Url;

use super::glob;

/// Why a URI has another spelling that means the same (RFC 3986 section 6.2), or may be read in more than one way.
pub(super) fn flaw(uri: &str) -> Option<&'static str> {
    // What some readers drop, or take for a slash, a URI does not have (RFC 3986 section 2).
    let is_foreign = |char: char| char.is_control() || char.is_whitespace() || r#""<>\^`{|}"#.contains(char);
    if uri.contains(is_foreign) {
        return Some("it has a character that a URI does not have");
    }
    if uri.split('%').skip(1).any(|rest| escaped(rest).is_none_or(|byte| is_unreserved(byte) || byte < b' '))
    {
        return Some("it has a percent-encoding that is malformed, in lower case or not needed");
    }
    if String::from_utf8(decoded(uri)).is_err() {
        return Some("its percent-encodings are not UTF-8");
    }
    let (scheme, rest) = uri.split_once(':').unwrap_or(("", uri));
    if scheme.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Some("its scheme is not in lower case");
    }
    let path = parts(rest).1;
    if path.split('/').any(|segment| matches!(segment, "." | "..")) {
        return Some("its path has a segment . or ..");
    }
    // Servers decode a path as a whole.
    if path.contains("%2F") || path.contains("%5C") {
        return Some("its path has an encoded slash or backslash");
    }
    match scheme {
        // Browsers' rules, which JavaScript and many libraries read these by: one spelling is left.
        "http" | "https" | "ws" | "wss" | "ftp" => {
            let uri = mapped(uri);
            let is_normal = Url::parse(&uri).is_ok_and(|parsed| parsed.as_str() == uri);
            (!is_normal).then_some("its host, port, user or path has another spelling")
        }
        "file" => flaw_of_file(rest),
        _ => None,
    }
}

/// A path of the operating system, which takes several slashes for one (RFC 8089 section 2).
fn flaw_of_file(rest: &str) -> Option<&'static str> {
    let (authority, path) = parts(rest);
    let needs_none = |rest: &str| escaped(rest).is_some_and(|byte| b"!$&'()*+,;=:@".contains(&byte));
    match authority {
        None => Some("it does not begin with file://"),
        Some("localhost") => Some("it names localhost, which file:/// means already"),
        Some(host) if host.bytes().any(|byte| byte.is_ascii_uppercase()) => {
            Some("its host is not in lower case")
        }
        _ if path.contains("//") => Some("its path has two slashes in a row"),
        _ if path.len() > 1 && path.ends_with('/') => Some("its path has a slash at the end"),
        _ if path.split('%').skip(1).any(needs_none) => Some("it has a percent-encoding that is not needed"),
        _ if path.contains(['[', ']']) => Some("it has a character that a path does not have"),
        _ if rest.contains(['?', '#']) => Some("it has a query or a fragment, which a file does not have"),
        _ => None,
    }
}

/// Whether a pattern is for a URI, in the spelling that it is sent in or in the one that others of the same meaning have.
pub(super) fn matches(pattern: &str, uri: &str) -> bool {
    glob::matches(pattern, uri) || glob::matches(&in_one_case(pattern), &in_one_case(uri))
}

/// Why no URI that is accepted can match a pattern that begins with a scheme. `*` stands for any text.
pub(super) fn flaw_of_pattern(pattern: &str) -> Option<&'static str> {
    let literal = pattern.split('*').next().unwrap_or_default();
    // With a letter or more in a star's place: as a path, a host or a part of either.
    literal.contains("://").then(|| flaw(&pattern.replace('*', "a/a"))).flatten()
}

/// With what is not ASCII percent-encoded (RFC 3987 section 3.1), and the host in lower case: some servers take it for a
/// host, which has no case, and others for a name.
fn in_one_case(uri: &str) -> Cow<'_, str> {
    let uri = mapped(uri);
    let Some((scheme, rest)) = uri.split_once("://") else { return uri };
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    if !host.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return uri;
    }
    format!("{scheme}://{}{path}", host.to_ascii_lowercase()).into()
}

fn mapped(uri: &str) -> Cow<'_, str> {
    if uri.is_ascii() {
        return uri.into();
    }
    let written = uri.bytes().map(|byte| match byte.is_ascii() {
        true => char::from(byte).to_string(),
        false => format!("%{byte:02X}"),
    });
    written.collect::<String>().into()
}

/// Without its percent-encodings, which are well-formed.
fn decoded(uri: &str) -> Vec<u8> {
    let mut parts = uri.split('%');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        bytes.extend(escaped(part));
        bytes.extend_from_slice(part.get(2..).unwrap_or_default().as_bytes());
    }
    bytes
}

/// The authority, if there is one, and the path.
fn parts(rest: &str) -> (Option<&str>, &str) {
    let (hierarchy, _) = rest.split_at(rest.find(['?', '#']).unwrap_or(rest.len()));
    match hierarchy.strip_prefix("//") {
        Some(rest) => {
            let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            (Some(authority), path)
        }
        None => (None, hierarchy),
    }
}

/// The byte that the two digits behind a `%` stand for, which are in upper case.
fn escaped(rest: &str) -> Option<u8> {
    let digits = rest.get(..2)?;
    let is_upper = digits.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'A'..=b'F'));
    is_upper.then(|| u8::from_str_radix(digits, 16).ok()).flatten()
}

/// RFC 3986 section 2.3: these are never encoded.
fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_spelling_of_a_uri_is_accepted() {
        for uri in [
            "file:///",
            "file:///secret/keys",
            "file://server/share/keys",
            "file:///a%20b/%C3%A9",
            "file:///sécret",
            "https://api.example.com/",
            "https://user:Pw@api.example.com:8443/a//b?q=%2F#part",
            "note://World",
            "note:today",
            "urn:isbn:0451450523",
            "postgres://database/Customers/schema",
            "repo://Acme/Anvil",
            "web://fetch/https://example.com/x",
            "a...b/..c/d..",
            "",
        ] {
            assert_eq!(flaw(uri), None, "{uri}");
        }
        for uri in [
            "FILE:///secret/keys",
            "file:/secret/keys",
            "file://localhost/secret/keys",
            "file://Server/share",
            "file:///public/../secret/keys",
            "file:///secret/./keys",
            "file:///public/..",
            "file:///public/..%2Fsecret/keys",
            "file:////secret/keys",
            "file:///secret//keys",
            "file:///secret/keys/",
            "file:///secret/keys?",
            "file:///secret/keys#part",
            "file:///%73ecret/keys",
            "file:///secret%2fkeys",
            "file:///secret%2Fkeys",
            "file:///%2Fsecret/keys",
            "file:///secret%5Ckeys",
            "file:///secret%00/keys",
            "file:///secret%3Dkeys",
            "file:///secret%C0%AFkeys",
            "file:///secret/[keys]",
            "file:///secret/%",
            "file:///secret/%2",
            "file:///secret/%é",
            "file:///secret\\keys",
            "file:///secr\tet/keys",
            "file:///secret\u{a0}/keys",
            " file:///secret/keys",
            "https://API.example.com/",
            "https://api.example.com",
            "https://api.example.com?q",
            "https://api.example.com:443/",
            "https://api.example.com:0443/",
            "https://api.example.com:/",
            "https:/api.example.com/secret",
            "https:api.example.com/secret",
            "https:///api.example.com/secret",
            "https://@api.example.com/secret",
            "https://:@api.example.com/secret",
            "http://api.example.com:80/",
            "ftp://host:21/",
            "wss://host",
            "note:a/../b",
            "note://a/b%2Fc",
        ] {
            assert!(flaw(uri).is_some(), "{uri}");
        }
    }

    #[test]
    fn a_pattern_matches_the_uri_however_its_host_and_its_letters_are_written() {
        for (pattern, uri) in [
            ("repo://acme/*", "repo://acme/anvil"),
            ("repo://acme/*", "repo://ACME/anvil"),
            ("jira://PROJ*", "jira://PROJ-1"),
            ("jira://PROJ*", "jira://proj-1"),
            ("*ACME*", "repo://ACME/anvil"),
            ("memo://é/*", "memo://%C3%A9/1"),
            ("memo://%C3%A9/*", "memo://é/1"),
            ("*", "anything"),
        ] {
            assert!(matches(pattern, uri), "{pattern} {uri}");
        }
        for (pattern, uri) in
            [("repo://acme/Anvil", "repo://acme/anvil"), ("repo://acme/*", "repo://other/acme/")]
        {
            assert!(!matches(pattern, uri), "{pattern} {uri}");
        }
    }

    #[test]
    fn a_pattern_that_matches_nothing_is_found() {
        for pattern in [
            "*",
            "file:*",
            "file://*",
            "file:///secret/*",
            "https://*",
            "https://*.example.com/*",
            "https://api.example.com/v*/x",
            "jira://PROJ*",
            "delete_*",
            "%",
        ] {
            assert_eq!(flaw_of_pattern(pattern), None, "{pattern}");
        }
        for pattern in
            ["FILE:///secret/*", "file:///a/../*", "file://localhost/*", "https://API.example.com/*"]
        {
            assert!(flaw_of_pattern(pattern).is_some(), "{pattern}");
        }
    }
}
