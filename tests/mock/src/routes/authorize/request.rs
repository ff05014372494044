//! What an authorization request asks for, checked.

use std::sync::Arc;

use serde_json::Value;

use super::back::Back;
use crate::clients::{GrantType, MockClient};
use crate::codes::Code;
use crate::details;
use crate::page::Consent;
use crate::response::OAuthError;
use crate::routes::Call;
use crate::routes::form::Form;
use crate::routes::token::{audience, scope};
use crate::sessions::{Login, Session};
use crate::tokens::Grant;

/// Whether the user may or must be asked (OpenID Connect Core section 3.1.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Prompt {
    /// Whatever is needed.
    Any,
    /// Who is logged in already must log in again.
    Login,
    /// The user must not be asked anything.
    None,
}

/// A checked authorization request.
pub(super) struct Request {
    client: Arc<MockClient>,
    scope: Vec<String>,
    audience: Vec<String>,
    details: Vec<Value>,
    redirect_uri: Option<String>,
    challenge: Option<String>,
    nonce: Option<String>,
    jkt: Option<String>,
    max_age: Option<i64>,
    /// How strong the login will be.
    pub(super) acr: String,
    pub(super) prompt: Prompt,
}

/// Checks a request that a client pushes (RFC 9126 section 2.1, point 3): as strictly as one that a user brings.
pub(in crate::routes) fn check_pushed(call: Call<'_>, form: &Form) -> Result<(), OAuthError> {
    let back = Back::of(call, form)?;
    Request::check(call, form, &back, true).map(drop)
}

impl Request {
    pub(super) fn check(
        call: Call<'_>,
        form: &Form,
        back: &Back,
        was_pushed: bool,
    ) -> Result<Self, OAuthError> {
        let client = &back.client;
        let bad = |code, why| Err(OAuthError::bad_request(code, why));
        if !was_pushed && (call.shared.policy.needs_par || client.needs_par) {
            return bad("invalid_request", "request_uri: missing, the request must be pushed (RFC 9126)");
        }
        if form.get("request").is_some() {
            return bad("request_not_supported", "request: push the request instead (RFC 9126)");
        }
        if form.required("response_type")? != "code" {
            return bad("unsupported_response_type", "response_type: only code is served");
        }
        if form.get("response_mode").is_some_and(|mode| mode != "query") {
            return bad("invalid_request", "response_mode: only query is served");
        }
        if !client.grants.contains(&GrantType::AuthorizationCode) {
            return bad("unauthorized_client", "this client may not use authorization_code");
        }
        let details = form.get("authorization_details");
        let details = details.map(|text| details::read(call.shared, client, text)).transpose()?;
        Ok(Self {
            client: Arc::clone(client),
            scope: scope(client, form)?,
            audience: audience(call, form)?,
            details: details.unwrap_or_default(),
            redirect_uri: back.named.then(|| back.uri.clone()),
            challenge: challenge(client, form)?,
            nonce: form.get("nonce").map(str::to_owned),
            jkt: jkt(form)?,
            max_age: max_age(form)?,
            acr: acr(call, form)?,
            prompt: prompt(form)?,
        })
    }

    /// Whether a user who logged in like this need not do so again.
    pub(super) fn is_met_by(&self, login: &Login, now: i64) -> bool {
        let fresh = self.max_age.is_none_or(|max_age| now.saturating_sub(login.at) <= max_age);
        fresh && self.acr == login.acr && self.prompt != Prompt::Login
    }

    /// What the user is asked.
    pub(super) fn consent<'a>(&'a self, session: Option<&'a Session>) -> Consent<'a> {
        Consent {
            client: &self.client.id,
            scope: &self.scope,
            details: &self.details,
            user: session.map(|session| session.user.as_str()),
        }
    }

    /// A code for the user who is logged in; `None` if that user is gone.
    pub(super) fn code_for(&self, call: Call<'_>, session: &Session) -> Option<String> {
        let user = call.shared.user_named(&session.user)?;
        let grant = Grant {
            client: self.client.id.clone(),
            subject: user.subject.clone(),
            user: Some(user.name.clone()),
            scope: self.scope.clone(),
            audience: self.audience.clone(),
            claims: user.claims.clone(),
            details: self.details.clone(),
            login: Some(session.login.clone()),
            ..Grant::default()
        };
        Some(call.issuer.codes.issue(Code {
            grant,
            redirect_uri: self.redirect_uri.clone(),
            challenge: self.challenge.clone(),
            nonce: self.nonce.clone(),
            jkt: self.jkt.clone(),
            family: call.issuer.records.new_family(),
            issued_at: call.shared.clock.now_unix(),
        }))
    }
}

/// RFC 7636 section 4.3.
fn challenge(client: &MockClient, form: &Form) -> Result<Option<String>, OAuthError> {
    match (form.get("code_challenge"), form.get("code_challenge_method")) {
        (None, _) if client.needs_pkce => {
            Err(OAuthError::invalid_request("code_challenge: missing (RFC 7636 section 4.4.1)"))
        }
        (None, _) => Ok(None),
        // Without a method the request means `plain`.
        (Some(_), method) if method != Some("S256") => {
            Err(OAuthError::invalid_request("code_challenge_method: only S256 is served"))
        }
        (Some(challenge), _) if challenge.len() == 43 => Ok(Some(challenge.to_owned())),
        (Some(_), _) => Err(OAuthError::invalid_request("code_challenge: not a SHA-256 in base64url")),
    }
}

/// RFC 9449 section 10: the key that the token request must prove.
fn jkt(form: &Form) -> Result<Option<String>, OAuthError> {
    match form.get("dpop_jkt") {
        Some(jkt) if jkt.len() != 43 => Err(OAuthError::invalid_request(
            "dpop_jkt: not a SHA-256 thumbprint in base64url (RFC 9449 section 10)",
        )),
        jkt => Ok(jkt.map(str::to_owned)),
    }
}

fn max_age(form: &Form) -> Result<Option<i64>, OAuthError> {
    let Some(text) = form.get("max_age") else { return Ok(None) };
    match text.parse() {
        Ok(seconds) if seconds >= 0 => Ok(Some(seconds)),
        _ => Err(OAuthError::invalid_request("max_age: not a number of seconds")),
    }
}

/// The first of the `acr_values` that the server knows, or what a plain login is worth.
fn acr(call: Call<'_>, form: &Form) -> Result<String, OAuthError> {
    let known = &call.shared.policy.acr_values;
    let Some(asked) = form.get("acr_values") else { return Ok(known.first().cloned().unwrap_or_default()) };
    let met = asked.split(' ').find(|asked| known.iter().any(|one| one == asked));
    met.map(str::to_owned).ok_or_else(|| {
        // RFC 9470 section 5 refers to OpenID Connect's Unmet Authentication Requirements.
        let why = "acr_values: none of them is in acr_values_supported";
        OAuthError::bad_request("unmet_authentication_requirements", why)
    })
}

fn prompt(form: &Form) -> Result<Prompt, OAuthError> {
    let values: Vec<_> = form.get("prompt").unwrap_or_default().split(' ').collect();
    let has = |value| values.contains(&value);
    match has("none") {
        true if values.len() > 1 => Err(OAuthError::invalid_request("prompt: none goes with nothing else")),
        true => Ok(Prompt::None),
        false if has("login") || has("select_account") => Ok(Prompt::Login),
        false => Ok(Prompt::Any),
    }
}
