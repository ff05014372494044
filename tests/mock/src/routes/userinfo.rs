//! Userinfo (OpenID Connect Core section 5.3): itself an API behind an access token.

use http::StatusCode;
use serde_json::{Map, Value, json};

use super::{Call, protected};
use crate::clients::OPENID;
use crate::rules::tampers::Tamper;
use crate::rules::token_rules;
use crate::wire::response::MockResponse;

pub(crate) fn serve(call: Call<'_>) -> MockResponse {
    let (scheme, access) = match protected::access(call, "", protected::recorded) {
        Ok(allowed) => allowed,
        Err(refusal) => return *refusal,
    };
    if !access.grant.scope.iter().any(|scope| scope == OPENID) {
        let (status, scope) = (StatusCode::FORBIDDEN, r#"scope="openid""#);
        return protected::challenge(call, status, scheme, "insufficient_scope", scope);
    }
    let user = access.grant.user.as_deref().and_then(|name| call.shared.user_named(name));
    let mut claims = user.map_or_else(Map::new, |user| user.claims.clone());
    let tampered = call.shared.tampers.shows(Tamper::UserinfoSubject);
    let subject = if tampered { "somebody-else" } else { &access.grant.subject };
    claims.insert("sub".to_owned(), json!(subject));
    let rulings = call.ruled(Some(&access.grant.client), Some(&access.grant.scope.join(" ")));
    token_rules::set(&mut claims, &rulings.userinfo);
    let response = MockResponse::json(StatusCode::OK, &Value::Object(claims)).never_stored();
    protected::finish(call, scheme, response)
}
