//! Who is asking: client authentication (RFC 6749 §2.3).

use std::sync::Arc;

use http::header::AUTHORIZATION;

use super::Call;
use super::form::Form;
use crate::answer::OAuthError;
use crate::clients::{AuthMethod, MockClient};
use crate::encode::{form_decode, from_b64};

/// The client behind a request, after exactly one method of authentication that it is registered for.
pub(crate) fn authenticate(call: Call<'_>, form: &Form) -> Result<Arc<MockClient>, OAuthError> {
    let query = call.request.uri().query().unwrap_or_default();
    if Form::parse(query.as_bytes())?.get("client_secret").is_some() {
        return Err(OAuthError::invalid_request(
            "client_secret: must not be in the URL (RFC 6749 section 2.3.1)",
        ));
    }
    let mut headers = call.request.headers().get_all(AUTHORIZATION).iter();
    let (id, secret, method) = match (headers.next(), form.get("client_secret")) {
        (Some(_), Some(_)) => {
            return Err(OAuthError::invalid_request(
                "more than one client authentication (RFC 6749 section 2.3)",
            ));
        }
        (Some(header), None) => {
            if headers.next().is_some() {
                return Err(OAuthError::invalid_request("more than one Authorization header"));
            }
            let basic = header.to_str().ok().and_then(basic_credentials);
            let (id, secret) = basic.ok_or_else(|| {
                OAuthError::invalid_client("the Authorization header is not valid Basic", true)
            })?;
            if form.get("client_id").is_some_and(|other| other != id) {
                return Err(OAuthError::invalid_request("client_id: differs from the Authorization header"));
            }
            (id, Some(secret), AuthMethod::Basic)
        }
        (None, Some(secret)) => {
            (form.required("client_id")?.to_owned(), Some(secret.to_owned()), AuthMethod::Post)
        }
        (None, None) => {
            let id = form
                .get("client_id")
                .ok_or_else(|| OAuthError::invalid_client("no client authentication", false))?;
            (id.to_owned(), None, AuthMethod::None)
        }
    };
    let refused = |why: &str| OAuthError::invalid_client(why, method == AuthMethod::Basic);
    let client = call.shared.client(&id).ok_or_else(|| refused("the client is unknown"))?;
    if !client.methods.contains(&method) {
        return Err(refused(&format!("the client may not authenticate with {}", method.as_str())));
    }
    if method != AuthMethod::None && client.secret != secret {
        return Err(refused("the client's secret is wrong"));
    }
    Ok(client)
}

/// Id and secret of HTTP Basic; both are form-encoded first (RFC 6749 §2.3.1).
fn basic_credentials(header: &str) -> Option<(String, String)> {
    let (scheme, encoded) = header.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("Basic") {
        return None;
    }
    let text = from_b64(encoded.trim_start_matches(' '))?;
    let colon = text.iter().position(|byte| *byte == b':')?;
    Some((form_decode(&text[..colon])?, form_decode(&text[colon + 1..])?))
}
