//! The state of a source, for health checks and logs.

use std::time::Duration;

use crate::token::AccessToken;

/// The state of a [`TokenSource`](super::TokenSource) at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Status {
    /// The generation of the token in hand; `None` when there is none yet, or the last one was refused.
    pub generation: Option<u64>,
    /// How long ago the request for it was sent.
    pub age: Option<Duration>,
    /// How long it is still good; zero when it has expired.
    pub expires_in: Option<Duration>,
    /// Whether a refresh is under way.
    pub refreshing: bool,
    /// How many token requests were sent so far, retries included.
    pub token_requests: u64,
    /// How many refreshes in a row have failed.
    pub failures: u32,
    /// The code of the last failure, if nothing has succeeded since.
    pub last_error: Option<String>,
    /// How long until the server is asked again after that failure.
    pub next_attempt: Option<Duration>,
}

impl Status {
    pub(super) fn fixed(token: &AccessToken) -> Self {
        Self { generation: Some(token.generation()), ..Self::default() }
    }
}
