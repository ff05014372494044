//! The round trips of one fetch: where the set is, and what is there.

use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http::header::CACHE_CONTROL;
use oauth_client::discover;
use url::Url;

use super::{Found, Remote, Where};
use crate::defaults;
use crate::keys::KeySet;

impl Remote {
    pub(super) async fn download(&self, sequence: u64) -> Result<Download, Failure> {
        let url = match &self.place {
            Where::Uri(url) => url.clone(),
            Where::Discovery => self.locate(sequence).await?,
        };
        let answer = self.http.get_json(&url, &self.limits).await?;
        let set =
            KeySet::parse(answer.body(), &self.algorithms, self.policy.max_keys).map_err(|_| Failure {
                code: "malformed_response".to_owned(),
                detail: Some("the answer is not a JWK set".to_owned()),
                retry_after: None,
            })?;
        let max_age = max_age(answer.headers());
        Ok(Download { set, max_age, document: answer.into_body() })
    }

    /// Where the metadata says that the set is. The address found last serves for an hour unless it is doubted, and
    /// beyond that while the metadata cannot be had: a set that did not move is not lost with it.
    async fn locate(&self, sequence: u64) -> Result<Url, Failure> {
        let now = self.clock.now().monotonic;
        let known = match self.state().found.clone() {
            Some(found) if now < found.doubted_from => return Ok(found.url),
            found => found.map(|found| found.url),
        };
        // With an address to fall back on, half of the time is left for it.
        let patience = if known.is_some() { self.policy.timeout / 2 } else { self.policy.timeout };
        let discovered = discover::discover(&self.http, &self.issuer, &self.limits);
        let metadata = match (tokio::time::timeout(patience, discovered).await, known) {
            (Ok(Ok(metadata)), _) => metadata,
            (Ok(Err(error)), Some(known)) if error.is_transient() => {
                return Ok(self.as_known(known, error.code()));
            }
            (Ok(Err(error)), _) => return Err(error.into()),
            (Err(_), Some(known)) => return Ok(self.as_known(known, "timeout")),
            (Err(_), None) => return Err(Failure::timeout()),
        };
        let url = metadata.jwks_uri.ok_or_else(|| Failure {
            code: "discovery".to_owned(),
            detail: Some("the issuer's metadata has no jwks_uri".to_owned()),
            retry_after: None,
        })?;
        let mut state = self.state();
        if state.sequence == sequence {
            state.found =
                Some(Found { url: url.clone(), doubted_from: now.saturating_add(defaults::KEY_ADDRESS) });
        }
        Ok(url)
    }

    fn as_known(&self, known: Url, code: &str) -> Url {
        tracing::debug!(
            target: "oauth_guard",
            issuer = &*self.issuer,
            code,
            "the metadata cannot be had; keys are fetched from where they were"
        );
        known
    }
}

pub(super) struct Download {
    pub(super) set: KeySet,
    pub(super) document: Bytes,
    pub(super) max_age: Option<Duration>,
}

pub(super) struct Failure {
    pub(super) code: String,
    pub(super) detail: Option<String>,
    pub(super) retry_after: Option<Duration>,
}

impl Failure {
    pub(super) fn timeout() -> Self {
        Self { code: "timeout".to_owned(), detail: None, retry_after: None }
    }
}

impl From<oauth_client::Error> for Failure {
    fn from(error: oauth_client::Error) -> Self {
        Self {
            code: error.code().to_owned(),
            detail: Some(error.to_string()),
            retry_after: error.retry_after(),
        }
    }
}

/// RFC 9111 §5.2.2: `no-store` and `no-cache` are an age of nothing.
fn max_age(headers: &HeaderMap) -> Option<Duration> {
    let mut found = None;
    for value in headers.get_all(CACHE_CONTROL) {
        for directive in value.to_str().unwrap_or_default().split(',') {
            let (name, argument) = directive.trim().split_once('=').unwrap_or((directive.trim(), ""));
            if name.eq_ignore_ascii_case("no-store") || name.eq_ignore_ascii_case("no-cache") {
                return Some(Duration::ZERO);
            }
            if name.eq_ignore_ascii_case("max-age") {
                found = argument.trim_matches('"').parse().ok().map(Duration::from_secs).or(found);
            }
        }
    }
    found
}
