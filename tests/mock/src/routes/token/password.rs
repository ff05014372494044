//! Resource owner password credentials (RFC 6749 section 4.3).

use super::{audience, issue, scope};
use crate::clients::{GrantType, MockClient};
use crate::routes::Call;
use crate::routes::form::Form;
use crate::state::tokens::Grant;
use crate::wire::response::{MockResponse, OAuthError};

pub(super) fn serve(call: Call<'_>, client: &MockClient, form: &Form) -> Result<MockResponse, OAuthError> {
    let (name, password) = (form.required("username")?, form.required("password")?);
    let user = call.shared.user(name, password);
    let user = user.ok_or_else(|| OAuthError::invalid_grant("the user's name or password is wrong"))?;
    let grant = Grant {
        client: client.id.clone(),
        subject: user.subject.clone(),
        user: Some(user.name.clone()),
        scope: scope(client, form)?,
        audience: audience(call, form)?,
        claims: user.claims.clone(),
        ..Grant::default()
    };
    let family = call.issuer.records.new_family();
    Ok(issue(call, client, grant, family, client.grants.contains(&GrantType::RefreshToken), None))
}
