//! Paths into a JSON document.

use std::fmt;

use serde_json::Value;

/// A place in a JSON document: names joined by dots (`result.code`), items of a list by their number
/// (`messages.0.text`); or a JSON Pointer (RFC 6901), which starts with a slash, for names that have dots themselves.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Path(String);

impl Path {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    pub(crate) fn of<'v>(&self, document: &'v Value) -> Option<&'v Value> {
        match self.pointer() {
            Some(pointer) => document.pointer(pointer),
            None => self.0.split('.').try_fold(document, |value, name| match value {
                Value::Array(items) => items.get(name.parse::<usize>().ok()?),
                _ => value.get(name),
            }),
        }
    }

    /// What is there as text: a string, or a number written out.
    pub(crate) fn text_of(&self, document: &Value) -> Option<String> {
        match self.of(document)? {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        }
    }

    /// Takes out what is there, leaving null.
    pub(crate) fn take(&self, document: &mut Value) -> Option<Value> {
        let found = match self.pointer() {
            Some(pointer) => document.pointer_mut(pointer),
            None => self.0.split('.').try_fold(document, |value, name| match value {
                Value::Array(items) => items.get_mut(name.parse::<usize>().ok()?),
                _ => value.get_mut(name),
            }),
        };
        found.map(Value::take)
    }

    fn pointer(&self) -> Option<&str> {
        self.0.starts_with('/').then_some(&*self.0)
    }
}

impl fmt::Debug for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_path_leads_through_objects_and_lists_and_a_pointer_through_odd_names() {
        let mut document = json!({"a": {"b": [{"c": 5}, {"c": "x"}]}, "d.e": true});
        assert_eq!(Path::new("a.b.1.c").text_of(&document).unwrap(), "x");
        assert_eq!(Path::new("a.b.0.c").text_of(&document).unwrap(), "5");
        assert_eq!(Path::new("/d.e").of(&document), Some(&Value::Bool(true)));
        for nowhere in ["d.e", "a.b.c", "a.b.7.c", "", "/x", "a.b.1.c.d"] {
            assert_eq!(Path::new(nowhere).of(&document), None, "{nowhere}");
        }
        assert_eq!(Path::new("a.b.1.c").take(&mut document), Some(json!("x")));
        assert_eq!(Path::new("a.b.1.c").of(&document), Some(&Value::Null));
    }
}
