//! Device code (RFC 8628 section 3.4).

use super::{issue, narrower_audience};
use crate::clients::{GrantType, MockClient};
use crate::routes::Call;
use crate::routes::form::Form;
use crate::state::details;
use crate::wire::response::{MockResponse, OAuthError};

pub(super) fn serve(call: Call<'_>, client: &MockClient, form: &Form) -> Result<MockResponse, OAuthError> {
    let now = call.shared.clock.now_unix();
    let mut grant = call.issuer.devices.ask("device_code", form.required("device_code")?, &client.id, now)?;
    grant.details = details::narrow(&grant.details, call.details)?;
    grant.audience = narrower_audience(&grant.audience, form)?;
    let with_refresh = client.grants.contains(&GrantType::RefreshToken);
    Ok(issue(call, client, grant, call.issuer.records.new_family(), with_refresh, None))
}
