//! JSON read once, with what a careless reader would overlook.

use std::cell::RefCell;
use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// A member whose name came before in the same object.
pub(crate) struct Duplicate {
    pub(crate) name: String,
    pub(crate) depth: usize,
    /// Whether one of its spellings has an escape.
    pub(crate) escaped: bool,
}

/// Whole and strict; the duplicates are reported, and the last of them counts.
pub(crate) fn read(bytes: &[u8]) -> Option<(Value, Vec<Duplicate>)> {
    let found = RefCell::new(Vec::new());
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = Read { depth: 0, found: &found }.deserialize(&mut reader).ok()?;
    reader.end().ok()?;
    Some((value, found.into_inner()))
}

/// Reads the first value and lets the rest be.
pub(crate) fn read_first(bytes: &[u8]) -> Option<Value> {
    serde_json::Deserializer::from_slice(bytes).into_iter::<Value>().next()?.ok()
}

#[derive(Clone, Copy)]
struct Read<'f> {
    depth: usize,
    found: &'f RefCell<Vec<Duplicate>>,
}

impl<'de> DeserializeSeed<'de> for Read<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Read<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let inner = Self { depth: self.depth + 1, ..self };
        let mut values = Vec::new();
        while let Some(value) = list.next_element_seed(inner)? {
            values.push(value);
        }
        Ok(values.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let inner = Self { depth: self.depth + 1, ..self };
        let (mut object, mut escaped) = (Map::new(), HashSet::new());
        while let Some(name) = members.next_key_seed(Name)? {
            if name.1 {
                escaped.insert(name.0.clone());
            }
            let value = members.next_value_seed(inner)?;
            if object.insert(name.0.clone(), value).is_some() {
                let escaped = escaped.contains(&name.0);
                self.found.borrow_mut().push(Duplicate { name: name.0, depth: self.depth, escaped });
            }
        }
        Ok(object.into())
    }
}

/// A member's name, and whether it was spelled with an escape.
struct Name;

impl<'de> DeserializeSeed<'de> for Name {
    type Value = (String, bool);

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(String, bool), D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Name {
    type Value = (String, bool);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_borrowed_str<E: Error>(self, name: &'de str) -> Result<(String, bool), E> {
        Ok((name.to_owned(), false))
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<(String, bool), E> {
        Ok((name.to_owned(), true))
    }
}
