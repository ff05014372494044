//! The authorization request.

use std::time::Duration;

use serde::Serialize;

use crate::error::{Error, Problem};
use crate::grant::{self, TokenRequest};
use crate::id_token::Expect;
use crate::token_endpoint::Parameters;

/// How long a person has to come back from the login page.
const LIFETIME: Duration = Duration::from_secs(600);

/// What only this library sets: to send one of these twice, or another than the one that is checked on the way back,
/// would undo the login's protection.
const OURS: &[&str] = &[
    "client_id",
    "code_challenge",
    "code_challenge_method",
    "dpop_jkt",
    "nonce",
    "redirect_uri",
    "request_uri",
    "response_type",
    "state",
];

/// What the checks of the response rest on: sent as a further parameter, it would be asked for and not checked.
const CHECKED: &[&str] = &["authorization_details", "max_age", "resource", "scope"];

/// An authorization request (RFC 6749 section 4.1.1, OpenID Connect Core section 3.1.2.1). State, nonce and PKCE are
/// added to it by each login.
///
/// ```
/// use oauth_client::login::AuthorizationRequest;
///
/// let request = AuthorizationRequest::new("https://app.example.com/callback")
///     .scope(["openid", "read"])
///     .prompt("login");
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct AuthorizationRequest {
    redirect_uri: String,
    wanted: TokenRequest,
    parameters: Vec<(String, String)>,
    max_age: Option<Duration>,
    needed_acr: Vec<String>,
    pushed: bool,
    lifetime: Duration,
}

impl AuthorizationRequest {
    /// A request whose response comes to this URI, which has to be registered at the server and is sent exactly as it
    /// is written here. A program that [listens](crate::Client::login) on loopback may leave out the port (RFC 8252
    /// section 7.3).
    pub fn new(redirect_uri: impl Into<String>) -> Self {
        Self {
            redirect_uri: redirect_uri.into(),
            wanted: grant::login(),
            parameters: Vec::new(),
            max_age: None,
            needed_acr: Vec::new(),
            pushed: false,
            lifetime: LIFETIME,
        }
    }

    /// The scopes to ask for (RFC 6749 section 3.3). With `openid` among them the login brings a validated ID token.
    pub fn scope<I: IntoIterator<Item: Into<String>>>(self, scope: I) -> Self {
        self.with(|wanted| wanted.scope(scope))
    }

    /// The API the token is for, as servers such as Auth0 understand it.
    pub fn audience(self, audience: impl Into<String>) -> Self {
        self.with(|wanted| wanted.audience(audience))
    }

    /// The resources the token is for, as absolute URIs (RFC 8707 section 2.1).
    pub fn resource<I: IntoIterator<Item: Into<String>>>(self, resource: I) -> Self {
        self.with(|wanted| wanted.resource(resource))
    }

    /// What exactly is asked for, where scopes are too coarse (RFC 9396); see
    /// [`TokenRequest::authorization_details`].
    ///
    /// # Errors
    /// `config` when it is not a list of objects with a `type`.
    pub fn authorization_details(mut self, details: impl Serialize) -> Result<Self, Error> {
        self.wanted = self.wanted.authorization_details(details)?;
        Ok(self)
    }

    /// Whose login this is: a store finds the user's tokens by it; see [`TokenRequest::subject`]. It is not sent.
    pub fn subject(self, subject: impl Into<String>) -> Self {
        self.with(|wanted| wanted.subject(subject))
    }

    /// Whether the server is to ask again: `none`, `login`, `consent` or `select_account`, several separated by spaces.
    pub fn prompt(self, prompt: impl Into<String>) -> Self {
        self.parameter("prompt", prompt)
    }

    /// Who is about to log in, as far as it is known.
    pub fn login_hint(self, hint: impl Into<String>) -> Self {
        self.parameter("login_hint", hint)
    }

    /// The longest time since the person logged in. The ID token has to say when that was (`auth_time`).
    pub fn max_age(mut self, age: Duration) -> Self {
        self.max_age = Some(age);
        self
    }

    /// The preferred authentication context classes, most preferred first. What was granted is in
    /// [`IdToken::acr`](crate::id_token::IdToken::acr).
    pub fn acr_values<I: IntoIterator<Item: Into<String>>>(self, values: I) -> Self {
        self.parameter("acr_values", joined(values))
    }

    /// The same, but one of them is required: the ID token has to name it. It needs the scope `openid`. For an
    /// API that responded with `insufficient_user_authentication` (RFC 9470).
    pub fn require_acr<I: IntoIterator<Item: Into<String>>>(mut self, values: I) -> Self {
        self.needed_acr = values.into_iter().map(Into::into).collect();
        let wished = self.needed_acr.clone();
        self.acr_values(wished)
    }

    /// The languages the person reads (BCP 47), most preferred first.
    pub fn ui_locales<I: IntoIterator<Item: Into<String>>>(self, locales: I) -> Self {
        self.parameter("ui_locales", joined(locales))
    }

    /// One more parameter of the authorization request, replacing what was set under that name. What has a method of its own
    /// because the response is checked by it (`scope`, `resource`, `max_age`, `authorization_details`) is refused.
    pub fn parameter(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        let name = name.into();
        self.parameters.retain(|(set, _)| *set != name);
        self.parameters.push((name, value.into()));
        self
    }

    /// Sends the request to the server first, so that the browser carries only a reference to it (RFC 9126). This
    /// happens anyway where the server's metadata demands it.
    pub fn pushed(mut self) -> Self {
        self.pushed = true;
        self
    }

    /// How long the person has to come back: ten minutes when not set.
    pub fn valid_for(mut self, lifetime: Duration) -> Self {
        self.lifetime = lifetime;
        self
    }

    /// All parameters but those that are made for each login.
    pub(super) fn to_parameters(&self) -> Parameters {
        let mut parameters = self.wanted.to_parameters();
        parameters.remove("grant_type");
        if let Some(age) = self.max_age {
            parameters.set("max_age", age.as_secs().to_string());
        }
        for (name, value) in &self.parameters {
            parameters.set(name.clone(), value.clone());
        }
        parameters
    }

    pub(super) fn problems(&self) -> Vec<Problem> {
        let ours = self.parameters.iter().filter(|(name, _)| OURS.contains(&name.as_str()));
        let mut problems: Vec<_> = ours
            .map(|(name, _)| Problem {
                field: name.clone(),
                message: "is set for each login by itself; remove it".to_owned(),
            })
            .collect();
        problems.extend(unchecked(|name| self.parameters.iter().any(|(set, _)| set == name)));
        let needs_id_token =
            [("max_age", self.max_age.is_some()), ("require_acr", !self.needed_acr.is_empty())];
        let needs_id_token =
            needs_id_token.iter().filter(|(_, set)| *set && !self.wanted.has_scope("openid"));
        problems.extend(needs_id_token.map(|(field, _)| needs_openid(field)));
        // RFC 6749 section 3.1.2: an absolute URI without a fragment.
        let usable = |uri: &url::Url| uri.fragment().is_none();
        if !url::Url::parse(&self.redirect_uri).is_ok_and(|uri| usable(&uri)) {
            problems.push(Problem {
                field: "redirect_uri".to_owned(),
                message:
                    "is not an absolute URI without a fragment; give the one that is registered at the server"
                        .to_owned(),
            });
        }
        problems
    }

    /// The same, and whether this machine can be come back to.
    #[cfg(feature = "loopback")]
    pub(crate) fn problems_on_loopback(&self) -> Vec<Problem> {
        let mut problems = self.problems();
        if let Err(error) = super::loopback::check(&self.redirect_uri) {
            problems.retain(|found| found.field != "redirect_uri");
            problems.extend(error.problems().iter().cloned());
        }
        problems
    }

    pub(super) fn redirect_uri(&self) -> &str {
        &self.redirect_uri
    }

    /// The same request, coming back to somewhere else.
    #[cfg(feature = "loopback")]
    pub(super) fn back_to(mut self, redirect_uri: String) -> Self {
        self.redirect_uri = redirect_uri;
        self
    }

    pub(super) fn wanted(&self) -> &TokenRequest {
        &self.wanted
    }

    pub(super) fn oldest_login(&self) -> Option<Duration> {
        self.max_age
    }

    pub(super) fn needed_acr(&self) -> &[String] {
        &self.needed_acr
    }

    pub(super) fn is_pushed(&self) -> bool {
        self.pushed
    }

    pub(super) fn lifetime(&self) -> Duration {
        self.lifetime
    }

    fn with(mut self, change: impl FnOnce(TokenRequest) -> TokenRequest) -> Self {
        self.wanted = change(self.wanted);
        self
    }
}

impl From<AuthorizationRequest> for TokenRequest {
    /// What its login grants, for a source.
    fn from(request: AuthorizationRequest) -> Self {
        request.wanted
    }
}

impl From<&AuthorizationRequest> for TokenRequest {
    fn from(request: &AuthorizationRequest) -> Self {
        request.wanted.clone()
    }
}

/// The problems of the further parameters that are checked only when they are set by their own methods.
pub(super) fn unchecked(has_parameter: impl Fn(&str) -> bool) -> impl Iterator<Item = Problem> {
    CHECKED.iter().filter(move |name| has_parameter(name)).map(|name| Problem {
        field: (*name).to_owned(),
        message: format!("is not checked when it is sent as a further parameter; set it with {name}(..)"),
    })
}

/// The problem of a wish that nothing would be checked by.
pub(super) fn needs_openid(field: &str) -> Problem {
    Problem {
        field: field.to_owned(),
        message: "is shown by an ID token, which only the scope openid brings; add it".to_owned(),
    }
}

/// What a login by another device expects of the ID token.
pub(super) fn expecting(max_age: Option<Duration>) -> Expect {
    max_age.into_iter().fold(Expect::new(), Expect::max_age)
}

fn joined<I: IntoIterator<Item: Into<String>>>(words: I) -> String {
    words.into_iter().map(Into::into).collect::<Vec<_>>().join(" ")
}
