//! Whether a secret shows where none may: in texts, and in those an error carries along.

use std::error::Error;
use std::fmt::Debug;

/// Asserts that an error shows none of these, nor do its causes. Shorter ones than eight bytes are words by chance.
pub(crate) fn assert_hidden_in_error(error: &(dyn Error + 'static), secrets: &[String]) {
    let mut next = Some(error);
    while let Some(error) = next {
        assert_hidden(&error.to_string(), secrets);
        assert_hidden(&format!("{error:?}"), secrets);
        next = error.source();
    }
}

/// Asserts the same of what `Debug` shows.
pub(crate) fn assert_hidden_in_debug(value: &impl Debug, secrets: &[String]) {
    assert_hidden(&format!("{value:?}"), secrets);
}

pub(crate) fn assert_hidden(shown: &str, secrets: &[String]) {
    for secret in secrets.iter().filter(|secret| secret.len() >= 8) {
        assert!(!shown.contains(secret.as_str()), "{secret:?} shows in {shown:?}");
    }
}
