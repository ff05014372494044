//! What a payload should come to, by `serde_json` and a finder of duplicates. The fuzz targets include it.

use std::collections::HashSet;
use std::fmt;

use oauth_guard::Claims;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

pub(super) const LEEWAY: u64 = 60;

/// The rules for claims, written down once more, over what `serde_json` read. `null` stands for a member that is not there,
/// except for `aud`.
pub(super) fn is_valid(claims: &Map<String, Value>, now: u64) -> bool {
    let seconds = |name: &str| match claims.get(name) {
        None | Some(Value::Null) => Some(None),
        Some(Value::Number(number)) => match number.as_u64() {
            Some(seconds) => Some(Some(seconds)),
            // RFC 7519 section 2: a NumericDate may have a fraction. It may not be negative or beyond what has seconds.
            None => number
                .as_f64()
                .filter(|float| float.is_sign_positive() && *float <= 9_007_199_254_740_992.0)
                .map(
                    #[expect(
                        clippy::cast_possible_truncation,
                        clippy::cast_sign_loss,
                        reason = "it was checked to fit"
                    )]
                    |float| Some(float.floor() as u64),
                ),
        },
        Some(_) => None,
    };
    let names_us = match claims.get("aud") {
        Some(Value::String(one)) => one == "api",
        Some(Value::Array(list)) => list.iter().all(Value::is_string) && list.iter().any(|one| one == "api"),
        _ => false,
    };
    let (Some(Some(exp)), Some(nbf), Some(iat)) = (seconds("exp"), seconds("nbf"), seconds("iat")) else {
        return false;
    };
    claims.get("iss").is_some_and(|iss| iss == "https://as")
        && names_us
        && now < exp.saturating_add(LEEWAY)
        && [nbf, iat].into_iter().flatten().all(|from| now >= from.saturating_sub(LEEWAY))
        && ["sub", "client_id", "jti", "azp"]
            .iter()
            .all(|name| claims.get(*name).is_none_or(|value| value.is_string() || value.is_null()))
        && claims.get("cnf").is_none_or(Value::is_null)
}

/// The guard hands on what `serde_json` reads.
pub(super) fn assert_same(found: &Claims, expected: &Map<String, Value>, what: &str) {
    let text = |name: &str| expected.get(name).and_then(Value::as_str);
    assert_eq!(found.subject(), text("sub"), "{what}");
    assert_eq!(found.client_id(), text("client_id").or(text("azp")), "{what}");
    assert_eq!(found.token_id(), text("jti"), "{what}");
    let words = |value: Option<&Value>, split: bool| -> Vec<String> {
        match value {
            Some(Value::String(text)) if split => {
                text.split(' ').filter(|word| !word.is_empty()).map(str::to_owned).collect()
            }
            Some(Value::String(text)) => vec![text.clone()],
            Some(Value::Array(list)) => {
                let all: Option<Vec<_>> = list.iter().map(|item| item.as_str().map(str::to_owned)).collect();
                all.unwrap_or_default()
            }
            _ => Vec::new(),
        }
    };
    let scopes =
        ["scope", "scp"].into_iter().filter_map(|name| expected.get(name)).find(|scopes| !scopes.is_null());
    assert_eq!(found.scopes().collect::<Vec<_>>(), words(scopes, true), "{what}");
    assert_eq!(found.roles().collect::<Vec<_>>(), words(expected.get("roles"), false), "{what}");
    assert_eq!(found.audience().collect::<Vec<_>>(), words(expected.get("aud"), false), "{what}");
    for (name, value) in expected {
        assert_eq!(found.get::<Value>(name).as_ref(), Some(value), "{name} of {what}");
    }
}

/// Why a payload is no set of claims.
#[derive(Debug)]
pub(super) enum Unreadable {
    Json,
    Duplicate,
}

/// The claims, or why there are none.
pub(super) fn read(payload: &[u8]) -> Result<Map<String, Value>, Unreadable> {
    let Ok(Value::Object(claims)) = serde_json::from_slice::<Value>(payload) else {
        return Err(Unreadable::Json);
    };
    let mut reader = serde_json::Deserializer::from_slice(payload);
    if NoDuplicates.deserialize(&mut reader).is_err() {
        return Err(Unreadable::Duplicate);
    }
    // Deeper than a guard reads.
    if depth(&Value::Object(claims.clone())) > 32 { Err(Unreadable::Json) } else { Ok(claims) }
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(members) => 1 + members.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

/// Finds a member that an object has twice, at any depth.
#[derive(Clone, Copy)]
struct NoDuplicates;

impl<'de> DeserializeSeed<'de> for NoDuplicates {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for NoDuplicates {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON without duplicate members")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut names = HashSet::new();
        while let Some(name) = map.next_key::<String>()? {
            if !names.insert(name) {
                return Err(A::Error::custom("a member twice"));
            }
            map.next_value_seed(self)?;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_element_seed(self)?.is_some() {}
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}
