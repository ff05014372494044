//! What can be set on an authorizer.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use url::Url;

use super::authorizer::{Authorizer, Inner};
use super::identity::{Identities, document_problem};
use super::registrations::Registrations;
use crate::authenticate::ClientAuth;
use crate::client::ClientBuilder;
use crate::clock::{Clock, SystemClock};
use crate::discover::called;
use crate::dpop::Dpop;
use crate::error::{BoxError, Error, Kind, Problem};
use crate::grant::TokenRequest;
use crate::manage::register::{ClientMetadata, Registration};
use crate::store::TokenStore;
use crate::transport::HttpClient;

/// Where the browser comes back to when nothing is set: this machine, at any port (RFC 8252 section 7.3).
const REDIRECT_URI: &str = "http://127.0.0.1/callback";

/// How many authorizations one request may lead to, when nothing is set.
const MAX_AUTHORIZATIONS: u32 = 3;

/// What a token is wanted for; see [`AuthorizerBuilder::grant`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Target {
    /// The authorization server that issues it.
    pub issuer: String,
    /// The API's identifier, as its metadata have it.
    pub resource: String,
    /// The scopes that will be asked for.
    pub scope: Vec<String>,
}

pub(super) type Callback = Pin<Box<dyn Future<Output = Result<String, BoxError>> + Send>>;

/// How a token is obtained.
#[derive(Clone)]
pub(super) enum Way {
    /// A browser that comes back to a listener on loopback.
    #[cfg(feature = "loopback")]
    Open(Arc<dyn Fn(&Url) + Send + Sync>),
    /// A browser that comes back to a route of the program.
    Browser(Arc<dyn Fn(Url) -> Callback + Send + Sync>),
    /// No person is needed.
    Grant(Arc<dyn Fn(&Target) -> TokenRequest + Send + Sync>),
}

type Configure = Arc<dyn Fn(ClientBuilder) -> ClientBuilder + Send + Sync>;

/// What follows from the builder for each client that is made.
#[derive(Clone, Default)]
pub(super) struct ClientSettings {
    pub(super) dpop: Option<Dpop>,
    pub(super) clock: Option<Arc<dyn Clock>>,
    pub(super) configure: Option<Configure>,
    pub(super) allow_http: bool,
}

/// Builds an [`Authorizer`].
#[must_use]
pub struct AuthorizerBuilder {
    url: String,
    identities: Identities,
    way: Option<Way>,
    http: Option<HttpClient>,
    settings: ClientSettings,
    store: Option<Arc<dyn crate::store::dynamic::TokenStore>>,
    subject: Option<String>,
    exact_resource: bool,
    default_endpoints: bool,
    max_authorizations: u32,
}

impl Authorizer {
    /// Starts an authorizer for the API at this URL.
    pub fn builder(url: impl Into<String>) -> AuthorizerBuilder {
        AuthorizerBuilder {
            url: url.into(),
            identities: Identities::default(),
            way: None,
            http: None,
            settings: ClientSettings::default(),
            store: None,
            subject: None,
            exact_resource: false,
            default_endpoints: false,
            max_authorizations: MAX_AUTHORIZATIONS,
        }
    }
}

impl AuthorizerBuilder {
    /// The client that was registered by hand at this issuer. It is used there and nowhere else; each call adds one.
    pub fn registered(mut self, issuer: impl Into<String>, auth: ClientAuth) -> Self {
        self.identities.registered.push((issuer.into(), auth));
        self
    }

    /// The URL that servers read this client's metadata at (OAuth Client ID Metadata Document), for those whose own
    /// metadata say `client_id_metadata_document_supported`. The document's `redirect_uris` have to hold that of
    /// [`client`](Self::client).
    pub fn client_id_document(self, url: impl Into<String>) -> Self {
        self.client_id_document_with(ClientAuth::none(url))
    }

    /// The same, of a client that proves itself: its `client_id` is the document's URL, and the document has its keys. A
    /// secret is refused: it would be shown to every server that an API names.
    pub fn client_id_document_with(mut self, auth: ClientAuth) -> Self {
        self.identities.document = Some(auth);
        self
    }

    /// The metadata with which the client registers itself (RFC 7591); it includes the redirect URI for every login.
    /// What is not set follows from what the server supports: `token_endpoint_auth_method`, `grant_types`,
    /// `response_types`, `application_type`; and for logins `redirect_uris` is `http://127.0.0.1/callback`. Without this
    /// no client is registered, and browsers come back to that URI too.
    pub fn client(mut self, metadata: ClientMetadata) -> Self {
        self.identities.metadata = Some(metadata);
        self
    }

    /// The clients that registered themselves earlier, as [`on_registration`](Self::on_registration) saw them. One whose
    /// secret has ended, or that is registered with other redirect URIs than that of the logins, is not used.
    pub fn registrations(mut self, kept: Registrations) -> Self {
        self.identities.kept = kept.into();
        self
    }

    /// Called with the issuer and each client that registers itself, before it is used: to keep it for the next start.
    pub fn on_registration(mut self, hook: impl Fn(&str, &Registration) + Send + Sync + 'static) -> Self {
        self.identities.on_registration = Some(Box::new(hook));
        self
    }

    /// Called with the issuer and each client that registered itself and is used no longer, because the server does not
    /// know it, or because no browser came back from a login as this client ([`login_timeout`](Error::code)), which is all
    /// that is seen of a server that has forgotten it: to drop it from what is kept for the next start. A client that takes its place is one for
    /// [`on_registration`](Self::on_registration).
    pub fn on_forgotten(mut self, hook: impl Fn(&str, &Registration) + Send + Sync + 'static) -> Self {
        self.identities.on_forgotten = Some(Box::new(hook));
        self
    }

    /// A person logs in with this machine's browser, which comes back to a listener on loopback. `open` is given each
    /// page's address, to start a browser with or to print.
    #[cfg(feature = "loopback")]
    pub fn open(mut self, open: impl Fn(&Url) + Send + Sync + 'static) -> Self {
        self.way = Some(Way::Open(Arc::new(open)));
        self
    }

    /// A person logs in with a browser that comes back to a route of the program's own. `browse` is given the page's
    /// address and returns what the browser came back with: the URL, or its query. That is checked here.
    pub fn browser<F, E>(mut self, browse: impl Fn(Url) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<String, E>> + Send + 'static,
        E: Into<BoxError>,
    {
        self.way = Some(Way::Browser(Arc::new(move |page| {
            let callback = browse(page);
            Box::pin(async move { callback.await.map_err(Into::into) })
        })));
        self
    }

    /// No person is needed: this grant is asked for. Resource and scopes are set on it here. What the grant holds is
    /// sent to the server that the API names, if there is a client for it. With [`client`](Self::client) or a document
    /// that may be any server, so give an assertion or a password only to an [issuer](Target::issuer) that you know.
    ///
    /// ```
    /// use oauth_client::mcp::Authorizer;
    /// use oauth_client::{ClientAuth, grant, secret};
    ///
    /// # fn main() -> Result<(), oauth_client::Error> {
    /// # #[cfg(feature = "reqwest")] {
    /// let service = Authorizer::builder("https://mcp.example.com/mcp")
    ///     .registered("https://auth.example.com", ClientAuth::basic("night-shift", "s3cr3t"))
    ///     .grant(|_| grant::client_credentials())
    ///     .build()?;
    ///
    /// let workload = Authorizer::builder("https://mcp.example.com/mcp")
    ///     .registered("https://auth.example.com", ClientAuth::none("night-shift"))
    ///     .grant(|_| grant::jwt_bearer(secret::from_file("/var/run/secrets/token")))
    ///     .build()?;
    /// # }
    /// # Ok(()) }
    /// ```
    pub fn grant(mut self, grant: impl Fn(&Target) -> TokenRequest + Send + Sync + 'static) -> Self {
        self.way = Some(Way::Grant(Arc::new(grant)));
        self
    }

    /// Binds tokens to this key (RFC 9449) where the server or the API knows how. An API that takes bound tokens only
    /// gets them without this, too, by a key of the process: a login in the [store](Self::store) that is bound to it is asked
    /// for again after the next start. Give a key where processes share a store.
    pub fn dpop(mut self, dpop: Dpop) -> Self {
        self.settings.dpop = Some(dpop);
        self
    }

    /// Where tokens are kept beyond this process. A login that is kept there is used before a person is asked, so a login
    /// needs a [`subject`](Self::subject), unless the store [is for one user](TokenStore::is_for_one_user).
    pub fn store(mut self, store: impl TokenStore) -> Self {
        self.store = Some(Arc::new(store));
        self
    }

    /// Whose login this is: a store finds the user's tokens by it; see
    /// [`TokenRequest::subject`](crate::grant::TokenRequest::subject). It is not sent.
    pub fn subject(mut self, subject: impl Into<String>) -> Self {
        self.subject = Some(subject.into());
        self
    }

    /// The transport for metadata, registration and tokens; without one, the bundled reqwest is used (feature
    /// `reqwest`).
    pub fn http(mut self, http: HttpClient) -> Self {
        self.http = Some(http);
        self
    }

    /// The clock; without one, the machine's.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.settings.clock = Some(Arc::new(clock));
        self
    }

    /// Changes each client that is made, before it is built: for example its time limit. Settings of this builder
    /// override these.
    pub fn configure(
        mut self,
        change: impl Fn(ClientBuilder) -> ClientBuilder + Send + Sync + 'static,
    ) -> Self {
        self.settings.configure = Some(Arc::new(change));
        self
    }

    /// Asks for tokens for the API's very URL only, as RFC 9728 section 3.3 has it: for hosts with APIs of several owners.
    /// Without this, a host whose own document says that all of it is one API is believed, and a token for the host goes
    /// to this API, too. Many hosts with one API describe themselves so.
    pub fn exact_resource(mut self) -> Self {
        self.exact_resource = true;
        self
    }

    /// Assumes `/authorize`, `/token` and `/register` at the API's own origin where neither the API nor a server there
    /// describes itself, as the protocol of 2025-03-26 says. Later ones do not know this.
    pub fn default_endpoints(mut self) -> Self {
        self.default_endpoints = true;
        self
    }

    /// How many authorizations one request may lead to: three when not set. See [`Attempt::again`].
    ///
    /// [`Attempt::again`]: super::Attempt::again
    pub fn max_authorizations(mut self, most: u32) -> Self {
        self.max_authorizations = most;
        self
    }

    /// Sends secrets over plain http to other machines. Only for tests on a private network; loopback needs no
    /// permission.
    pub fn danger_allow_http(mut self) -> Self {
        self.settings.allow_http = true;
        self
    }

    /// Builds the authorizer. Nothing is sent yet.
    ///
    /// # Errors
    /// `config`, with all that is wrong at once in [`Error::problems`].
    pub fn build(self) -> Result<Authorizer, Error> {
        let mut problems = self.problems();
        let http = self.http.clone().map_or_else(crate::client::default_http, Ok);
        let http = http.map_err(|error| problems.extend(error.problems().iter().cloned()));
        let url = called(&self.url).map_err(|error| problems.extend(error.problems().iter().cloned()));
        let redirect_uri = self.redirect_uri();
        match (http, url, self.way) {
            (Ok(http), Ok(url), Some(way)) if problems.is_empty() => Ok(Authorizer::new(Inner {
                url,
                identities: self.identities,
                way,
                redirect_uri,
                http,
                clock: self.settings.clock.clone().unwrap_or_else(|| Arc::new(SystemClock)),
                settings: self.settings,
                store: self.store,
                subject: self.subject,
                exact_resource: self.exact_resource,
                default_endpoints: self.default_endpoints,
                max_authorizations: self.max_authorizations,
                current: Default::default(),
                authorizing: Default::default(),
                failures: Default::default(),
            })),
            _ => Err(Error::new(Kind::Config(problems))),
        }
    }

    fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        if self.way.is_none() {
            problems.push(Problem {
                field: "grant".to_owned(),
                message: "is missing; say how a token is obtained: open(..), browser(..) or grant(..)"
                    .to_owned(),
            });
        }
        let is_a_login = !matches!(self.way, None | Some(Way::Grant(_)));
        if is_a_login
            && self.subject.is_none()
            && self.store.as_ref().is_some_and(|store| !store.is_for_one_user())
        {
            problems.push(Problem {
                field: "subject".to_owned(),
                message: "is missing, and nothing says which user's login it is: the store could give one user's token to \
                          another; name the user with subject(..)"
                    .to_owned(),
            });
        }
        if self.max_authorizations == 0 {
            problems.push(Problem {
                field: "max_authorizations".to_owned(),
                message: "is zero, so that no token could ever be obtained; expected one to three".to_owned(),
            });
        }
        if let Some(auth) = &self.identities.document {
            problems.extend(document_problem(auth));
        }
        let auths = self.identities.registered.iter().map(|(_, auth)| auth).chain(&self.identities.document);
        problems.extend(auths.flat_map(ClientAuth::problems));
        let mut issuers: Vec<_> = self.identities.registered.iter().map(|(issuer, _)| issuer).collect();
        issuers.sort_unstable();
        if let Some(twice) =
            issuers.windows(2).find(|pair| pair.first() == pair.last()).and_then(<[_]>::first)
        {
            problems.push(Problem {
                field: "registered".to_owned(),
                message: format!("has two clients for the issuer {twice:?}; give one"),
            });
        }
        problems
    }

    fn redirect_uri(&self) -> String {
        let given = self.identities.metadata.as_ref().and_then(|client| client.redirect_uris.first());
        given.map_or(REDIRECT_URI, String::as_str).to_owned()
    }
}

impl fmt::Debug for AuthorizerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthorizerBuilder")
            .field("url", &self.url)
            .field("registered", &self.identities.registered)
            .field("document", &self.identities.document)
            .field("client", &self.identities.metadata)
            .finish_non_exhaustive()
    }
}
