//! Pushed authorization requests (RFC 9126).

use http::StatusCode;
use serde_json::json;

use super::Call;
use super::authorize::check_pushed;
use super::client_auth::authenticate;
use super::form::Form;
use crate::dpop::{self, Side};
use crate::state::pushed::{LIFETIME, Pushed};
use crate::wire::response::{MockResponse, OAuthError};

/// What authenticates the client and is no part of the request (RFC 9126 section 2.1, point 1).
const AUTHENTICATION: [&str; 3] = ["client_secret", "client_assertion", "client_assertion_type"];

pub(crate) fn serve(call: Call<'_>) -> MockResponse {
    let response = push(call).unwrap_or_else(MockResponse::from);
    if dpop::is_used(call.request) { call.shared.dpop.with_nonce(Side::Server, response) } else { response }
}

fn push(call: Call<'_>) -> Result<MockResponse, OAuthError> {
    let form = Form::read(call.request)?;
    let client = authenticate(call, &form)?;
    if form.get("request_uri").is_some() {
        return Err(OAuthError::invalid_request("request_uri: must not be pushed (RFC 9126 section 2.1)"));
    }
    if form.required("client_id")? != client.id {
        return Err(OAuthError::invalid_request("client_id: not the client that authenticated"));
    }
    let mut form = form.without(&AUTHENTICATION);
    if let Some(jkt) = call.shared.dpop.check(call.shared, call.request, Side::Server, None)? {
        // RFC 9449 section 10.1: a proof says what `dpop_jkt` would, and does not contradict it.
        if form.get("dpop_jkt").is_some_and(|named| named != jkt) {
            let why = "dpop_jkt: not the key of the DPoP proof (RFC 9449 section 10.1)";
            return Err(OAuthError::bad_request("invalid_dpop_proof", why));
        }
        form = form.with("dpop_jkt", &jkt);
    }
    check_pushed(call, &form)?;
    let now = call.shared.clock.now_unix();
    let pushed = Pushed { client: client.id.clone(), form, expires_at: now.saturating_add(LIFETIME) };
    let uri = call.issuer.pushed.keep(pushed, now);
    let body = json!({"request_uri": uri, "expires_in": LIFETIME});
    Ok(MockResponse::json(StatusCode::CREATED, &body).never_stored())
}
