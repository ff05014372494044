//! A client of one authorization server: its endpoints, and our identity there.

mod builder;
mod endpoints;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use url::Url;

pub use self::builder::ClientBuilder;
pub(crate) use self::builder::default_http;
use self::endpoints::{Discovered, Discovery};
use crate::authenticate::ClientAuth;
use crate::clock::Clock;
use crate::dialect::Dialect;
use crate::discover::{Endpoint, Found, Metadata};
use crate::dpop::Prover;
use crate::error::{Error, Kind};
use crate::id_token::KeyCache;
use crate::source::Fetcher;
use crate::token::TokenSet;
use crate::transport::HttpClient;

/// A client of one authorization server (RFC 6749 section 1.1). Cheap to clone; clones share their connections and
/// what was discovered.
///
/// ```no_run
/// use oauth_client::{Client, ClientAuth, grant};
///
/// # async fn run() -> Result<(), oauth_client::Error> {
/// let client = Client::builder()
///     .issuer("https://auth.example.com")
///     .auth(ClientAuth::basic("orders-service", "s3cr3t"))
///     .build()?;
///
/// // Once, by hand:
/// let tokens = client.request(&grant::client_credentials().scope(["read"])).await?;
///
/// // Or from a source that keeps it fresh:
/// let source = client.source(grant::client_credentials().scope(["read"])).build()?;
/// let token = source.token().await?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Client(Arc<Inner>);

struct Inner {
    server: Server,
    dialect: Dialect,
    auth: ClientAuth,
    prover: Option<Arc<Prover>>,
    /// Whether the key of an earlier process is gone with it.
    keys_end: bool,
    http: HttpClient,
    clock: Arc<dyn Clock>,
    /// When it was built, on the monotonic clock.
    began: Duration,
    timeout: Duration,
    allow_http: bool,
    /// Whether the transport shows a certificate, for which some servers have other endpoints.
    mutual_tls: bool,
    /// Endpoints that were given by hand, before what the metadata says.
    endpoints: HashMap<Endpoint, Url>,
    discovered: ArcSwapOption<Discovered>,
    discovery: Discovery,
    /// The issuer's keys, for ID tokens.
    keys: KeyCache,
    /// Whom ID tokens may be for beside this client.
    id_token_audiences: Vec<String>,
    /// What brings tokens in place of a token endpoint.
    fetcher: Option<Fetcher>,
}

enum Server {
    Issuer(String),
    TokenEndpoint(Url),
}

impl Client {
    /// Starts a client. It needs a server ([`issuer`](ClientBuilder::issuer) or
    /// [`token_endpoint`](ClientBuilder::token_endpoint), or a [`provider`](ClientBuilder::provider)) and an identity
    /// ([`auth`](ClientBuilder::auth)).
    #[must_use]
    pub fn builder() -> ClientBuilder {
        ClientBuilder::default()
    }

    /// The server's metadata, discovered when first needed and kept for an hour; for 24 hours, with a warning, while it
    /// cannot be fetched again. A document that is served but cannot be trusted is an error at once, unless another of
    /// the places where the metadata may be is down.
    ///
    /// # Errors
    /// `unsupported` when the client was given a token endpoint and no issuer; otherwise as
    /// [`discover`](crate::discover::discover).
    pub async fn metadata(&self) -> Result<Metadata, Error> {
        let Server::Issuer(issuer) = &self.0.server else {
            return Err(Error::new(Kind::Unsupported(
                "there is no metadata without an issuer; configure issuer".to_owned(),
            )));
        };
        Ok(self.discovered(issuer, self.0.timeout).await?.metadata().clone())
    }

    /// The metadata at hand, if any was fetched.
    pub(crate) fn known_metadata(&self) -> Option<Metadata> {
        Some(self.0.discovered.load_full()?.metadata().clone())
    }

    pub(crate) fn http(&self) -> &HttpClient {
        &self.0.http
    }

    pub(crate) fn fetcher(&self) -> Option<&Fetcher> {
        self.0.fetcher.as_ref()
    }

    pub(crate) fn id_token_audiences(&self) -> &[String] {
        &self.0.id_token_audiences
    }

    pub(crate) fn keys(&self) -> &KeyCache {
        &self.0.keys
    }

    /// The issuer, where one is configured.
    pub(crate) fn issuer(&self) -> Option<&str> {
        match &self.0.server {
            Server::Issuer(issuer) => Some(issuer),
            Server::TokenEndpoint(_) => None,
        }
    }

    pub(crate) fn clock(&self) -> &Arc<dyn Clock> {
        &self.0.clock
    }

    /// How long ago it was built.
    pub(crate) fn age(&self) -> Duration {
        self.0.clock.now().monotonic.saturating_sub(self.0.began)
    }

    pub(crate) fn allows_http(&self) -> bool {
        self.0.allow_http
    }

    pub(crate) fn timeout(&self) -> Duration {
        self.0.timeout
    }

    pub(crate) fn auth(&self) -> &ClientAuth {
        &self.0.auth
    }

    /// What proves possession of the key that the tokens are bound to, where they are.
    pub(crate) fn prover(&self) -> Option<&Arc<Prover>> {
        self.0.prover.as_ref()
    }

    /// The thumbprint of that key: the parameter `dpop_jkt` of an authorization request, which binds the code as well
    /// (RFC 9449 section 10).
    pub(crate) fn dpop_jkt(&self) -> Option<&str> {
        self.0.prover.as_deref().map(Prover::thumbprint)
    }

    /// Whether a refresh token can be used with our key. That of a client without a secret is bound to the key that the
    /// access token is bound to (RFC 9449 section 5): to send it with another is to look like a thief.
    ///
    /// # Errors
    /// `config`, with the way out; `reauthorization_required` where each process has a key of its own.
    pub(crate) fn check_key(&self, tokens: &TokenSet) -> Result<(), Error> {
        let ours = self.dpop_jkt();
        let is_bound = self.0.auth.method_name() == "none" && tokens.refresh_token().is_some();
        let bound_to = tokens.key_thumbprint().filter(|theirs| is_bound && Some(*theirs) != ours);
        let Some(theirs) = bound_to else { return Ok(()) };
        if self.0.keys_end {
            return Err(Error::new(Kind::Reauthorization(None)));
        }
        let ours = ours.map_or_else(|| "there is none".to_owned(), |ours| format!("this one's is {ours}"));
        let message = format!(
            "the login is bound to the key with the thumbprint {theirs}, and {ours}; give that key, or forget these tokens and log in again"
        );
        Err(Error::config("dpop", message))
    }

    /// Whether a login of another process is of no use to this one, and ours none to that: each has made a key of its
    /// own, and the refresh tokens of ours are bound to our key. Not so with keys that were given: they outlive their
    /// processes, and whichever went on would overwrite a login that the other one can use after its next start. That
    /// is an error of the configuration, and says so.
    pub(crate) fn is_of_another_process(&self, theirs: &TokenSet, ours: &TokenSet) -> bool {
        let is_ours = ours.refresh_token().is_some() && self.check_key(ours).is_ok();
        self.0.keys_end && is_ours && self.check_key(theirs).is_err()
    }

    pub(crate) fn dialect(&self) -> &Dialect {
        &self.0.dialect
    }

    /// The server's name in the identity of a stored token.
    pub(crate) fn server_id(&self) -> &str {
        match &self.0.server {
            Server::Issuer(issuer) => issuer,
            Server::TokenEndpoint(url) => url.as_str(),
        }
    }
}

impl Found {
    /// Starts a client of this server, which knows its metadata already. It still needs an identity, for example from a
    /// [registration](crate::manage::register). Ask for tokens with [`resource`](crate::grant::TokenRequest::resource)
    /// set to the identifier of the found [`resource`](Self::resource).
    #[must_use]
    pub fn client(&self) -> ClientBuilder {
        if self.by_default {
            // There is no document to fetch anew.
            let endpoints =
                Endpoint::ALL.iter().filter_map(|one| Some((*one, self.server.endpoint(*one)?.as_str())));
            return endpoints.fold(Client::builder(), |builder, (one, url)| match one {
                Endpoint::Token => builder.token_endpoint(url),
                one => builder.endpoint(one, url),
            });
        }
        Client::builder().metadata(self.server.clone())
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("server", &self.server_id())
            .field("provider", &self.0.dialect.name())
            .field("auth", &self.0.auth)
            .field("dpop", &self.0.prover)
            .finish_non_exhaustive()
    }
}
