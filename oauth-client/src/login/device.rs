//! RFC 8628: a device without a browser shows a code, a person enters it elsewhere, the device polls until they have.

use std::fmt;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Map, Value};
use url::Url;

use super::Login;
use super::poll::Poll;
use super::request::{expecting, needs_openid, unchecked};
use crate::client::Client;
use crate::clock::Now;
use crate::discover::Endpoint;
use crate::error::{Error, Kind, Problem};
use crate::grant::{self, DEVICE_CODE, DeviceCode, TokenRequest};
use crate::token::Secret;
use crate::token_endpoint::Parameters;
use crate::transport::{require_https, to_uri};

/// A device authorization request (RFC 8628 section 3.1).
///
/// ```
/// let request = oauth_client::login::DeviceRequest::new().scope(["read"]);
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct DeviceRequest {
    wanted: TokenRequest,
    max_age: Option<Duration>,
}

impl DeviceRequest {
    /// A request for the server's default access.
    pub fn new() -> Self {
        Self { wanted: grant::login(), max_age: None }
    }

    /// The scopes to ask for (RFC 6749 section 3.3). With `openid` among them the login brings a validated ID token.
    pub fn scope<I: IntoIterator<Item: Into<String>>>(self, scope: I) -> Self {
        self.with(|wanted| wanted.scope(scope))
    }

    /// The API the token is for, as servers such as Auth0 understand it.
    pub fn audience(self, audience: impl Into<String>) -> Self {
        self.with(|wanted| wanted.audience(audience))
    }

    /// The resources the token is for, as absolute URIs (RFC 8707).
    pub fn resource<I: IntoIterator<Item: Into<String>>>(self, resource: I) -> Self {
        self.with(|wanted| wanted.resource(resource))
    }

    /// What exactly is asked for (RFC 9396); see [`TokenRequest::authorization_details`].
    ///
    /// # Errors
    /// `config` when it is not a list of objects with a `type`.
    pub fn authorization_details(self, details: impl Serialize) -> Result<Self, Error> {
        let wanted = self.wanted.authorization_details(details)?;
        Ok(Self { wanted, ..self })
    }

    /// The longest time since the person logged in, where the server knows the parameter. The ID token has to say when
    /// that was (`auth_time`), so that the scope `openid` is needed.
    pub fn max_age(mut self, age: Duration) -> Self {
        self.max_age = Some(age);
        self
    }

    /// Whose login this is: a store finds the user's tokens by it; see [`TokenRequest::subject`]. It is not sent.
    pub fn subject(self, subject: impl Into<String>) -> Self {
        self.with(|wanted| wanted.subject(subject))
    }

    /// One more parameter, sent as it is. What has a method of its own because the response is checked by it (`scope`,
    /// `resource`, `max_age`, `authorization_details`) is refused.
    pub fn parameter(self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.with(|wanted| wanted.parameter(name, value))
    }

    pub(crate) fn problems(&self) -> Vec<Problem> {
        let openid =
            self.max_age.filter(|_| !self.wanted.has_scope("openid")).map(|_| needs_openid("max_age"));
        unchecked(|name| self.wanted.has_parameter(name)).chain(openid).collect()
    }

    fn with(self, change: impl FnOnce(TokenRequest) -> TokenRequest) -> Self {
        Self { wanted: change(self.wanted), ..self }
    }
}

impl Default for DeviceRequest {
    fn default() -> Self {
        Self::new()
    }
}

impl From<DeviceRequest> for TokenRequest {
    /// What its login grants, for a source.
    fn from(request: DeviceRequest) -> Self {
        request.wanted
    }
}

impl From<&DeviceRequest> for TokenRequest {
    fn from(request: &DeviceRequest) -> Self {
        request.wanted.clone()
    }
}

impl Client {
    /// Begins a login on another device (RFC 8628): gets the code that this device has to show to the person.
    ///
    /// ```no_run
    /// # use oauth_client::{Client, login::DeviceRequest};
    /// # async fn run(client: Client) -> Result<(), oauth_client::Error> {
    /// let device = client.device(&DeviceRequest::new().scope(["read"])).await?;
    /// println!("Go to {} and enter {}", device.verification_uri(), device.user_code());
    /// let login = device.wait().await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// `config` for a request that cannot work; an error response of the server, no response, or a malformed one.
    pub async fn device(&self, request: &DeviceRequest) -> Result<DeviceLogin, Error> {
        self.dialect().check_grant_type(DEVICE_CODE)?;
        let problems = request.problems();
        if !problems.is_empty() {
            return Err(Error::new(Kind::Config(problems)));
        }
        let openid = request.wanted.has_scope("openid");
        if openid && self.issuer().is_none() {
            return Err(Error::config(
                "issuer",
                "is missing; the scope openid brings an ID token, which only an issuer's metadata helps to check",
            ));
        }
        let mut parameters: Parameters = request.wanted.to_parameters();
        parameters.remove("grant_type");
        if let Some(age) = request.max_age {
            parameters.set("max_age", age.as_secs().to_string());
        }
        // RFC 8628 section 3.1 wants it here unless the header says it; servers differ in reading that.
        parameters.set("client_id", self.auth().client_id());
        let asked = self.clock().now();
        let response = self.post_for_object(Endpoint::DeviceAuthorization, parameters).await?;
        DeviceLogin::read(self.clone(), response, asked, request)
    }
}

/// A login that waits for a person (RFC 8628 section 3.2).
pub struct DeviceLogin {
    client: Client,
    device_code: Secret,
    user_code: String,
    verification_uri: Url,
    verification_uri_complete: Option<Url>,
    poll: Poll,
    request: DeviceRequest,
}

impl DeviceLogin {
    /// What the person has to enter.
    #[must_use]
    pub fn user_code(&self) -> &str {
        &self.user_code
    }

    /// Where.
    #[must_use]
    pub fn verification_uri(&self) -> &Url {
        &self.verification_uri
    }

    /// The same page with the code filled in, for a QR code. Show the [`user_code`](Self::user_code) beside it all the
    /// same, so that the person can compare (section 3.3.1).
    #[must_use]
    pub fn verification_uri_complete(&self) -> Option<&Url> {
        self.verification_uri_complete.as_ref()
    }

    /// How long the code is good, counted from the request.
    #[must_use]
    pub fn expires_in(&self) -> Duration {
        self.poll.expires_in()
    }

    /// How long to wait between two polls, as it stands.
    #[must_use]
    pub fn interval(&self) -> Duration {
        self.poll.interval()
    }

    /// Polls until the person has decided, no faster than the server says (sections 3.4 and 3.5). Drop the future to
    /// give up.
    ///
    /// # Errors
    /// `access_denied` when the person declined, `expired_token` when the code's time is over; any other error response of the
    /// server, and `invalid_id_token`. While the server cannot be reached, polling goes on, slower each time.
    pub async fn wait(self) -> Result<Login, Error> {
        let DeviceRequest { wanted, max_age } = self.request;
        let request = TokenRequest::new(DeviceCode(self.device_code)).resource(wanted.resources());
        let tokens = self.poll.wait(&request, "the code was not entered in time; begin again").await?;
        match wanted.has_scope("openid") {
            true => self.client.logged_in(tokens, expecting(max_age)).await,
            false => Ok(Login { tokens, id_token: None }),
        }
    }

    fn read(
        client: Client,
        mut response: Map<String, Value>,
        asked: Now,
        request: &DeviceRequest,
    ) -> Result<Self, Error> {
        let device_code = text(&mut response, "device_code")?;
        let user_code = text(&mut response, "user_code")?;
        if user_code.chars().any(char::is_control) || user_code.chars().count() > 64 {
            return Err(Error::malformed("user_code: expected a short text that can be shown"));
        }
        // Google's name for it, from before the RFC.
        let is_there = |name: &str| response.get(name).is_some_and(|value| !value.is_null() && value != "");
        let name = if is_there("verification_uri") { "verification_uri" } else { "verification_url" };
        let verification_uri = page(&client, &text(&mut response, name)?, "verification_uri")?;
        // A convenience: one that cannot be shown does not cost the login.
        let complete = match response.remove("verification_uri_complete") {
            Some(Value::String(text)) => page(&client, &text, "verification_uri_complete").ok(),
            _ => None,
        };
        let expires_in = seconds(response.remove("expires_in"), "expires_in")?
            .ok_or_else(|| Error::malformed("expires_in: is missing (RFC 8628 section 3.2)"))?;
        let interval = seconds(response.remove("interval"), "interval")?;
        let poll = Poll::new(&client, expires_in, interval, asked);
        Ok(Self {
            client,
            device_code: Secret::new(device_code),
            user_code,
            verification_uri,
            verification_uri_complete: complete,
            poll,
            request: request.clone(),
        })
    }
}

impl fmt::Debug for DeviceLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeviceLogin")
            .field("client", &self.client)
            .field("device_code", &self.device_code)
            .field("verification_uri", &self.verification_uri.as_str())
            .field("poll", &self.poll)
            .finish_non_exhaustive()
    }
}

fn text(response: &mut Map<String, Value>, name: &str) -> Result<String, Error> {
    match response.remove(name) {
        Some(Value::String(text)) if !text.is_empty() => Ok(text),
        _ => Err(Error::malformed(format!("{name}: expected a string (RFC 8628 section 3.2)"))),
    }
}

/// A page that a person may be sent to: no script, no file, nothing in the clear.
fn page(client: &Client, text: &str, name: &str) -> Result<Url, Error> {
    let wrong = || Error::malformed(format!("{name}: expected an https URL"));
    let url = Url::parse(text).map_err(|_| wrong())?;
    to_uri(&url).and_then(|uri| require_https(&uri, client.allows_http())).map_err(|_| wrong())?;
    Ok(url)
}

/// A number of seconds, however it is written.
pub(super) fn seconds(found: Option<Value>, name: &str) -> Result<Option<Duration>, Error> {
    let seconds = match &found {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Number(number)) => number.as_f64(),
        Some(Value::String(text)) => text.trim().parse().ok(),
        Some(_) => None,
    };
    let wrong = || Error::malformed(format!("{name}: expected a number of seconds"));
    let seconds = seconds.filter(|seconds| seconds.is_finite() && *seconds >= 0.0).ok_or_else(wrong)?;
    // A year is as good as for ever, and far from what a clock cannot add.
    Ok(Some(Duration::from_secs_f64(seconds.min(31_536_000.0))))
}
