//! Authorization code (RFC 6749 section 4.1.3) with PKCE (RFC 7636 section 4.6).

use super::{issue, narrower_audience};
use crate::clients::{GrantType, MockClient};
use crate::routes::Call;
use crate::routes::form::Form;
use crate::state::details;
use crate::wire::response::{MockResponse, OAuthError};

pub(super) fn serve(call: Call<'_>, client: &MockClient, form: &Form) -> Result<MockResponse, OAuthError> {
    let (text, now) = (form.required("code")?, call.shared.clock.now_unix());
    let (redirect_uri, verifier) = (form.get("redirect_uri"), form.get("code_verifier"));
    let mut code =
        call.issuer.codes.redeem(text, &client.id, redirect_uri, verifier, now).map_err(|refused| {
            if let Some(family) = refused.revoke {
                call.issuer.records.revoke_family(family);
            }
            refused.error
        })?;
    let jkt = call.cnf.and_then(|cnf| cnf.get("jkt")?.as_str());
    if code.jkt.is_some() && code.jkt.as_deref() != jkt {
        return Err(OAuthError::invalid_grant(
            "DPoP: no proof of the key that dpop_jkt names (RFC 9449 section 10)",
        ));
    }
    code.grant.details = details::narrow(&code.grant.details, call.details)?;
    code.grant.audience = narrower_audience(&code.grant.audience, form)?;
    let with_refresh = client.grants.contains(&GrantType::RefreshToken);
    Ok(issue(call, client, code.grant, code.family, with_refresh, code.nonce))
}
