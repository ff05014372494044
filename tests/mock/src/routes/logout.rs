//! Logging out at a client's request (OpenID Connect RP-Initiated Logout 1.0).

use http::header::SET_COOKIE;
use http::{Method, StatusCode};

use super::Call;
use super::form::Form;
use crate::encode::percent_encode;
use crate::jws::Jws;
use crate::page;
use crate::response::{MockResponse, OAuthError};
use crate::sessions;

pub(crate) fn serve(call: Call<'_>) -> MockResponse {
    let form = if call.request.method() == Method::POST {
        Form::read(call.request)
    } else {
        Form::parse(call.request.uri().query().unwrap_or_default().as_bytes())
    };
    form.and_then(|form| log_out(call, &form))
        .unwrap_or_else(|error| page::error(StatusCode::BAD_REQUEST, error.code(), error.description()))
}

fn log_out(call: Call<'_>, form: &Form) -> Result<MockResponse, OAuthError> {
    let hint = form.get("id_token_hint").map(|text| hint(call, text)).transpose()?;
    let client = match (&hint, form.get("client_id")) {
        (Some(hint), Some(id)) if hint.client != id => {
            return Err(OAuthError::invalid_request("client_id: not the client of id_token_hint"));
        }
        (Some(hint), _) => Some(hint.client.as_str()),
        (None, id) => id,
    };
    let to = form.get("post_logout_redirect_uri").map(|uri| registered(call, client, uri)).transpose()?;
    let session = hint.as_ref().and_then(|hint| hint.session.as_deref());
    for ended in call.issuer.sessions.end(session, call.request) {
        call.issuer.records.revoke_session(&ended);
    }
    let response = match to {
        Some(to) => MockResponse::redirect(&with_state(to, form.get("state"))),
        None => page::signed_out(),
    };
    Ok(response.with(SET_COOKIE, &sessions::forget(&call.shared.origin)))
}

/// What an ID token of this issuer says of itself.
struct Hint {
    client: String,
    session: Option<String>,
}

/// RFC 7519 would refuse an expired token; section 2 of the logout specification asks to take it.
fn hint(call: Call<'_>, text: &str) -> Result<Hint, OAuthError> {
    let bad = |why: &str| OAuthError::invalid_request(format!("id_token_hint: {why}"));
    let jws = Jws::read(text).map_err(bad)?;
    if !call.issuer.keys.signed(&jws) {
        return Err(bad("not signed by this issuer"));
    }
    if jws.text("iss") != Some(call.issuer.url.as_str()) || jws.typ().is_some_and(|typ| typ != "jwt") {
        return Err(bad("not an ID token of this issuer"));
    }
    let [client] = jws.audience()[..] else { return Err(bad("aud: not one client")) };
    Ok(Hint { client: client.to_owned(), session: jws.text("sid").map(str::to_owned) })
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
