//! Token revocation (RFC 7009).

use crate::client::Client;
use crate::discover::Endpoint;
use crate::error::Error;
use crate::token::{Secret, TokenType};
use crate::token_endpoint::{Parameters, TimeLimit};

impl Client {
    /// Revokes a token (RFC 7009). With a refresh token the server revokes its access tokens, too, as far as it can; a
    /// token that the server does not know counts as revoked. [`TokenSource::revoke`](crate::TokenSource::revoke) does
    /// this for all that a source holds.
    ///
    /// ```
    /// # use oauth_client::{Client, ClientAuth, grant};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), oauth_client::Error> {
    /// # let server = oauth_mock::MockServer::start().await;
    /// # let client = Client::builder().issuer(server.issuer()).auth(ClientAuth::basic("svc", "s3cr3t")).build()?;
    /// let tokens = client.request(&grant::client_credentials()).await?;
    /// client.revoke(tokens.access_token(), None).await?;
    /// assert!(client.introspect(tokens.access_token(), None).await?.is_none());
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// `unsupported_token_type` when the server cannot revoke tokens of this kind; one that
    /// [is transient](Error::is_transient) when it could not be reached or says 503 (the token is then still valid, so
    /// call this again after [`Error::retry_after`]); `discovery` or `config` when it has no revocation endpoint.
    pub async fn revoke(&self, token: &Secret, hint: Option<TokenType>) -> Result<(), Error> {
        let mut parameters = Parameters::default();
        parameters.set_secret("token", token.clone());
        if let Some(hint) = hint {
            parameters.set("token_type_hint", hint.name());
        }
        // RFC 7009 section 2.2: what the body of a success says does not count.
        let time = TimeLimit::whole(self.timeout());
        self.post(Endpoint::Revocation, &parameters, time, &mut ()).await?.into_success()
    }
}
