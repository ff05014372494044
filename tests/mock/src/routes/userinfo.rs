//! Userinfo (OpenID Connect Core §5.3): itself an API behind a bearer token.

use http::StatusCode;
use http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use serde_json::{Map, Value, json};

use super::Call;
use crate::answer::Answer;

pub(crate) fn serve(call: Call<'_>) -> Answer {
    let header = call.request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = header
        .and_then(|header| header.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("Bearer"));
    let Some((_, token)) = token else {
        return Answer::empty(StatusCode::UNAUTHORIZED).with(WWW_AUTHENTICATE, "Bearer");
    };
    let Some(access) = call.issuer.records.active_access(token, call.shared.clock.now_unix()) else {
        let challenge = r#"Bearer error="invalid_token""#;
        return Answer::empty(StatusCode::UNAUTHORIZED).with(WWW_AUTHENTICATE, challenge);
    };
    if !access.grant.scope.iter().any(|scope| scope == "openid") {
        let challenge = r#"Bearer error="insufficient_scope", scope="openid""#;
        return Answer::empty(StatusCode::FORBIDDEN).with(WWW_AUTHENTICATE, challenge);
    }
    let user = call.shared.users.iter().find(|user| Some(&user.name) == access.grant.user.as_ref());
    let mut claims = user.map_or_else(Map::new, |user| user.claims.clone());
    claims.insert("sub".to_owned(), json!(access.grant.subject));
    Answer::json(StatusCode::OK, &Value::Object(claims)).never_stored()
}
