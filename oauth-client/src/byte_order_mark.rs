//! The byte order mark that some editors and serializers put in front of UTF-8 text. RFC 8259 section 8.1 lets a reader
//! pass over it. In a signed token it stays an error.

/// The bytes without the mark.
pub(crate) fn without_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes)
}
