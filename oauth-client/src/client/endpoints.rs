//! Endpoint URLs: configured, or from the server's metadata, which is cached.

use std::sync::Arc;
use std::time::Duration;

use url::Url;

use super::{Client, Server};
use crate::discover::{Endpoint, Metadata, discover_with};
use crate::error::Error;
use crate::transport::Limits;

/// How long metadata that was fetched is used before it is fetched anew.
const METADATA_LIFETIME: Duration = Duration::from_secs(3600);

/// How long until metadata is looked for again when it could not be fetched anew.
const METADATA_RETRY: Duration = Duration::from_secs(60);

/// Metadata, and when it was fetched.
pub(super) struct Discovered {
    pub(super) metadata: Metadata,
    pub(super) at: Duration,
}

impl Discovered {
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

    pub(super) async fn discovered(&self, issuer: &str, time: Duration) -> Result<Arc<Discovered>, Error> {
        let known = self.0.discovered.load_full();
        let at = self.0.clock.now().monotonic;
        if let Some(known) = known.as_ref().filter(|known| at.saturating_sub(known.at) < METADATA_LIFETIME) {
            return Ok(Arc::clone(known));
        }
        let limits = Limits { allow_http: self.0.allow_http, ..Limits::metadata() };
        // With an endpoint known, most of the time is for the request itself.
        let most = if known.is_some() { time / 4 } else { time };
        let limits = Limits { timeout: limits.timeout.min(most), ..limits };
        match discover_with(&self.0.http, issuer, &["token_endpoint"], &limits).await {
            // The first document may have been checked by the caller; later ones are not.
            Ok(metadata)
                if metadata.leads_inside()
                    && known.as_ref().is_some_and(|known| !known.metadata.leads_inside()) =>
            {
                Err(Error::discovery(
                    "a URL in the document is an address of this machine or its network by now, and was none before; build the client anew if that is meant",
                ))
            }
            Ok(metadata) => {
                let fresh = Arc::new(Discovered { metadata, at });
                self.0.discovered.store(Some(Arc::clone(&fresh)));
                Ok(fresh)
            }
            // Endpoints hardly ever move: old metadata beats none while the document is unavailable. It is fetched
            // again in a minute, and not by every request.
            Err(error) => {
                let known = known.filter(|_| error.is_transient()).ok_or(error)?;
                let metadata = known.metadata.clone();
                let at = at.saturating_sub(METADATA_LIFETIME.saturating_sub(METADATA_RETRY));
                let known = Arc::new(Discovered { metadata, at });
                self.0.discovered.store(Some(Arc::clone(&known)));
                Ok(known)
            }
        }
    }
}
