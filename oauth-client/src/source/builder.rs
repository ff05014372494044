//! What can be set on a source.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::engine::{Engine, Settings};
use super::event::Hook;
use super::{Event, TokenSource};
use crate::client::Client;
use crate::error::Error;
use crate::grant::TokenRequest;
use crate::retry::jittered;
use crate::store::{StoreKey, TokenStore, dynamic};
use crate::token::{AccessToken, TokenSet};

/// How long before its end a token is replaced, when nothing else is set: long enough for a slow token endpoint and
/// a retry or two.
const REFRESH_MARGIN: Duration = Duration::from_secs(60);

/// How long a token is taken to live when the server does not say. RFC 6749 section 5.1 leaves it open; an hour is
/// what most servers mean, and a token that dies sooner is replaced when the API refuses it.
pub(super) const DEFAULT_LIFETIME: Duration = Duration::from_secs(3600);

/// Builds a [`TokenSource`]; made by [`Client::source`].
#[must_use]
pub struct SourceBuilder {
    client: Client,
    request: TokenRequest,
    margin: Duration,
    default_lifetime: Option<Duration>,
    store: Option<Arc<dyn dynamic::TokenStore>>,
    /// Whether no other source has the store.
    has_store_alone: bool,
    is_of_one_user: bool,
    hook: Option<Hook>,
    login: Option<TokenSet>,
}

impl Client {
    /// A source of fresh tokens for this request, or for a [login](crate::login) by such a request.
    pub fn source(&self, request: impl Into<TokenRequest>) -> SourceBuilder {
        SourceBuilder::new(self.clone(), request.into())
    }
}

impl SourceBuilder {
    fn new(client: Client, request: TokenRequest) -> Self {
        Self {
            client,
            request,
            margin: REFRESH_MARGIN,
            default_lifetime: None,
            store: None,
            has_store_alone: false,
            is_of_one_user: false,
            hook: None,
            login: None,
        }
    }

    /// How long before its end a token is replaced: a minute when not set, and never more than half its lifetime.
    /// Zero means no early refresh. It is shortened by up to a quarter at random, so that many processes do not
    /// refresh at once.
    pub fn refresh_margin(mut self, margin: Duration) -> Self {
        self.margin = margin;
        self
    }

    /// How long a token lives when the server does not say; an hour when not set. There is one exception: a login's
    /// token without a refresh token (GitHub's OAuth apps), which only a person can replace, is used until an API
    /// refuses it, for a year at most. A [`FileStore`](crate::store::FileStore) that others write to drops such a token
    /// after a month.
    pub fn default_lifetime(mut self, lifetime: Duration) -> Self {
        self.default_lifetime = Some(lifetime);
        self
    }

    /// Where tokens are kept beyond this source. Without a store they live and die with it. A request that a user stands
    /// behind says by its [`subject`](TokenRequest::subject) whose tokens these are; a store that
    /// [is for one user](TokenStore::is_for_one_user) needs that only for what a function brings.
    pub fn store(self, store: impl TokenStore) -> Self {
        self.shared_store(Arc::new(store))
    }

    /// The same, for a store that is made for this source and that no other will have.
    pub(crate) fn own_store(self, store: impl TokenStore) -> Self {
        Self { has_store_alone: true, ..self.store(store) }
    }

    /// What brings the tokens is of one user, as a refresh token in a configuration is.
    pub(crate) fn of_one_user(self) -> Self {
        Self { is_of_one_user: true, ..self }
    }

    /// The same, for a store that several sources share already.
    pub(crate) fn shared_store(mut self, store: Arc<dyn dynamic::TokenStore>) -> Self {
        (self.store, self.has_store_alone) = (Some(store), false);
        self
    }

    /// Starts with these tokens, for example those of a new [login](crate::login): the first token costs no request,
    /// and a store gets them before any caller does, in place of what it held. They are written with the first
    /// [`token`](TokenSource::token) or by [`settle`](TokenSource::settle).
    pub fn starting_with(mut self, tokens: impl Into<TokenSet>) -> Self {
        self.login = Some(tokens.into());
        self
    }

    /// Called with everything that happens, from the refresh task. It must not block.
    pub fn on_event(mut self, hook: impl Fn(&Event) + Send + Sync + 'static) -> Self {
        self.hook = Some(Arc::new(hook));
        self
    }

    /// The identity under which a store keeps this source's tokens.
    #[must_use]
    pub fn store_key(&self) -> StoreKey {
        StoreKey::new(self.client.server_id(), self.client.auth().client_id(), &self.request)
    }

    /// Builds the source. Nothing is sent yet, and no runtime is needed: the first token is fetched when it is first
    /// asked for.
    ///
    /// # Errors
    /// `config` when a setting cannot work, the provider does not have the [grant](crate::Dialect::grants), a store would
    /// not know whose tokens it keeps ([`TokenRequest::subject`]), or the tokens it starts with are bound to a key that the
    /// client does not have; `malformed_response` when a header cannot carry them.
    pub fn build(mut self) -> Result<TokenSource, Error> {
        if self.default_lifetime.is_some_and(|lifetime| lifetime.is_zero()) {
            return Err(Error::config(
                "default_lifetime",
                "is zero; expected how long a token is taken to live",
            ));
        }
        self.client.dialect().check_grant(self.request.grant())?;
        self.check_user()?;
        let login = self.login.take().map(|login| login.taken_over(self.client.clock().now().wall));
        if let Some(login) = &login {
            let (client, none) = (&self.client, Duration::ZERO);
            AccessToken::new(login.clone(), 0, client.clock().now(), none, none, client.prover())?;
            client.check_key(login)?;
        }
        let settings = Settings {
            key: self.store_key(),
            margin: jittered(self.margin),
            default_lifetime: self.default_lifetime,
            store: self.store,
            hook: self.hook,
        };
        Ok(TokenSource::live(Arc::new(Engine::new(self.client, self.request, settings, login))))
    }

    /// Whether the store knows whose tokens it keeps: two users under one key would get each other's.
    fn check_user(&self) -> Result<(), Error> {
        let Some(store) = &self.store else { return Ok(()) };
        let why = if self.request.is_nameless() {
            "what brings the token or the assertion does not say whose it is"
        } else if self.request.names_its_user()
            || self.has_store_alone
            || self.is_of_one_user
            || store.is_for_one_user()
        {
            return Ok(());
        } else {
            "nothing says which user's login or refresh token it is"
        };
        let message = format!(
            "is missing, and {why}: the store could give one user's token to another; name the user with \
             TokenRequest::subject, or `subject` in the configuration"
        );
        Err(Error::config("subject", message))
    }
}

impl fmt::Debug for SourceBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SourceBuilder")
            .field("client", &self.client)
            .field("request", &self.request)
            .field("margin", &self.margin)
            .field("store", &self.store)
            .finish_non_exhaustive()
    }
}
