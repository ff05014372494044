//! A reqwest client whose requests carry a token: `client.get(url).send().await`, without a thought to expiry.
//!
//! The rules are those of the [layer](super#when-the-api-refuses-the-token), with what reqwest adds to them: it
//! follows redirects by itself, so a response that came from another URL than the one asked for is never the reason for
//! a replay, and one from another origin has no effect on the token at all, because reqwest does not send it there. A
//! [proof](crate::dpop) names the requested URL and is useless at another one: request the final URL. A body
//! can be repeated when reqwest can clone it: bytes, not a stream.
//!
//! ```
//! use oauth_client::TokenSource;
//! use oauth_client::attach::reqwest::AuthorizedClient;
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let source = TokenSource::fixed("2YotnFZFEjr1zCsicMWpAA")?;
//! let client = AuthorizedClient::new(reqwest::Client::new(), source).allowed_origins(["https://api.example.com"])?;
//!
//! let refused = client.get("https://evil.example/orders").send().await.unwrap_err();
//! assert_eq!(refused.token_error().unwrap().code(), "config");
//! # Ok(()) }
//! ```

use std::sync::Arc;
use std::time::Duration;

use ::reqwest::{Body, Client, IntoUrl, Request, RequestBuilder, Response};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Version};

use super::choice::TokenChoice;
use super::error::AttachError;
use super::round_trip::{Send, round_trip};
use super::settings::{Settings, setters};
use crate::TokenSource;

/// A `reqwest::Client` and where its tokens come from. Cheap to clone.
#[derive(Clone, Debug)]
pub struct AuthorizedClient {
    client: Client,
    settings: Arc<Settings>,
}

impl AuthorizedClient {
    /// Sends with `client`, with tokens from `source`, to any origin, with the default
    /// [`ReplayPolicy`](super::ReplayPolicy).
    #[must_use]
    pub fn new(client: Client, source: TokenSource) -> Self {
        Self { client, settings: Arc::new(Settings::new(source)) }
    }

    /// Starts a GET request.
    pub fn get(&self, url: impl IntoUrl) -> AuthorizedRequest {
        self.request(Method::GET, url)
    }

    /// Starts a HEAD request.
    pub fn head(&self, url: impl IntoUrl) -> AuthorizedRequest {
        self.request(Method::HEAD, url)
    }

    /// Starts a POST request.
    pub fn post(&self, url: impl IntoUrl) -> AuthorizedRequest {
        self.request(Method::POST, url)
    }

    /// Starts a PUT request.
    pub fn put(&self, url: impl IntoUrl) -> AuthorizedRequest {
        self.request(Method::PUT, url)
    }

    /// Starts a PATCH request.
    pub fn patch(&self, url: impl IntoUrl) -> AuthorizedRequest {
        self.request(Method::PATCH, url)
    }

    /// Starts a DELETE request.
    pub fn delete(&self, url: impl IntoUrl) -> AuthorizedRequest {
        self.request(Method::DELETE, url)
    }

    /// Starts a request. [`AuthorizedRequest::send`] reports a URL that cannot be parsed.
    pub fn request(&self, method: Method, url: impl IntoUrl) -> AuthorizedRequest {
        AuthorizedRequest { client: self.clone(), builder: self.client.request(method, url), choice: None }
    }

    /// Sends a complete request. An `Authorization` header on it is replaced.
    ///
    /// # Errors
    /// [`AttachError::Token`] when no token was available or the request must not carry one: it was not sent then.
    /// [`AttachError::Inner`] when reqwest failed.
    pub async fn execute(&self, request: Request) -> Result<Response, AttachError<::reqwest::Error>> {
        self.execute_with(request, None).await
    }

    /// The same, with a token that was chosen for this one request.
    async fn execute_with(
        &self,
        request: Request,
        choice: Option<&TokenChoice>,
    ) -> Result<Response, AttachError<::reqwest::Error>> {
        round_trip(&self.settings, request, choice, &mut &self.client).await
    }
}

impl Send for &Client {
    type Error = ::reqwest::Error;

    async fn send(&mut self, request: Request) -> Result<Response, Self::Error> {
        self.execute(request).await
    }
}

setters!(AuthorizedClient);

/// A request that is being built; the token is added when it is sent.
#[derive(Debug)]
#[must_use = "nothing is sent before `send` is awaited"]
pub struct AuthorizedRequest {
    client: AuthorizedClient,
    builder: RequestBuilder,
    choice: Option<TokenChoice>,
}

impl AuthorizedRequest {
    /// Adds a header.
    pub fn header<K, V>(self, name: K, value: V) -> Self
    where
        HeaderName: TryFrom<K>,
        <HeaderName as TryFrom<K>>::Error: Into<http::Error>,
        HeaderValue: TryFrom<V>,
        <HeaderValue as TryFrom<V>>::Error: Into<http::Error>,
    {
        self.with(|builder| builder.header(name, value))
    }

    /// Adds headers; those of the same name are replaced.
    pub fn headers(self, headers: HeaderMap) -> Self {
        self.with(|builder| builder.headers(headers))
    }

    /// Sets the body.
    pub fn body(self, body: impl Into<Body>) -> Self {
        self.with(|builder| builder.body(body))
    }

    /// Limits the time from [`send`](Self::send) to the end of the response's body: the wait for a token and a replay
    /// included. If the time is over before there is a token, the error is [`AttachError::Token`] with the code
    /// `timeout`, and nothing was sent. A timeout of the `reqwest::Client` itself counts for each request that is sent.
    pub fn timeout(self, limit: Duration) -> Self {
        self.with(|builder| builder.timeout(limit))
    }

    /// Sets the HTTP version.
    pub fn version(self, version: Version) -> Self {
        self.with(|builder| builder.version(version))
    }

    /// Anything else that reqwest's own builder can do with the features you gave it:
    /// `.with(|request| request.json(&order))`.
    pub fn with(mut self, change: impl FnOnce(RequestBuilder) -> RequestBuilder) -> Self {
        self.builder = change(self.builder);
        self
    }

    /// Sends it without a token, and as it is, wherever it goes.
    pub fn without_token(mut self) -> Self {
        self.choice = Some(TokenChoice::NoToken);
        self
    }

    /// Takes the token of this request from another source.
    pub fn token_from(mut self, source: &TokenSource) -> Self {
        self.choice = Some(TokenChoice::From(source.clone()));
        self
    }

    /// Puts the token on the request and sends it.
    ///
    /// # Errors
    /// As [`AuthorizedClient::execute`].
    pub async fn send(self) -> Result<Response, AttachError<::reqwest::Error>> {
        let request = self.builder.build().map_err(AttachError::Inner)?;
        self.client.execute_with(request, self.choice.as_ref()).await
    }
}
