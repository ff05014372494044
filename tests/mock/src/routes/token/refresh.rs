//! Refresh token (RFC 6749 section 6).

use super::{narrower_audience, parse_scope, response};
use crate::clients::MockClient;
use crate::routes::Call;
use crate::routes::form::Form;
use crate::rules::token_rules::Rulings;
use crate::state::tokens::Wish;
use crate::wire::response::{MockResponse, OAuthError};

pub(super) fn serve(call: Call<'_>, client: &MockClient, form: &Form) -> Result<MockResponse, OAuthError> {
    let token = form.required("refresh_token")?;
    let scope = form.get("scope").map(parse_scope).transpose()?;
    let records = &call.issuer.records;
    // A token that is not good any more is refused below, with the reason.
    let known = records.active_refresh(token, call.shared.clock.now_unix());
    let known = known.map(|(grant, _)| grant).filter(|grant| grant.client == client.id);
    let audience = known.as_ref().map(|grant| narrower_audience(&grant.audience, form)).transpose()?;
    let rulings = known.map_or_else(Rulings::default, |grant| {
        let scope = scope.as_ref().unwrap_or(&grant.scope);
        call.ruled(Some(&client.id), Some(&scope.join(" ")))
    });
    let call = Call { rulings: Some(&rulings), ..call };
    let wish = Wish { scope, audience, details: call.details, cnf: call.cnf, set: rulings.access.clone() };
    let (tokens, grant) = records.refresh(call.shared, call.issuer, client, token, wish)?;
    // OpenID Connect Core section 12.2: an ID token that comes again has no `nonce`, and describes the original login.
    Ok(response(call, client, &tokens, &grant, None))
}
