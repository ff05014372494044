//! Amazon Cognito user pools.

use super::Dialect;

/// What Amazon Cognito does differently from RFC 6749.
///
/// By the pages "Token endpoint" and "Understanding user pool JSON web tokens".
///
/// - The issuer is `https://cognito-idp.<region>.amazonaws.com/<pool>`; its metadata name the endpoints, which are on
///   the pool's own domain.
/// - A refresh brings no new refresh token unless rotation is switched on: the one before stays in force.
/// - Access tokens have `client_id` and `"token_use": "access"`, and no audience: a guard needs `any_audience = true` with
///   `clients`, and `require = { token_use = "access" }`.
/// - A client with a secret authenticates with `client_secret_basic` or `client_secret_post`.
pub fn cognito() -> Dialect {
    Dialect::new("cognito")
        .client_auth(["client_secret_basic", "client_secret_post", "none"])
        .code("NotAuthorizedException", "invalid_grant")
        .code("TooManyRequestsException", "temporarily_unavailable")
        .transient("TooManyRequestsException")
        .transient("InternalErrorException")
}
