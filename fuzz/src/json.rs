//! JSON as `serde_json` reads it, with duplicates found by a reader of its own, and what a set of claims should come to.

use oauth_guard::Claims;
use serde_json::{Map, Value};

// What the guard's own tests compare with.
#[path = "../../oauth-guard/tests/guard/claims_fuzz/oracle.rs"]
mod oracle;

/// What another reader makes of a text.
#[derive(Debug)]
pub(crate) enum Read {
    Object(Map<String, Value>),
    /// It is no JSON object, it nests too deep, or a member of it is there twice.
    Invalid,
    /// It has a number that `serde_json` cannot hold; by the grammar it is one.
    HugeNumber,
}

/// Reads a whole text strictly.
pub(crate) fn read(text: &[u8]) -> Read {
    match serde_json::from_slice::<Value>(text) {
        Err(error) if error.to_string().starts_with("number out of range") => Read::HugeNumber,
        _ => match oracle::read(text) {
            Ok(object) => Read::Object(object),
            Err(_) => Read::Invalid,
        },
    }
}

/// The object, if it is one.
pub(crate) fn object(text: &[u8]) -> Option<Map<String, Value>> {
    match read(text) {
        Read::Object(object) => Some(object),
        Read::Invalid | Read::HugeNumber => None,
    }
}

/// Without a byte order mark, which documents may have.
pub(crate) fn document(text: &[u8]) -> Option<Map<String, Value>> {
    object(text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text))
}

/// Whether these claims are valid for the API `api` of the issuer `https://as`.
pub(crate) fn is_valid(claims: &Map<String, Value>, now: u64) -> bool {
    oracle::is_valid(claims, now)
}

/// Asserts that the guard hands on what `serde_json` reads.
pub(crate) fn assert_same(found: &Claims, expected: &Map<String, Value>, what: &str) {
    oracle::assert_same(found, expected, what);
}

/// The leeway of [`is_valid`].
pub(crate) const LEEWAY: u64 = oracle::LEEWAY;

/// Every string in a value, names of members left out.
pub(crate) fn strings(value: &Value, all: &mut Vec<String>) {
    match value {
        Value::String(text) => all.push(text.clone()),
        Value::Array(items) => items.iter().for_each(|item| strings(item, all)),
        Value::Object(members) => members.values().for_each(|member| strings(member, all)),
        _ => {}
    }
}
