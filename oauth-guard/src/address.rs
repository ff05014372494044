//! URLs of the configuration, which may hold a password by mistake.

use std::fmt;
use std::ops::Deref;

use url::Url;

/// What is wrong with one that does.
pub(crate) const HAS_USER: &str =
    "has a user name or password, which is never sent; remove it, and use headers or token_file";

/// What is wrong with one that is published.
pub(crate) const HAS_USER_FOR_ALL: &str =
    "has a user name or password, which every caller would see; remove it";

/// A URL as it was written, or a name that may be one. Its `Debug` shows no user name and no password.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Address(String);

impl Address {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    pub(crate) fn has_user(&self) -> bool {
        has_user(&self.0)
    }
}

/// Whether it is a URL with a user name or a password (RFC 3986 section 3.2.1).
pub(crate) fn has_user(text: &str) -> bool {
    Url::parse(text).is_ok_and(|url| !url.username().is_empty() || url.password().is_some())
}

impl Deref for Address {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

/// Rather too little than too much: what is no URL may still hold a password.
impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.split_once("://").and_then(|(scheme, rest)| Some((scheme, rest.rsplit_once('@')?.1))) {
            Some((scheme, rest)) => write!(f, "\"{scheme}://[redacted]@{}\"", rest.escape_debug()),
            None => self.0.fmt(f),
        }
    }
}
