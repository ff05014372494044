//! JSON objects in which no member occurs twice, which `serde_json::Map` would not notice.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// Why bytes are no such object.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NoObject {
    Malformed,
    Repeated(String),
}

/// Any JSON in which no object has a member twice, at any depth.
///
/// # Errors
/// Where it is malformed, or which member is repeated.
pub(crate) fn value(json: &[u8]) -> Result<Value, serde_json::Error> {
    serde_json::from_slice::<Strict>(json).map(|Strict(value)| value)
}

/// The object in `json`, in which deeper objects repeat no member either.
pub(crate) fn object(json: &[u8]) -> Result<Map<String, Value>, NoObject> {
    let Ok(Members(members)) = serde_json::from_slice(json) else { return Err(NoObject::Malformed) };
    let mut object = Map::new();
    for (name, Strict(value)) in members {
        if object.insert(name.clone(), value).is_some() {
            return Err(NoObject::Repeated(name));
        }
    }
    Ok(object)
}

/// The members of a JSON object, repeated names kept.
struct Members(Vec<(String, Strict)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AsList;
        impl<'de> Visitor<'de> for AsList {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(AsList)
    }
}

/// A value whose objects repeat no member.
struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Strict;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("JSON")
            }

            fn visit_unit<E>(self) -> Result<Strict, E> {
                Ok(Strict(Value::Null))
            }

            fn visit_bool<E>(self, value: bool) -> Result<Strict, E> {
                Ok(Strict(value.into()))
            }

            fn visit_i64<E>(self, value: i64) -> Result<Strict, E> {
                Ok(Strict(value.into()))
            }

            fn visit_u64<E>(self, value: u64) -> Result<Strict, E> {
                Ok(Strict(value.into()))
            }

            fn visit_f64<E>(self, value: f64) -> Result<Strict, E> {
                Ok(Strict(value.into()))
            }

            fn visit_str<E>(self, value: &str) -> Result<Strict, E> {
                Ok(Strict(value.into()))
            }

            fn visit_string<E>(self, value: String) -> Result<Strict, E> {
                Ok(Strict(value.into()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Strict, A::Error> {
                let mut values = Vec::new();
                while let Some(Strict(value)) = list.next_element()? {
                    values.push(value);
                }
                Ok(Strict(Value::Array(values)))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Strict, A::Error> {
                let mut object = Map::new();
                while let Some((name, Strict(value))) = map.next_entry::<String, _>()? {
                    if object.contains_key(&name) {
                        return Err(Error::custom(format_args!("the member {name:?} is there twice")));
                    }
                    object.insert(name, value);
                }
                Ok(Strict(Value::Object(object)))
            }
        }
        deserializer.deserialize_any(Any)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeated_member_is_named() {
        assert_eq!(object(br#"{"a":1,"b":{},"a":1}"#), Err(NoObject::Repeated("a".to_owned())));
        for bad in ["[]", "{", "null", r#"{"a":1}x"#, r#"{"a":[{"b":1,"b":2}]}"#] {
            assert_eq!(object(bad.as_bytes()), Err(NoObject::Malformed), "{bad}");
        }
        assert_eq!(object(br#"{"a":1}"#).unwrap()["a"], 1);
        let all = r#"{"a":[null,true,-1,2,0.5,"x",{"b":{}}]}"#;
        assert_eq!(value(all.as_bytes()).unwrap(), serde_json::from_str::<Value>(all).unwrap());
        let repeated = value(br#"[{"b":1,"b":2}]"#).unwrap_err().to_string();
        assert!(repeated.starts_with("the member \"b\" is there twice at line 1"), "{repeated}");
    }
}
