//! Whether two URLs are the same, after RFC 3986 sections 6.2.2 and 6.2.3: the case of scheme, host and percent-encodings,
//! encodings of characters that need none, dot segments, default ports, the empty path.

use std::borrow::Cow;

/// How a proof's URL compares with the one that was called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UrlMatch {
    Same,
    /// The same but for `http` and `https`: as it comes to a proxy that ends TLS.
    OtherScheme,
    Other,
}

/// Compares `htu` with scheme, authority and a base path (`https://api.example.com/base`), followed by a path. Query and
/// fragment of `htu` do not count.
pub(crate) fn compare(htu: &str, base: &str, path: &str) -> UrlMatch {
    let htu = htu.split(['?', '#']).next().unwrap_or_default();
    // Nearly always they are spelled alike.
    if htu.len() == base.len() + path.len() && htu.strip_prefix(base) == Some(path) && path.starts_with('/') {
        return UrlMatch::Same;
    }
    let called = [base, path].concat();
    match (Url::read(htu), Url::read(&called)) {
        (Some(one), Some(other)) if one.same_place(&other) => {
            if one.scheme == other.scheme {
                UrlMatch::Same
            } else {
                UrlMatch::OtherScheme
            }
        }
        _ => UrlMatch::Other,
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Url {
    scheme: &'static str,
    /// Host and, where it is another than the scheme's own, port.
    authority: String,
    path: String,
}

impl Url {
    fn read(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let (scheme, own_port) = match scheme {
            _ if scheme.eq_ignore_ascii_case("https") => ("https", "443"),
            _ if scheme.eq_ignore_ascii_case("http") => ("http", "80"),
            _ => return None,
        };
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        // `user@host` is no spelling of `host`.
        if authority.contains('@') || !text.is_ascii() {
            return None;
        }
        // An IPv6 address has colons, in brackets.
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => (host, port),
            _ => (authority, ""),
        };
        if host.is_empty() || !port.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let mut authority = decoded(host)?.to_ascii_lowercase();
        if !port.is_empty() && port != own_port {
            authority.push(':');
            authority.push_str(port);
        }
        Some(Self { scheme, authority, path: without_dots(&decoded(path)?) })
    }

    fn same_place(&self, other: &Self) -> bool {
        self.path == other.path && self.authority == other.authority
    }
}

/// Percent-encodings in capitals, and those of unreserved characters resolved. `None` for a `%` that begins none.
fn decoded(text: &str) -> Option<Cow<'_, str>> {
    if !text.contains('%') {
        return Some(Cow::Borrowed(text));
    }
    let mut parts = text.split('%');
    let mut decoded = parts.next()?.to_owned();
    for part in parts {
        let (digits, rest) = part.split_at_checked(2)?;
        if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        let byte = u8::from_str_radix(digits, 16).ok()?;
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            decoded.push(byte.into());
        } else {
            decoded.push('%');
            decoded.push_str(&digits.to_ascii_uppercase());
        }
        decoded.push_str(rest);
    }
    Some(Cow::Owned(decoded))
}

/// RFC 3986 section 5.2.4, and an empty path is `/`.
fn without_dots(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        match segment {
            "." | ".." => {
                if segment == ".." {
                    kept.pop();
                }
                // What they lead to is a directory.
                if is_last {
                    kept.push("");
                }
            }
            other => kept.push(other),
        }
    }
    ["/", &kept.join("/")].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_url_are_the_same() {
        const HERE: (&str, &str) = ("https://api.example.com", "/orders/%C3%BC/a-b_c.d~e");
        for (htu, expected) in [
            ("https://api.example.com/orders/%C3%BC/a-b_c.d~e", UrlMatch::Same),
            ("https://api.example.com/orders/%C3%BC/a-b_c.d~e?page=2", UrlMatch::Same),
            ("https://api.example.com/orders/%C3%BC/a-b_c.d~e#top", UrlMatch::Same),
            ("https://api.example.com/orders/%C3%BC/a-b_c.d~e?#", UrlMatch::Same),
            ("HTTPS://API.Example.COM/orders/%C3%BC/a-b_c.d~e", UrlMatch::Same),
            ("https://api.example.com:443/orders/%C3%BC/a-b_c.d~e", UrlMatch::Same),
            ("https://api.example.com:/orders/%C3%BC/a-b_c.d~e", UrlMatch::Same),
            ("https://api.example.com/orders/%c3%bc/a-b_c.d~e", UrlMatch::Same),
            ("https://api.example.com/%6frders/%C3%BC/a%2Db%5Fc%2ed%7Ee", UrlMatch::Same),
            ("https://%61pi.example.com/orders/%C3%BC/a-b_c.d~e", UrlMatch::Same),
            ("https://api.example.com/./orders/x/../%C3%BC/a-b_c.d~e", UrlMatch::Same),
            ("https://api.example.com/../orders/%C3%BC/%2e/a-b_c.d~e", UrlMatch::Same),
            ("http://api.example.com/orders/%C3%BC/a-b_c.d~e", UrlMatch::OtherScheme),
            ("http://api.example.com:80/orders/%C3%BC/a-b_c.d~e", UrlMatch::OtherScheme),
            ("https://api.example.com:80/orders/%C3%BC/a-b_c.d~e", UrlMatch::Other),
            ("https://api.example.com:8443/orders/%C3%BC/a-b_c.d~e", UrlMatch::Other),
            ("https://api.example.com:0443/orders/%C3%BC/a-b_c.d~e", UrlMatch::Other),
            ("https://api.example.com:x/orders/%C3%BC/a-b_c.d~e", UrlMatch::Other),
            ("https://api.example.com./orders/%C3%BC/a-b_c.d~e", UrlMatch::Other),
            ("https://api.example.org/orders/%C3%BC/a-b_c.d~e", UrlMatch::Other),
            ("https://ada@api.example.com/orders/%C3%BC/a-b_c.d~e", UrlMatch::Other),
            ("https://api.example.com@evil.example/orders/%C3%BC/a-b_c.d~e", UrlMatch::Other),
            ("https://api.example.com/Orders/%C3%BC/a-b_c.d~e", UrlMatch::Other),
            ("https://api.example.com/orders/%C3%BC/a-b_c.d~e/", UrlMatch::Other),
            ("https://api.example.com//orders/%C3%BC/a-b_c.d~e", UrlMatch::Other),
            ("https://api.example.com/orders%2F%C3%BC/a-b_c.d~e", UrlMatch::Other),
            ("https://api.example.com/orders/\u{fc}/a-b_c.d~e", UrlMatch::Other),
            ("https://api.example.com/orders/%C3%B/a-b_c.d~e", UrlMatch::Other),
            ("https://api.example.com/orders/%C3%B\u{e9}", UrlMatch::Other),
            ("https://api.example.com/orders/%C3%BC", UrlMatch::Other),
            ("/orders/%C3%BC/a-b_c.d~e", UrlMatch::Other),
            ("//api.example.com/orders/%C3%BC/a-b_c.d~e", UrlMatch::Other),
            ("ftp://api.example.com/orders/%C3%BC/a-b_c.d~e", UrlMatch::Other),
            ("https:///orders/%C3%BC/a-b_c.d~e", UrlMatch::Other),
            (" https://api.example.com/orders/%C3%BC/a-b_c.d~e", UrlMatch::Other),
            ("", UrlMatch::Other),
        ] {
            assert_eq!(compare(htu, HERE.0, HERE.1), expected, "{htu}");
        }
    }

    #[test]
    fn an_empty_path_is_the_root_and_addresses_have_ports() {
        for (htu, base, path) in [
            ("https://a.example", "https://a.example", "/"),
            ("https://a.example/", "https://a.example", ""),
            ("https://a.example?x", "https://a.example", "/"),
            ("https://a.example/.", "https://a.example", "/"),
            ("https://a.example/b/", "https://a.example", "/b/c/.."),
            ("http://[2001:DB8::1]/", "http://[2001:db8::1]:80", "/"),
            ("http://[::1]:8080/a", "http://[::1]:8080", "/a"),
            ("https://a.example/base/x", "https://a.example:443/base", "/x"),
            ("http://127.0.0.1:3000/x", "http://127.0.0.1:3000", "/x"),
        ] {
            assert_eq!(compare(htu, base, path), UrlMatch::Same, "{htu} and {base}{path}");
        }
        for (htu, base, path) in [
            ("http://[::1]:8080/a", "http://[::1]", "/a"),
            ("https://a.example/base", "https://a.example", "/bas/e"),
            ("https://a.example/basex", "https://a.example/base", "x"),
        ] {
            let found = compare(htu, base, path);
            assert!(found == UrlMatch::Other || !path.starts_with('/'), "{htu} and {base}{path}: {found:?}");
        }
    }
}
