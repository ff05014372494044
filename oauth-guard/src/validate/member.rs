//! A member of a payload, by where it is in it: a set of claims is handed from function to function.

use std::ops::Range;

use crate::claims::place_in;
use crate::json::{Text, Value};

/// A member, by where it is in the payload.
#[derive(Clone, Copy)]
pub(super) struct Member {
    name: (u32, u32),
    /// As written, with the quotes of a string.
    value: (u32, u32),
    pub(super) kind: Kind,
    is_name_escaped: bool,
    is_value_escaped: bool,
}

/// Of what kind a claim is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// There is none.
    Absent,
    Null,
    True,
    False,
    Number,
    String,
    Array,
    Object,
}

impl Member {
    /// `name` and `raw`, the value as written, are parts of the payload.
    #[inline]
    pub(super) fn new(payload: &str, name: Text<'_>, value: Value<'_>, raw: &str) -> Self {
        let (kind, is_value_escaped) = match value {
            Value::Null => (Kind::Null, false),
            Value::Bool(true) => (Kind::True, false),
            Value::Bool(false) => (Kind::False, false),
            Value::Number(_) => (Kind::Number, false),
            Value::String(text) => (Kind::String, text.is_escaped()),
            Value::Array(_) => (Kind::Array, false),
            Value::Object(_) => (Kind::Object, false),
        };
        let (name, is_name_escaped) = (place(payload, name.raw), name.is_escaped());
        Self { name, value: place(payload, raw), kind, is_name_escaped, is_value_escaped }
    }

    #[inline]
    pub(super) fn name<'a>(&self, payload: &'a str) -> Text<'a> {
        Text::of_written(written(payload, self.name), self.is_name_escaped)
    }

    /// Most names differ in their length already.
    pub(super) fn is_called(&self, payload: &str, wanted: &str) -> bool {
        let (start, end) = self.name;
        (self.is_name_escaped || (end - start) as usize == wanted.len()) && self.name(payload).is(wanted)
    }

    #[inline]
    pub(super) fn value<'a>(&self, payload: &'a str) -> Value<'a> {
        match self.text(payload) {
            Some(text) => Value::String(text),
            None => Value::of_written(self.raw(payload), false),
        }
    }

    /// The value, if it is a string.
    #[inline]
    pub(super) fn text<'a>(&self, payload: &'a str) -> Option<Text<'a>> {
        let (start, end) = self.value;
        let inside = || written(payload, (start + 1, end - 1));
        (self.kind == Kind::String).then(|| Text::of_written(inside(), self.is_value_escaped))
    }

    /// The value as written.
    #[inline]
    pub(super) fn raw<'a>(&self, payload: &'a str) -> &'a str {
        written(payload, self.value)
    }

    #[inline]
    pub(super) fn value_range(&self) -> Range<usize> {
        self.value.0 as usize..self.value.1 as usize
    }
}

/// Where a part of the payload is in it, in half the room.
#[inline]
fn place(payload: &str, part: &str) -> (u32, u32) {
    let place = place_in(payload, part);
    let count = |number| u32::try_from(number).unwrap_or(u32::MAX);
    (count(place.start), count(place.end))
}

#[inline]
fn written(payload: &str, (start, end): (u32, u32)) -> &str {
    payload.get(start as usize..end as usize).unwrap_or_default()
}
