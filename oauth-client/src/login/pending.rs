//! A login that a person is in the middle of.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use url::Url;

use crate::token::Secret;
use crate::token::plaintext_serde::{conceal, conceal_some, expose, expose_some};

/// A login that has begun: the URL for the browser, and what is needed to check the response.
///
/// Keep it in the session of that browser's user, where no other party can read or write it: it serializes with its
/// secrets in the clear. Take it out of there before [`Client::finish`](crate::Client::finish); it is good
/// once. `Debug` shows no secret.
#[derive(Serialize, Deserialize)]
pub struct PendingLogin {
    pub(super) url: Url,
    /// Which server the login began at, as its tokens are stored under.
    pub(super) server: String,
    /// Its issuer, where it is known.
    pub(super) issuer: Option<String>,
    /// Whether it names itself in its authorization responses (RFC 9207 section 3).
    pub(super) names_itself: bool,
    pub(super) token_endpoint: Url,
    pub(super) client_id: String,
    pub(super) redirect_uri: String,
    #[serde(serialize_with = "expose", deserialize_with = "conceal")]
    pub(super) state: Secret,
    #[serde(serialize_with = "expose", deserialize_with = "conceal")]
    pub(super) verifier: Secret,
    /// There exactly when an ID token is expected.
    #[serde(default, serialize_with = "expose_some", deserialize_with = "conceal_some")]
    pub(super) nonce: Option<Secret>,
    /// One of these has to be the login's class, if there are any.
    #[serde(default)]
    pub(super) acr: Vec<String>,
    pub(super) max_age_seconds: Option<u64>,
    pub(super) resource: Vec<String>,
    /// Milliseconds of Unix time.
    pub(super) began_ms: u64,
    pub(super) ends_ms: u64,
}

impl PendingLogin {
    /// Where to send the browser.
    #[must_use]
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// The redirect URI to the letter, as the token request will repeat it.
    #[must_use]
    pub fn redirect_uri(&self) -> &str {
        &self.redirect_uri
    }

    /// Until when it is good, as Unix time.
    #[must_use]
    pub fn expires_at(&self) -> Duration {
        Duration::from_millis(self.ends_ms)
    }

    /// Whether its time is over. A clock that was stepped back does not prolong it: before it began, it is over too.
    pub(super) fn is_over(&self, wall: Duration) -> bool {
        // A minute of grace: several machines may share a session, and their clocks are never quite the same.
        let grace = Duration::from_secs(60);
        wall >= self.expires_at() || wall + grace < Duration::from_millis(self.began_ms)
    }
}

impl fmt::Debug for PendingLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PendingLogin")
            .field("server", &self.server)
            .field("client_id", &self.client_id)
            .field("redirect_uri", &self.redirect_uri)
            .field("expires_at", &self.expires_at())
            .finish_non_exhaustive()
    }
}
