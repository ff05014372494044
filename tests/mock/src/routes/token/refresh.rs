//! Refresh token (RFC 6749 §6).

use http::StatusCode;

use super::{parse_scope, success};
use crate::answer::{Answer, OAuthError};
use crate::clients::MockClient;
use crate::routes::Call;
use crate::routes::form::Form;

pub(super) fn serve(call: Call<'_>, client: &MockClient, form: &Form) -> Result<Answer, OAuthError> {
    let token = form.required("refresh_token")?;
    let scope = form.get("scope").map(parse_scope).transpose()?;
    let (tokens, scope) =
        call.issuer.records.refresh(call.shared, call.issuer, client, token, scope, call.cnf)?;
    Ok(Answer::json(StatusCode::OK, &success(call, client, &tokens, &scope)).never_stored())
}
