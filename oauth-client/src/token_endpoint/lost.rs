//! The end of a refresh token, in the words of servers that do not say `invalid_grant`.
//!
//! RFC 6749 section 5.2 has one code for it. Many servers have their own, or one of the other codes with a text that
//! says it: Atlassian `unauthorized_client` and "refresh_token is invalid", GitHub `bad_refresh_token`, HubSpot
//! `BAD_REFRESH_TOKEN`, Microsoft Entra `interaction_required`. Users would be locked out, each refresh failing as the one before,
//! until they found and deleted their tokens.

use serde_json::Value;

use super::error_response::OAUTH_CODES;
use crate::error::ErrorResponse;

/// Codes that mean it without naming the refresh token.
const CODES: &[&str] = &[
    "consent required",
    "expired token",
    "interaction required",
    "invalid token",
    "login required",
    "session expired",
    "token expired",
    "token inactive",
    "token invalid",
    "token revoked",
];

/// What is said of a refresh token that is lost.
const VERDICTS: &[&str] = &[
    "bad",
    "expired",
    "inactive",
    "invalid",
    "no longer",
    "not found",
    "not valid",
    "reuse",
    "revoked",
    "unknown",
];

/// The codes that are about something else, whatever words the description has.
const ABOUT_SOMETHING_ELSE: &[&str] = &[
    "invalid_client",
    "invalid_dpop_proof",
    "invalid_scope",
    "invalid_target",
    "unsupported_grant_type",
    "use_dpop_nonce",
];

/// Members that say where something happened, and not what.
const PLACES: &[&str] =
    &["endpoint", "error_uri", "href", "instance", "path", "request", "request_uri", "uri", "url"];

/// Members that name what an error is about, beside a `code` that says what is wrong with it (Strava).
const SUBJECTS: &[&str] = &["field", "param", "parameter", "resource"];

/// Whether this response to a refresh token says that it is good no more, and only a login helps, unless its error is
/// transient. `body` is what no shape of the dialect fits.
pub(super) fn says_refresh_token_is_lost(response: &ErrorResponse, body: Option<&Value>) -> bool {
    if ABOUT_SOMETHING_ELSE.contains(&&*response.code) {
        return false;
    }
    let own = response.provider_code.as_deref();
    let code = plain(own.unwrap_or(&response.code));
    let by_code = CODES.contains(&&*code) || says_it(&code);
    match response.status.as_u16() {
        200..=299 | 400 | 401 => {}
        // Atlassian and Auth0. Without a code it may be by a gateway in front of the server.
        403 if by_code || own.is_some_and(|own| OAUTH_CODES.contains(&own)) => {}
        403 => return body.is_some_and(|body| is_said_in(body, |text| !text.contains(' '))),
        _ => return false,
    }
    let description = response.said.description.as_deref().map(plain).filter(|text| {
        // What a client may not do is no end of its tokens.
        response.code != "unauthorized_client" || !text.contains("grant type")
    });
    by_code
        || description.is_some_and(|text| says_it(&text))
        || body.is_some_and(|body| is_said_in(body, |_| true))
}

/// Whether one member of this kind says it: words of two have nothing to do with each other.
fn is_said_in(body: &Value, counts: fn(&str) -> bool) -> bool {
    match body {
        Value::String(text) => counts(text) && says_it(&plain(text)),
        Value::Array(items) => items.iter().any(|item| is_said_in(item, counts)),
        Value::Object(members) => {
            let text = |name: &str| members.get(name).and_then(Value::as_str).map(plain);
            let names_it = SUBJECTS.iter().filter_map(|name| text(name)).any(|text| names_it(&text));
            names_it && text("code").is_some_and(|code| condemns(&code))
                || members.iter().any(|(name, value)| !PLACES.contains(&&**name) && is_said_in(value, counts))
        }
        _ => false,
    }
}

fn says_it(text: &str) -> bool {
    // A page of the server is no token.
    let is_place = |word: &str| word.starts_with('/') || word.contains("://");
    let words: Vec<_> = text.split(' ').filter(|word| !is_place(word)).collect();
    let text = words.join(" ");
    names_it(&text) && condemns(&text)
}

fn names_it(text: &str) -> bool {
    text.contains("refresh token") || text.contains("refreshtoken")
}

fn condemns(text: &str) -> bool {
    VERDICTS.iter().any(|verdict| text.contains(verdict))
}

/// In small letters, with one way to separate words.
fn plain(text: &str) -> String {
    text.chars().map(|c| if matches!(c, '_' | '-') { ' ' } else { c.to_ascii_lowercase() }).collect()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::Response;

    use crate::clock::Now;
    use crate::dialect::{self, Dialect};
    use crate::token_endpoint::decode;

    fn is_lost(status: u16, body: &str, dialect: &Dialect) -> bool {
        let now = Now { wall: std::time::Duration::ZERO, monotonic: std::time::Duration::ZERO };
        let response = Response::builder().status(status).body(Bytes::from(body.to_owned())).unwrap();
        let error = decode(response, now, now, dialect, None, std::iter::empty()).err().unwrap().error;
        error.code() == "invalid_grant" || error.is_refresh_token_lost()
    }

    #[test]
    fn the_end_of_a_refresh_token_is_understood_in_the_words_of_many_servers() {
        for (server, status, body) in [
            (
                "Atlassian",
                403,
                r#"{"error":"unauthorized_client","error_description":"refresh_token is invalid"}"#,
            ),
            (
                "GitHub",
                200,
                r#"{"error":"bad_refresh_token","error_description":"The refresh token passed is incorrect or expired."}"#,
            ),
            (
                "GitHub, as a form",
                200,
                "error=bad_refresh_token&error_description=The+refresh+token+passed+is+incorrect+or+expired.",
            ),
            (
                "Google",
                400,
                r#"{"error":"invalid_grant","error_description":"Token has been expired or revoked."}"#,
            ),
            (
                "HubSpot",
                400,
                r#"{"status":"BAD_REFRESH_TOKEN","message":"missing or invalid refresh token"}"#,
            ),
            ("Entra", 400, r#"{"error":"interaction_required","error_description":"AADSTS50076: …"}"#),
            ("Twitch", 400, r#"{"status":400,"message":"Invalid refresh token"}"#),
            (
                "Auth0",
                403,
                r#"{"error":"invalid_request","error_description":"Unknown or invalid refresh token."}"#,
            ),
            (
                "Strava",
                400,
                r#"{"message":"Bad Request","errors":[{"resource":"RefreshToken","field":"refresh_token","code":"invalid"}]}"#,
            ),
            ("reuse", 401, r#"{"error":"refresh_token_reused"}"#),
            ("expired", 400, r#"{"error":"token_expired"}"#),
            ("RFC 6750's code", 401, r#"{"error":"invalid_token"}"#),
        ] {
            assert!(is_lost(status, body, &dialect::standard()), "{server}");
        }
        for code in ["invalid_refresh_token", "token_expired", "token_revoked"] {
            assert!(
                is_lost(200, &format!(r#"{{"ok":false,"error":"{code}"}}"#), &dialect::slack()),
                "{code}"
            );
        }
    }

    #[test]
    fn what_is_about_something_else_costs_no_login() {
        for (status, body) in [
            (
                401,
                r#"{"error":"invalid_client","error_description":"invalid client, refresh token ignored"}"#,
            ),
            (400, r#"{"error":"invalid_request","error_description":"refresh_token is missing"}"#),
            (400, r#"{"error":"invalid_scope"}"#),
            (
                400,
                r#"{"error":"invalid_dpop_proof","error_description":"proof key is not the one bound to the refresh token: invalid"}"#,
            ),
            (
                400,
                r#"{"error":"use_dpop_nonce","error_description":"invalid nonce; send the refresh token again"}"#,
            ),
            (400, r#"{"error":"unsupported_grant_type"}"#),
            (403, "<html>Your refresh token is invalid</html>"),
            (403, "<html>Request blocked</html>"),
            (429, r#"{"error":"invalid_token"}"#),
            (500, r#"{"error":"x","error_description":"invalid refresh token"}"#),
            (503, r#"{"error":"token_expired"}"#),
            (404, r#"{"status":404,"error":"Not Found","path":"/invalid/oauth/refresh_token"}"#),
            (403, r#"{"message":"access to /refresh_token is blocked: invalid address"}"#),
            (403, r#"{"message":"the refresh token route is not valid from here"}"#),
            (400, r#"{"message":"see https://as/refresh_token: an invalid body"}"#),
            (403, r#"{"error":"Forbidden","message":"invalid session","path":"/oauth/refresh_token"}"#),
            (405, r#"{"error":"invalid_method","error_description":"refresh_token: invalid method"}"#),
            (400, r#"{"error":"invalid_scope","error_description":"unknown scope for this refresh token"}"#),
            (400, r#"{"error":"invalid_target","error_description":"not valid for the refresh token"}"#),
            (
                400,
                r#"{"error":"unauthorized_client","error_description":"invalid grant type for this client: refresh_token"}"#,
            ),
            (400, r#"{"title":"invalid JSON","instance":"/oauth/refresh_token"}"#),
            (400, r#"{"message":"invalid body","hint":"grant_type=refresh_token needs a form"}"#),
            (400, r#"{"url":"https://as/refresh_token?invalid=1","message":"no"}"#),
        ] {
            assert!(!is_lost(status, body, &dialect::standard()), "{body}");
        }
        for code in ["ratelimited", "internal_error", "invalid_client_id"] {
            assert!(
                !is_lost(200, &format!(r#"{{"ok":false,"error":"{code}"}}"#), &dialect::slack()),
                "{code}"
            );
        }
    }
}
