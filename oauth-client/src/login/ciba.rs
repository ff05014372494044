//! OpenID CIBA 1.0, poll mode: the server asks a person on a device of their own, and the client polls until they have
//! confirmed.

use std::fmt;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Map, Value};

use super::Login;
use super::device::seconds;
use super::poll::Poll;
use super::request::{expecting, unchecked};
use crate::client::Client;
use crate::discover::Endpoint;
use crate::error::{Error, Kind, Problem};
use crate::grant::{self, CIBA, CibaRequestId, TokenRequest};
use crate::secret::SecretSource;
use crate::token::Secret;
use crate::token_endpoint::Parameters;

/// A backchannel authentication request (OpenID CIBA 1.0 section 7.1): who is to be asked, and for what.
///
/// ```
/// use oauth_client::login::BackchannelRequest;
///
/// let request = BackchannelRequest::login_hint("alice@example.com").scope(["openid", "payments"]).binding_message("W4SCT");
/// assert!(!format!("{request:?}").contains("alice"));
/// ```
#[derive(Clone)]
#[must_use]
pub struct BackchannelRequest {
    request: TokenRequest,
    hint: (&'static str, SecretSource),
    message: Option<String>,
    user_code: Option<Secret>,
    requested_expiry: Option<Duration>,
    max_age: Option<Duration>,
}

impl BackchannelRequest {
    /// Asks the person by this name, number or address (`login_hint`).
    pub fn login_hint(hint: impl Into<Secret>) -> Self {
        Self::new("login_hint", hint.into().into())
    }

    /// Asks the person that this ID token was issued to (`id_token_hint`).
    pub fn id_token_hint(id_token: impl Into<SecretSource>) -> Self {
        Self::new("id_token_hint", id_token.into())
    }

    /// Asks the person that this token is about (`login_hint_token`), in a form that the server knows.
    pub fn login_hint_token(token: impl Into<SecretSource>) -> Self {
        Self::new("login_hint_token", token.into())
    }

    fn new(name: &'static str, hint: SecretSource) -> Self {
        let request = grant::login().scope(["openid"]);
        let hint = (name, hint);
        Self { request, hint, message: None, user_code: None, requested_expiry: None, max_age: None }
    }

    /// The scopes to ask for: `openid` when not set, which has to be among them.
    pub fn scope<I: IntoIterator<Item: Into<String>>>(mut self, scope: I) -> Self {
        self.request = self.request.scope(scope);
        self
    }

    /// The resources the token is for, as absolute URIs (RFC 8707).
    pub fn resource<I: IntoIterator<Item: Into<String>>>(mut self, resource: I) -> Self {
        self.request = self.request.resource(resource);
        self
    }

    /// What exactly is asked for (RFC 9396); see [`TokenRequest::authorization_details`].
    ///
    /// # Errors
    /// `config` when it is not a list of objects with a `type`.
    pub fn authorization_details(mut self, details: impl Serialize) -> Result<Self, Error> {
        self.request = self.request.authorization_details(details)?;
        Ok(self)
    }

    /// The longest time since the person logged in, where the server knows the parameter. The ID token has to say when
    /// that was (`auth_time`).
    pub fn max_age(mut self, age: Duration) -> Self {
        self.max_age = Some(age);
        self
    }

    /// Whose login this is: a store finds the user's tokens by it; see [`TokenRequest::subject`]. It is not sent.
    pub fn subject(mut self, subject: impl Into<String>) -> Self {
        self.request = self.request.subject(subject);
        self
    }

    /// A short text that both devices show, so that the person sees what they confirm (`binding_message`).
    pub fn binding_message(mut self, message: impl Into<String>) -> Self {
        self.message = Some(message.into());
        self
    }

    pub(crate) fn message(&self) -> Option<&str> {
        self.message.as_deref()
    }

    /// How the person is to log in, in order of preference (`acr_values`).
    pub fn acr_values<I: IntoIterator<Item: Into<String>>>(self, values: I) -> Self {
        let values: Vec<_> = values.into_iter().map(Into::into).collect();
        self.parameter("acr_values", values.join(" "))
    }

    /// A code that only the person knows (`user_code`), where the server asks for one, against unwanted requests.
    pub fn user_code(mut self, code: impl Into<Secret>) -> Self {
        self.user_code = Some(code.into());
        self
    }

    /// How long the person has, in whole seconds (`requested_expiry`). The server decides.
    pub fn requested_expiry(mut self, time: Duration) -> Self {
        self.requested_expiry = Some(time);
        self
    }

    /// One more parameter, sent as it is. Not for secrets. What has a method of its own because the response is checked
    /// by it (`scope`, `resource`, `max_age`, `authorization_details`) is refused.
    pub fn parameter(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.request = self.request.parameter(name, value);
        self
    }

    pub(crate) fn problems(&self) -> Vec<Problem> {
        unchecked(|name| self.request.has_parameter(name)).collect()
    }

    fn parameters(&self) -> Parameters {
        let mut parameters = self.request.to_parameters();
        parameters.remove("grant_type");
        parameters.set_from(self.hint.0, &self.hint.1);
        if let Some(message) = &self.message {
            parameters.set("binding_message", message.clone());
        }
        if let Some(code) = &self.user_code {
            parameters.set_secret("user_code", code.clone());
        }
        if let Some(time) = self.requested_expiry {
            parameters.set("requested_expiry", time.as_secs().to_string());
        }
        if let Some(age) = self.max_age {
            parameters.set("max_age", age.as_secs().to_string());
        }
        parameters
    }
}

impl From<&BackchannelRequest> for TokenRequest {
    /// What its login grants, for a source.
    fn from(request: &BackchannelRequest) -> Self {
        request.request.clone()
    }
}

impl fmt::Debug for BackchannelRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BackchannelRequest")
            .field("request", &self.request)
            .field("hint", &self.hint.0)
            .finish_non_exhaustive()
    }
}

impl Client {
    /// Has the server ask a person on a device of their own (OpenID CIBA 1.0, poll mode): no browser is involved here.
    ///
    /// ```no_run
    /// # use oauth_client::{Client, login::BackchannelRequest};
    /// # async fn run(client: Client) -> Result<(), oauth_client::Error> {
    /// let request = BackchannelRequest::login_hint("alice@example.com").binding_message("W4SCT");
    /// let waiting = client.backchannel(&request).await?;
    /// println!("Confirm W4SCT on your phone, within {:?}", waiting.expires_in());
    /// let login = waiting.wait().await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// `config` without an issuer, without the scope `openid`, or for a request that cannot work; an error response of the
    /// server, such as `unknown_user_id`; no response, or a malformed one.
    pub async fn backchannel(&self, request: &BackchannelRequest) -> Result<BackchannelLogin, Error> {
        self.dialect().check_grant_type(CIBA)?;
        let problems = request.problems();
        if !problems.is_empty() {
            return Err(Error::new(Kind::Config(problems)));
        }
        if self.issuer().is_none() {
            let message =
                "is missing; such a login brings an ID token, which only an issuer's metadata helps to check";
            return Err(Error::config("issuer", message));
        }
        if !request.request.has_scope("openid") {
            let message = "has no openid, which such a request needs (OpenID CIBA 1.0 section 7.1)";
            return Err(Error::config("scope", message));
        }
        let asked = self.clock().now();
        let endpoint = Endpoint::BackchannelAuthentication;
        let mut response = self.post_for_object(endpoint, request.parameters()).await?;
        let id = match response.remove("auth_req_id") {
            Some(Value::String(id)) if !id.is_empty() => id,
            _ => {
                return Err(Error::malformed("auth_req_id: expected a string (OpenID CIBA 1.0 section 7.3)"));
            }
        };
        let max_age = request.max_age;
        let request = TokenRequest::new(CibaRequestId(Secret::new(id)));
        let poll = read_poll(self, &mut response, asked)?;
        Ok(BackchannelLogin { client: self.clone(), request, poll, max_age })
    }
}

fn read_poll(
    client: &Client,
    response: &mut Map<String, Value>,
    asked: crate::clock::Now,
) -> Result<Poll, Error> {
    let expires_in = seconds(response.remove("expires_in"), "expires_in")?
        .ok_or_else(|| Error::malformed("expires_in: is missing (OpenID CIBA 1.0 section 7.3)"))?;
    let interval = seconds(response.remove("interval"), "interval")?;
    Ok(Poll::new(client, expires_in, interval, asked))
}

/// A login that waits for a person to confirm it elsewhere (OpenID CIBA 1.0 section 7.3).
pub struct BackchannelLogin {
    client: Client,
    request: TokenRequest,
    poll: Poll,
    max_age: Option<Duration>,
}

impl BackchannelLogin {
    /// How long the person has, counted from the request.
    #[must_use]
    pub fn expires_in(&self) -> Duration {
        self.poll.expires_in()
    }

    /// How long to wait between two polls, as it stands.
    #[must_use]
    pub fn interval(&self) -> Duration {
        self.poll.interval()
    }

    /// Polls until the person has decided, no faster than the server says (sections 10 and 11). Drop the future to give up.
    ///
    /// # Errors
    /// `access_denied` when the person declined, `expired_token` when the time is over; any other error response of the
    /// server, and `invalid_id_token`. While the server cannot be reached, polling goes on, slower each time.
    pub async fn wait(self) -> Result<Login, Error> {
        let tokens =
            self.poll.wait(&self.request, "the request was not confirmed in time; begin again").await?;
        self.client.logged_in(tokens, expecting(self.max_age)).await
    }
}

impl fmt::Debug for BackchannelLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BackchannelLogin")
            .field("client", &self.client)
            .field("poll", &self.poll)
            .finish_non_exhaustive()
    }
}
