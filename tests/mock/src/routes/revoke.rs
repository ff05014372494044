//! Revocation (RFC 7009).

use http::StatusCode;

use super::Call;
use super::client_auth::authenticate;
use super::form::Form;
use crate::wire::response::{MockResponse, OAuthError};

pub(crate) fn serve(call: Call<'_>) -> MockResponse {
    revoke(call).unwrap_or_else(MockResponse::from)
}

fn revoke(call: Call<'_>) -> Result<MockResponse, OAuthError> {
    let form = Form::read(call.request)?;
    let client = authenticate(call, &form)?;
    let token = form.required("token")?;
    match call.issuer.records.owner(token) {
        // RFC 7009 section 2.1: another client's token is not revoked, and the client gets an error.
        Some(owner) if owner != client.id => {
            return Err(OAuthError::bad_request("unauthorized_client", "token: issued to another client"));
        }
        Some(_) => call.issuer.records.revoke(token),
        // RFC 7009 section 2.2: what is unknown is as good as revoked.
        None => {}
    }
    Ok(MockResponse::empty(StatusCode::OK))
}
