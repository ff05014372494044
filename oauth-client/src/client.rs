//! A client of one authorization server: where it is, and who we are to it.

mod builder;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, Method, Request};
use url::Url;

pub use self::builder::ClientBuilder;
use crate::authenticate::ClientAuth;
use crate::clock::Clock;
use crate::dialect::Dialect;
use crate::discover::{Metadata, discover};
use crate::error::{Error, Kind};
use crate::exchange::{self, Encoded, Parameters};
use crate::grant::TokenRequest;
use crate::source::SourceBuilder;
use crate::token::TokenSet;
use crate::transport::{HttpClient, Limits, to_uri};

/// How long metadata that was fetched is used before it is fetched anew.
const METADATA_LIFETIME: Duration = Duration::from_secs(3600);

/// How long until metadata is looked for again when it could not be fetched anew.
const METADATA_RETRY: Duration = Duration::from_secs(60);

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
    http: HttpClient,
    clock: Arc<dyn Clock>,
    timeout: Duration,
    allow_http: bool,
    discovered: ArcSwapOption<Discovered>,
}

enum Server {
    Issuer(String),
    TokenEndpoint(Url),
}

struct Discovered {
    metadata: Metadata,
    at: Duration,
}

impl Client {
    /// Starts a client. It needs to know where ([`issuer`](ClientBuilder::issuer) or
    /// [`token_endpoint`](ClientBuilder::token_endpoint), or a [`provider`](ClientBuilder::provider)) and who ([`auth`](ClientBuilder::auth)).
    #[must_use]
    pub fn builder() -> ClientBuilder {
        ClientBuilder::default()
    }

    /// Sends one token request and reads its answer: no retry, no cache.
    ///
    /// # Errors
    /// Whatever [`Error::code`] lists: the server's refusal, no answer, or an answer that makes no sense.
    pub async fn request(&self, request: &TokenRequest) -> Result<TokenSet, Error> {
        self.exchange(request.to_parameters(), self.0.timeout, || {}).await
    }

    /// A source of fresh tokens by this request.
    pub fn source(&self, request: TokenRequest) -> SourceBuilder {
        SourceBuilder::new(self.clone(), request)
    }

    /// The server's metadata, discovered when first needed and kept for an hour.
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
        Ok(self.discovered(issuer, self.0.timeout).await?.metadata.clone())
    }

    pub(crate) fn clock(&self) -> &dyn Clock {
        &*self.0.clock
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

    /// One token request, with so much time left for it. `on_send` is called once the endpoint is known, right before
    /// the request goes out.
    pub(crate) async fn exchange(
        &self,
        mut parameters: Parameters,
        time: Duration,
        on_send: impl FnOnce(),
    ) -> Result<TokenSet, Error> {
        let began = self.0.clock.now().monotonic;
        let endpoint = self.token_endpoint(time).await?;
        let time = time.saturating_sub(self.0.clock.now().monotonic.saturating_sub(began));

        let dialect = &self.0.dialect;
        let refreshes = parameters.plain("grant_type") == Some("refresh_token");
        let authorization = match &self.0.auth {
            _ if refreshes && dialect.refresh_is_alone => None,
            auth => auth.apply(&mut parameters)?,
        };
        let Encoded { url, content_type, body } = exchange::encode(parameters.clone(), endpoint, dialect)?;
        let mut request = Request::new(body);
        *request.method_mut() = Method::POST;
        *request.uri_mut() = to_uri(&url)?;
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        headers.extend(authorization.map(|value| (AUTHORIZATION, value)));

        on_send();
        let sent = self.0.clock.now();
        let limits = Limits { timeout: time, allow_http: self.0.allow_http, ..Limits::token() };
        let answer = self.0.http.send(request, &limits).await?;
        let secrets = parameters.secrets().chain(self.0.auth.secret());
        exchange::decode(answer, sent, self.0.clock.now(), dialect, secrets)
    }

    async fn token_endpoint(&self, time: Duration) -> Result<Url, Error> {
        match &self.0.server {
            Server::TokenEndpoint(url) => Ok(url.clone()),
            Server::Issuer(issuer) => {
                let discovered = self.discovered(issuer, time).await?;
                discovered.metadata.token_endpoint.clone().ok_or_else(|| {
                    Error::discovery(
                        "the document names no token_endpoint; configure token_endpoint instead of issuer",
                    )
                })
            }
        }
    }

    async fn discovered(&self, issuer: &str, time: Duration) -> Result<Arc<Discovered>, Error> {
        let known = self.0.discovered.load_full();
        let at = self.0.clock.now().monotonic;
        if let Some(known) = known.as_ref().filter(|known| at.saturating_sub(known.at) < METADATA_LIFETIME) {
            return Ok(Arc::clone(known));
        }
        let limits = Limits { allow_http: self.0.allow_http, ..Limits::metadata() };
        // With an endpoint known, most of the time is for the token request itself.
        let most = if known.is_some() { time / 4 } else { time };
        let limits = Limits { timeout: limits.timeout.min(most), ..limits };
        match discover(&self.0.http, issuer, &limits).await {
            Ok(metadata) => {
                let fresh = Arc::new(Discovered { metadata, at });
                self.0.discovered.store(Some(Arc::clone(&fresh)));
                Ok(fresh)
            }
            // Endpoints hardly ever move: old metadata beats none while the document cannot be had. It is looked for
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

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("server", &self.server_id())
            .field("provider", &self.0.dialect.name())
            .field("auth", &self.0.auth)
            .finish_non_exhaustive()
    }
}
