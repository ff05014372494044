//! On behalf of many users: their tokens, each exchanged once.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::{Pool, TokenSource};
use crate::client::Client;
use crate::error::{Error, Kind};
use crate::grant::{TokenExchange, TokenRequest};
use crate::token::{AccessToken, TokenType};

/// Exchanges the tokens of an API's callers for tokens of the next API (RFC 8693), and keeps the results. Cheap to
/// clone; clones share everything.
///
/// All requests with the same subject token share one [`TokenSource`], so a thousand of them at once cost one token
/// request. Sources are kept under a hash of the subject token, and no longer than that token is valid, as far as this
/// is known: from the `exp` of a JWT, or for others from [`expires_at`](TokenExchange::expires_at). They are bounded
/// as those of a [`Pool`] are.
///
/// ```
/// # use oauth_client::{Client, ClientAuth, grant};
/// # use oauth_mock::{MockClient, MockServer};
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), oauth_client::Error> {
/// # let server = MockServer::start().await;
/// # let client = Client::builder().issuer(server.issuer()).auth(ClientAuth::basic("svc", "s3cr3t")).build()?;
/// let exchanger = client.exchanger(|subject| grant::token_exchange(subject).audience("billing-api").scope(["read"]));
///
/// // In a handler: the token that the caller came with.
/// let source = exchanger.source("the-caller's-token")?;
/// // let billing = AuthorizedClient::new(http, source);
/// assert_eq!(exchanger.len(), 1);
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Exchanger {
    client: Client,
    request: Arc<dyn Fn(TokenExchange) -> TokenRequest + Send + Sync>,
    /// By the hash of the subject token.
    pool: Pool<String>,
}

impl Client {
    /// Exchanges the tokens of many users, one source for each (RFC 8693): `request` says what they are exchanged for.
    pub fn exchanger(
        &self,
        request: impl Fn(TokenExchange) -> TokenRequest + Send + Sync + 'static,
    ) -> Exchanger {
        Exchanger::new(self.clone(), request)
    }
}

impl TokenExchange {
    /// As [`actor`](Self::actor), with an access token that is always fresh: this service's own.
    pub fn actor_from(self, source: &TokenSource) -> Self {
        self.actor(source.clone(), TokenType::AccessToken)
    }
}

impl Exchanger {
    fn new(client: Client, request: impl Fn(TokenExchange) -> TokenRequest + Send + Sync + 'static) -> Self {
        let unused = |_: &String| Err(Error::new(Kind::Interrupted));
        let pool = Pool::new(unused).clock(Arc::clone(client.clock()));
        Self { client, request: Arc::new(request), pool }
    }

    /// How many subjects are kept at most: 10,000 when not set. Beyond it, those that were used longest ago go.
    #[must_use]
    pub fn max_subjects(mut self, most: usize) -> Self {
        self.pool = self.pool.max_sources(most);
        self
    }

    /// How many bytes all subjects may take, with what they are exchanged for, roughly: 64 MiB when not set. Beyond it,
    /// those that were used longest ago go.
    #[must_use]
    pub fn max_bytes(mut self, most: usize) -> Self {
        self.pool = self.pool.max_bytes(most);
        self
    }

    /// How long a subject is kept that sends no requests: an hour when not set.
    #[must_use]
    pub fn idle_after(mut self, idle: Duration) -> Self {
        self.pool = self.pool.idle_after(idle);
        self
    }

    /// The source of the tokens that this one is exchanged for. Nothing is sent yet.
    ///
    /// # Errors
    /// One with [`is_reauthorization_required`](Error::is_reauthorization_required) when the subject token has expired;
    /// `config` when the subject token has no identity of its own.
    pub fn source(&self, subject: impl Into<TokenExchange>) -> Result<TokenSource, Error> {
        let subject = subject.into();
        let Some(key) = subject.identity_of_token() else {
            let message =
                "is read anew for each request, so it does not identify one subject; use client.source";
            return Err(Error::config("subject_token", message));
        };
        if subject.good_until().is_some_and(|end| end <= self.client.clock().now().wall) {
            self.pool.remove(&key);
            return Err(Error::new(Kind::Reauthorization(None)));
        }
        let bytes = subject.bytes();
        self.pool.get_or_make(&key, bytes, || self.client.source((self.request)(subject)).build())
    }

    /// A token that this one is exchanged for, good now.
    ///
    /// # Errors
    /// As [`source`](Self::source) and [`TokenSource::token`].
    pub async fn token(&self, subject: impl Into<TokenExchange>) -> Result<AccessToken, Error> {
        self.source(subject)?.token().await
    }

    /// Forgets what a token was exchanged for, for example because its owner has logged out. Pass what
    /// [`source`](Self::source) was given: with another actor it is another exchange.
    pub fn forget(&self, subject: impl Into<TokenExchange>) {
        if let Some(key) = subject.into().identity_of_token() {
            self.pool.remove(&key);
        }
    }

    /// How many subjects are kept.
    #[must_use]
    pub fn len(&self) -> usize {
        self.pool.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pool.is_empty()
    }
}

impl fmt::Debug for Exchanger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exchanger")
            .field("client", &self.client)
            .field("pool", &self.pool)
            .finish_non_exhaustive()
    }
}
