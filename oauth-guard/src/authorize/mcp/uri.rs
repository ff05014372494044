//! The normal form of a URI, as far as a pattern depends on it.

/// Why a URI has another spelling that means the same (RFC 3986 section 6.2), or may be read in more than one way. Patterns
/// compare texts: such a spelling would go past the rule that is meant for it.
pub(super) fn flaw(uri: &str) -> Option<&'static str> {
    // Outside of ASCII, and with what some readers drop or take for a slash, a URI is none (RFC 3986 section 2).
    if !uri.bytes().all(|byte| byte.is_ascii_graphic() && !br#""<>\^`{|}"#.contains(&byte)) {
        return Some("it has a character that a URI does not have");
    }
    if uri.split('%').skip(1).any(|rest| !is_escape_of_reserved(rest)) {
        return Some("it has a percent-encoding that is malformed, in lower case or not needed");
    }
    let (scheme, rest) = uri.split_once(':').unwrap_or(("", uri));
    if scheme.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Some("its scheme is not in lower case");
    }
    let (hierarchy, _) = split_at_any(rest, &['?', '#']);
    let (authority, path) = match hierarchy.strip_prefix("//") {
        Some(rest) => {
            let (authority, path) = split_at_any(rest, &['/']);
            (Some(authority), path)
        }
        None => (None, hierarchy),
    };
    if path.split('/').any(|segment| matches!(segment, "." | "..")) {
        return Some("its path has a segment . or ..");
    }
    if authority.is_some_and(|authority| has_other_spelling(scheme, authority)) {
        return Some("its host is not in lower case, or its port is empty or the usual one");
    }
    match scheme {
        "http" | "https" if path.is_empty() => Some("its path is empty instead of /"),
        "file" => flaw_of_file(authority, path, rest),
        _ => None,
    }
}

/// A path of the operating system, which takes several slashes for one (RFC 8089 section 2).
fn flaw_of_file(authority: Option<&str>, path: &str, rest: &str) -> Option<&'static str> {
    match authority {
        None => Some("it does not begin with file://"),
        Some("localhost") => Some("it names localhost, which file:/// means already"),
        _ if path.contains("//") => Some("its path has two slashes in a row"),
        _ if rest.contains(['?', '#']) => Some("it has a query or a fragment, which a file does not have"),
        _ => None,
    }
}

fn has_other_spelling(scheme: &str, authority: &str) -> bool {
    let host_and_port = authority.rsplit_once('@').map_or(authority, |(_, rest)| rest);
    let usual = match scheme {
        "http" | "ws" => ":80",
        "https" | "wss" => ":443",
        _ => ":",
    };
    host_and_port.bytes().any(|byte| byte.is_ascii_uppercase())
        || host_and_port.ends_with(':')
        || host_and_port.ends_with(usual)
}

/// Whether what follows a `%` are two digits, in upper case, of a byte that could not stand there as it is (RFC 3986
/// section 2.3).
fn is_escape_of_reserved(rest: &str) -> bool {
    let Some(digits) = rest.get(..2) else { return false };
    let is_upper = digits.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'A'..=b'F'));
    is_upper
        && u8::from_str_radix(digits, 16)
            .is_ok_and(|byte| !(byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')))
}

fn split_at_any<'a>(text: &'a str, chars: &[char]) -> (&'a str, &'a str) {
    text.split_at(text.find(chars).unwrap_or(text.len()))
}

/// Why no URI in normal form can match a pattern that begins with a scheme. `*` stands for any text.
pub(super) fn flaw_of_pattern(pattern: &str) -> Option<&'static str> {
    let literal = pattern.split('*').next().unwrap_or_default();
    // With one letter or more in a star's place: as a path, a host or a part of either.
    literal.contains("://").then(|| flaw(&pattern.replace('*', "a/a"))).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_spelling_of_a_uri_is_its_normal_form() {
        for uri in [
            "file:///secret/keys",
            "file://server/share/keys",
            "file:///a%20b/%C3%A9",
            "https://api.example.com/",
            "https://user:Pw@api.example.com:8443/a//b?q=%2F#part",
            "note://",
            "note:today",
            "urn:isbn:0451450523",
            "postgres://database/customers/schema",
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
            "file:///public/../secret/keys",
            "file:///secret/./keys",
            "file:///public/..",
            "file:////secret/keys",
            "file:///secret//keys",
            "file:///secret/keys?",
            "file:///secret/keys#part",
            "file:///%73ecret/keys",
            "file:///secret%2fkeys",
            "file:///secret/%",
            "file:///secret/%2",
            "file:///secret/%é",
            "file:///secret\\keys",
            "file:///secr\tet/keys",
            " file:///secret/keys",
            "file:///sécret",
            "https://API.example.com/",
            "https://api.example.com",
            "https://api.example.com?q",
            "https://api.example.com:443/",
            "https://api.example.com:/",
            "http://api.example.com:80/",
            "db://Server/table",
            "note:a/../b",
        ] {
            assert!(flaw(uri).is_some(), "{uri}");
        }
    }

    #[test]
    fn a_pattern_that_no_normal_form_matches_is_found() {
        for pattern in [
            "*",
            "file:*",
            "file://*",
            "file:///secret/*",
            "https://*",
            "https://*.example.com/*",
            "https://api.example.com/v*/x",
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
