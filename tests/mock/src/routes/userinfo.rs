//! Userinfo (OpenID Connect Core §5.3): itself an API behind an access token.

use http::StatusCode;
use serde_json::{Map, Value, json};

use super::{Call, protected};
use crate::answer::Answer;
use crate::flaws::Flaw;

pub(crate) fn serve(call: Call<'_>) -> Answer {
    let (scheme, access) = match protected::access(call, "", protected::recorded) {
        Ok(allowed) => allowed,
        Err(refusal) => return *refusal,
    };
    if !access.grant.scope.iter().any(|scope| scope == "openid") {
        let (status, scope) = (StatusCode::FORBIDDEN, r#"scope="openid""#);
        return protected::challenge(call, status, scheme, "insufficient_scope", scope);
    }
    let user = access.grant.user.as_deref().and_then(|name| call.shared.user_named(name));
    let mut claims = user.map_or_else(Map::new, |user| user.claims.clone());
    let spoiled = call.shared.flaws.shows(Flaw::UserinfoSubject);
    let subject = if spoiled { "somebody-else" } else { &access.grant.subject };
    claims.insert("sub".to_owned(), json!(subject));
    let answer = Answer::json(StatusCode::OK, &Value::Object(claims)).never_stored();
    protected::finish(call, scheme, answer)
}
