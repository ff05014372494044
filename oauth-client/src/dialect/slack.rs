//! Slack.

use super::{Dialect, ErrorShape};
use crate::discover::Endpoint;

/// What Slack does differently from RFC 6749.
///
/// By its pages "Installing with OAuth", "Using token rotation" and "oauth.v2.access".
///
/// - Errors come with status 200 and `"ok": false`; the codes are Slack's own.
/// - `token_type` is `bot` or `user`, and the token is used as a bearer token.
/// - Scopes are separated by commas.
/// - The API reports an expired token with status 200 and `"error": "token_expired"`; one refresh and one replay follow.
/// - A user's token is in `authed_user`, among the [extra](crate::TokenSet::extra) members. To have a source of that one,
///   change the preset: `slack().response_member("access_token", "authed_user.access_token")` and the same for
///   `refresh_token`, `expires_in` and `token_type`.
pub fn slack() -> Dialect {
    let dialect = Dialect::new("slack")
        .base_url("https://slack.com")
        .token_path("/api/oauth.v2.access")
        .endpoint(Endpoint::Authorization, "/oauth/v2/authorize")
        .client_auth(["client_secret_basic", "client_secret_post"])
        .grants(["authorization_code", "refresh_token"])
        .bearer_type("bot")
        .bearer_type("user")
        .error(ErrorShape::own().code("error").description("error_description"))
        .expired_response([("error", "token_expired")]);
    let dialect = [
        "account_inactive",
        "code_already_used",
        "code_expired",
        "invalid_code",
        "invalid_refresh_token",
        "token_expired",
        "token_revoked",
    ]
    .into_iter()
    .fold(dialect, |dialect, lost| dialect.code(lost, "invalid_grant"));
    ["fatal_error", "internal_error", "ratelimited", "request_timeout", "service_unavailable"]
        .into_iter()
        .fold(dialect, Dialect::transient)
        .code("bad_client_secret", "invalid_client")
        .code("invalid_client_id", "invalid_client")
        .code("bad_redirect_uri", "invalid_request")
        .code("invalid_grant_type", "unsupported_grant_type")
        .code("invalid_scope", "invalid_scope")
}
