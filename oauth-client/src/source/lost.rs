//! The end of a refresh token, in the words of servers that do not say `invalid_grant`.
//!
//! RFC 6749 section 5.2 has one code for it. Many servers have their own, or one of the other codes with a text that
//! says it: Atlassian `unauthorized_client` and "refresh_token is invalid", GitHub `bad_refresh_token`, HubSpot
//! `BAD_REFRESH_TOKEN`, Microsoft Entra `interaction_required`. Users would be locked out, each refresh failing as the one before,
//! until they found and deleted their tokens.

use crate::error::Error;

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

/// Whether this response to a refresh token says that it is good no more, and only a login helps.
pub(super) fn says_refresh_token_is_lost(error: &Error) -> bool {
    let Some(response) = error.error_response().filter(|_| !error.is_transient()) else { return false };
    let refused = response.status.is_client_error() || response.status.is_success();
    if !refused || response.status.as_u16() == 429 || response.code == "invalid_client" {
        return false;
    }
    let code = plain(response.provider_code.as_deref().unwrap_or(&response.code));
    if CODES.contains(&code.as_str()) {
        return true;
    }
    // A page of a firewall or a proxy says nothing about the token, whatever words it has.
    let body = response.unrecognized.as_deref().filter(|text| text.trim_start().starts_with('{'));
    let said = [Some(code), response.said.description.as_deref().map(plain), body.map(plain)];
    said.into_iter().flatten().any(|text| {
        (text.contains("refresh token") || text.contains("refreshtoken"))
            && VERDICTS.iter().any(|verdict| text.contains(verdict))
    })
}

/// In small letters, with one way to separate words.
fn plain(text: &str) -> String {
    text.chars().map(|c| if matches!(c, '_' | '-') { ' ' } else { c.to_ascii_lowercase() }).collect()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::Response;

    use super::*;
    use crate::clock::Now;
    use crate::dialect::{self, Dialect};
    use crate::token_endpoint::decode;

    fn is_lost(status: u16, body: &str, dialect: &Dialect) -> bool {
        let now = Now { wall: std::time::Duration::ZERO, monotonic: std::time::Duration::ZERO };
        let response = Response::builder().status(status).body(Bytes::from(body.to_owned())).unwrap();
        let error = decode(response, now, now, dialect, None, std::iter::empty()).err().unwrap().error;
        error.code() == "invalid_grant" || says_refresh_token_is_lost(&error)
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
            (400, r#"{"error":"unsupported_grant_type"}"#),
            (403, "<html>Your refresh token is invalid</html>"),
            (403, "<html>Request blocked</html>"),
            (429, r#"{"error":"invalid_token"}"#),
            (500, r#"{"error":"x","error_description":"invalid refresh token"}"#),
            (503, r#"{"error":"token_expired"}"#),
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
