//! Reading an object field by field, so that all errors are reported together, each with its field and the fix.

use std::cell::RefCell;
use std::fmt;
use std::time::Duration;

use serde_json::{Map, Value};

/// What is wrong with a document, field by field.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mistakes(pub(crate) Vec<Mistake>);

/// One field and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mistake {
    /// `clients[1].grant_types[0]`; empty for the document as a whole.
    pub(crate) field: String,
    /// What is wrong and what would be right.
    pub(crate) problem: String,
}

impl Mistakes {
    pub(crate) fn one(field: &str, problem: impl Into<String>) -> Self {
        Self(vec![Mistake { field: field.to_owned(), problem: problem.into() }])
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, Mistake { field, problem }) in self.0.iter().enumerate() {
            let (line, colon) =
                (if number == 0 { "" } else { "\n" }, if field.is_empty() { "" } else { ": " });
            write!(f, "{line}{field}{colon}{problem}")?;
        }
        Ok(())
    }
}

/// Reads a whole document: `read` takes its fields, and what it did not take is a mistake.
pub(crate) fn read<T>(document: Value, read: impl FnOnce(&Fields<'_>) -> T) -> Result<T, Mistakes> {
    let mistakes = RefCell::default();
    let fields = Fields::of(document, String::new(), &mistakes);
    let result = read(&fields);
    fields.finish();
    let mistakes = mistakes.into_inner();
    if mistakes.is_empty() { Ok(result) } else { Err(Mistakes(mistakes)) }
}

/// The fields of one object. Each is taken once, by the method for its type; a wrong type is noted and reads as absent.
pub(crate) struct Fields<'a> {
    path: String,
    members: RefCell<Map<String, Value>>,
    known: RefCell<Vec<&'static str>>,
    mistakes: &'a RefCell<Vec<Mistake>>,
}

impl<'a> Fields<'a> {
    fn of(value: Value, path: String, mistakes: &'a RefCell<Vec<Mistake>>) -> Self {
        let members = match value {
            Value::Object(members) => members,
            other => {
                let problem = format!("an object is needed, not {}", kind(&other));
                mistakes.borrow_mut().push(Mistake { field: path.clone(), problem });
                Map::new()
            }
        };
        Self { path, members: RefCell::new(members), known: RefCell::default(), mistakes }
    }

    /// Notes what is wrong with a field; an empty name means the object itself.
    pub(crate) fn mistake(&self, name: &str, problem: impl Into<String>) {
        let field = match (self.path.is_empty(), name.is_empty()) {
            (true, _) => name.to_owned(),
            (false, true) => self.path.clone(),
            (false, false) => format!("{}.{name}", self.path),
        };
        self.mistakes.borrow_mut().push(Mistake { field, problem: problem.into() });
    }

    /// Any JSON. `null` counts as absent.
    pub(crate) fn value(&self, name: &'static str) -> Option<Value> {
        self.known.borrow_mut().push(name);
        self.members.borrow_mut().remove(name).filter(|value| !value.is_null())
    }

    /// Whether it is there and not yet taken. `null` counts as absent here, too.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.members.borrow().get(name).is_some_and(|value| !value.is_null())
    }

    pub(crate) fn text(&self, name: &'static str) -> Option<String> {
        self.typed(name, "a string", |value| value.as_str().map(str::to_owned))
    }

    /// A string that must be there and say something.
    pub(crate) fn required(&self, name: &'static str) -> String {
        let there = self.has(name);
        let text = self.text(name);
        if !there || text.as_deref() == Some("") {
            self.mistake(name, "missing: a string is needed");
        }
        text.unwrap_or_default()
    }

    pub(crate) fn flag(&self, name: &'static str) -> Option<bool> {
        self.typed(name, "true or false", Value::as_bool)
    }

    /// Whether a flag is there and set.
    pub(crate) fn is_set(&self, name: &'static str) -> bool {
        self.flag(name).unwrap_or(false)
    }

    pub(crate) fn integer(&self, name: &'static str) -> Option<i64> {
        self.typed(name, "a whole number", Value::as_i64)
    }

    pub(crate) fn count(&self, name: &'static str) -> Option<u64> {
        self.typed(name, "a whole number, not negative", Value::as_u64)
    }

    pub(crate) fn size(&self, name: &'static str) -> Option<usize> {
        self.count(name).map(|size| usize::try_from(size).unwrap_or(usize::MAX))
    }

    /// An HTTP status.
    pub(crate) fn status(&self, name: &'static str) -> Option<u16> {
        let status =
            |value: &Value| u16::try_from(value.as_u64()?).ok().filter(|code| (200..=599).contains(code));
        self.typed(name, "an HTTP status from 200 to 599", status)
    }

    /// Seconds, with a fraction if need be.
    pub(crate) fn seconds(&self, name: &'static str) -> Option<Duration> {
        let seconds = |value: &Value| Duration::try_from_secs_f64(value.as_f64()?).ok();
        self.typed(name, "seconds, a number that is not negative", seconds)
    }

    pub(crate) fn object(&self, name: &'static str) -> Option<Map<String, Value>> {
        self.typed(name, "an object", |value| value.as_object().cloned())
    }

    /// A list of strings.
    pub(crate) fn texts(&self, name: &'static str) -> Option<Vec<String>> {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        self.typed(name, "a list of strings", |value| value.as_array()?.iter().map(text).collect())
    }

    /// A list of strings, or all of them in one, with spaces between as in a request (RFC 6749 section 3.3).
    pub(crate) fn scopes(&self, name: &'static str) -> Option<Vec<String>> {
        if let Some(Value::String(text)) = self.members.borrow().get(name) {
            self.known.borrow_mut().push(name);
            let list = text.split(' ').filter(|one| !one.is_empty()).map(str::to_owned).collect();
            return Some(list);
        }
        self.texts(name)
    }

    /// Reads a former name of this field's value as the one of today.
    pub(crate) fn rename(&self, name: &str, former: &[(&str, &str)]) {
        if let Some(Value::String(text)) = self.members.borrow_mut().get_mut(name)
            && let Some((_, today)) = former.iter().find(|(former, _)| former == text)
        {
            *text = (*today).to_owned();
        }
    }

    /// One of the names of this table.
    pub(crate) fn choice<T: Copy>(&self, name: &'static str, table: &[(&str, T)]) -> Option<T> {
        let text = self.text(name)?;
        self.look_up(name, &text, table)
    }

    /// One of the names of this table, which must be there.
    pub(crate) fn required_choice<T: Copy>(&self, name: &'static str, table: &[(&str, T)]) -> Option<T> {
        if !self.has(name) {
            let known: Vec<_> = table.iter().map(|(known, _)| *known).collect();
            self.mistake(name, format!("missing; use one of: {}", known.join(", ")));
        }
        self.choice(name, table)
    }

    /// A list of names of this table.
    pub(crate) fn choices<T: Copy>(&self, name: &'static str, table: &[(&str, T)]) -> Option<Vec<T>> {
        let texts = self.texts(name)?;
        let found = texts
            .iter()
            .enumerate()
            .filter_map(|(at, text)| self.look_up(&format!("{name}[{at}]"), text, table));
        Some(found.collect())
    }

    /// Reads each object of a list.
    pub(crate) fn each<T>(&self, name: &'static str, read: impl Fn(&Fields<'_>) -> T) -> Option<Vec<T>> {
        let list = self.typed(name, "a list of objects", |value| value.as_array().cloned())?;
        let path = if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) };
        let one = |(at, value)| {
            let fields = Fields::of(value, format!("{path}[{at}]"), self.mistakes);
            let result = read(&fields);
            fields.finish();
            result
        };
        Some(list.into_iter().enumerate().map(one).collect())
    }

    /// Reads an object within this one.
    pub(crate) fn nested<T>(&self, name: &'static str, read: impl FnOnce(&Fields<'_>) -> T) -> Option<T> {
        let value = self.value(name)?;
        let path = if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) };
        let fields = Fields::of(value, path, self.mistakes);
        let result = read(&fields);
        fields.finish();
        Some(result)
    }

    fn typed<T>(
        &self,
        name: &'static str,
        wanted: &str,
        read: impl FnOnce(&Value) -> Option<T>,
    ) -> Option<T> {
        let value = self.value(name)?;
        let result = read(&value);
        if result.is_none() {
            self.mistake(name, format!("{wanted} is needed, not {}", kind(&value)));
        }
        result
    }

    fn look_up<T: Copy>(&self, name: &str, text: &str, table: &[(&str, T)]) -> Option<T> {
        let found = table.iter().find(|(known, _)| *known == text).map(|(_, value)| *value);
        if found.is_none() {
            let known: Vec<_> = table.iter().map(|(known, _)| *known).collect();
            self.mistake(name, format!("{text:?} is unknown; use one of: {}", known.join(", ")));
        }
        found
    }

    /// Notes every field that was not read.
    fn finish(&self) {
        let members = self.members.borrow();
        let known = self.known.borrow();
        // A field that was looked at without being taken is known too.
        for name in members.keys().filter(|name| !known.contains(&name.as_str())) {
            let mut unique: Vec<&str> = known.clone();
            unique.sort_unstable();
            unique.dedup();
            self.mistake(name, format!("unknown; the fields here are: {}", unique.join(", ")));
        }
    }
}

/// What a value is, without showing it: it may be a secret.
fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a flag",
        Value::Number(_) => "this number",
        Value::String(_) => "this string",
        Value::Array(_) => "this list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn all_mistakes_are_told_at_once_with_their_fields() {
        let document = json!({"name": 7, "lifetime": -1, "typo": 1, "list": [{"kind": "x"}, 3], "ok": null});
        let reported = read(document, |fields| {
            fields.required("name");
            fields.required("other");
            fields.seconds("lifetime");
            fields.flag("ok");
            fields.each("list", |one| one.choice("kind", &[("a", 1), ("b", 2)]));
        });
        let expected = "\
name: a string is needed, not this number
other: missing: a string is needed
lifetime: seconds, a number that is not negative is needed, not this number
list[0].kind: \"x\" is unknown; use one of: a, b
list[1]: an object is needed, not this number
typo: unknown; the fields here are: lifetime, list, name, ok, other";
        assert_eq!(reported.unwrap_err().to_string(), expected);
    }

    #[test]
    fn a_scope_may_be_a_list_or_one_string() {
        for scope in [json!(["a", "b"]), json!(" a  b")] {
            let read = read(json!({ "scope": scope }), |fields| fields.scopes("scope"));
            assert_eq!(read.unwrap(), Some(vec!["a".to_owned(), "b".to_owned()]));
        }
    }
}
