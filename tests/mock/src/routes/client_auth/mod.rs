//! Who is asking: client authentication (RFC 6749 section 2.3).

pub(super) mod assertion;
mod certificate;

use std::sync::Arc;

use http::HeaderValue;
use http::header::AUTHORIZATION;

use super::Call;
use super::form::Form;
use crate::clients::{AuthMethod, MockClient};
use crate::encode::{form_decode, from_b64};
use crate::wire::response::OAuthError;

/// The client behind a request, after exactly one method of authentication that it is registered for.
pub(crate) fn authenticate(call: Call<'_>, form: &Form) -> Result<Arc<MockClient>, OAuthError> {
    let query = Form::parse(call.request.uri().query().unwrap_or_default().as_bytes())?;
    for name in ["client_secret", "client_assertion"] {
        if query.get(name).is_some() {
            let why = format!("{name}: must not be in the URL (RFC 6749 section 2.3.1)");
            return Err(OAuthError::invalid_request(why));
        }
    }
    let mut headers = call.request.headers().get_all(AUTHORIZATION).iter();
    let header = headers.next();
    if headers.next().is_some() {
        return Err(OAuthError::invalid_request("more than one Authorization header"));
    }
    match (header, form.get("client_secret"), assertion(form)?) {
        (Some(header), None, None) => with_basic(call, form, header),
        (None, Some(secret), None) => {
            with_secret(call, form.required("client_id")?, secret, AuthMethod::Post)
        }
        (None, None, Some(assertion)) => assertion::authenticate(call, assertion, form.get("client_id")),
        (None, None, None) => with_nothing(call, form),
        _ => {
            let why = "more than one client authentication (RFC 6749 section 2.3)";
            Err(OAuthError::invalid_request(why))
        }
    }
}

fn assertion(form: &Form) -> Result<Option<&str>, OAuthError> {
    match (form.get("client_assertion_type"), form.get("client_assertion")) {
        (None, None) => Ok(None),
        (Some(assertion::JWT_BEARER), Some(assertion)) => Ok(Some(assertion)),
        (Some(assertion::JWT_BEARER), None) => Err(OAuthError::invalid_request("client_assertion: missing")),
        _ => {
            let why = format!("client_assertion_type: must be {}", assertion::JWT_BEARER);
            Err(OAuthError::invalid_request(why))
        }
    }
}

fn with_basic(call: Call<'_>, form: &Form, header: &HeaderValue) -> Result<Arc<MockClient>, OAuthError> {
    let basic = header.to_str().ok().and_then(basic_credentials);
    let (id, secret) = basic
        .ok_or_else(|| OAuthError::invalid_client("the Authorization header is not valid Basic", true))?;
    if form.get("client_id").is_some_and(|other| other != id) {
        return Err(OAuthError::invalid_request("client_id: differs from the Authorization header"));
    }
    with_secret(call, &id, &secret, AuthMethod::Basic)
}

fn with_secret(
    call: Call<'_>,
    id: &str,
    secret: &str,
    method: AuthMethod,
) -> Result<Arc<MockClient>, OAuthError> {
    let client = registered(call, id, method)?;
    if client.secret.as_deref() != Some(secret) {
        return Err(OAuthError::invalid_client("the client's secret is wrong", true));
    }
    Ok(client)
}

fn with_nothing(call: Call<'_>, form: &Form) -> Result<Arc<MockClient>, OAuthError> {
    let id = form.get("client_id");
    let id = id.ok_or_else(|| OAuthError::invalid_client("no client authentication", false))?;
    if let Some(client) = call.shared.client(id)
        && client.methods.iter().any(|method| method.is_tls())
    {
        certificate::check(call, &client)?;
        return Ok(client);
    }
    registered(call, id, AuthMethod::None)
}

/// The client of this id, if it may authenticate this way.
fn registered(call: Call<'_>, id: &str, method: AuthMethod) -> Result<Arc<MockClient>, OAuthError> {
    let refused =
        |why: &str| OAuthError::invalid_client(why, matches!(method, AuthMethod::Basic | AuthMethod::Post));
    let client = call.shared.client(id).ok_or_else(|| refused("the client is unknown"))?;
    if !client.methods.contains(&method) {
        return Err(refused(&format!("the client may not authenticate with {}", method.as_str())));
    }
    Ok(client)
}

/// Id and secret of HTTP Basic; both are form-encoded first (RFC 6749 section 2.3.1).
fn basic_credentials(header: &str) -> Option<(String, String)> {
    let (scheme, encoded) = header.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("Basic") {
        return None;
    }
    let text = from_b64(encoded.trim_start_matches(' '))?;
    let colon = text.iter().position(|byte| *byte == b':')?;
    Some((form_decode(&text[..colon])?, form_decode(&text[colon + 1..])?))
}
