//! How every reqwest client of the bundled transport is built.

use std::error::Error as _;
use std::time::Duration;

/// How long connecting may take.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Builds a client that follows no redirects. The error is the cause's text, without reqwest's own prefix.
pub(super) fn build(builder: reqwest::ClientBuilder) -> Result<reqwest::Client, String> {
    builder
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .map_err(|error| error.source().map(ToString::to_string).unwrap_or_default())
}
