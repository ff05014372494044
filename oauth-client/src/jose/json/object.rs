//! Strict JSON as a map, for documents that are read once in a while.

use serde::de::IgnoredAny;
use serde_json::{Map, Value};

use super::{Malformed, Reader};

/// Reads a JSON object by the rules of [`read_object`](super::read_object), except that a byte order mark in front is
/// ignored. The error gives the place, never the content: a parser's own message may quote a secret.
pub(crate) fn object(bytes: &[u8]) -> Result<Map<String, Value>, String> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let text = std::str::from_utf8(bytes).map_err(|error| at("not JSON", bytes, error.valid_up_to()))?;
    let mut reader = Reader::new(text);
    reader.whole(&mut |_, _, _| {}).map_err(|malformed| match malformed {
        Malformed::NotAnObject if serde_json::from_str::<IgnoredAny>(text).is_ok() => {
            "expected a JSON object".to_owned()
        }
        Malformed::NotAnObject | Malformed::Syntax => at("not JSON", bytes, reader.at),
        Malformed::Duplicate => at("a member appears twice", bytes, reader.at),
        Malformed::TooDeep => at("nested too deep", bytes, reader.at),
    })?;
    // What is left to go wrong is a number that nothing can hold.
    serde_json::from_str(text)
        .map_err(|error| format!("not JSON (line {}, column {})", error.line(), error.column()))
}

/// With the place, counted from 1.
fn at(what: &str, bytes: &[u8], at: usize) -> String {
    let before = bytes.get(..at).unwrap_or(bytes);
    let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
    let column = before.iter().rev().take_while(|byte| **byte != b'\n').count() + 1;
    format!("{what} (line {line}, column {column})")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_twice_is_refused_at_any_depth_and_through_any_spelling() {
        for twice in [r#"{"a":1,"a":2}"#, r#"{"b":[{"a":1,"a":2}]}"#, r#"{"a":1,"\u0061":2}"#] {
            assert!(object(twice.as_bytes()).unwrap_err().contains("twice"), "{twice}");
        }
        assert_eq!(object(b"\xef\xbb\xbf{\"a\":[1,{\"a\":null}]}").unwrap().len(), 1);
    }

    #[test]
    fn what_is_wrong_is_told_without_quoting_it() {
        for bad in
            [&br#"{"access_token":"s3cr3t""#[..], b"s3cr3t", b"\"s3cr3t\"", b"[]", b"", b"{} x", b"\xff{}"]
        {
            let error = object(bad).unwrap_err();
            assert!(!error.contains("s3cr3t") && !error.is_empty(), "{error}");
        }
        assert!(object("[".repeat(100_000).as_bytes()).is_err(), "depth is bounded");
    }

    #[test]
    fn the_place_of_a_fault_is_its_line_and_column() {
        assert_eq!(
            object(b"{\"a\": 1,\n \"a\": 2}").unwrap_err(),
            "a member appears twice (line 2, column 5)"
        );
        assert_eq!(object(b"{\n\"a\" 1}").unwrap_err(), "not JSON (line 2, column 5)");
        assert_eq!(object(b"<html>").unwrap_err(), "not JSON (line 1, column 1)");
        assert_eq!(object(b"[1]").unwrap_err(), "expected a JSON object");
        assert_eq!(object(b"{\"a\":1e999}").unwrap_err(), "not JSON (line 1, column 10)");
    }
}
