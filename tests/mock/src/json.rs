//! JSON objects in which no member occurs twice, which `serde_json::Map` would not notice.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::{Map, Value};

/// Why bytes are no such object.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NoObject {
    Malformed,
    Repeated(String),
}

/// The object in `json`; deeper objects are read as they are.
pub(crate) fn object(json: &[u8]) -> Result<Map<String, Value>, NoObject> {
    let Ok(Members(members)) = serde_json::from_slice(json) else { return Err(NoObject::Malformed) };
    let mut object = Map::new();
    for (name, value) in members {
        if object.insert(name.clone(), value).is_some() {
            return Err(NoObject::Repeated(name));
        }
    }
    Ok(object)
}

/// The members of a JSON object, repeated names kept.
struct Members(Vec<(String, Value)>);

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeated_member_is_named() {
        assert_eq!(object(br#"{"a":1,"b":{},"a":1}"#), Err(NoObject::Repeated("a".to_owned())));
        for bad in ["[]", "{", "null", r#"{"a":1}x"#] {
            assert_eq!(object(bad.as_bytes()), Err(NoObject::Malformed), "{bad}");
        }
        assert_eq!(object(br#"{"a":1}"#).unwrap()["a"], 1);
    }
}
