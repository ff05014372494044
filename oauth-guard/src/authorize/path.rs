//! Request paths, and the spellings that two servers could read differently.

/// The longest text between two slashes that a rule may name.
pub(super) const MOST_SEGMENT_BYTES: usize = 255;

/// A path that servers and frameworks read differently, so that no rule is certain to be the right one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ambiguous(pub(crate) &'static str);

/// What is between the first slash and the last; nothing for `/`. `None` if the path does not start at the root: it is `*` in
/// `OPTIONS *`, and empty in `CONNECT host:443` and `POST host`, which HTTP servers hand on (RFC 9112 section 3.2).
pub(super) fn inside(path: &str) -> Option<Option<&str>> {
    let rest = path.strip_prefix('/')?;
    Some(if rest.is_empty() { None } else { Some(rest.strip_suffix('/').unwrap_or(rest)) })
}

/// Whether the path has a slash at its end, beyond the one of the root. Some frameworks remove it before they route,
/// others route such a path to another handler.
pub(super) fn ends_with_slash(path: &str) -> bool {
    path.len() > 1 && path.ends_with('/')
}

/// Whether there is a `.` or `..` segment, in any encoding of it and its slashes (RFC 3986 section 5.2.4). Servlet
/// containers remove what follows a `;` first, so `..;x` is one of them.
pub(super) fn has_dot_segment(path: &str) -> bool {
    let bytes = path.as_bytes();
    // A quick scan first: most paths have nothing that could be a dot.
    if !bytes.iter().any(|byte| matches!(byte, b'.' | b'%')) {
        return false;
    }
    let (mut at, mut dots, mut others) = (0, 0_u32, false);
    loop {
        let Some((byte, length)) = decoded_at(bytes, at) else { return !others && matches!(dots, 1 | 2) };
        at += length;
        match byte {
            b'/' | b'\\' => {
                if !others && matches!(dots, 1 | 2) {
                    return true;
                }
                (dots, others) = (0, false);
            }
            b'.' => dots += 1,
            b';' if !others && matches!(dots, 1 | 2) => return true,
            _ => others = true,
        }
    }
}

/// One segment, as compared with the text of rules.
#[expect(clippy::large_enum_variant, reason = "it stays on the stack to avoid an allocation")]
pub(super) enum Segment<'a> {
    /// Without encodings.
    Plain(&'a str),
    /// With its percent-encodings decoded; it matches a rule only if the rule is encoded in the same way.
    Encoded(Decoded),
    /// Longer than the text of any rule.
    Long,
}

pub(super) struct Decoded {
    bytes: [u8; MOST_SEGMENT_BYTES],
    length: usize,
}

impl Decoded {
    pub(super) fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

/// Reads one segment, without an allocation.
pub(super) fn read(segment: &str) -> Result<Segment<'_>, Ambiguous> {
    if segment.is_empty() {
        return Err(Ambiguous("the path has two slashes in a row"));
    }
    if is_plain(segment) {
        return Ok(if segment.len() > MOST_SEGMENT_BYTES { Segment::Long } else { Segment::Plain(segment) });
    }
    read_encoded(segment.as_bytes())
}

/// Whether it has only one spelling.
pub(super) fn is_plain(segment: &str) -> bool {
    let odd = |byte: &u8| !matches!(byte, 0x21..=0x7e) || matches!(byte, b'%' | b'\\' | b';');
    !segment.is_empty() && !segment.as_bytes().iter().any(odd)
}

fn read_encoded(bytes: &[u8]) -> Result<Segment<'static>, Ambiguous> {
    let mut decoded = Decoded { bytes: [0; MOST_SEGMENT_BYTES], length: 0 };
    let mut fits = true;
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let (byte, length) = match byte {
            b'%' => match decode(bytes.get(at..).unwrap_or_default()) {
                Some(b'/') => return Err(Ambiguous("the path has an encoded slash")),
                Some(byte) => (byte, 3),
                None => return Err(Ambiguous("the path has a % without two hexadecimal digits")),
            },
            byte => (*byte, 1),
        };
        match byte {
            b'\\' => return Err(Ambiguous("the path has a backslash")),
            // RFC 3986 section 3.3: some servers take what follows for parameters of the segment, and remove it.
            b';' => return Err(Ambiguous("the path has a segment with a `;`")),
            0..=0x1f | 0x7f => return Err(Ambiguous("the path has a control character")),
            _ => {}
        }
        match decoded.bytes.get_mut(decoded.length) {
            Some(place) => *place = byte,
            None => fits = false,
        }
        decoded.length += usize::from(fits);
        at += length;
    }
    Ok(if fits { Segment::Encoded(decoded) } else { Segment::Long })
}

/// The byte that is written there, decoded where it is percent-encoded, and how many bytes it takes.
pub(super) fn decoded_at(bytes: &[u8], at: usize) -> Option<(u8, usize)> {
    Some(match bytes.get(at)? {
        b'%' => decode(bytes.get(at..).unwrap_or_default()).map_or((b'%', 1), |byte| (byte, 3)),
        byte => (*byte, 1),
    })
}

/// The byte that `%XX` stands for at the start.
fn decode(bytes: &[u8]) -> Option<u8> {
    let digit = |at: usize| bytes.get(at).and_then(|byte| char::from(*byte).to_digit(16));
    u8::try_from(digit(1)? * 16 + digit(2)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dot_segments_are_found_in_every_encoding() {
        for path in [
            "/.",
            "/..",
            "/a/../b",
            "/a/./b",
            "/a/..",
            "/%2e%2e/b",
            "/a/.%2E/b",
            "/a%2f..%2fb",
            "/a\\..\\b",
            "/a%5c%2e%2e",
            "/a/..;/b",
            "/a/.;x=1/b",
            "/a/..%3B/b",
            "/a/%2e%2e;jsessionid=1",
        ] {
            assert!(has_dot_segment(path), "{path}");
        }
        for path in [
            "/",
            "/a.b",
            "/...",
            "/a../b",
            "/a;..",
            "/a..;b",
            "/...;x",
            "/.well-known/x",
            "/orders.Orders/List",
            "/%2e%2e%2e",
            "/100%",
        ] {
            assert!(!has_dot_segment(path), "{path}");
        }
    }

    #[test]
    fn the_inside_has_no_trailing_slash() {
        for (path, ends) in
            [("/", false), ("/a", false), ("/a/", true), ("//", true), ("*", false), ("", false)]
        {
            assert_eq!(ends_with_slash(path), ends, "{path}");
        }
        assert_eq!(inside("/"), Some(None));
        assert_eq!(inside("/a"), Some(Some("a")));
        assert_eq!(inside("/a/"), Some(Some("a")));
        assert_eq!(inside("/a/b/"), Some(Some("a/b")));
        assert_eq!(inside("//"), Some(Some("")));
        assert_eq!(inside("/a//"), Some(Some("a/")));
        assert_eq!(inside("*"), None);
        assert_eq!(inside(""), None);
    }
}
