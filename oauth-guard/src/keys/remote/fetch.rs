//! The round trips of one fetch: where the set is, and what is there.

use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http::header::CACHE_CONTROL;
use oauth_client::discover;

use super::{Remote, Where};
use crate::keys::set::KeySet;

impl Remote {
    pub(super) async fn download(&self, sequence: u64) -> Result<Download, Failure> {
        let known = self.state().found.clone();
        let url = match (&self.place, known) {
            (Where::Uri(url), _) => url.clone(),
            (Where::Discovery, Some(url)) => url,
            (Where::Discovery, None) => {
                let metadata = discover::discover(&self.http, &self.issuer, &self.limits).await?;
                let url = metadata.jwks_uri.ok_or_else(|| Failure {
                    code: "discovery".to_owned(),
                    detail: Some("the issuer's metadata has no jwks_uri".to_owned()),
                    retry_after: None,
                })?;
                let mut state = self.state();
                if state.sequence == sequence {
                    state.found = Some(url.clone());
                }
                url
            }
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
