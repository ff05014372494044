//! Spellings of a URI.
//!
//! A pattern compares texts, and a server parses: what it takes for a resource that a rule is for must not have a spelling
//! that goes past the rule, and what is somewhere else must not look as if a rule were for it. So patterns are compared
//! twice, as written and by a skeleton that all spellings have in common. Where that makes a difference, the request is
//! refused.

use url::Url;

use super::glob;
use crate::authorize::path;

/// Whether a server could take the URI for one that the pattern matches while the text says otherwise, or the reverse.
/// Both skeletons are those of [`skeleton`].
pub(super) fn is_ambiguous(pattern: &str, of_pattern: &str, uri: &str, of_uri: &str) -> bool {
    // Without its last slash, a name may be that of the same file.
    let without_slash = of_uri.strip_suffix('/').unwrap_or(of_uri);
    let means = glob::matches(of_pattern, of_uri) || glob::matches(of_pattern, without_slash);
    means != glob::matches(pattern, uri)
}

/// Whether readers of this URI see another host than the text shows: an international name, or an address in an
/// unusual form.
pub(super) fn hides_its_host(uri: &str) -> bool {
    let (scheme, rest) = split_scheme(uri);
    let Some(port) = usual_port(scheme) else { return false };
    let (host, _) = split_host(rest, true);
    let Ok(parsed) = Url::parse(uri) else { return true };
    let seen = parsed.host_str().map(|seen| match parsed.port() {
        Some(port) => format!("{seen}:{port}"),
        None => seen.to_owned(),
    });
    seen != Some(bare_host(host, Some(port)))
}

/// What all spellings of a URI or a pattern have in common: in lower case, with percent-encodings decoded, with one slash
/// in place of several and of backslashes, without characters that readers drop, without `.` and `..`, and without what
/// names the same host, port or file again (RFC 3986 section 6.2, RFC 8089, and what browsers do). It is no URI itself:
/// different URIs may share one.
pub(super) fn skeleton(text: &str) -> String {
    let text = decoded(text).replace('\\', "/");
    let kept = text.chars().filter(|char| !char.is_control() && !char.is_whitespace());
    let text = kept.flat_map(char::to_lowercase).collect::<String>();
    let text = text.split_once('#').map_or(&*text, |(text, _)| text);
    let (scheme, rest) = split_scheme(text);
    let port = usual_port(scheme);
    let (hierarchy, query) = match rest.split_once('?') {
        Some((hierarchy, query)) if !query.is_empty() && scheme != "file" => (hierarchy, Some(query)),
        Some((hierarchy, _)) => (hierarchy, None),
        None => (rest, None),
    };
    let (host, path) = split_host(hierarchy, port.is_some());
    let host = bare_host(host, port);
    let mut written = String::with_capacity(text.len() + 1);
    if !scheme.is_empty() {
        written.extend([scheme, ":"]);
    }
    if !scheme.is_empty() || hierarchy.starts_with('/') {
        written.push('/');
    }
    let is_named_again = scheme == "file" && host == "localhost";
    let host = Some(&*host).filter(|host| !host.is_empty() && !is_named_again);
    let segments = segments(path);
    written.push_str(&host.into_iter().chain(segments.iter().copied()).collect::<Vec<_>>().join("/"));
    if !segments.is_empty() && hierarchy.ends_with('/') {
        written.push('/');
    }
    written.extend(query.into_iter().flat_map(|query| ["?", query]));
    written
}

/// The segments of a path, those that are there after `.` and `..`.
fn segments(path: &str) -> Vec<&str> {
    let mut kept = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(kept.pop()),
            _ => kept.push(segment),
        }
    }
    kept
}

/// A host without who calls it, without the port that it has anyway, and without the dot of the root.
fn bare_host(authority: &str, usual: Option<u16>) -> String {
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let is_usual = |port: &str| port.is_empty() || usual.is_some_and(|usual| port.parse() == Ok(usual));
    let host = host.rsplit_once(':').filter(|(_, port)| is_usual(port)).map_or(host, |(host, _)| host);
    host.trim_end_matches('.').to_owned()
}

/// The authority and the path. `always`: however many slashes are in front.
fn split_host(hierarchy: &str, always: bool) -> (&str, &str) {
    let rest =
        if always { Some(hierarchy.trim_start_matches(['/', '\\'])) } else { hierarchy.strip_prefix("//") };
    match rest {
        Some(rest) => rest.split_at(rest.find(['/', '\\', '?', '#']).unwrap_or(rest.len())),
        None => ("", hierarchy),
    }
}

/// The scheme, which is empty where there is none, and what follows its colon.
fn split_scheme(text: &str) -> (&str, &str) {
    text.split_once(':').filter(|(scheme, _)| !scheme.contains(['/', '?'])).unwrap_or(("", text))
}

/// The port of a scheme whose URIs always have a host, however many slashes are written.
fn usual_port(scheme: &str) -> Option<u16> {
    Some(match scheme {
        "http" | "ws" => 80,
        "https" | "wss" => 443,
        "ftp" => 21,
        _ => return None,
    })
}

/// Without its percent-encodings.
fn decoded(text: &str) -> String {
    let (mut bytes, mut at) = (Vec::with_capacity(text.len()), 0);
    while let Some((byte, length)) = path::decoded_at(text.as_bytes(), at) {
        bytes.push(byte);
        at += length;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ambiguous(pattern: &str, uri: &str) -> bool {
        is_ambiguous(pattern, &skeleton(pattern), uri, &skeleton(uri)) || hides_its_host(uri)
    }

    #[test]
    fn another_spelling_of_what_a_pattern_matches_is_ambiguous() {
        for (pattern, uris) in [
            (
                "file:///secret/*",
                &[
                    "FILE:///secret/keys",
                    "file:/secret/keys",
                    "file:secret/keys",
                    "file://localhost/secret/keys",
                    "file:///public/../secret/keys",
                    "file:///./secret/keys",
                    "file:///public/..%2Fsecret/keys",
                    "file:////secret/keys",
                    "file:///secret//../secret/../keys/../secret/x/../../public",
                    "file:///%73ecret/keys",
                    "file:///secret%2fkeys",
                    "file:///secret%2Fkeys",
                    "file:///%2Fsecret/keys",
                    "file:///secret\\keys",
                    "file:///secret%5Ckeys",
                    "file:///secr\tet/keys",
                    "file:///secr%09et/keys",
                    "file:///secr%00et/keys",
                    " file:///secret/keys",
                    "file:///Secret/keys",
                ][..],
            ),
            (
                "file:///secret/keys.txt",
                &[
                    "file:///secret/keys.txt/",
                    "file:///secret/keys.txt?",
                    "file:///secret/keys.txt?x",
                    "file:///secret/keys.txt#part",
                    "file:///secret/keys%2Etxt",
                ],
            ),
            (
                "https://api.example.com/*",
                &[
                    "https://API.example.com/secret",
                    "https:/api.example.com/secret",
                    "https:api.example.com/secret",
                    "https:///api.example.com/secret",
                    "https://@api.example.com/secret",
                    "https://x@api.example.com/secret",
                    "https://api.example.com./secret",
                    "https://api.example.com:443/secret",
                    "https://api.example.com:0443/secret",
                    "https://api.example.com:/secret",
                    "https:\\\\api.example.com\\secret",
                ],
            ),
            (
                "https://api.example.com/secret",
                &["https://api.example.com/secret#x", "https://api.example.com/secret?"],
            ),
            ("repo://acme/*", &["repo://ACME/x", "repo://x@acme/a", "repo://acme:/a", "repo:///acme/a"]),
            ("repo://acme*Secret*", &["repo://ACME/Secret"]),
            ("*ACME*", &["repo://acme/x"]),
            ("npm://h/@acme/*", &["npm://h/%40acme/x"]),
            ("memo://%C3%A9/*", &["memo://é/1", "memo://%c3%a9/1"]),
            ("jira://PUBLIC*", &["jira://public-salaries"]),
            // What only looks like one that it is for.
            ("file:///public/*", &["file:///public/../secret", "file:///public/%2E%2E/secret"]),
            ("https://xn--bcher-kva.example/*", &["https://bücher.example/"]),
            ("https://127.0.0.1/*", &["https://0x7f.1/"]),
        ] {
            for uri in uris {
                assert!(ambiguous(pattern, uri), "{pattern} {uri}: {} {}", skeleton(pattern), skeleton(uri));
            }
        }
    }

    #[test]
    fn the_usual_spelling_is_not_whether_it_matches_or_not() {
        for (pattern, matching, others) in [
            (
                "file:///secret/*",
                &["file:///secret/keys", "file:///secret/", "file:///secret/a%20b", "file:///secret/é"][..],
                &["file:///public/keys", "file:///secretive", "file:///a/secret/b", "note:secret/keys"][..],
            ),
            (
                "https://api.example.com/v*/x",
                &["https://api.example.com/v1/x"],
                &[
                    "https://api.example.com",
                    "https://api.example.com:8443/v1/x",
                    "https://other.example.com/v1/x?q=a",
                ],
            ),
            ("http://localhost:*/x", &["http://localhost:3000/x"], &["http://localhost:3000/y"]),
            ("https://*.example.com/*", &["https://a.example.com/b"], &["https://a.example.org/b"]),
            (
                "https://h/search?q=*",
                &["https://h/search?q=a"],
                &["https://h/search?lang=de", "https://h/search"],
            ),
            ("repo://acme/*", &["repo://acme/Anvil"], &["repo://Other/x", "greeting://World", "acme/x"]),
            ("*", &["anything", "file:///a", "https://a.example/"], &[]),
            ("delete_*", &["delete_all"], &["get_all", "x/delete_all"]),
        ] {
            for (uris, expected) in [(matching, true), (others, false)] {
                for uri in uris {
                    assert_eq!(glob::matches(pattern, uri), expected, "{pattern} {uri}");
                    assert!(
                        !ambiguous(pattern, uri),
                        "{pattern} {uri}: {} {}",
                        skeleton(pattern),
                        skeleton(uri)
                    );
                }
            }
        }
    }
}
