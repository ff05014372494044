//! OpenID Connect RP-Initiated Logout.

use url::Url;

use crate::client::Client;
use crate::discover::Endpoint;
use crate::error::Error;
use crate::token::Secret;

/// The parameters of a logout (OpenID Connect RP-Initiated Logout section 2). None is required; with the ID token, the
/// server need not ask the person. [`TokenSource::revoke`](crate::TokenSource::revoke) returns one that has it.
#[derive(Clone, Debug, Default)]
pub struct LogoutRequest {
    id_token: Option<Secret>,
    parameters: Vec<(String, String)>,
}

impl LogoutRequest {
    /// A logout of the user who is logged in in that browser.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The ID token of the session that ends. It may have expired.
    #[must_use]
    pub fn id_token_hint(mut self, id_token: impl Into<Secret>) -> Self {
        self.id_token = Some(id_token.into());
        self
    }

    /// Where the browser goes afterwards; it has to be registered at the server.
    #[must_use]
    pub fn post_logout_redirect_uri(self, uri: impl Into<String>) -> Self {
        self.parameter("post_logout_redirect_uri", uri)
    }

    /// What comes back with the browser then.
    #[must_use]
    pub fn state(self, state: impl Into<String>) -> Self {
        self.parameter("state", state)
    }

    /// One more parameter, such as `logout_hint` or `ui_locales`.
    #[must_use]
    pub fn parameter(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        let name = name.into();
        self.parameters.retain(|(set, _)| *set != name);
        self.parameters.push((name, value.into()));
        self
    }
}

impl Client {
    /// The URL to send the browser to, to log out at the server. End your own session, too.
    ///
    /// [`TokenSource::revoke`](crate::TokenSource::revoke) revokes the tokens and returns the parameters of the logout,
    /// also after a restart.
    ///
    /// The URL holds the ID token that was given, as the specification wants it: send it as a redirect, and do not
    /// log it.
    ///
    /// ```no_run
    /// # use oauth_client::{Client, login::{Login, LogoutRequest}};
    /// # async fn run(client: Client, login: Login) -> Result<(), oauth_client::Error> {
    /// let mut logout = LogoutRequest::new().post_logout_redirect_uri("https://app.example.com/");
    /// if let Some(token) = login.tokens().id_token() {
    ///     logout = logout.id_token_hint(token.clone());
    /// }
    /// let url = client.logout_url(&logout).await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// When the server has no such endpoint, or its metadata is unavailable.
    pub async fn logout_url(&self, request: &LogoutRequest) -> Result<Url, Error> {
        let mut url = self.endpoint(Endpoint::EndSession, self.timeout()).await?;
        {
            let mut query = url.query_pairs_mut();
            query.append_pair("client_id", self.auth().client_id());
            query.extend_pairs(request.id_token.iter().map(|token| ("id_token_hint", token.expose())));
            query.extend_pairs(&request.parameters);
        }
        Ok(url)
    }
}
