//! Endpoint URLs: configured, or from the server's metadata, which is cached.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use url::Url;

use super::{Client, Server};
use crate::discover::{self, Endpoint, Metadata};
use crate::error::{Error, Kind};
use crate::transport::Limits;

/// How long metadata that was fetched is used before it is fetched again.
const METADATA_LIFETIME: Duration = Duration::from_secs(3600);

/// How long until metadata is looked for again when it could not be fetched again.
const METADATA_RETRY: Duration = Duration::from_secs(60);

/// How long metadata is used that cannot be fetched again.
const METADATA_MAX_STALE: Duration = Duration::from_secs(24 * 3600);

/// How long a failure to fetch metadata counts for all who need it. A server may ask for longer.
const FAILURE_LIFETIME: Duration = Duration::from_secs(1);

/// Metadata. The times are those of the monotonic clock.
pub(super) struct Discovered {
    pub(super) metadata: Metadata,
    /// When it was looked for last.
    pub(super) at: Duration,
    /// When it was found last.
    pub(super) fetched_at: Duration,
}

/// Held while metadata is fetched, so that it is fetched once for all who need it: until when the last failure counts for
/// them, too.
pub(super) type Discovery = Mutex<Option<(Duration, Error)>>;

impl Discovered {
    fn is_usable(&self, now: Duration) -> bool {
        now.saturating_sub(self.fetched_at) < METADATA_MAX_STALE
    }

    pub(super) fn metadata(&self) -> &Metadata {
        &self.metadata
    }
}

impl Client {
    /// Where an endpoint is, with so much time to find out.
    pub(crate) async fn endpoint(&self, endpoint: Endpoint, time: Duration) -> Result<Url, Error> {
        if let Some(given) = self.0.endpoints.get(&endpoint) {
            return Ok(given.clone());
        }
        let name = endpoint.name();
        match &self.0.server {
            Server::TokenEndpoint(url) if endpoint == Endpoint::Token => Ok(url.clone()),
            Server::TokenEndpoint(_) => Err(Error::config(
                name,
                "is not known without the server's metadata; give issuer, or the endpoint itself",
            )),
            Server::Issuer(issuer) => {
                let discovered = self.discovered(issuer, time).await?;
                let metadata = &discovered.metadata;
                // RFC 8705 section 5: an endpoint without an alias takes certificates where it is, and the alias of one
                // that browsers are sent to means nothing: they have other certificates than the client.
                let is_for_browsers = matches!(endpoint, Endpoint::Authorization | Endpoint::EndSession);
                let shows_ours = self.0.mutual_tls && !is_for_browsers;
                let alias = metadata.mtls_endpoint_aliases.get(name).filter(|_| shows_ours);
                alias.or_else(|| metadata.endpoint(endpoint)).cloned().ok_or_else(|| {
                    let instead = match endpoint {
                        Endpoint::Token => "configure token_endpoint instead of issuer",
                        _ => "the server does not offer it, or give the endpoint by hand",
                    };
                    Error::discovery(format!("the document names no {name}; {instead}"))
                })
            }
        }
    }

    /// `limits` for a request to an endpoint: what a foreign document has led to must be public, what is configured may
    /// be anywhere.
    pub(crate) fn limits_at(&self, url: &Url, limits: Limits) -> Limits {
        let is_configured = self.0.endpoints.values().any(|given| given == url);
        let known = self.0.discovered.load();
        let public_only =
            !is_configured && known.as_ref().is_some_and(|known| known.metadata.public_only(url));
        Limits { allow_http: self.0.allow_http, public_only, ..limits }
    }

    /// The metadata, if it is known and need not be fetched again yet.
    fn discovered_lately(&self) -> Option<Arc<Discovered>> {
        let now = self.0.clock.now().monotonic;
        self.0.discovered.load_full().filter(|known| now.saturating_sub(known.at) < METADATA_LIFETIME)
    }

    /// The metadata, with so much time to fetch it.
    pub(super) async fn discovered(&self, issuer: &str, time: Duration) -> Result<Arc<Discovered>, Error> {
        match self.discovered_lately() {
            Some(known) => Ok(known),
            // Boxed: for nearly every request it is known.
            None => Box::pin(self.discover_or_wait(issuer, time)).await,
        }
    }

    /// One caller fetches it; the others wait, and share its failure.
    async fn discover_or_wait(&self, issuer: &str, time: Duration) -> Result<Arc<Discovered>, Error> {
        let began = self.0.clock.now().monotonic;
        // With an endpoint known, most of the time is for the request itself.
        let known = self.0.discovered.load_full();
        let time = if known.is_some() { time / 4 } else { time };
        let Ok(mut failure) = tokio::time::timeout(time, self.0.discovery.lock()).await else {
            let timeout = Error::new(Kind::Timeout(time));
            return known.filter(|known| known.is_usable(began)).ok_or(timeout);
        };
        if let Some(known) = self.discovered_lately() {
            return Ok(known);
        }
        let now = self.0.clock.now().monotonic;
        if let Some((_, error)) = failure.as_ref().filter(|(until, _)| now < *until) {
            return Err(error.clone());
        }
        let left = time.saturating_sub(now.saturating_sub(began));
        let result = self.discover_anew(issuer, left, now).await;
        *failure = result.as_ref().err().map(|error| {
            let wait = error.retry_after().unwrap_or_default().max(FAILURE_LIFETIME);
            (self.0.clock.now().monotonic.saturating_add(wait.min(METADATA_RETRY)), error.clone())
        });
        result
    }

    async fn discover_anew(
        &self,
        issuer: &str,
        time: Duration,
        at: Duration,
    ) -> Result<Arc<Discovered>, Error> {
        let known = self.0.discovered.load_full();
        let public_beyond = known.as_ref().and_then(|known| known.metadata.public_beyond.clone());
        let host = Url::parse(issuer).ok().and_then(|url| url.host_str().map(str::to_owned));
        let public_only = public_beyond.is_some() && host != public_beyond;
        let limits = Limits { allow_http: self.0.allow_http, public_only, ..Limits::metadata() };
        let limits = Limits { timeout: limits.timeout.min(time), ..limits };
        let discovered = match discover::try_discover(&self.0.http, issuer, &["token_endpoint"], &limits)
            .await
        {
            // A document that is there and cannot be trusted is no outage. But one place may always have served such a
            // document, and the good one was at another, which is down now.
            Err(failure) if failure.served && failure.outage.is_none() => return Err(failure.error),
            Ok(mut metadata) => {
                // The first document may have been checked by the caller; later ones are not.
                let led_inside = known.as_ref().is_none_or(|known| known.metadata.leads_inside());
                if metadata.leads_inside() && !led_inside {
                    return Err(Error::discovery(
                        "a URL in the document is an address of this machine or its network by now, and was none before; build the client anew if that is meant",
                    ));
                }
                metadata.public_beyond = public_beyond;
                Discovered { metadata, at, fetched_at: at }
            }
            // Endpoints hardly ever move: old metadata beats none while the document is unavailable. It is fetched
            // again in a minute, and not by every request.
            Err(failure) => {
                let known = known.filter(|known| known.is_usable(at)).ok_or_else(|| failure.error.clone())?;
                let error = failure.outage.unwrap_or(failure.error);
                tracing::warn!(
                    target: "oauth_client",
                    issuer,
                    code = error.code(),
                    error = %error.with_causes(),
                    age_seconds = at.saturating_sub(known.fetched_at).as_secs(),
                    "the server's metadata cannot be fetched anew; the last one is used for up to 24 hours"
                );
                let at = at.saturating_sub(METADATA_LIFETIME.saturating_sub(METADATA_RETRY));
                Discovered { metadata: known.metadata.clone(), at, fetched_at: known.fetched_at }
            }
        };
        let discovered = Arc::new(discovered);
        self.0.discovered.store(Some(Arc::clone(&discovered)));
        Ok(discovered)
    }
}
