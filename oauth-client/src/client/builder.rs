//! The settings of a client, and the checks before it is built.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use url::Url;

use super::endpoints::{Discovered, Discovery};
use super::{Client, Inner, Server};
use crate::authenticate::ClientAuth;
use crate::clock::{Clock, SystemClock};
use crate::dialect::Dialect;
use crate::discover::{Endpoint, Metadata};
use crate::dpop::{Dpop, Prover};
use crate::error::{Error, Kind, Problem};
use crate::id_token::KeyCache;
use crate::secret::SecretSource;
use crate::source::Fetcher;
use crate::transport::{
    HttpClient, Limits, RequestBody, header_problem, require_https, to_uri, user_agent_problem,
};

/// Builds a [`Client`].
#[derive(Clone, Debug, Default)]
pub struct ClientBuilder {
    issuer: Option<String>,
    metadata: Option<Metadata>,
    token_endpoint: Option<String>,
    endpoints: Vec<(Endpoint, String)>,
    dialect: Dialect,
    base_url: Option<String>,
    auth: Option<ClientAuth>,
    dpop: Option<Dpop>,
    keys_end: bool,
    http: Option<HttpClient>,
    user_agent: Option<String>,
    headers: Vec<(String, SecretSource)>,
    clock: Option<Arc<dyn Clock>>,
    timeout: Option<Duration>,
    allow_http: bool,
    mutual_tls: bool,
    id_token_audiences: Vec<String>,
    fetcher: Option<Fetcher>,
}

impl ClientBuilder {
    /// The server's issuer: its endpoints are discovered there when first needed (RFC 8414).
    #[must_use]
    pub fn issuer(mut self, issuer: impl Into<String>) -> Self {
        self.issuer = Some(issuer.into());
        self
    }

    /// The server's metadata, if it was [discovered](crate::discover) already; it names the issuer too. It is fetched
    /// again after an hour.
    #[must_use]
    pub fn metadata(mut self, metadata: Metadata) -> Self {
        self.issuer = Some(metadata.issuer.clone());
        self.metadata = Some(metadata);
        self
    }

    /// The token endpoint itself, for servers that publish no metadata.
    #[must_use]
    pub fn token_endpoint(mut self, url: impl Into<String>) -> Self {
        self.token_endpoint = Some(url.into());
        self
    }

    /// Another endpoint by hand, for servers that publish no metadata or leave the endpoint out. It overrides what the
    /// metadata says.
    #[must_use]
    pub fn endpoint(mut self, endpoint: Endpoint, url: impl Into<String>) -> Self {
        self.endpoints.push((endpoint, url.into()));
        self
    }

    /// The provider whose deviations from RFC 6749 apply; see [`dialect`](crate::dialect). The token endpoint is then
    /// below the [`base_url`](Self::base_url), unless it is given by itself.
    #[must_use]
    pub fn provider(mut self, dialect: Dialect) -> Self {
        self.dialect = dialect;
        self
    }

    /// Scheme, host and port of the [`provider`](Self::provider), such as `https://api.example.com`; a path, such as
    /// that of a proxy, is put before the provider's own paths.
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

    /// Binds this client's tokens to a key, so that a stolen token is useless (RFC 9449). See [`dpop`](crate::dpop).
    ///
    /// ```
    /// use oauth_client::dpop::Dpop;
    /// use oauth_client::{Client, ClientAuth};
    ///
    /// # fn main() -> Result<(), oauth_client::Error> {
    /// let client = Client::builder()
    ///     .issuer("https://auth.example.com")
    ///     .auth(ClientAuth::basic("orders-service", "s3cr3t"))
    ///     .dpop(Dpop::generate()?)
    ///     .build()?;
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn dpop(mut self, dpop: Dpop) -> Self {
        self.dpop = Some(dpop);
        self
    }

    pub(crate) fn has_dpop(&self) -> bool {
        self.dpop.is_some()
    }

    /// Says that each process has a key of its own: a login that is bound to another is of no use here.
    pub(crate) fn keys_end_with_the_process(mut self) -> Self {
        self.keys_end = true;
        self
    }

    /// The transport; without one, the bundled reqwest is used (feature `reqwest`).
    #[must_use]
    pub fn http(mut self, http: HttpClient) -> Self {
        self.http = Some(http);
        self
    }

    /// The `User-Agent` of all requests to the server, instead of `oauth-client/<version>`.
    #[must_use]
    pub fn user_agent(mut self, text: impl Into<String>) -> Self {
        self.user_agent = Some(text.into());
        self
    }

    /// A further header of requests to the server, such as the `x-api-key` of a gateway in front of it. Its value
    /// counts as a secret and is read for each request. It goes to the origins of the addresses that are set on this
    /// builder (issuer, token endpoint, base URL and other endpoints), never to another origin that the server's
    /// metadata names, and never to an API.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<SecretSource>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// The clock; without one, the machine's.
    #[must_use]
    pub fn clock(self, clock: impl Clock) -> Self {
        self.shared_clock(Arc::new(clock))
    }

    /// A clock that others use, too.
    pub(crate) fn shared_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = Some(clock);
        self
    }

    /// How long getting one token may take in all, retries included. 10 seconds when not set.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Says that the transport shows a certificate, so that requests go to `mtls_endpoint_aliases` where the server's
    /// metadata has them (RFC 8705 section 5). [`ClientAuth::tls`] and [`ClientAuth::self_signed_tls`] do this by
    /// themselves; this call is for tokens that are bound to the certificate of a client that authenticates by other
    /// means.
    #[must_use]
    pub fn mutual_tls(mut self) -> Self {
        self.mutual_tls = true;
        self
    }

    /// Another audience that this client's ID tokens may have. A token with an unknown audience is rejected
    /// (OpenID Connect Core section 3.1.3.7, step 3).
    #[must_use]
    pub fn id_token_audience(mut self, audience: impl Into<String>) -> Self {
        self.id_token_audiences.push(audience.into());
        self
    }

    /// Sends secrets over plain http to other machines. Only for tests on a private network; loopback
    /// needs no permission.
    #[must_use]
    pub fn danger_allow_http(mut self) -> Self {
        self.allow_http = true;
        self
    }

    pub(crate) fn fetcher(mut self, fetcher: Fetcher) -> Self {
        self.http = Some(HttpClient::from_service(tower::service_fn(no_server)));
        self.fetcher = Some(fetcher);
        self
    }

    /// Builds the client. Nothing is sent yet.
    ///
    /// # Errors
    /// `config`, with all that is wrong at once in [`Error::problems`].
    pub fn build(self) -> Result<Client, Error> {
        let mut problems = self.problems();
        let server = self.server(&mut Vec::new());
        // Those that are given count before the provider's.
        let known = self.provider_endpoints().into_iter().chain(self.endpoints.clone());
        let endpoints = known.filter_map(|(one, url)| Some((one, Url::parse(&url).ok()?))).collect();
        let http = self
            .http
            .clone()
            .map_or_else(default_http, Ok)
            .and_then(|http| if problems.is_empty() { self.with_manners(http) } else { Ok(http) })
            .map_err(|error| problems.extend(error.problems().iter().cloned()));
        let clock = self.clock.unwrap_or_else(|| Arc::new(SystemClock));
        let prover = self.dpop.map(|dpop| Prover::new(dpop, Arc::clone(&clock))).transpose()?;
        let at = clock.now().monotonic;
        let discovered = self.metadata.filter(|metadata| self.issuer.as_ref() == Some(&metadata.issuer));
        let discovered = discovered.map(|metadata| Arc::new(Discovered { metadata, at, fetched_at: at }));
        match (server, self.auth, http) {
            (Some(server), Some(auth), Ok(http)) if problems.is_empty() => Ok(Client(Arc::new(Inner {
                server,
                dialect: self.dialect,
                mutual_tls: self.mutual_tls || auth.is_by_certificate(),
                auth,
                prover: prover.map(Arc::new),
                keys_end: self.keys_end,
                http,
                began: clock.now().monotonic,
                clock,
                timeout: self.timeout.unwrap_or(Limits::token().timeout),
                allow_http: self.allow_http,
                endpoints,
                discovered: ArcSwapOption::new(discovered),
                discovery: Discovery::default(),
                keys: KeyCache::default(),
                id_token_audiences: self.id_token_audiences,
                fetcher: self.fetcher,
            }))),
            _ => Err(Error::new(Kind::Config(problems))),
        }
    }

    /// All that is wrong so far, but for the transport.
    pub(crate) fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        self.server(&mut problems);
        for (endpoint, text) in &self.endpoints {
            usable_url(endpoint.name(), text, self.allow_http, &mut problems);
        }
        problems.extend(self.user_agent.as_deref().and_then(user_agent_problem));
        problems.extend(self.headers.iter().filter_map(|(name, value)| header_problem(name, value)));
        match &self.auth {
            Some(auth) => {
                problems.extend(self.header_of_auth(auth));
                problems.extend(auth.problems());
                problems.extend(self.wrong_method(auth));
                problems.extend(self.no_certificate(auth));
            }
            None => problems
                .push(missing("auth", "is missing; give the client's id and secret with ClientAuth::basic")),
        }
        if self.timeout == Some(Duration::ZERO) {
            problems
                .push(missing("timeout", "is zero, in which no server can respond; expected a few seconds"));
        }
        problems
    }

    /// The transport, with what goes with each of its requests.
    fn with_manners(&self, http: HttpClient) -> Result<HttpClient, Error> {
        let http = match &self.user_agent {
            Some(text) => http.user_agent(text)?,
            None => http,
        };
        if self.headers.is_empty() {
            return Ok(http);
        }
        let server = match self.server(&mut Vec::new()) {
            Some(Server::Issuer(issuer)) => Some(issuer),
            Some(Server::TokenEndpoint(url)) => Some(url.into()),
            None => None,
        };
        let endpoints = self.endpoints.iter().map(|(_, url)| url.clone());
        http.headers_for(server.into_iter().chain(endpoints), self.headers.iter().cloned())
    }

    /// A request has one `Authorization`.
    fn header_of_auth(&self, auth: &ClientAuth) -> Option<Problem> {
        let taken = auth.method_name() == "client_secret_basic";
        let (name, _) =
            self.headers.iter().find(|(name, _)| taken && name.eq_ignore_ascii_case("authorization"))?;
        let message =
            "is where client_secret_basic puts the client's secret; use client_secret_post, or remove it";
        Some(missing(&format!("headers.{name}"), message))
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

    /// The bundled transport has no certificate unless it is given one; what others show is not known here.
    fn no_certificate(&self, auth: &ClientAuth) -> Option<Problem> {
        let missing_one = auth.is_by_certificate() && self.http.is_none();
        missing_one.then(|| {
            let message = format!(
                "has no certificate, which {} proves the client by; give HttpClient::with_tls(..)",
                auth.method_name()
            );
            missing("http", &message)
        })
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
            (None, None) if self.dialect.issuer.is_some() && self.base_url.is_none() => {
                ("issuer", self.dialect.issuer.as_ref()?)
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
        let url = usable_url(field, text, self.allow_http, problems)?;
        Some(if field == "issuer" { Server::Issuer(text.clone()) } else { Server::TokenEndpoint(url) })
    }
}

/// A URL that secrets may be sent to.
fn usable_url(field: &str, text: &str, allow_http: bool, problems: &mut Vec<Problem>) -> Option<Url> {
    let Some(url) = Url::parse(text).ok().filter(Url::has_host) else {
        let message = format!("{text:?} is not a URL; expected something like https://auth.example.com");
        problems.push(missing(field, &message));
        return None;
    };
    if !url.username().is_empty() || url.password().is_some() {
        let message = "has a user name or password, which is never sent; remove it, and give the client's own with auth";
        problems.push(missing(field, message));
        return None;
    }
    match to_uri(&url).and_then(|uri| require_https(&uri, allow_http)) {
        Ok(()) => Some(url),
        Err(error) => {
            problems.extend(error.problems().iter().map(|problem| missing(field, &problem.message)));
            None
        }
    }
}

impl ClientBuilder {
    /// The provider's endpoints below its base URL, where the client is there.
    fn provider_endpoints(&self) -> Vec<(Endpoint, String)> {
        let base = self.base_url.as_ref().or(self.dialect.base_url.as_ref());
        let base = base.filter(|_| self.issuer.is_none() && self.token_endpoint.is_none());
        let below = |base: &String, path: &String| {
            format!("{}/{}", base.trim_end_matches('/'), path.trim_start_matches('/'))
        };
        let of_base = |base| self.dialect.endpoints.iter().map(move |(one, path)| (*one, below(base, path)));
        base.into_iter().flat_map(of_base).collect()
    }

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

/// The transport of a client that has no server.
async fn no_server(_: Request<RequestBody>) -> Result<Response<Full<Bytes>>, io::Error> {
    Err(io::Error::new(
        io::ErrorKind::NotConnected,
        "tokens are fetched by other means, and there is no server",
    ))
}

#[cfg(feature = "reqwest")]
pub(crate) fn default_http() -> Result<HttpClient, Error> {
    HttpClient::new()
}

#[cfg(not(feature = "reqwest"))]
pub(crate) fn default_http() -> Result<HttpClient, Error> {
    Err(Error::config("http", "is missing; give a transport, or switch on the feature \"reqwest\""))
}
