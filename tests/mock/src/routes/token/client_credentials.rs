//! Client credentials (RFC 6749 section 4.4).

use super::{audience, issue, scope};
use crate::clients::MockClient;
use crate::routes::Call;
use crate::routes::form::Form;
use crate::state::tokens::Grant;
use crate::wire::response::{MockResponse, OAuthError};

pub(super) fn serve(call: Call<'_>, client: &MockClient, form: &Form) -> Result<MockResponse, OAuthError> {
    if client.is_public() {
        // RFC 6749 section 4.4: this grant is for confidential clients only.
        return Err(OAuthError::bad_request(
            "unauthorized_client",
            "a public client has no credentials to use",
        ));
    }
    let grant = Grant {
        client: client.id.clone(),
        subject: client.id.clone(),
        scope: scope(client, form)?,
        audience: audience(call, form)?,
        ..Grant::default()
    };
    let family = call.issuer.records.new_family();
    Ok(issue(call, client, grant, family, client.refresh_with_every_grant, None))
}
