//! The backchannel authentication endpoint (OpenID CIBA 1.0 section 7), poll mode: a user is asked on a device of theirs,
//! which a test stands for.

use http::StatusCode;
use serde_json::json;

use super::Call;
use super::client_auth::authenticate;
use super::form::Form;
use super::hint;
use super::token::{audience, scope};
use crate::clients::{GrantType, OPENID};
use crate::state::sessions::{Login, Session};
use crate::state::tokens::Grant;
use crate::wire::response::{MockResponse, OAuthError};

/// The most seconds that a client may ask for.
const MAX_EXPIRY: i64 = 3600;

/// Characters of a message that a device can show.
const MAX_MESSAGE: usize = 64;

pub(crate) fn authentication(call: Call<'_>) -> MockResponse {
    begin(call).unwrap_or_else(MockResponse::from)
}

fn begin(call: Call<'_>) -> Result<MockResponse, OAuthError> {
    let form = Form::read(call.request)?;
    let client = authenticate(call, &form)?;
    if !client.grants.contains(&GrantType::Ciba) {
        let why = "this client may not use urn:openid:params:grant-type:ciba";
        return Err(OAuthError::bad_request("unauthorized_client", why));
    }
    let scope = scope(&client, &form)?;
    if form.get("scope").is_none() || !scope.iter().any(|one| one == OPENID) {
        return Err(OAuthError::bad_request(
            "invalid_scope",
            "scope: openid is missing (OpenID CIBA 1.0 section 7.1)",
        ));
    }
    if form.get("binding_message").is_some_and(|text| text.chars().count() > MAX_MESSAGE) {
        return Err(OAuthError::bad_request(
            "invalid_binding_message",
            "binding_message: too long to be shown",
        ));
    }
    let policy = &call.shared.policy;
    let lifetime = match form.get("requested_expiry") {
        None => policy.device_lifetime,
        Some(text) => {
            let seconds = text.parse().ok().filter(|seconds| (1..=MAX_EXPIRY).contains(seconds));
            seconds.ok_or_else(|| {
                OAuthError::invalid_request("requested_expiry: no number of seconds up to 3600")
            })?
        }
    };
    let user = hinted(call, &client.id, &form)?;
    let grant = Grant {
        client: client.id.clone(),
        user: Some(user),
        scope,
        audience: audience(call, &form)?,
        ..Grant::default()
    };
    let now = call.shared.clock.now_unix();
    let (id, _) = call.issuer.backchannel.begin(grant, now, lifetime, policy.device_interval);
    let body = json!({"auth_req_id": id, "expires_in": lifetime, "interval": policy.device_interval});
    Ok(MockResponse::json(StatusCode::OK, &body).never_stored())
}

/// The name of the user that the one hint is about (section 7.1).
fn hinted(call: Call<'_>, client: &str, form: &Form) -> Result<String, OAuthError> {
    let unknown = || OAuthError::bad_request("unknown_user_id", "the hint is about no user of this server");
    let hints: Vec<_> = ["login_hint", "id_token_hint", "login_hint_token"]
        .into_iter()
        .filter_map(|name| Some((name, form.get(name)?)))
        .collect();
    let user = match hints[..] {
        [("login_hint", name)] => call.shared.user_named(name).or_else(|| call.shared.user_about(name)),
        [("id_token_hint", text)] => {
            let hint = hint::read(call, text)?;
            if hint.client != client {
                return Err(OAuthError::invalid_request("id_token_hint: issued to another client"));
            }
            call.shared.user_about(&hint.subject)
        }
        [_] => {
            return Err(OAuthError::bad_request(
                "expired_login_hint_token",
                "login_hint_token: none is issued here",
            ));
        }
        _ => {
            return Err(OAuthError::invalid_request(
                "login_hint, id_token_hint or login_hint_token: exactly one is needed",
            ));
        }
    };
    user.map(|user| user.name.clone()).ok_or_else(unknown)
}

/// What a user says on their device: yes, or no.
pub(crate) fn decide(call: Call<'_>, user: &str, allowed: bool) -> Result<(), String> {
    let now = call.shared.clock.now_unix();
    let waiting = call.issuer.backchannel.waiting_for(user, now);
    let waiting = waiting.ok_or_else(|| format!("no request waits for the user {user:?}"))?;
    let known = call.shared.user_named(user).ok_or_else(|| format!("there is no user {user:?}"))?;
    let acr = call.shared.policy.acr_values.first().map_or("", String::as_str);
    let session = Session { user: user.to_owned(), login: Login::new(now, acr) };
    let grant = allowed.then(|| Grant {
        subject: known.subject.clone(),
        claims: known.claims.clone(),
        login: Some(session.login),
        ..waiting.grant.clone()
    });
    call.issuer.backchannel.decide(&waiting.user_code, now, grant);
    Ok(())
}
