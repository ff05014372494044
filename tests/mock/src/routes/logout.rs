//! Logging out at a client's request (OpenID Connect RP-Initiated Logout 1.0).

use http::header::SET_COOKIE;
use http::{Method, StatusCode};

use super::form::Form;
use super::hint::{self, Hint};
use super::{Call, browser};
use crate::encode::percent_encode;
use crate::page;
use crate::server::IssuerHandle;
use crate::state::sessions::Session;
use crate::statements;
use crate::wire::response::{MockResponse, OAuthError};

pub(crate) fn serve(call: Call<'_>) -> MockResponse {
    let posted = call.request.method() == Method::POST;
    let form = if posted {
        Form::read(call.request)
    } else {
        Form::parse(call.request.uri().query().unwrap_or_default().as_bytes())
    };
    form.and_then(|form| log_out(call, &form, posted))
        .unwrap_or_else(|error| page::error(StatusCode::BAD_REQUEST, error.code(), error.description()))
}

fn log_out(call: Call<'_>, form: &Form, posted: bool) -> Result<MockResponse, OAuthError> {
    let hint = form.get("id_token_hint").map(|text| hint::read(call, text)).transpose()?;
    let client = match (&hint, form.get("client_id")) {
        (Some(hint), Some(id)) if hint.client != id => {
            return Err(OAuthError::invalid_request("client_id: not the client of id_token_hint"));
        }
        (Some(hint), _) => Some(hint.client.as_str()),
        (None, id) => id,
    };
    let to = form.get("post_logout_redirect_uri").map(|uri| registered(call, client, uri)).transpose()?;
    let cookie = call.cookie();
    let own = call.issuer.sessions.of(call.request, &cookie.name);
    // A form that comes straight from a client has no decision in it: only this server's own page asks for one.
    let decision = form.get("decision").filter(|_| posted);
    if decision.is_some()
        && let Some(refusal) = browser::refuse_foreign_page(call)
    {
        return Ok(refusal);
    }
    match (&own, decision) {
        // section 2: without a hint that fits, any page could end the session.
        (Some(own), None) if !is_about(call, hint.as_ref(), own) => {
            return Ok(page::log_out(&own.user, form));
        }
        (Some(own), Some(no)) if no != "allow" => return Ok(page::still_signed_in(&own.user)),
        _ => {}
    }
    // A hint about another user ends nothing; without a session here it ends the one it names.
    let named = hint.filter(|hint| own.as_ref().is_none_or(|own| is_about(call, Some(hint), own)));
    let session = named.and_then(|hint| hint.session);
    for ended in call.issuer.sessions.end(session.as_deref(), call.request, &cookie.name) {
        // The clients of the session learn of it (OpenID Connect Back-Channel Logout section 2.3).
        statements::send_later(IssuerHandle::new(call.shared, call.issuer).end_session(&ended));
    }
    let response = match to {
        Some(to) => MockResponse::redirect(&with_state(to, form.get("state"))),
        None => page::signed_out(),
    };
    Ok(response.with(SET_COOKIE, &cookie.forget()))
}

/// Whether the hint is about the session of this browser, or about an earlier one of the same user.
fn is_about(call: Call<'_>, hint: Option<&Hint>, own: &Session) -> bool {
    hint.is_some_and(|hint| {
        let user = call.shared.user_named(&own.user);
        hint.session.as_deref() == Some(own.login.session.as_str())
            || user.is_some_and(|user| user.subject == hint.subject)
    })
}

/// section 3: exactly one of those the client registered.
fn registered<'a>(call: Call<'_>, client: Option<&str>, uri: &'a str) -> Result<&'a str, OAuthError> {
    let refused = |why: &str| OAuthError::invalid_request(format!("post_logout_redirect_uri: {why}"));
    let client = client.ok_or_else(|| refused("needs id_token_hint or client_id to say whose it is"))?;
    let client = call.shared.client(client).ok_or_else(|| refused("of an unknown client"))?;
    if client.post_logout_redirect_uris.iter().any(|known| known == uri) {
        Ok(uri)
    } else {
        Err(refused("not one of the client's"))
    }
}

fn with_state(uri: &str, state: Option<&str>) -> String {
    let Some(state) = state else { return uri.to_owned() };
    let separator = if uri.contains('?') { '&' } else { '?' };
    format!("{uri}{separator}state={}", percent_encode(state))
}
