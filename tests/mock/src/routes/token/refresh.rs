//! Refresh token (RFC 6749 section 6).

use super::{parse_scope, response};
use crate::clients::MockClient;
use crate::response::{MockResponse, OAuthError};
use crate::routes::Call;
use crate::routes::form::Form;
use crate::tokens::Wish;

pub(super) fn serve(call: Call<'_>, client: &MockClient, form: &Form) -> Result<MockResponse, OAuthError> {
    let token = form.required("refresh_token")?;
    let scope = form.get("scope").map(parse_scope).transpose()?;
    let wish = Wish { scope, details: call.details, cnf: call.cnf };
    let (tokens, grant) = call.issuer.records.refresh(call.shared, call.issuer, client, token, wish)?;
    // OpenID Connect Core section 12.2: an ID token that comes again has no `nonce`, and describes the original login.
    Ok(response(call, client, &tokens, &grant, None))
}
