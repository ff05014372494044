//! Token sources: always a fresh token, one refresh for all callers.
//!
//! ```text
//!            fresh ───────────▶ returned at once: no lock, no I/O, no allocation
//! token() ─▶ aging ───────────▶ returned at once, while ONE detached refresh runs
//!            expired or none ─▶ all callers wait for that ONE refresh and share its success and its failure
//! ```
//!
//! A token is *aging* inside the refresh margin, which is a minute and never more than half its lifetime. A refresh
//! runs in a task of its own: a caller that goes away never cancels it, so a rotated refresh token is never lost.
//! A program that ends waits for it with [`TokenSource::settle`]. Nothing happens without a caller, unless
//! [`TokenSource::keep_warm`] asks for it.
//! When a refresh fails, a token that is still good stays in use; when none is left, callers share the failure, and
//! until its [`retry_after`](crate::Error::retry_after) no request is sent.
//!
//! # Watching it
//!
//! [`TokenSource::status`] reports its state, and a [hook](SourceBuilder::on_event) its events. The same events
//! go to `tracing`, under the target `oauth_client`, and each refresh runs in a span of its own,
//! `oauth_client.refresh`, which follows from the caller that started it. With the feature `metrics` they are
//! counted: `oauth_client_events_total` (labels `event` and `code`), `oauth_client_token_requests_total`, and the
//! histogram `oauth_client_refresh_seconds`. None of them holds a secret.
//! `examples/grafana/dashboard.json` in the repository shows them.
//!
//! # Example
//!
//! ```
//! use oauth_client::TokenSource;
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), oauth_client::Error> {
//! let source = TokenSource::fixed("a-token-for-tests")?; // or client.source(request).build()?
//! let token = source.token().await?;
//! assert_eq!(token.authorization(), "Bearer a-token-for-tests");
//! # Ok(()) }
//! ```

mod alarm;
mod builder;
mod derive;
mod ended;
mod engine;
mod event;
mod exchanger;
mod family;
mod fetch;
mod lease;
mod ledger;
mod login;
mod metrics;
#[cfg(test)]
mod models;
mod persist;
mod pool;
mod refresh;
mod revoke;
mod status;
mod throttle;
mod wait;
mod warm;
mod writes;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

pub use self::builder::SourceBuilder;
use self::engine::Engine;
pub use self::event::Event;
pub use self::exchanger::Exchanger;
pub(crate) use self::fetch::Fetcher;
pub use self::fetch::{FetchRequest, TokenFetcher};
pub use self::pool::Pool;
use self::revoke::AtServer;
pub use self::status::Status;
use crate::dialect::ExpiredResponse;
use crate::error::{Error, Kind as ErrorKind};
use crate::grant::TokenRequest;
use crate::jose;
use crate::login::LogoutRequest;
use crate::secret::SecretSource;
use crate::token::{AccessToken, Secret, TokenSet, digest};

/// Always has a fresh token. Cheap to clone; clones are the same source.
#[derive(Clone)]
pub struct TokenSource(Kind);

#[derive(Clone)]
enum Kind {
    Live(Arc<Engine>),
    Fixed(AccessToken),
}

impl TokenSource {
    /// A source with one token for ever: for tests, and for tokens that are managed elsewhere.
    ///
    /// # Errors
    /// `malformed_response` when the token has characters that a header cannot carry.
    pub fn fixed(token: impl Into<Secret>) -> Result<Self, Error> {
        AccessToken::fixed(token.into()).map(|token| Self(Kind::Fixed(token)))
    }

    pub(crate) fn live(engine: Arc<Engine>) -> Self {
        Self(Kind::Live(engine))
    }

    /// A token that is good now; waits only when there is none.
    ///
    /// Dropping the returned future never cancels a refresh.
    ///
    /// # Errors
    /// Why no token is available. All callers who waited get the same error; until its
    /// [`retry_after`](Error::retry_after) has passed, later callers get it at once.
    pub async fn token(&self) -> Result<AccessToken, Error> {
        match &self.0 {
            Kind::Fixed(token) => Ok(token.clone()),
            Kind::Live(engine) => match engine.current() {
                Some(token) => Ok(token),
                None => engine.wait().await,
            },
        }
    }

    /// The token in hand, if it is good now. Never waits; inside a tokio runtime, a token that is about to expire
    /// starts its own replacement.
    #[must_use]
    pub fn current(&self) -> Option<AccessToken> {
        match &self.0 {
            Kind::Fixed(token) => Some(token.clone()),
            Kind::Live(engine) => engine.current(),
        }
    }

    /// Goes on with these tokens, for example those of a new [login](crate::login), in place of the previous ones: they
    /// are stored first, and callers who wait get them. So a source, and every layer that uses it, outlives a grant
    /// that was lost ([`is_reauthorization_required`](Error::is_reauthorization_required)).
    ///
    /// ```no_run
    /// # use oauth_client::{Client, TokenSource, login::AuthorizationRequest};
    /// # async fn run(client: Client, source: TokenSource) -> Result<(), oauth_client::Error> {
    /// let request = AuthorizationRequest::new("http://127.0.0.1/callback").scope(["read"]);
    /// # #[cfg(feature = "loopback")]
    /// if source.token().await.is_err_and(|error| error.is_reauthorization_required()) {
    ///     source.log_in(client.login(&request).open(|url| println!("{url}")).await?).await?;
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// Dropping the returned future does not stop it.
    ///
    /// # Errors
    /// `unsupported` for a [fixed](Self::fixed) source, `malformed_response` when a header cannot carry the token.
    pub async fn log_in(&self, tokens: impl Into<TokenSet>) -> Result<AccessToken, Error> {
        match &self.0 {
            Kind::Fixed(_) => Err(Error::new(ErrorKind::Unsupported(
                "a fixed source keeps the token it was made with; make another one".to_owned(),
            ))),
            Kind::Live(engine) => engine.log_in(tokens.into()).await,
        }
    }

    /// Waits for what is under way, a refresh and writes to the store: call it before the program ends. A refresh dies
    /// with its runtime, and a server that rotates refresh tokens may by then have retired the one in the store. A login
    /// that the source [starts with](SourceBuilder::starting_with) is written, also where no token was asked for.
    ///
    /// It waits as long as a request may take, a minute and a half at most, and returns at once when nothing is under
    /// way. A store that does not accept a write is given ten seconds.
    ///
    /// ```
    /// # use oauth_client::TokenSource;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), oauth_client::Error> {
    /// # let source = TokenSource::fixed("a-token-for-tests")?;
    /// let token = source.token().await?;
    /// // … calls …
    /// source.settle().await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// `store` when the store has not taken the last tokens: they are lost when the program ends now. `config` outside a
    /// tokio runtime, where a login is still to be written.
    pub async fn settle(&self) -> Result<(), Error> {
        match &self.0 {
            Kind::Live(engine) => engine.settle().await,
            Kind::Fixed(_) => Ok(()),
        }
    }

    /// As [`token`](Self::token), but it waits no longer than this: then the error has the code `timeout`. What is under way
    /// goes on.
    ///
    /// # Errors
    /// As [`token`](Self::token).
    pub async fn token_within(&self, limit: Duration) -> Result<AccessToken, Error> {
        match &self.0 {
            Kind::Fixed(token) => Ok(token.clone()),
            Kind::Live(engine) => match engine.current() {
                Some(token) => Ok(token),
                None => engine.wait_within(limit).await,
            },
        }
    }

    /// What it takes in memory by now, in bytes, roughly.
    fn bytes(&self) -> usize {
        match &self.0 {
            Kind::Live(engine) => engine.bytes(),
            Kind::Fixed(token) => token.bytes(),
        }
    }

    /// Whether both are the same source.
    #[cfg(feature = "reqwest")]
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Kind::Live(one), Kind::Live(other)) => Arc::ptr_eq(one, other),
            _ => false,
        }
    }

    /// An identity of its tokens that holds no secret; `None` where nothing says whose they are.
    pub(crate) fn identity(&self) -> Option<String> {
        match &self.0 {
            Kind::Fixed(token) => Some(digest(&[token.secret().expose()])),
            Kind::Live(engine) => {
                engine.request.names_its_user().then(|| engine.store_key().as_str().to_owned())
            }
        }
    }

    /// As [`current`](Self::current), only to look at.
    #[inline]
    pub(crate) fn lend<R>(&self, to: impl FnOnce(Option<&AccessToken>) -> R) -> R {
        match &self.0 {
            Kind::Fixed(token) => to(Some(token)),
            Kind::Live(engine) => engine.lend(to),
        }
    }

    /// A source of tokens of the same login for another API (RFC 8707 section 2.2). It shares the refresh token of this
    /// source. That token is rotated once for each token request, whichever source asks, and stays in this source's
    /// entry of the [store](crate::store). Callers, sources and processes that would use it wait for each other.
    ///
    /// The login must have been for that API, too ([`AuthorizationRequest::resource`](crate::login::AuthorizationRequest::resource)).
    /// Another [login](Self::log_in) here, or a [log-out](Self::revoke), drops the tokens of all derived sources. The
    /// log-out removes them from the store as well, and `revoke` revokes them: those of each source that this source has
    /// derived since it was built, with a handle or without. It does not know what other processes have derived, nor does a
    /// source that was dropped and built again know what was derived before: such a token stays in the store, and good,
    /// until it expires. A grant that can be asked for without a person, such as `client_credentials`, is asked for again, for that API.
    /// Called again for the same API, it returns the same source, as long as a handle to that source exists.
    ///
    /// ```
    /// # use oauth_client::{Error, TokenSource};
    /// # fn run(login: TokenSource) -> Result<(), Error> {
    /// let orders = login.for_resource("https://orders.example.com")?;
    /// let read_only = login.for_resource("https://billing.example.com")?.for_scope(["read"])?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// `unsupported` for a [fixed](Self::fixed) source.
    pub fn for_resource(&self, resource: impl Into<String>) -> Result<Self, Error> {
        let resource = resource.into();
        self.derive(|request| request.resource([resource]))
    }

    /// A source of tokens of the same login with a part of its scopes (RFC 6749 section 6). All else is as
    /// [`for_resource`](Self::for_resource) says.
    ///
    /// # Errors
    /// `unsupported` for a [fixed](Self::fixed) source.
    pub fn for_scope<I: IntoIterator<Item: Into<String>>>(&self, scope: I) -> Result<Self, Error> {
        let scope = scope.into_iter().map(Into::into).collect();
        self.derive(|request| request.narrowed_to(scope))
    }

    fn derive(&self, change: impl FnOnce(TokenRequest) -> TokenRequest) -> Result<Self, Error> {
        match &self.0 {
            Kind::Fixed(_) => Err(Error::new(ErrorKind::Unsupported(
                "a fixed source has one token, for whatever it is good; make another one".to_owned(),
            ))),
            Kind::Live(engine) => Ok(Self::live(engine.derive(change))),
        }
    }

    /// Refreshes in the background, ahead of use, so that no request waits for a token, however rarely one is sent. It ends with
    /// the source's last handle. Without it a token is replaced when one is asked for.
    ///
    /// Called again, it does nothing, unless the runtime of the first call has ended. A fixed source needs none.
    ///
    /// # Errors
    /// `config` outside a tokio runtime.
    pub fn keep_warm(&self) -> Result<(), Error> {
        match &self.0 {
            Kind::Fixed(_) => Ok(()),
            Kind::Live(engine) => engine.keep_warm(),
        }
    }

    /// Gets another token now, for example because its permissions have changed at the server. Callers who ask at the
    /// same time share one request, which may be one that is under way already. The token in hand stays in use when the
    /// request fails.
    ///
    /// Dropping the returned future does not stop it.
    ///
    /// # Errors
    /// As [`token`](Self::token), and `unsupported` for a [fixed](Self::fixed) source. Until the
    /// [`retry_after`](Error::retry_after) of a failure has passed, nothing is sent.
    pub async fn refresh_now(&self) -> Result<AccessToken, Error> {
        match &self.0 {
            Kind::Fixed(_) => Err(Error::new(ErrorKind::Unsupported(
                "a fixed source keeps the token it was made with; make another one".to_owned(),
            ))),
            Kind::Live(engine) => engine.refresh_now().await,
        }
    }

    /// The ID tokens of a login. One that has expired is replaced first.
    pub(crate) fn id_tokens(&self) -> SecretSource {
        let source = self.clone();
        let identity = self.identity().map(|identity| digest(&["the ID token of", &identity]));
        SecretSource::tokens(identity, move || {
            let source = source.clone();
            Box::pin(async move { source.id_token().await })
        })
    }

    async fn id_token(&self) -> Result<Secret, Error> {
        let missing = || {
            let message = "has no ID token; log in with the scope openid, at a server that issues another one with each refresh";
            Error::config("subject_token", message)
        };
        let Kind::Live(engine) = &self.0 else { return Err(missing()) };
        let token = self.token().await?;
        let id_token = token.tokens().id_token().ok_or_else(missing)?;
        if !has_expired(id_token, engine.client.clock().now().wall) {
            return Ok(id_token.clone());
        }
        let token = self.refresh_now().await?;
        let id_token = token.tokens().id_token().ok_or_else(missing)?;
        match has_expired(id_token, engine.client.clock().now().wall) {
            false => Ok(id_token.clone()),
            // The server does not issue another one with a refresh, so that the login has to be repeated.
            true => Err(Error::new(ErrorKind::Reauthorization(None))),
        }
    }

    /// Reports that an API refused the token of this generation. Exactly that token is dropped: a newer one, which
    /// may be here already, stays.
    ///
    /// Returns whether another token is or may become available, so that trying again makes sense. It is `false` for a fixed
    /// source, and when tokens are refused faster than new ones would help (ten at once, then one every ten
    /// seconds): then the token stays in use and the API's response stands.
    pub fn reject(&self, generation: u64) -> bool {
        match &self.0 {
            Kind::Fixed(_) => false,
            Kind::Live(engine) => engine.reject(generation),
        }
    }

    /// Revokes what the source holds (RFC 7009), refresh token first, and forgets it, in its [store](crate::store),
    /// too: a log-out. So it does with what this source has [derived](Self::for_resource) since it was built; a source that was
    /// dropped and built again does not know what was derived before. A refresh that is under way is waited for, and the tokens
    /// it brought are revoked.
    ///
    /// Afterwards, what a person granted is gone: [`token`](Self::token) fails with
    /// [`is_reauthorization_required`](Error::is_reauthorization_required), until a user who has logged in again
    /// puts tokens into the store. The same holds for the sources of other processes that share the store, once the token
    /// in hand is due for replacement: [the entry says so](crate::store#log-outs). Grants that need no person,
    /// `client_credentials` among them, are asked for again.
    ///
    /// The returned value holds the ID token of the login, if there was one.
    /// [`Client::logout_url`](crate::Client::logout_url) needs it to end the user's session at the server as well
    /// (OpenID Connect RP-Initiated Logout). It comes from the store after a restart, when the login itself is no
    /// longer in memory. Where the server keeps no sessions, or another program is to stay logged in, ignore it.
    ///
    /// ```no_run
    /// # use oauth_client::{Client, TokenSource};
    /// # async fn run(client: Client, source: TokenSource) -> Result<(), oauth_client::Error> {
    /// let logout = source.revoke().await?;
    /// let logout = logout.post_logout_redirect_uri("https://app.example.com/bye").state("s1");
    /// let url = client.logout_url(&logout).await?; // redirect the browser there
    /// # Ok(()) }
    /// ```
    ///
    /// A source that holds no token, such as before the first one was asked for or after a log-out, has nothing to revoke: it
    /// sends nothing and returns `Ok`. The returned `LogoutRequest` does not show whether anything was revoked, as a
    /// login without OpenID Connect has no ID token either; [`Event::Revoked`] comes only when something was revoked.
    ///
    /// Dropping the returned future does not stop it.
    ///
    /// # Errors
    /// As [`Client::revoke`](crate::Client::revoke), `config` for a [fixed](Self::fixed) source. Nothing is forgotten
    /// then, so that it can be called again. A server without a revocation endpoint (`discovery` or `config`) may have one for
    /// logouts: forget with [`log_out`](Self::log_out), which returns the same.
    pub async fn revoke(&self) -> Result<LogoutRequest, Error> {
        match &self.0 {
            Kind::Live(engine) => engine.revoke(AtServer::Revoke).await,
            Kind::Fixed(_) => Err(Error::config(
                "source",
                "has a fixed token and knows no server; revoke the token with Client::revoke",
            )),
        }
    }

    /// Ends the login here only: nothing is sent to the server, where the tokens stay valid. To log a user out, call
    /// [`revoke`](Self::revoke).
    ///
    /// It forgets what the source holds, in its [store](crate::store), too, and reports [`Event::LoggedOut`]: for a login
    /// that the server has ended by itself, which it reports with a [logout token](crate::login::BackchannelLogout).
    ///
    /// Afterwards the source is as after [`revoke`](Self::revoke), and the result is the same. Dropping the returned
    /// future does not stop it.
    ///
    /// # Errors
    /// `store` when the store cannot be emptied, `config` for a [fixed](Self::fixed) source. Nothing is forgotten then, so that
    /// it can be called again.
    pub async fn log_out(&self) -> Result<LogoutRequest, Error> {
        match &self.0 {
            Kind::Live(engine) => engine.revoke(AtServer::Ended).await,
            Kind::Fixed(_) => Err(Error::config("source", "has a fixed token, which no logout ends")),
        }
    }

    /// How the API that the tokens are for says "expired" in its own way, if it has one.
    pub(crate) fn expired_response(&self) -> Option<&ExpiredResponse> {
        match &self.0 {
            Kind::Fixed(_) => None,
            Kind::Live(engine) => Some(engine.expired_response()).filter(|expired| !expired.is_empty()),
        }
    }

    /// Whether its client may send secrets over plain http to other machines; then its tokens may go there too.
    pub(crate) fn allows_http(&self) -> bool {
        match &self.0 {
            Kind::Live(engine) => engine.client.allows_http(),
            Kind::Fixed(_) => false,
        }
    }

    /// The source's state.
    #[must_use]
    pub fn status(&self) -> Status {
        match &self.0 {
            Kind::Fixed(token) => Status::fixed(token),
            Kind::Live(engine) => engine.status(),
        }
    }
}

/// Whether a JWT says that it has expired.
fn has_expired(jwt: &Secret, now: Duration) -> bool {
    let claims = jose::unverified_claims(jwt.expose());
    claims.and_then(|claims| claims.get("exp")?.as_u64()).is_some_and(|end| end <= now.as_secs())
}

/// The source's access token, fresh for each request that sends it as a parameter.
impl From<TokenSource> for SecretSource {
    fn from(source: TokenSource) -> Self {
        Self::tokens(source.identity(), move || {
            let source = source.clone();
            Box::pin(async move { source.token().await.map(|token| token.secret().clone()) })
        })
    }
}

impl fmt::Debug for TokenSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TokenSource").field(&self.status()).finish()
    }
}
