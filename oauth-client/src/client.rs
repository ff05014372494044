//! A client of one authorization server: where it is, and who we are to it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, Method, Request};
use url::Url;

use crate::authenticate::ClientAuth;
use crate::clock::{Clock, SystemClock};
use crate::dialect::Dialect;
use crate::discover::{Metadata, discover};
use crate::error::{Error, Kind, Problem};
use crate::exchange::{self, Encoded, Parameters};
use crate::grant::TokenRequest;
use crate::source::SourceBuilder;
use crate::token::TokenSet;
use crate::transport::{HttpClient, Limits, require_https, to_uri};

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

/// Builds a [`Client`].
#[derive(Clone, Debug, Default)]
pub struct ClientBuilder {
    issuer: Option<String>,
    token_endpoint: Option<String>,
    dialect: Dialect,
    base_url: Option<String>,
    auth: Option<ClientAuth>,
    http: Option<HttpClient>,
    clock: Option<Arc<dyn Clock>>,
    timeout: Option<Duration>,
    allow_http: bool,
}

impl ClientBuilder {
    /// The server's issuer: its endpoints are discovered there when first needed (RFC 8414).
    #[must_use]
    pub fn issuer(mut self, issuer: impl Into<String>) -> Self {
        self.issuer = Some(issuer.into());
        self
    }

    /// The token endpoint itself, for servers that publish no metadata.
    #[must_use]
    pub fn token_endpoint(mut self, url: impl Into<String>) -> Self {
        self.token_endpoint = Some(url.into());
        self
    }

    /// Whose deviations from RFC 6749 apply; see [`dialect`](crate::dialect). The token endpoint is then below the
    /// [`base_url`](Self::base_url), unless it is given by itself.
    #[must_use]
    pub fn provider(mut self, dialect: Dialect) -> Self {
        self.dialect = dialect;
        self
    }

    /// Scheme, host and port of the [`provider`](Self::provider), such as `https://api.example.com`; a path, as of a
    /// proxy in front of it, comes before the provider's own.
    #[must_use]
    pub fn base_url(mut self, url: impl Into<String>) -> Self {
        self.base_url = Some(url.into());
        self
    }

    /// The client's identity and how it is proved.
    #[must_use]
    pub fn auth(mut self, auth: ClientAuth) -> Self {
        self.auth = Some(auth);
        self
    }

    /// The transport; without one, the bundled reqwest is used (feature `reqwest`).
    #[must_use]
    pub fn http(mut self, http: HttpClient) -> Self {
        self.http = Some(http);
        self
    }

    /// The clock; without one, the machine's.
    #[must_use]
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Some(Arc::new(clock));
        self
    }

    /// How long getting one token may take in all, retries included. 10 seconds when not set.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Sends secrets over plain http to other machines. Only for tests on a network that nobody else is on; loopback
    /// needs no permission.
    #[must_use]
    pub fn danger_allow_http(mut self) -> Self {
        self.allow_http = true;
        self
    }

    /// Builds the client. Nothing is sent yet.
    ///
    /// # Errors
    /// `config`, with all that is wrong at once in [`Error::problems`].
    pub fn build(self) -> Result<Client, Error> {
        let mut problems = self.problems();
        let server = self.server(&mut Vec::new());
        let http = self
            .http
            .map_or_else(default_http, Ok)
            .map_err(|error| problems.extend(error.problems().iter().cloned()));
        match (server, self.auth, http) {
            (Some(server), Some(auth), Ok(http)) if problems.is_empty() => Ok(Client(Arc::new(Inner {
                server,
                dialect: self.dialect,
                auth,
                http,
                clock: self.clock.unwrap_or_else(|| Arc::new(SystemClock)),
                timeout: self.timeout.unwrap_or(Limits::token().timeout),
                allow_http: self.allow_http,
                discovered: ArcSwapOption::empty(),
            }))),
            _ => Err(Error::new(Kind::Config(problems))),
        }
    }

    /// All that is wrong so far, but for the transport.
    pub(crate) fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        self.server(&mut problems);
        match &self.auth {
            Some(auth) => {
                problems.extend(auth.problems());
                problems.extend(self.wrong_method(auth));
            }
            None => problems
                .push(missing("auth", "is missing; give the client's id and secret with ClientAuth::basic")),
        }
        if self.timeout == Some(Duration::ZERO) {
            problems.push(missing(
                "timeout",
                "is zero, in which nothing can be answered; expected a few seconds",
            ));
        }
        problems
    }

    fn wrong_method(&self, auth: &ClientAuth) -> Option<Problem> {
        let (dialect, method) = (&self.dialect, auth.method_name());
        if dialect.client_auth.is_empty() || dialect.client_auth.iter().any(|known| known == method) {
            return None;
        }
        let known = dialect.client_auth.join(" or ");
        Some(missing(
            "client_auth",
            &format!("{method} is not what provider {} takes; use {known}", dialect.name),
        ))
    }

    fn server(&self, problems: &mut Vec<Problem>) -> Option<Server> {
        if self.base_url.is_some() && (self.issuer.is_some() || self.token_endpoint.is_some()) {
            problems.push(missing(
                "base_url",
                "is given beside issuer or token_endpoint, which say where the server is by themselves; give one of them",
            ));
            return None;
        }
        let below_base;
        let (field, text) = match (&self.issuer, &self.token_endpoint) {
            (Some(_), Some(_)) => {
                problems.push(missing("token_endpoint", "is given beside issuer; give one of them"));
                return None;
            }
            (None, None) if self.dialect.token_path.is_some() => {
                below_base = self.below_base(problems)?;
                ("base_url", &below_base)
            }
            (None, None) if self.base_url.is_some() => {
                problems.push(missing(
                    "base_url",
                    "needs to know the path of the token endpoint, which a provider's preset or token_path says; or give issuer or token_endpoint instead",
                ));
                return None;
            }
            (None, None) => {
                problems
                    .push(missing("issuer", "is missing; give the server's issuer, or its token_endpoint"));
                return None;
            }
            (Some(issuer), None) => ("issuer", issuer),
            (None, Some(endpoint)) => ("token_endpoint", endpoint),
        };
        let url = Url::parse(text).ok().filter(Url::has_host);
        let Some(url) = url else {
            problems.push(missing(
                field,
                &format!("{text:?} is not a URL; expected something like https://auth.example.com"),
            ));
            return None;
        };
        match to_uri(&url).and_then(|uri| require_https(&uri, self.allow_http)) {
            Ok(()) if field == "issuer" => Some(Server::Issuer(text.clone())),
            Ok(()) => Some(Server::TokenEndpoint(url)),
            Err(error) => {
                problems.extend(error.problems().iter().map(|problem| missing(field, &problem.message)));
                None
            }
        }
    }
}

impl ClientBuilder {
    /// The provider's token endpoint: its path below the base URL that is given, or below its own.
    fn below_base(&self, problems: &mut Vec<Problem>) -> Option<String> {
        let Some(base) = self.base_url.as_ref().or(self.dialect.base_url.as_ref()) else {
            let message = format!(
                "is missing; provider {} has no address of its own: give scheme, host and port of yours",
                self.dialect.name
            );
            problems.push(missing("base_url", &message));
            return None;
        };
        if base.contains(['?', '#']) {
            problems.push(missing("base_url", "has a query or a fragment; give scheme, host and port"));
            return None;
        }
        let path = self.dialect.token_path.as_deref().unwrap_or_default();
        Some(format!("{}/{}", base.trim_end_matches('/'), path.trim_start_matches('/')))
    }
}

fn missing(field: &str, message: &str) -> Problem {
    Problem { field: field.to_owned(), message: message.to_owned() }
}

#[cfg(feature = "reqwest")]
fn default_http() -> Result<HttpClient, Error> {
    HttpClient::new()
}

#[cfg(not(feature = "reqwest"))]
fn default_http() -> Result<HttpClient, Error> {
    Err(Error::config("http", "is missing; give a transport, or switch on the feature \"reqwest\""))
}
