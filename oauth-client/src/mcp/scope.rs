//! Which scopes to ask for.

use crate::discover::{Metadata, ProtectedResource};

/// Asks for a refresh token, at servers that give none without being asked (OpenID Connect Core section 11).
const OFFLINE_ACCESS: &str = "offline_access";

/// The scopes of an API's challenge, else those that its metadata name. That an API names `offline_access` means
/// nothing: it is for the server to say whether it knows it.
pub(super) fn wanted(challenged: &[String], resource: &ProtectedResource, server: &Metadata) -> Vec<String> {
    if !challenged.is_empty() {
        return union(&[], challenged);
    }
    let named = resource.scopes_supported.as_deref().unwrap_or_default();
    let named: Vec<_> =
        named.iter().filter(|scope| *scope != OFFLINE_ACCESS || lists(server)).cloned().collect();
    union(&[], &named)
}

/// The same, with the request for a refresh token where the server lists it.
pub(super) fn offline(mut scopes: Vec<String>, server: &Metadata) -> Vec<String> {
    if lists(server) && !scopes.iter().any(|scope| scope == OFFLINE_ACCESS) {
        scopes.push(OFFLINE_ACCESS.to_owned());
    }
    scopes
}

fn lists(server: &Metadata) -> bool {
    server.scopes_supported.as_deref().unwrap_or_default().iter().any(|scope| scope == OFFLINE_ACCESS)
}

/// Both, each scope once, those that were asked for before first.
pub(super) fn union(before: &[String], more: &[String]) -> Vec<String> {
    let mut all: Vec<String> = Vec::with_capacity(before.len() + more.len());
    for scope in before.iter().chain(more) {
        if !scope.is_empty() && !all.contains(scope) {
            all.push(scope.clone());
        }
    }
    all
}

/// Whether all of `some` are among `all`.
pub(super) fn covers(all: &[String], some: &[String]) -> bool {
    some.iter().all(|scope| all.contains(scope))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split(' ').filter(|word| !word.is_empty()).map(str::to_owned).collect()
    }

    fn server(scopes: &str) -> Metadata {
        serde_json::from_value(json!({ "issuer": "https://as", "scopes_supported": words(scopes) })).unwrap()
    }

    fn api(scopes: Option<&str>) -> ProtectedResource {
        serde_json::from_value(json!({ "resource": "https://api", "scopes_supported": scopes.map(words) }))
            .unwrap()
    }

    #[test]
    fn the_challenge_counts_before_the_document_and_nothing_is_invented() {
        for (challenge, document, expected) in [
            ("read", Some("read write"), "read"),
            ("read read write", None, "read write"),
            ("", Some("read write"), "read write"),
            ("", Some(""), ""),
            ("", None, ""),
        ] {
            let found = wanted(&words(challenge), &api(document), &server("other"));
            assert_eq!(found, words(expected), "{challenge:?} {document:?}");
        }
    }

    #[test]
    fn offline_access_is_what_the_server_lists_and_no_api() {
        assert_eq!(offline(words("read"), &server("read offline_access")), words("read offline_access"));
        assert_eq!(offline(words("offline_access"), &server("offline_access")), words("offline_access"));
        assert_eq!(offline(words("read"), &server("read")), words("read"));
        let without = serde_json::from_value(json!({ "issuer": "https://as" })).unwrap();
        assert_eq!(offline(words("read"), &without), words("read"));
        let of_api = api(Some("read offline_access"));
        assert_eq!(wanted(&[], &of_api, &server("read")), words("read"));
        assert_eq!(wanted(&[], &of_api, &server("offline_access")), words("read offline_access"));
    }

    #[test]
    fn a_step_up_keeps_what_was_asked_for() {
        assert_eq!(union(&words("a b"), &words("b c a d")), words("a b c d"));
        assert!(covers(&words("a b c"), &words("c a")) && covers(&[], &[]));
        assert!(!covers(&words("a"), &words("a b")));
    }
}
