//! The state of a source, for health checks and logs.

use std::time::Duration;

use serde::{Serialize, Serializer};

use crate::token::AccessToken;

/// The state of a [`TokenSource`](super::TokenSource) at one moment. It serializes for a health endpoint, without a secret;
/// times are whole seconds there, as `age_seconds`, `expires_in_seconds` and `next_attempt_seconds`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Status {
    /// The generation of the token in hand; `None` when there is none yet, or the last one was refused.
    pub generation: Option<u64>,
    /// How long ago the request for it was sent.
    #[serde(rename = "age_seconds", serialize_with = "seconds")]
    pub age: Option<Duration>,
    /// How long it is still good; zero when it has expired.
    #[serde(rename = "expires_in_seconds", serialize_with = "seconds")]
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
    #[serde(rename = "next_attempt_seconds", serialize_with = "seconds")]
    pub next_attempt: Option<Duration>,
}

impl Status {
    pub(super) fn fixed(token: &AccessToken) -> Self {
        Self { generation: Some(token.generation()), ..Self::default() }
    }
}

fn seconds<S: Serializer>(time: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    time.map(|time| time.as_secs()).serialize(serializer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_serializes_with_times_in_seconds() {
        let status = Status {
            generation: Some(3),
            age: Some(Duration::from_millis(61_900)),
            expires_in: Some(Duration::from_secs(240)),
            ..Status::default()
        };
        let expected = serde_json::json!({
            "generation": 3, "age_seconds": 61, "expires_in_seconds": 240, "refreshing": false, "token_requests": 0,
            "failures": 0, "last_error": null, "next_attempt_seconds": null,
        });
        assert_eq!(serde_json::to_value(status).unwrap(), expected);
    }
}
