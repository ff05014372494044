//! Identity assertion grants (ID-JAG, draft-ietf-oauth-identity-assertion-authz-grant): what this server as an identity
//! provider gives a client for another authorization server.

use http::StatusCode;
use serde_json::json;

use super::super::parse_scope;
use super::party::Party;
use crate::clients::MockClient;
use crate::encode::random_text;
use crate::routes::Call;
use crate::routes::form::Form;
use crate::wire::response::{MockResponse, OAuthError};

pub(super) const TOKEN_TYPE: &str = "urn:ietf:params:oauth:token-type:id-jag";

/// The `typ` of such a grant.
pub(in crate::routes::token) const TYP: &str = "oauth-id-jag+jwt";

/// Seconds that it is good.
const LIFETIME: i64 = 300;

/// The grant for the server that `audience` names: this one does not know what scopes and resources there are at that one.
pub(super) fn serve(
    call: Call<'_>,
    client: &MockClient,
    form: &Form,
    subject: &Party,
) -> Result<MockResponse, OAuthError> {
    let mut audiences = form.all("audience");
    let (Some(audience), None) = (audiences.next(), audiences.next()) else {
        let why = "audience: one is needed, the issuer of the API's authorization server";
        return Err(OAuthError::invalid_request(why));
    };
    if subject.user.is_none() {
        return Err(OAuthError::invalid_request("subject_token: not of a user"));
    }
    let mut grant = call
        .shared
        .mint(call.issuer)
        .typ(TYP)
        .subject(&subject.subject)
        .audience(audience)
        .client_id(&client.id)
        .claim("jti", random_text::<16>())
        .expires_in(LIFETIME);
    let scope = form.get("scope").map(parse_scope).transpose()?;
    grant = match &scope {
        Some(scope) => grant.scope(scope.join(" ")),
        None => grant.without("scope"),
    };
    let resources: Vec<_> = form.all("resource").collect();
    if !resources.is_empty() {
        grant = grant.claim("resource", json!(resources));
    }
    let mut body = json!({
        "access_token": grant.build(),
        "issued_token_type": TOKEN_TYPE,
        "token_type": "N_A",
        "expires_in": LIFETIME,
    });
    if let Some(scope) = scope {
        body["scope"] = json!(scope.join(" "));
    }
    Ok(MockResponse::json(StatusCode::OK, &body).never_stored())
}
