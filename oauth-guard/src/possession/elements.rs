//! Lists of elements with pairs, as `Forwarded` (RFC 7239 section 4) and Envoy's `x-forwarded-client-cert` have them.
//!
//! A proxy may add its element behind what its own caller sent. A quote that the caller leaves open would swallow the comma
//! between the two, and the proxy's element with it: then all of it would be the last element, with the caller's pairs. So
//! quotes are read strictly, wherever they stand.

/// The last element. `None` where a quote is left open.
pub(super) fn last_element(text: &str) -> Option<&str> {
    if !is_closed(text) {
        return None;
    }
    split_quoted(text, ',').last().map(str::trim)
}

/// A pair of an element.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Pair<'a> {
    pub(super) name: &'a str,
    /// Without its quotes, and with the escapes within them.
    pub(super) value: &'a str,
    pub(super) is_quoted: bool,
}

impl Pair<'_> {
    pub(super) fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }
}

/// The pairs of an element; `None` for one that is malformed. Empty ones are left out.
pub(super) fn pairs(element: &str) -> impl Iterator<Item = Option<Pair<'_>>> {
    split_quoted(element, ';').filter(|pair| !pair.trim().is_empty()).map(pair)
}

fn pair(text: &str) -> Option<Pair<'_>> {
    let (name, value) = text.split_once('=')?;
    let (name, value) = (name.trim(), value.trim());
    if name.is_empty() || name.contains('"') {
        return None;
    }
    let Some(rest) = value.strip_prefix('"') else {
        return (!value.contains('"')).then_some(Pair { name, value, is_quoted: false });
    };
    let value = rest.strip_suffix('"').filter(|value| is_whole(value))?;
    Some(Pair { name, value, is_quoted: true })
}

/// Whether no quote ends within what stands between two of them.
fn is_whole(value: &str) -> bool {
    let mut chars = value.chars();
    while let Some(char) = chars.next() {
        if char == '"' || (char == '\\' && chars.next().is_none()) {
            return false;
        }
    }
    true
}

fn is_closed(text: &str) -> bool {
    let mut quotes = Quotes::default();
    text.chars().for_each(|char| _ = quotes.are_around(char));
    !quotes.is_open
}

/// Splits where the separator is not within quotes.
fn split_quoted(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let mut quotes = Quotes::default();
    text.split(move |char| !quotes.are_around(char) && char == separator)
}

/// Reads a text from its beginning, and knows what is within quotes.
#[derive(Default)]
struct Quotes {
    is_open: bool,
    is_escaped: bool,
}

impl Quotes {
    /// Whether the next character is within quotes.
    fn are_around(&mut self, char: char) -> bool {
        if self.is_escaped {
            self.is_escaped = false;
            return true;
        }
        match char {
            '\\' if self.is_open => self.is_escaped = true,
            '"' => self.is_open = !self.is_open,
            _ => {}
        }
        self.is_open
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_element_is_the_proxys_whatever_quotes_its_caller_sends() {
        for (text, expected) in [
            ("a=1,b=2", Some("b=2")),
            ("a=\"x,y\", b=2", Some("b=2")),
            (r#"a="x\",y", b=2"#, Some("b=2")),
            ("a=1;\",b=2", None),
            ("a=1;x=\",b=2", None),
            (r#"a=1;x="\",b=2;c="d""#, None),
            ("", Some("")),
        ] {
            assert_eq!(last_element(text), expected, "{text}");
        }
    }

    #[test]
    fn pairs_are_read_strictly() {
        let read = |element| pairs(element).collect::<Option<Vec<_>>>();
        let found = read(r#"Hash=a; Subject="CN=\"a;b\", O=c";;URI=x=y"#).unwrap();
        assert!(found[0].is("hash") && found[0].value == "a" && !found[0].is_quoted);
        assert_eq!((found[1].name, found[1].value), ("Subject", r#"CN=\"a;b\", O=c"#));
        assert_eq!((found[2].name, found[2].value, found.len()), ("URI", "x=y", 3));
        for bad in ["a", "=a", "\";a\"=b", "a=b\"c\"", "a=\"b\"c", "a=\"b\"c\"", r#"a="b\""#] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
