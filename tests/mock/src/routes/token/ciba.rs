//! Polling for a backchannel authentication (OpenID CIBA 1.0 section 10.1).

use super::issue;
use crate::clients::{GrantType, MockClient};
use crate::routes::Call;
use crate::routes::form::Form;
use crate::wire::response::{MockResponse, OAuthError};

pub(super) fn serve(call: Call<'_>, client: &MockClient, form: &Form) -> Result<MockResponse, OAuthError> {
    let now = call.shared.clock.now_unix();
    let grant = call.issuer.backchannel.ask("auth_req_id", form.required("auth_req_id")?, &client.id, now)?;
    let with_refresh = client.grants.contains(&GrantType::RefreshToken);
    Ok(issue(call, client, grant, call.issuer.records.new_family(), with_refresh, None))
}
