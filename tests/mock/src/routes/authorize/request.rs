//! What an authorization request asks for, checked.

use std::sync::Arc;

use serde_json::Value;

use super::back::{Back, FORM_POST};
use crate::clients::{GrantType, MockClient};
use crate::encode::from_b64url;
use crate::page::Consent;
use crate::routes::form::Form;
use crate::routes::token::{audience, scope};
use crate::routes::{Call, hint};
use crate::state::codes::Code;
use crate::state::details;
use crate::state::sessions::Session;
use crate::state::tokens::Grant;
use crate::state::users::User;
use crate::wire::response::OAuthError;

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
    /// Whom `id_token_hint` is about.
    subject: Option<String>,
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
        if form.get("response_mode").is_some_and(|mode| mode != "query" && mode != FORM_POST) {
            return bad("invalid_request", "response_mode: only query and form_post are served");
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
            subject: hinted(call, form)?,
            acr: acr(call, form)?,
            prompt: prompt(form)?,
        })
    }

    /// Whether the user of this session need not log in again.
    pub(super) fn is_met_by(&self, call: Call<'_>, session: &Session) -> bool {
        let (login, now) = (&session.login, call.shared.clock.now_unix());
        let fresh = self.max_age.is_none_or(|max_age| now.saturating_sub(login.at) <= max_age);
        let known = call.shared.user_named(&session.user).is_some_and(|user| self.is_for(&user));
        known && fresh && self.acr == login.acr && self.prompt != Prompt::Login
    }

    /// Whether this user may be logged in: the one that `id_token_hint` names, if there is one (OpenID Connect Core
    /// section 3.1.2.1).
    pub(super) fn is_for(&self, user: &User) -> bool {
        self.subject.as_ref().is_none_or(|subject| *subject == user.subject)
    }

    /// Whether the user has allowed this client as much before.
    pub(super) fn was_allowed_before(&self, call: Call<'_>, session: &Session) -> bool {
        call.issuer.consents.cover(&session.user, &self.client.id, &self.scope, &self.details)
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

    /// A code for the user who is logged in and has allowed it.
    pub(super) fn code_for(&self, call: Call<'_>, user: &User, session: &Session) -> String {
        call.issuer.consents.give(&user.name, &self.client.id, &self.scope, &self.details);
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
        call.issuer.codes.issue(Code {
            grant,
            redirect_uri: self.redirect_uri.clone(),
            challenge: self.challenge.clone(),
            nonce: self.nonce.clone(),
            jkt: self.jkt.clone(),
            family: call.issuer.records.new_family(),
            issued_at: call.shared.clock.now_unix(),
        })
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
        // A text of this length that is no hash fits no verifier, and would be noticed at the token endpoint only.
        (Some(challenge), _) if is_sha256(challenge) => Ok(Some(challenge.to_owned())),
        (Some(_), _) => Err(OAuthError::invalid_request("code_challenge: not a SHA-256 in base64url")),
    }
}

/// RFC 9449 section 10: the key that the token request must prove.
fn jkt(form: &Form) -> Result<Option<String>, OAuthError> {
    match form.get("dpop_jkt") {
        Some(jkt) if !is_sha256(jkt) => Err(OAuthError::invalid_request(
            "dpop_jkt: not a SHA-256 thumbprint in base64url (RFC 9449 section 10)",
        )),
        jkt => Ok(jkt.map(str::to_owned)),
    }
}

/// Whether it is the base64url of 32 bytes, in the one way to write it.
fn is_sha256(text: &str) -> bool {
    from_b64url(text).is_some_and(|bytes| bytes.len() == 32)
}

fn hinted(call: Call<'_>, form: &Form) -> Result<Option<String>, OAuthError> {
    let hint = form.get("id_token_hint").map(|text| hint::read(call, text)).transpose()?;
    Ok(hint.map(|hint| hint.subject))
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

/// The values of `prompt` that are served.
pub(in crate::routes) const PROMPTS: [&str; 4] = ["none", "login", "consent", "select_account"];

fn prompt(form: &Form) -> Result<Prompt, OAuthError> {
    let values: Vec<_> = form.get("prompt").into_iter().flat_map(|prompt| prompt.split(' ')).collect();
    let has = |value| values.contains(&value);
    if values.iter().any(|value| !PROMPTS.contains(value)) {
        return Err(OAuthError::invalid_request("prompt: not one of prompt_values_supported"));
    }
    match has("none") {
        true if values.len() > 1 => Err(OAuthError::invalid_request("prompt: none goes with nothing else")),
        true => Ok(Prompt::None),
        false if has("login") || has("select_account") => Ok(Prompt::Login),
        false => Ok(Prompt::Any),
    }
}
