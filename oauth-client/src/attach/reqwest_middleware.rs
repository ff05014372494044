//! Tokens for stacks of [`reqwest_middleware`], as generated clients and retry policies use them.
//!
//! The rules are those of the [front for reqwest](super::reqwest). Put middleware that sends a request again, such as a
//! retry policy, before this one: each attempt then carries a token that is fresh at that moment. With the extension
//! [`TokenChoice`] a request says which token it carries.
//!
//! ```
//! use oauth_client::TokenSource;
//! use oauth_client::attach::reqwest_middleware::TokenMiddleware;
//! use reqwest_middleware::ClientBuilder;
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let tokens = TokenMiddleware::new(TokenSource::fixed("2YotnFZFEjr1zCsicMWpAA")?);
//! let tokens = tokens.allowed_origins(["https://api.example.com"])?;
//! let client = ClientBuilder::new(reqwest::Client::new()).with(tokens).build();
//!
//! let refused = client.get("https://evil.example/orders").send().await.unwrap_err();
//! assert!(refused.is_middleware()); // and was not sent
//! # Ok(()) }
//! ```

use std::sync::Arc;

use ::reqwest::{Request, Response};
use ::reqwest_middleware::{Error, Middleware, Next};
use async_trait::async_trait;
use http::Extensions;

use super::choice::TokenChoice;
use super::error::AttachError;
use super::round_trip::{Send, round_trip};
use super::settings::{Settings, setters};
use crate::TokenSource;

/// Puts a token on each request of a `ClientWithMiddleware`. Cheap to clone.
///
/// A request that gets none fails with `Error::Middleware`, which holds an [`Error`](crate::Error) of this crate.
#[derive(Clone, Debug)]
pub struct TokenMiddleware {
    settings: Arc<Settings>,
}

impl TokenMiddleware {
    /// Takes its tokens from `source`, to any origin, with the default [`ReplayPolicy`](super::ReplayPolicy).
    #[must_use]
    pub fn new(source: TokenSource) -> Self {
        Self { settings: Arc::new(Settings::new(source)) }
    }
}

setters!(TokenMiddleware);

#[async_trait]
impl Middleware for TokenMiddleware {
    async fn handle(
        &self,
        request: Request,
        extensions: &mut Extensions,
        next: Next<'_>,
    ) -> Result<Response, Error> {
        let choice = extensions.get::<TokenChoice>().cloned();
        let mut rest = Rest { next, extensions };
        let sent = round_trip(&self.settings, request, choice.as_ref(), &mut rest).await;
        sent.map_err(|error| match error {
            AttachError::Token(error) => Error::middleware(error),
            AttachError::Inner(error) => error,
        })
    }
}

/// The middleware behind this one, and the client.
struct Rest<'a> {
    next: Next<'a>,
    extensions: &'a mut Extensions,
}

impl Send for Rest<'_> {
    type Error = Error;

    async fn send(&mut self, request: Request) -> Result<Response, Error> {
        self.next.clone().run(request, self.extensions).await
    }
}
