//! Authorization code (RFC 6749 §4.1.3) with PKCE (RFC 7636 §4.6).

use super::issue;
use crate::answer::{Answer, OAuthError};
use crate::clients::{GrantType, MockClient};
use crate::routes::Call;
use crate::routes::form::Form;

pub(super) fn serve(call: Call<'_>, client: &MockClient, form: &Form) -> Result<Answer, OAuthError> {
    let (text, now) = (form.required("code")?, call.shared.clock.now_unix());
    let (redirect_uri, verifier) = (form.get("redirect_uri"), form.get("code_verifier"));
    let code =
        call.issuer.codes.redeem(text, &client.id, redirect_uri, verifier, now).map_err(|refused| {
            if let Some(family) = refused.revoke {
                call.issuer.records.revoke_family(family);
            }
            refused.error
        })?;
    let with_refresh = client.grants.contains(&GrantType::RefreshToken);
    Ok(issue(call, client, code.grant, code.family, with_refresh, code.nonce))
}
