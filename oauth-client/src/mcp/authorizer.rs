//! From a rejected request to a token that the API takes.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use arc_swap::ArcSwapOption;
use http::HeaderMap;
use tokio::sync::Mutex;
use url::Url;

use super::attempt::Attempt;
use super::builder::{ClientSettings, Target, Way};
use super::identity::{Identities, Identity, Origin, Purpose};
use super::registrations::Registrations;
use super::scope::offline;
use crate::client::Client;
use crate::clock::Clock;
use crate::discover::{Challenge, Found, Metadata};
use crate::dpop::Dpop;
use crate::error::{Error, printable};
use crate::grant::TokenRequest;
use crate::login::AuthorizationRequest;
use crate::source::TokenSource;
use crate::store::dynamic::TokenStore;
use crate::token::TokenSet;
use crate::transport::{HttpClient, Limits};

/// Gets tokens for one API of which only the URL is known. See the [module docs](super). Cheap to clone; clones
/// share everything.
///
/// It acts on what the API says: [`attempt`](Self::attempt) a request without a token, and hand over the response.
///
/// ```
/// # use bytes::Bytes;
/// use http::{Request, header::AUTHORIZATION};
/// use oauth_client::manage::register::ClientMetadata;
/// use oauth_client::mcp::Authorizer;
/// # use oauth_client::{clock::TestClock, transport::{HttpClient, Limits}};
/// # use oauth_mock::{Endpoint, MockServer, User};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = std::sync::Arc::new(MockServer::builder().user(User::new("alice", "wonderland")).in_process());
/// # let (http, browser) = (HttpClient::from_service(server.transport()), std::sync::Arc::clone(&server));
/// # let url = server.endpoint(Endpoint::Api);
/// let authorizer = Authorizer::builder(&url)
///     .client(ClientMetadata::new().redirect_uris(["https://app.test/callback"]))
///     .browser(move |page| {
///         let callback = browser.log_in(page.as_str(), "alice"); // stands for a user and their browser
///         async move { callback }
///     })
/// #   .http(http.clone()).clock(TestClock::new())
///     .build()?;
///
/// let mut attempt = authorizer.attempt();
/// let response = loop {
///     let mut request = Request::get(&url).body(Bytes::new())?;
///     if let Some(source) = attempt.source() {
///         match source.token().await {
///             Ok(token) => _ = request.headers_mut().insert(AUTHORIZATION, token.authorization().clone()),
///             Err(error) if attempt.recovers_from(&error) => {} // it goes without a token
///             Err(error) => return Err(error.into()),
///         }
///     }
///     let response = http.send(request, &Limits::token()).await?;
///     if !attempt.again(response.status(), response.headers()).await? {
///         break response;
///     }
/// };
/// assert_eq!(response.status(), 200); // after one login; from now on there is a token
/// assert_eq!(authorizer.issuer().as_deref(), Some(server.issuer()));
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Authorizer(pub(super) Arc<Inner>);

pub(super) struct Inner {
    pub(super) url: Url,
    pub(super) identities: Identities,
    pub(super) way: Way,
    pub(super) redirect_uri: String,
    pub(super) http: HttpClient,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) settings: ClientSettings,
    pub(super) store: Option<Arc<dyn TokenStore>>,
    pub(super) subject: Option<String>,
    pub(super) exact_resource: bool,
    pub(super) default_endpoints: bool,
    pub(super) max_authorizations: u32,
    /// The latest authorization. Read without waiting for one that is under way.
    pub(super) current: ArcSwapOption<Current>,
    /// Held while authorizing, so that all requests that were rejected at once lead to one login.
    pub(super) authorizing: Mutex<Authorizing>,
    /// How many authorizations have failed.
    pub(super) failures: AtomicU64,
}

/// What only one request at a time has.
#[derive(Default)]
pub(super) struct Authorizing {
    /// The key for an API that takes bound tokens only.
    pub(super) dpop: Option<Dpop>,
    /// Why the last authorization failed.
    pub(super) failure: Option<Error>,
}

/// An authorization that was given.
pub(super) struct Current {
    pub(super) source: TokenSource,
    pub(super) issuer: String,
    /// What was asked for, which may be more than what was granted.
    pub(super) scope: Vec<String>,
    /// Whether its tokens are bound to a key.
    pub(super) is_bound: bool,
    /// The client, where it registered itself.
    pub(super) registered: Option<String>,
}

impl Authorizer {
    pub(super) fn new(inner: Inner) -> Self {
        Self(Arc::new(inner))
    }

    /// Begins a request, with the current token if there is one.
    pub fn attempt(&self) -> Attempt {
        let current = self.0.current.load_full();
        Attempt::new(self.clone(), current)
    }

    /// The tokens of the latest authorization. An API that wants other scopes, or moves to another server, leads to
    /// another source: ask for it again with each request.
    #[must_use]
    pub fn source(&self) -> Option<TokenSource> {
        Some(self.0.current.load().as_ref()?.source.clone())
    }

    /// The issuer of the latest authorization.
    #[must_use]
    pub fn issuer(&self) -> Option<String> {
        Some(self.0.current.load().as_ref()?.issuer.clone())
    }

    /// The clients that registered themselves, by issuer.
    #[must_use]
    pub fn registrations(&self) -> Registrations {
        self.0.identities.kept().clone()
    }

    /// The URL of the API.
    #[cfg(feature = "reqwest")]
    pub(super) fn url(&self) -> &Url {
        &self.0.url
    }
}

impl Inner {
    /// The key to bind tokens to, where that is wanted.
    pub(super) fn dpop(
        &self,
        found: &Found,
        headers: &HeaderMap,
        was_bound: bool,
        made: &mut Option<Dpop>,
    ) -> Result<Option<Dpop>, Error> {
        let challenges = Challenge::from_headers(headers);
        let names = |scheme: &str| challenges.iter().any(|challenge| challenge.is(scheme));
        let takes_bound_only = names("DPoP") && !names("Bearer");
        // Whatever a later challenge says, an API that has taken bound tokens is not given others.
        let needed = was_bound || takes_bound_only || found.resource.dpop_bound_access_tokens_required;
        if let Some(dpop) = &self.settings.dpop {
            let known = found.server.dpop_algorithms().unwrap_or_default();
            let is_known = known.iter().any(|name| name == dpop.algorithm_name());
            return Ok((needed || is_known).then(|| dpop.clone()));
        }
        if needed && made.is_none() {
            *made = Some(Dpop::generate()?);
        }
        Ok(made.clone().filter(|_| needed))
    }

    /// Obtains a token; as another client once more where the one that registered itself is unknown by now.
    pub(super) async fn authorize(
        &self,
        found: &Found,
        scope: Vec<String>,
        dpop: Option<Dpop>,
        before: Option<&Current>,
    ) -> Result<Current, Error> {
        let target = Target {
            issuer: found.server.issuer.clone(),
            resource: found.resource.resource.clone(),
            scope: scope.clone(),
        };
        let request = self.request(&target, found);
        if request.login.is_some() && !found.by_default {
            knows_pkce(&found.server)?;
        }
        let grant_type = match &self.way {
            Way::Grant(_) => request.token.grant().grant_type(),
            _ => "authorization_code",
        };
        let redirect_uri = request.login.as_ref().map(|_| self.redirect_uri.as_str());
        let purpose = Purpose { grant_type, redirect_uri };
        let mut may_be_forgotten = true;
        let is_bound = dpop.is_some();
        loop {
            let identity = self.identity(found, purpose).await?;
            let client = self.client(found, &identity, dpop.clone())?;
            let refused_there =
                before.is_some_and(|before| before.issuer == target.issuer && before.scope == scope);
            // One whose login is in use is known.
            let is_in_use = before.is_some_and(|before| {
                before.issuer == target.issuer
                    && before.registered.as_deref() == Some(identity.auth.client_id())
            });
            let may_be_unknown = identity.origin == Origin::RegisteredEarlier && !is_in_use;
            match self.obtain(&client, &request, !refused_there).await {
                Err(error)
                    if may_be_forgotten
                        && identity.origin == Origin::RegisteredEarlier
                        && (is_unknown(&error) || may_be_unknown && is_refused(&error)) =>
                {
                    may_be_forgotten = false;
                    self.identities.forget(&target.issuer, identity.auth.client_id());
                }
                Err(error) => {
                    // A server that does not know the client shows a page that does not lead back (RFC 6749 section
                    // 4.1.2.1). Whether it does is not to be seen from here, so the next login is by a new client.
                    if may_be_unknown && error.code() == "login_timeout" {
                        self.identities.forget(&target.issuer, identity.auth.client_id());
                    }
                    return Err(error);
                }
                Ok(source) => {
                    tracing::info!(
                        target: "oauth_client",
                        issuer = %printable(&target.issuer, 256),
                        resource = %printable(&target.resource, 256),
                        client_id = %printable(identity.auth.client_id(), 256),
                        scope = %printable(&scope.join(" "), 256),
                        "authorized for an API"
                    );
                    let is_given = identity.origin == Origin::Given;
                    let registered = (!is_given).then(|| identity.auth.client_id().to_owned());
                    return Ok(Current { source, issuer: target.issuer, scope, is_bound, registered });
                }
            }
        }
    }

    async fn identity(&self, found: &Found, purpose: Purpose<'_>) -> Result<Identity, Error> {
        let limits = Limits { allow_http: self.settings.allow_http, ..Limits::token() };
        let now = self.clock.now().wall;
        self.identities.at(found, purpose, &self.http, &limits, now).await
    }

    fn client(&self, found: &Found, identity: &Identity, dpop: Option<Dpop>) -> Result<Client, Error> {
        let mut builder = found.client();
        if let Some(configure) = &self.settings.configure {
            builder = configure(builder);
        }
        builder = builder.auth(identity.auth.clone()).http(self.http.clone()).clock(Arc::clone(&self.clock));
        // Where no key was given, that of an earlier process is gone, and no configuration brings it back.
        if self.settings.dpop.is_none() && (dpop.is_some() || !builder.has_dpop()) {
            builder = builder.keys_end_with_the_process();
        }
        if let Some(dpop) = dpop {
            builder = builder.dpop(dpop);
        }
        if self.settings.allow_http {
            builder = builder.danger_allow_http();
        }
        builder.build()
    }

    fn request(&self, target: &Target, found: &Found) -> Request {
        let resource = [target.resource.as_str()];
        if let Way::Grant(grant) = &self.way {
            let token = grant(target).resource(resource);
            let token = if target.scope.is_empty() { token } else { token.scope(&target.scope) };
            let token = self.subject.iter().fold(token, TokenRequest::subject);
            return Request { token, login: None };
        }
        let scope = offline(target.scope.clone(), &found.server);
        let login = AuthorizationRequest::new(&self.redirect_uri).scope(scope).resource(resource);
        let login = self.subject.iter().fold(login, AuthorizationRequest::subject);
        Request { token: (&login).into(), login: Some(login) }
    }

    /// `may_be_kept`: whether a token that the store has may be good.
    async fn obtain(
        &self,
        client: &Client,
        request: &Request,
        may_be_kept: bool,
    ) -> Result<TokenSource, Error> {
        let mut builder = client.source(request.token.clone());
        if let Some(store) = &self.store {
            builder = builder.shared_store(Arc::clone(store));
        }
        let Some(login) = &request.login else {
            let source = builder.build()?;
            source.token().await?;
            return Ok(source);
        };
        if self.store.is_none() || !may_be_kept {
            return builder.starting_with(self.log_in(client, login).await?).build();
        }
        let source = builder.build()?;
        match source.token().await {
            Ok(_) => {}
            Err(error) if error.is_reauthorization_required() => {
                source.log_in(self.log_in(client, login).await?).await?;
            }
            Err(error) => return Err(error),
        }
        Ok(source)
    }

    async fn log_in(&self, client: &Client, request: &AuthorizationRequest) -> Result<TokenSet, Error> {
        let login = match &self.way {
            #[cfg(feature = "loopback")]
            Way::Open(open) => client.login(request).open(|page| open(page)).await?,
            Way::Browser(browse) => {
                let pending = client.authorize(request).await?;
                let callback = browse(pending.url().clone()).await.map_err(|error| {
                    let why = printable(&error.to_string(), 512);
                    Error::login("login_timeout", format!("the browser brought nothing back: {why}"))
                })?;
                client.finish(pending, callback).await?
            }
            // It needs no login.
            Way::Grant(_) => return Err(Error::config("grant", "is none that a person gives")),
        };
        Ok(login.into())
    }
}

/// What is asked for.
struct Request {
    token: TokenRequest,
    /// Where a person has to log in for it.
    login: Option<AuthorizationRequest>,
}

/// Refuses a login whose code would be good for anyone who gets hold of it, as the protocol asks for.
fn knows_pkce(server: &Metadata) -> Result<(), Error> {
    if server.takes_code_challenge("S256") {
        return Ok(());
    }
    Err(Error::discovery(format!(
        "code_challenge_methods_supported of {:?} does not list S256, so a login there is not protected by PKCE; have the server list it, or build a Client for this issuer by hand",
        printable(&server.issuer, 256)
    )))
}

/// Whether the server says that it does not know the client, as one that has forgotten it. A gateway's bare 401 is not the
/// server's word.
pub(super) fn is_unknown(error: &Error) -> bool {
    error.code() == "invalid_client" && error.provider_code().is_some()
}

/// Whether the client was refused in whatever words, also where only the status says it. A client that was kept, and that
/// nothing has worked with since, is registered anew then rather than refused at each start.
fn is_refused(error: &Error) -> bool {
    matches!(error.code(), "invalid_client" | "unauthorized_client")
}

impl fmt::Debug for Authorizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let current = self.0.current.load();
        f.debug_struct("Authorizer")
            .field("url", &self.0.url.as_str())
            .field("current", &current.as_deref())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Current {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Current")
            .field("issuer", &self.issuer)
            .field("scope", &self.scope)
            .finish_non_exhaustive()
    }
}
