//! The round trips of one fetch: the metadata for the JWKS URI, then the key set.

use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http::header::CACHE_CONTROL;
use oauth_client::discover;
use oauth_client::transport::{Limits, is_private};
use url::Url;

use super::{DiscoveredUri, JwksLocation, Remote};
use crate::defaults;
use crate::keys::KeySet;

impl Remote {
    pub(super) async fn download(&self, sequence: u64) -> Result<Download, Failure> {
        let url = match &self.location {
            JwksLocation::Uri(url) => url.clone(),
            JwksLocation::Discovery => self.locate(sequence).await?,
        };
        let response = self.http.get_key_set(&url, &self.limits_at(&url)?).await?;
        let set =
            KeySet::parse(response.body(), &self.algorithms, self.policy.max_keys).map_err(|_| Failure {
                code: "malformed_response".to_owned(),
                detail: Some("the response is not a JWK Set".to_owned()),
                retry_after: None,
            })?;
        let max_age = max_age(response.headers());
        Ok(Download { set, max_age, document: response.into_body() })
    }

    /// The limits of a request to the JWKS URI. One that the configuration names may be anywhere; one that a tenant or a
    /// document names must be public, as a rule.
    fn limits_at(&self, url: &Url) -> Result<Limits, Failure> {
        let is_configured = matches!(self.location, JwksLocation::Uri(_)) && self.probation.is_none();
        let public_only = !is_configured && !self.allow_private && must_be_public(&self.issuer, url);
        if public_only && is_private(url) {
            // The transport would refuse it too; this names what to do.
            return Err(Failure {
                code: "discovery".to_owned(),
                detail: Some("the issuer's jwks_uri is a private address; set allow_private_jwks".to_owned()),
                retry_after: None,
            });
        }
        Ok(Limits { public_only, ..self.limits.clone() })
    }

    /// The JWKS URI of the metadata. The last one is used for an hour unless it is to be rechecked, and beyond that while
    /// the metadata is unavailable: keys that did not move stay available.
    async fn locate(&self, sequence: u64) -> Result<Url, Failure> {
        let now = self.clock.now().monotonic;
        let known = match self.state().discovered.clone() {
            Some(known) if now < known.recheck_from => return Ok(known.url),
            known => known.map(|known| known.url),
        };
        // With a known URI to fall back on, half of the time is left for it.
        let timeout = if known.is_some() { self.policy.timeout / 2 } else { self.policy.timeout };
        let discovered = discover::discover_url(&self.http, &self.issuer, "jwks_uri", &self.limits);
        let url = match (tokio::time::timeout(timeout, discovered).await, known) {
            (Ok(Ok(url)), _) => url,
            (Ok(Err(error)), Some(known)) if error.is_transient() => {
                return Ok(self.fall_back(known, error.code()));
            }
            (Ok(Err(error)), _) => return Err(error.into()),
            (Err(_), Some(known)) => return Ok(self.fall_back(known, "timeout")),
            (Err(_), None) => return Err(Failure::timeout()),
        };
        let mut state = self.state();
        if state.sequence == sequence {
            state.discovered = Some(DiscoveredUri {
                url: url.clone(),
                recheck_from: now.saturating_add(defaults::JWKS_URI_MAX_AGE),
            });
        }
        Ok(url)
    }

    fn fall_back(&self, known: Url, code: &str) -> Url {
        tracing::debug!(
            target: "oauth_guard",
            issuer = &*self.issuer,
            code,
            "the metadata is unavailable; keys are fetched from the last known jwks_uri"
        );
        known
    }
}

/// Whether a JWKS URI that is not configured must be a public address: unless the issuer itself is private, or it is
/// where the issuer is, which is requested anyway.
pub(crate) fn must_be_public(issuer: &str, url: &Url) -> bool {
    Url::parse(issuer).map_or(true, |issuer| !is_private(&issuer) && issuer.origin() != url.origin())
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

    /// The transport panicked.
    pub(super) fn panic() -> Self {
        let detail = Some("the HTTP client panicked".to_owned());
        Self { code: "transport".to_owned(), detail, retry_after: None }
    }
}

impl From<oauth_client::Error> for Failure {
    fn from(error: oauth_client::Error) -> Self {
        Self { code: error.code().to_owned(), detail: Some(detail(&error)), retry_after: error.retry_after() }
    }
}

/// The error and what caused it at the bottom, such as a certificate by an unknown authority.
fn detail(error: &oauth_client::Error) -> String {
    let first = std::error::Error::source(error);
    match std::iter::successors(first, |cause| cause.source()).last() {
        Some(cause) => format!("{error} ({cause})"),
        None => error.to_string(),
    }
}

/// RFC 9111 section 5.2.2: `no-store` and `no-cache` count as a maximum age of zero.
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
