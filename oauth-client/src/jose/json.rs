//! A strict JSON reader that borrows from its input.
//!
//! A signed token must mean the same to every reader, so what RFC 8259 leaves open is rejected here: a member name that
//! occurs twice in one object (at any depth, also when spelled with escapes), lone surrogates, a byte order mark,
//! anything after the value, and nesting beyond [`JSON_DEPTH`](super::JSON_DEPTH).
//!
//! [`read_object`] makes one pass and allocates nothing for a usual object. `object` reads by the same rules into a
//! [`serde_json::Map`], where speed does not matter.

mod object;

use std::borrow::Cow;

pub(crate) use self::object::object;
use super::JSON_DEPTH;

/// Names that one object may hold before duplicates are found by sorting instead of by comparing each pair.
const FEW: usize = 16;

/// Reads `text` as one JSON object and hands each of its members to `each`, in order: name, value, and the value
/// as it is written.
///
/// # Errors
/// Says why the text is not one strict JSON object. Members before the fault were handed on already.
pub fn read_object<'a>(
    text: &'a str,
    each: &mut impl FnMut(Text<'a>, Value<'a>, &'a str),
) -> Result<(), Malformed> {
    Reader::new(text).whole(each)
}

/// Reads one value out of what [`read_object`] has handed on as written.
#[must_use]
pub fn read_value(raw: &str) -> Option<Value<'_>> {
    Reader::new(raw).value(0).ok()
}

/// Why a text is not acceptable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// It begins with another thing than an object.
    NotAnObject,
    /// It is not JSON.
    Syntax,
    /// An object in it has a member twice.
    Duplicate,
    /// It nests deeper than [`JSON_DEPTH`](super::JSON_DEPTH).
    TooDeep,
}

impl Malformed {
    /// What is wrong, as the predicate of a sentence.
    #[must_use]
    pub fn describe(self) -> &'static str {
        match self {
            Self::NotAnObject => "is not a JSON object",
            Self::Syntax => "is not valid JSON",
            Self::Duplicate => "has a member twice",
            Self::TooDeep => "nests too deep",
        }
    }
}

/// One JSON value; everything inside it has been checked already.
#[derive(Clone, Copy, Debug)]
pub enum Value<'a> {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number as it is written.
    Number(&'a str),
    /// A string.
    String(Text<'a>),
    /// An array.
    Array(Array<'a>),
    /// An object.
    Object(Object<'a>),
}

impl<'a> Value<'a> {
    /// A value once more, out of what [`read_object`] has handed on: as it is written, and whether it is a string with
    /// escapes. Nothing is checked again.
    #[inline]
    #[must_use]
    pub fn of_written(raw: &'a str, escaped: bool) -> Self {
        match raw.as_bytes().first() {
            Some(b'"') => {
                Self::String(Text::of_written(raw.get(1..raw.len() - 1).unwrap_or_default(), escaped))
            }
            Some(b'{') => Self::Object(Object(raw)),
            Some(b'[') => Self::Array(Array(raw)),
            Some(b't') => Self::Bool(true),
            Some(b'f') => Self::Bool(false),
            Some(b'n') | None => Self::Null,
            Some(_) => Self::Number(raw),
        }
    }

    /// The string, if it is one.
    #[inline]
    #[must_use]
    pub fn as_text(self) -> Option<Text<'a>> {
        if let Self::String(text) = self { Some(text) } else { None }
    }

    /// The value as RFC 7519 section 2 NumericDate: whole seconds, a fraction rounded down so that no lifetime
    /// grows. Negative values and those beyond `u64` are none.
    #[inline]
    #[must_use]
    pub fn as_seconds(self) -> Option<u64> {
        let Self::Number(digits) = self else { return None };
        if let Some(whole) = whole(digits) {
            return Some(whole);
        }
        if digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return digits.parse().ok();
        }
        let seconds: f64 = digits.parse().ok()?;
        // Beyond 2^53 a float no longer holds whole seconds; no date is that far away.
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "the range was checked to fit"
        )]
        (seconds.is_sign_positive() && seconds <= 9_007_199_254_740_992.0).then(|| seconds.floor() as u64)
    }
}

/// A whole number of so few digits that it cannot be too large.
#[inline]
fn whole(digits: &str) -> Option<u64> {
    const MOST: usize = 19;
    let mut number = 0_u64;
    for byte in digits.bytes().take(MOST + 1) {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        number = number.wrapping_mul(10).wrapping_add(digit.into());
    }
    (1..=MOST).contains(&digits.len()).then_some(number)
}

/// A string as it stands between its quotes.
#[derive(Clone, Copy, Debug)]
pub struct Text<'a> {
    /// As written, escapes included.
    pub raw: &'a str,
    escaped: bool,
}

impl<'a> Text<'a> {
    /// A string once more, out of what [`read_object`] has handed on.
    #[inline]
    #[must_use]
    pub fn of_written(raw: &'a str, escaped: bool) -> Self {
        Self { raw, escaped }
    }

    /// The string with its escapes resolved.
    #[inline]
    #[must_use]
    pub fn decode(self) -> Cow<'a, str> {
        if self.escaped { Cow::Owned(unescape(self.raw)) } else { Cow::Borrowed(self.raw) }
    }

    /// Whether it is written with escapes.
    #[inline]
    #[must_use]
    pub fn is_escaped(self) -> bool {
        self.escaped
    }

    /// Whether it is that text, escapes resolved.
    #[inline]
    #[must_use]
    pub fn is(self, other: &str) -> bool {
        if self.escaped { self.is_unescaped(other) } else { self.raw == other }
    }

    fn is_unescaped(self, other: &str) -> bool {
        let (mut rest, mut same) = (other.chars(), true);
        unescape_into(self.raw, &mut |char| same &= rest.next() == Some(char));
        same && rest.next().is_none()
    }
}

/// An array that has been checked, brackets included.
#[derive(Clone, Copy, Debug)]
pub struct Array<'a>(&'a str);

impl<'a> Array<'a> {
    /// Its values, in order.
    #[inline]
    pub fn items(self) -> impl Iterator<Item = Value<'a>> {
        let mut reader = Reader { at: 1, ..Reader::new(self.0) };
        std::iter::from_fn(move || {
            reader.blank();
            if reader.peek() == Some(b',') {
                reader.at += 1;
                reader.blank();
            }
            if reader.peek() == Some(b']') { None } else { reader.value(0).ok() }
        })
    }
}

/// An object that has been checked, braces included.
#[derive(Clone, Copy, Debug)]
pub struct Object<'a>(&'a str);

impl<'a> Object<'a> {
    /// The member of that name.
    #[must_use]
    pub fn get(self, wanted: &str) -> Option<Value<'a>> {
        let mut found = None;
        let mut look = |name: Text<'a>, value, _: &'a str| {
            if name.is(wanted) {
                found = Some(value);
            }
        };
        read_object(self.0, &mut look).ok()?;
        found
    }
}

struct Reader<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn new(text: &'a str) -> Self {
        Self { text, bytes: text.as_bytes(), at: 0 }
    }

    /// One object, and nothing after it.
    fn whole(&mut self, each: &mut impl FnMut(Text<'a>, Value<'a>, &'a str)) -> Result<(), Malformed> {
        self.blank();
        if self.peek() != Some(b'{') {
            return Err(Malformed::NotAnObject);
        }
        self.object(0, each)?;
        self.blank();
        if self.at == self.bytes.len() { Ok(()) } else { Err(Malformed::Syntax) }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    #[inline]
    fn blank(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn expect(&mut self, literal: &str) -> Result<(), Malformed> {
        if !self.bytes[self.at.min(self.bytes.len())..].starts_with(literal.as_bytes()) {
            return Err(Malformed::Syntax);
        }
        self.at += literal.len();
        Ok(())
    }

    #[inline]
    fn since(&self, start: usize) -> Result<&'a str, Malformed> {
        self.text.get(start..self.at).ok_or(Malformed::Syntax)
    }

    #[inline]
    fn value(&mut self, depth: usize) -> Result<Value<'a>, Malformed> {
        let start = self.at;
        match self.peek() {
            Some(b'"') => self.string().map(Value::String),
            Some(b'{') => {
                self.object(depth, &mut |_, _, _| {})?;
                self.since(start).map(|raw| Value::Object(Object(raw)))
            }
            Some(b'[') => {
                self.array(depth)?;
                self.since(start).map(|raw| Value::Array(Array(raw)))
            }
            Some(b'-' | b'0'..=b'9') => {
                self.number()?;
                self.since(start).map(Value::Number)
            }
            Some(b't') => self.expect("true").map(|()| Value::Bool(true)),
            Some(b'f') => self.expect("false").map(|()| Value::Bool(false)),
            Some(b'n') => self.expect("null").map(|()| Value::Null),
            _ => Err(Malformed::Syntax),
        }
    }

    /// Stands on the opening brace.
    fn object(
        &mut self,
        depth: usize,
        each: &mut impl FnMut(Text<'a>, Value<'a>, &'a str),
    ) -> Result<(), Malformed> {
        if depth >= JSON_DEPTH {
            return Err(Malformed::TooDeep);
        }
        self.at += 1;
        self.blank();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(());
        }
        let mut names = Names { few: [""; FEW], len: 0, marks: 0, many: Vec::new() };
        loop {
            self.blank();
            let name = self.string()?;
            names.add(name)?;
            self.blank();
            if self.peek() != Some(b':') {
                return Err(Malformed::Syntax);
            }
            self.at += 1;
            self.blank();
            let start = self.at;
            let value = self.value(depth + 1)?;
            each(name, value, self.since(start)?);
            self.blank();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => {
                    self.at += 1;
                    return names.finish();
                }
                _ => return Err(Malformed::Syntax),
            }
        }
    }

    /// Stands on the opening bracket.
    fn array(&mut self, depth: usize) -> Result<(), Malformed> {
        if depth >= JSON_DEPTH {
            return Err(Malformed::TooDeep);
        }
        self.at += 1;
        self.blank();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(());
        }
        loop {
            self.blank();
            self.value(depth + 1)?;
            self.blank();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => {
                    self.at += 1;
                    return Ok(());
                }
                _ => return Err(Malformed::Syntax),
            }
        }
    }

    // There are two for nearly each member: names and values.
    #[inline(always)]
    fn string(&mut self) -> Result<Text<'a>, Malformed> {
        if self.peek() != Some(b'"') {
            return Err(Malformed::Syntax);
        }
        self.at += 1;
        let start = self.at;
        let mut escaped = false;
        loop {
            // Plain text is nearly all there is: run along it.
            self.at += plain(self.bytes.get(self.at..).unwrap_or_default());
            match self.peek() {
                Some(b'"') => break,
                Some(b'\\') => {
                    escaped = true;
                    self.escape()?;
                }
                _ => return Err(Malformed::Syntax),
            }
        }
        let raw = self.since(start)?;
        self.at += 1;
        Ok(Text { raw, escaped })
    }

    /// Stands on the backslash.
    fn escape(&mut self) -> Result<(), Malformed> {
        let kind = self.bytes.get(self.at + 1).copied();
        self.at += 2;
        match kind {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(()),
            Some(b'u') => match self.hex()? {
                0xD800..=0xDBFF => {
                    self.expect("\\u")?;
                    if matches!(self.hex()?, 0xDC00..=0xDFFF) { Ok(()) } else { Err(Malformed::Syntax) }
                }
                0xDC00..=0xDFFF => Err(Malformed::Syntax),
                _ => Ok(()),
            },
            _ => Err(Malformed::Syntax),
        }
    }

    fn hex(&mut self) -> Result<u32, Malformed> {
        let digits = self.text.get(self.at..self.at + 4).ok_or(Malformed::Syntax)?;
        if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(Malformed::Syntax);
        }
        self.at += 4;
        u32::from_str_radix(digits, 16).map_err(|_| Malformed::Syntax)
    }

    fn number(&mut self) -> Result<(), Malformed> {
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        // RFC 8259 section 6: no leading zeros.
        if self.peek() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<(), Malformed> {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        if self.at > start { Ok(()) } else { Err(Malformed::Syntax) }
    }
}

/// How many bytes come before a quote, a backslash or a control character. Eight at a time: claims are mostly text.
#[inline]
fn plain(text: &[u8]) -> usize {
    const ONES: u64 = u64::MAX / 255;
    const HIGHS: u64 = ONES << 7;
    // A borrow can only reach bytes above one that is found, so that the lowest mark is always right.
    let below = |word: u64, bound: u64| word.wrapping_sub(ONES * bound) & !word & HIGHS;
    let (words, _) = text.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let special = below(word, 0x20)
            | below(word ^ (ONES * u64::from(b'"')), 1)
            | below(word ^ (ONES * u64::from(b'\\')), 1);
        if special != 0 {
            return index * 8 + special.trailing_zeros() as usize / 8;
        }
    }
    let done = words.len() * 8;
    let rest = text.get(done..).unwrap_or_default();
    done + rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | ..0x20)).unwrap_or(rest.len())
}

/// The names one object has shown so far. A few plain ones, which is every token in practice, cost no
/// allocation; many are sorted, so that a wide object is not quadratic.
struct Names<'a> {
    few: [&'a str; FEW],
    len: usize,
    /// A bit for each of those, by its length and both ends: most names differ in it from all others.
    marks: u64,
    many: Vec<Cow<'a, str>>,
}

impl<'a> Names<'a> {
    #[inline]
    fn add(&mut self, name: Text<'a>) -> Result<(), Malformed> {
        let seen = self.few.get(..self.len).unwrap_or_default();
        match self.few.get(self.len) {
            Some(_) if self.many.is_empty() && !name.escaped => {
                let mark = mark(name.raw);
                if self.marks & mark != 0 && seen.contains(&name.raw) {
                    return Err(Malformed::Duplicate);
                }
                self.marks |= mark;
                self.few[self.len] = name.raw;
                self.len += 1;
            }
            _ => {
                if self.many.is_empty() {
                    self.many.extend(seen.iter().copied().map(Cow::Borrowed));
                }
                self.many.push(name.decode());
            }
        }
        Ok(())
    }

    #[inline]
    fn finish(&mut self) -> Result<(), Malformed> {
        if self.many.is_empty() {
            return Ok(());
        }
        self.many.sort_unstable();
        if self.many.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(Malformed::Duplicate);
        }
        Ok(())
    }
}

/// One bit, the same for the same name.
#[inline]
fn mark(name: &str) -> u64 {
    let end = |byte: Option<&u8>| usize::from(byte.copied().unwrap_or_default());
    let (first, last) = (end(name.as_bytes().first()), end(name.as_bytes().last()));
    1 << ((name.len() + 3 * first + 11 * last) % 64)
}

/// Resolves escapes in a string that the reader has accepted.
fn unescape(raw: &str) -> String {
    let mut out = String::with_capacity(raw.len());
    unescape_into(raw, &mut |char| out.push(char));
    out
}

fn unescape_into(raw: &str, each: &mut dyn FnMut(char)) {
    let mut rest = raw.chars();
    while let Some(char) = rest.next() {
        if char != '\\' {
            each(char);
            continue;
        }
        match rest.next() {
            Some('b') => each('\u{8}'),
            Some('f') => each('\u{c}'),
            Some('n') => each('\n'),
            Some('r') => each('\r'),
            Some('t') => each('\t'),
            Some('u') => {
                let mut unit = code_unit(&mut rest);
                if (0xD800..0xDC00).contains(&unit) {
                    // The reader has seen that the other half follows as `\uXXXX`.
                    let low = code_unit(rest.by_ref().skip(2).by_ref());
                    unit = 0x10000 + ((unit - 0xD800) << 10) + low.saturating_sub(0xDC00);
                }
                each(char::from_u32(unit).unwrap_or(char::REPLACEMENT_CHARACTER));
            }
            Some(other) => each(other),
            None => {}
        }
    }
}

fn code_unit(chars: &mut dyn Iterator<Item = char>) -> u32 {
    chars.take(4).fold(0, |unit, digit| unit * 16 + digit.to_digit(16).unwrap_or(0))
}

#[cfg(test)]
mod tests;
