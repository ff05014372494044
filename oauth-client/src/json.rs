//! JSON from others, read strictly: one object, no member twice at any depth.

use std::fmt;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// Reads a JSON object, a byte order mark in front of it forgiven. The error says where, never what: a parser's own
/// message may quote a secret.
pub(crate) fn object(bytes: &[u8]) -> Result<Map<String, Value>, String> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    match serde_json::from_slice::<Strict>(bytes) {
        Ok(Strict(Value::Object(object))) => Ok(object),
        Ok(Strict(_)) => Err("expected a JSON object".to_owned()),
        Err(error) if error.to_string().starts_with(TWICE) => {
            Err(format!("a member appears twice (line {}, column {})", error.line(), error.column()))
        }
        Err(error) => Err(format!("not JSON (line {}, column {})", error.line(), error.column())),
    }
}

/// The claims of a JWT, without a look at its signature: good for what costs its holder at most, never for trust.
/// `None` for what is no JWT.
pub(crate) fn unverified_claims(token: &str) -> Option<Map<String, Value>> {
    let mut parts = token.split('.');
    let (_, payload, _) = (parts.next()?, parts.next()?, parts.next()?);
    object(&BASE64_URL_SAFE_NO_PAD.decode(payload).ok()?).ok()
}

const TWICE: &str = "a member appears twice";

struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor).map(Strict)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(StrictSeed)? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            if object.contains_key(&name) {
                return Err(A::Error::custom(TWICE));
            }
            object.insert(name, members.next_value_seed(StrictSeed)?);
        }
        Ok(Value::Object(object))
    }
}

struct StrictSeed;

impl<'de> DeserializeSeed<'de> for StrictSeed {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(StrictVisitor)
    }
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
    fn errors_do_not_quote_the_input() {
        for bad in
            [&br#"{"access_token":"s3cr3t""#[..], b"s3cr3t", b"\"s3cr3t\"", b"[]", b"", b"{} x", b"\xff{}"]
        {
            let error = object(bad).unwrap_err();
            assert!(!error.contains("s3cr3t") && !error.is_empty(), "{error}");
        }
        assert!(object("[".repeat(100_000).as_bytes()).is_err(), "depth is bounded");
    }
}
