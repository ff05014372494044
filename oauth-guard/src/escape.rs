//! Escaping of text that a caller or a server chose, for log lines.

use crate::defaults;

/// The text cut to [`LOGGED_CHARS`](defaults::LOGGED_CHARS) characters and escaped to printable ASCII.
pub(crate) fn escaped(text: &str) -> String {
    text.chars().take(defaults::LOGGED_CHARS).flat_map(char::escape_default).collect()
}
