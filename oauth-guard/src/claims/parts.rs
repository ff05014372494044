//! The claims of one token, in one text: the payload as signed, the decoded form of strings that were written with escapes,
//! and an index of both.
//!
//! Each cached token has one, so the index is as small as possible. It holds lengths, and distances where they are
//! unusual, as numbers with six bits in a byte: such bytes are ASCII characters, so they can stand in the same text. A
//! usual member takes two or three bytes.

use std::num::NonZeroU64;
use std::ops::Range;

use smallvec::SmallVec;

use crate::json::{Text, Value};
use crate::validate::Lifetime;

/// The claims that are read by name, and when the token is valid: that comes first, for [`Verified`](super::Verified).
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Parts {
    /// The whole seconds within which the token is valid, leeway and maximum age included: from, until (excluded).
    pub(crate) valid_from: u64,
    pub(crate) valid_until: u64,
    pub(crate) expires_at: u64,
    /// One more than that, so that it takes no more room for being optional.
    issued_at: Option<NonZeroU64>,
    text: Box<str>,
    places: Places,
    /// `iss`, where the issuer's name has a hole for the tenant.
    pub(crate) concrete_issuer: Span,
    pub(crate) subject: Span,
    pub(crate) client_id: Span,
    pub(crate) token_id: Span,
    pub(crate) acr: Span,
}

/// Where in the text things end and begin.
#[derive(Clone, Copy, Debug)]
struct Places {
    payload_end: u16,
    /// Where the index begins. What follows is counted from there. The audience comes first.
    index: u16,
    scopes: u16,
    roles: u16,
    members: u16,
}

/// The lists of an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum List {
    Audience,
    Scopes,
    Roles,
}

/// A range of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    start: u16,
    end: u16,
}

impl Span {
    pub(crate) const NONE: Self = Self { start: 1, end: 0 };

    fn new(range: Range<usize>) -> Self {
        // Text beyond 64 KiB is rejected in the end; until then such a span is empty rather than wrong.
        match (u16::try_from(range.start), u16::try_from(range.end)) {
            (Ok(start), Ok(end)) => Self { start, end },
            _ => Self::NONE,
        }
    }

    fn range(self) -> Range<usize> {
        self.start.into()..self.end.into()
    }
}

impl Parts {
    #[inline]
    pub(crate) fn text(&self, span: Span) -> Option<&str> {
        self.text.get(span.range())
    }

    /// The claims as the issuer signed them.
    pub(crate) fn payload(&self) -> &str {
        self.text.get(..self.places.payload_end.into()).unwrap_or("{}")
    }

    /// `iat`.
    #[inline]
    pub(crate) fn issued_at(&self) -> Option<u64> {
        self.issued_at.map(|one_more| one_more.get() - 1)
    }

    /// What the text takes in memory.
    pub(crate) fn bytes(&self) -> usize {
        self.text.len()
    }

    pub(crate) fn list(&self, list: List) -> impl Iterator<Item = &str> {
        self.spans(list).filter_map(|span| self.text.get(span))
    }

    pub(crate) fn list_has(&self, list: List, wanted: &str) -> bool {
        self.spans(list).any(|span| self.is_at(span, wanted))
    }

    /// The JSON of one member.
    pub(crate) fn member(&self, wanted: &str) -> Option<&str> {
        let mut numbers = self.numbers(self.places.members, None);
        let mut cursor = 0;
        while let Some((name, value)) = numbers.member(&mut cursor) {
            if self.is_at(name, wanted) {
                return self.text.get(value);
            }
        }
        None
    }

    fn spans(&self, list: List) -> impl Iterator<Item = Range<usize>> {
        let Places { scopes, roles, members, .. } = self.places;
        let mut numbers = match list {
            List::Audience => self.numbers(0, Some(scopes)),
            List::Scopes => self.numbers(scopes, Some(roles)),
            List::Roles => self.numbers(roles, Some(members)),
        };
        let mut cursor = 0;
        std::iter::from_fn(move || numbers.item(&mut cursor))
    }

    fn numbers(&self, start: u16, end: Option<u16>) -> Numbers<'_> {
        let index = self.text.as_bytes().get(self.places.index.into()..).unwrap_or_default();
        let end = end.map_or(index.len(), usize::from);
        Numbers(index.get(start.into()..end).unwrap_or_default())
    }

    /// Whether the span holds exactly this text. Most differ in their length already.
    fn is_at(&self, span: Range<usize>, wanted: &str) -> bool {
        span.len() == wanted.len() && self.text.as_bytes().get(span) == Some(wanted.as_bytes())
    }
}

/// How many bits of a number a byte has. One more says whether the number goes on in the next byte.
const BITS: u32 = 6;
const MORE: u8 = 1 << BITS;

/// What is between a value and the name of the next member, and between a name and its value: `,"` and `":`, in a text without
/// blanks.
const BETWEEN: usize = 2;

/// Reads numbers of the index.
struct Numbers<'a>(&'a [u8]);

impl Numbers<'_> {
    #[inline]
    fn next(&mut self) -> Option<usize> {
        let (mut number, mut shift) = (0, 0);
        loop {
            let (byte, rest) = self.0.split_first()?;
            self.0 = rest;
            number |= usize::from(byte & (MORE - 1)).checked_shl(shift)?;
            if byte & MORE == 0 {
                return Some(number);
            }
            shift += BITS;
        }
    }

    /// How far a position is from where it would be expected.
    #[inline]
    fn position(&mut self, expected: usize) -> Option<usize> {
        let number = self.next()?;
        let distance = number >> 1;
        Some(if number & 1 == 0 { expected.wrapping_add(distance) } else { expected.wrapping_sub(distance) })
    }

    #[inline]
    fn item(&mut self, cursor: &mut usize) -> Option<Range<usize>> {
        let start = self.position(*cursor)?;
        *cursor = start.wrapping_add(self.next()?);
        Some(start..*cursor)
    }

    /// Name and value.
    #[inline]
    fn member(&mut self, cursor: &mut usize) -> Option<(Range<usize>, Range<usize>)> {
        let number = self.next()?;
        let length = number >> 1;
        let mut name = cursor.wrapping_add(BETWEEN);
        let mut value = name.wrapping_add(length).wrapping_add(BETWEEN);
        if number & 1 != 0 {
            name = self.position(name)?;
            value = self.position(value)?;
        }
        *cursor = value.wrapping_add(self.next()?);
        Some((name..name.wrapping_add(length), value..*cursor))
    }
}

/// How a string in place of a list is split.
#[derive(Clone, Copy)]
pub(crate) enum Words {
    /// RFC 6749 section 3.3: scopes are separated by spaces; by this character too where the issuer is configured so.
    Split(char),
    Whole,
}

/// Writes the parts of one token: first the lists, in their order, then the members.
pub(crate) struct PartsWriter<'a> {
    payload: &'a str,
    /// Decoded strings that were written with escapes; it follows the payload.
    appendix: String,
    index: SmallVec<[u8; 192]>,
    cursor: usize,
}

impl<'a> PartsWriter<'a> {
    pub(crate) fn new(payload: &'a str) -> Self {
        Self { payload, appendix: String::new(), index: SmallVec::new(), cursor: 0 }
    }

    /// Begins the next list. Returns where.
    pub(crate) fn begin(&mut self) -> usize {
        self.cursor = 0;
        self.index.len()
    }

    pub(crate) fn text(&mut self, text: Option<Text<'a>>) -> Span {
        text.map_or(Span::NONE, |text| Span::new(self.range(text)))
    }

    /// A string or a list of strings; anything else grants nothing.
    pub(crate) fn list(&mut self, value: Value<'a>, words: Words) {
        match (value, words) {
            (Value::String(text), Words::Split(other)) if !text.is_escaped() => {
                let start = place_in(self.payload, text.raw).start;
                self.words(text.raw, other, start);
            }
            (Value::String(text), Words::Split(other)) => {
                let decoded = text.decode();
                let start = self.append(&decoded).start;
                self.words(&decoded, other, start);
            }
            (Value::String(text), Words::Whole) => {
                let range = self.range(text);
                self.item(range);
            }
            (Value::Array(list), _) if list.items().all(|item| item.as_text().is_some()) => {
                for text in list.items().filter_map(Value::as_text) {
                    let range = self.range(text);
                    self.item(range);
                }
            }
            _ => {}
        }
    }

    /// The words of a text that begins at `start`.
    fn words(&mut self, text: &str, other: char, start: usize) {
        let mut add = |from: usize, to: usize| {
            if from < to {
                self.item(start + from..start + to);
            }
        };
        let mut from = 0;
        match u8::try_from(other) {
            Ok(other) if other.is_ascii() => {
                for at in memchr::memchr2_iter(b' ', other, text.as_bytes()) {
                    add(from, at);
                    from = at + 1;
                }
            }
            _ => {
                for (at, separator) in text.match_indices([' ', other]) {
                    add(from, at);
                    from = at + separator.len();
                }
            }
        }
        add(from, text.len());
    }

    /// A member, whose value stands at `value` of the payload.
    pub(crate) fn member(&mut self, name: Text<'a>, value: Range<usize>) {
        let name = self.range(name);
        let expected = self.cursor + BETWEEN;
        let after = expected + name.len() + BETWEEN;
        if name.start == expected && value.start == after {
            self.number(name.len() << 1);
        } else {
            self.number(name.len() << 1 | 1);
            self.position(expected, name.start);
            self.position(after, value.start);
        }
        self.number(value.len());
        self.cursor = value.end;
    }

    /// The whole. `None` if it is longer than a span can address: the text by itself, or the index, of which an item of a list
    /// takes two bytes or more. So only of a token far above the usual limit can the index be what is too long.
    pub(crate) fn finish(self, spans: Spans, lists: [usize; 3], lifetime: &Lifetime) -> Option<Parts> {
        let Self { payload, appendix, index, .. } = self;
        let [scopes, roles, members] = lists.map(|start| u16::try_from(start).ok());
        let places = Places {
            payload_end: u16::try_from(payload.len()).ok()?,
            index: u16::try_from(payload.len() + appendix.len()).ok()?,
            scopes: scopes?,
            roles: roles?,
            members: members?,
        };
        // Only what is ASCII was written.
        let index = std::str::from_utf8(&index).ok()?;
        let mut text = String::with_capacity(payload.len() + appendix.len() + index.len());
        text.push_str(payload);
        text.push_str(&appendix);
        text.push_str(index);
        let Spans { concrete_issuer, subject, client_id, token_id, acr } = spans;
        let &Lifetime { issued_at, expires_at, valid_from, valid_until } = lifetime;
        Some(Parts {
            valid_from,
            valid_until,
            expires_at,
            issued_at: issued_at.map(|at| NonZeroU64::MIN.saturating_add(at)),
            text: text.into(),
            places,
            concrete_issuer,
            subject,
            client_id,
            token_id,
            acr,
        })
    }

    fn range(&mut self, text: Text<'a>) -> Range<usize> {
        if text.is_escaped() { self.append(&text.decode()) } else { place_in(self.payload, text.raw) }
    }

    fn append(&mut self, text: &str) -> Range<usize> {
        let start = self.payload.len() + self.appendix.len();
        self.appendix.push_str(text);
        start..start + text.len()
    }

    fn item(&mut self, range: Range<usize>) {
        self.position(self.cursor, range.start);
        self.number(range.len());
        self.cursor = range.end;
    }

    fn position(&mut self, expected: usize, position: usize) {
        self.number(match position.checked_sub(expected) {
            Some(ahead) => ahead << 1,
            None => (expected - position) << 1 | 1,
        });
    }

    #[inline]
    fn number(&mut self, number: usize) {
        match u8::try_from(number) {
            Ok(small) if small < MORE => self.index.push(small),
            _ => self.long_number(number),
        }
    }

    fn long_number(&mut self, mut number: usize) {
        loop {
            let low = (number & usize::from(MORE - 1)) as u8;
            number >>= BITS;
            if number == 0 {
                return self.index.push(low);
            }
            self.index.push(low | MORE);
        }
    }
}

/// Where a part of a text is in it, such as what was read of a payload.
#[inline]
pub(crate) fn place_in(text: &str, part: &str) -> Range<usize> {
    let start = (part.as_ptr() as usize).wrapping_sub(text.as_ptr() as usize);
    start..start.saturating_add(part.len())
}

/// The claims that are read most.
pub(crate) struct Spans {
    pub(crate) concrete_issuer: Span,
    pub(crate) subject: Span,
    pub(crate) client_id: Span,
    pub(crate) token_id: Span,
    pub(crate) acr: Span,
}

#[cfg(test)]
mod tests;
