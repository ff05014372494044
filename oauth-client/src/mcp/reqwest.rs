//! A reqwest client that authorizes by itself: `client.send(client.post(url).body(message)).await`.

use std::sync::Arc;

use ::reqwest::{Client, IntoUrl, Request, RequestBuilder, Response};
use arc_swap::ArcSwapOption;
use http::Method;

use super::Authorizer;
use crate::attach::AttachError;
use crate::attach::reqwest::AuthorizedClient;
use crate::error::{Error, printable};
use crate::source::TokenSource;

/// A `reqwest::Client` for one API, and the [`Authorizer`] for it. Cheap to clone.
///
/// Requests go to the origin of the API's URL only, and carry the tokens of the latest authorization. What the API says
/// to them leads to logins, as [`Attempt::again`](super::Attempt::again) describes. A request whose body reqwest cannot
/// clone, a stream, is sent once; the response to it leads to an authorization all the same, for the next one.
#[derive(Clone, Debug)]
pub struct AuthorizingClient {
    client: Client,
    authorizer: Authorizer,
    /// The client for the latest authorization, so that most requests find it made.
    made: Arc<ArcSwapOption<(TokenSource, AuthorizedClient)>>,
}

impl Authorizer {
    /// Sends with `client`.
    #[must_use]
    pub fn client(&self, client: Client) -> AuthorizingClient {
        AuthorizingClient { client, authorizer: self.clone(), made: Arc::default() }
    }
}

impl AuthorizingClient {
    /// Starts a GET request.
    pub fn get(&self, url: impl IntoUrl) -> RequestBuilder {
        self.client.get(url)
    }

    /// Starts a POST request.
    pub fn post(&self, url: impl IntoUrl) -> RequestBuilder {
        self.client.post(url)
    }

    /// Starts a request.
    pub fn request(&self, method: Method, url: impl IntoUrl) -> RequestBuilder {
        self.client.request(method, url)
    }

    /// Where the tokens come from.
    #[must_use]
    pub fn authorizer(&self) -> &Authorizer {
        &self.authorizer
    }

    /// Sends a request, as often as it takes, and returns the last response.
    ///
    /// # Errors
    /// [`AttachError::Token`] when no token was available, with what [`Attempt::again`](super::Attempt::again) says, or
    /// `config` when the request goes to another origin than the API's; [`AttachError::Inner`] when reqwest failed.
    pub async fn send(&self, request: RequestBuilder) -> Result<Response, AttachError<::reqwest::Error>> {
        self.execute(request.build().map_err(AttachError::Inner)?).await
    }

    /// The same, for a request that is ready made.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub async fn execute(&self, request: Request) -> Result<Response, AttachError<::reqwest::Error>> {
        if request.url().origin() != self.authorizer.url().origin() {
            let message = format!(
                "{:?} is not at the origin of the API at {:?}; make an authorizer for it",
                printable(request.url().as_str(), 256),
                self.authorizer.url().as_str()
            );
            return Err(Error::config("url", message).into());
        }
        let origin = request.url().origin();
        let mut attempt = self.authorizer.attempt();
        let mut next = Some(request);
        loop {
            let Some(request) = next.take() else {
                return Err(Error::config("body", "cannot be sent once more").into());
            };
            next = request.try_clone();
            let response = match attempt.source() {
                Some(source) => self.authorized(source).execute(request).await,
                None => self.client.execute(request).await.map_err(AttachError::Inner),
            };
            let response = match response {
                Err(AttachError::Token(error)) if next.is_some() && attempt.recovers_from(&error) => continue,
                other => other?,
            };
            // A redirect may have led away: what another origin says is not about our token.
            if response.url().origin() != origin {
                return Ok(response);
            }
            let again = attempt.again(response.status(), response.headers()).await?;
            if !again || next.is_none() {
                return Ok(response);
            }
        }
    }

    /// The client for this authorization.
    fn authorized(&self, source: &TokenSource) -> AuthorizedClient {
        if let Some(made) = self.made.load().as_ref().filter(|made| made.0.is_same(source)) {
            return made.1.clone();
        }
        let client = AuthorizedClient::new(self.client.clone(), source.clone());
        self.made.store(Some(Arc::new((source.clone(), client.clone()))));
        client
    }
}
