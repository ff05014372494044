use std::error::Error as StdError;
use std::fmt;

use crate::error::{BoxError, Error};

/// Why a request that needed a token has no response.
#[derive(Clone, Debug)]
pub enum AttachError<E> {
    /// The request was not sent: no token was available, or it must not carry one. The error says why.
    Token(Error),
    /// The request was sent, or would have been, and the service inside failed.
    Inner(E),
}

impl<E> AttachError<E> {
    /// Why no token was put on the request; `None` when the request failed for another reason.
    pub fn token_error(&self) -> Option<&Error> {
        match self {
            Self::Token(error) => Some(error),
            Self::Inner(_) => None,
        }
    }

    /// For stacks whose errors are boxed already, and so do not implement [`std::error::Error`] themselves.
    pub fn into_boxed(self) -> BoxError
    where
        E: Into<BoxError>,
    {
        match self {
            Self::Token(error) => AttachError::<std::convert::Infallible>::Token(error).into(),
            Self::Inner(error) => error.into(),
        }
    }
}

#[cfg(feature = "reqwest")]
impl AttachError<::reqwest::Error> {
    /// A stable machine code, as [`Error::code`]: of the token request that failed, else `timeout` or `transport`
    /// for an API without a complete response.
    #[must_use]
    pub fn code(&self) -> &str {
        match self {
            Self::Token(error) => error.code(),
            Self::Inner(error) if error.is_timeout() => "timeout",
            Self::Inner(_) => "transport",
        }
    }
}

impl<E: fmt::Display> fmt::Display for AttachError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Token(error) => {
                write!(f, "the request was not sent, because no token could be put on it: {error}")
            }
            Self::Inner(error) => error.fmt(f),
        }
    }
}

impl<E: StdError + 'static> StdError for AttachError<E> {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            // Both are displayed with it, so the chain goes on behind them: no message comes twice.
            Self::Token(error) => error.source(),
            Self::Inner(error) => error.source(),
        }
    }
}

impl<E> From<Error> for AttachError<E> {
    fn from(error: Error) -> Self {
        Self::Token(error)
    }
}
