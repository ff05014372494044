//! Comm100.

use super::Dialect;

/// What Comm100 does differently from RFC 6749.
///
/// By its page "OAuth API".
///
/// The page knows one grant, `password`, for a client without a secret, and no refresh token: when the token expires,
/// the password is sent again. Its access tokens are JWTs whose `scope` is a list; an API that receives them checks
/// them with `oauth-guard`. It documents no error body; RFC 6749's is assumed.
///
/// The e-mail address goes in as the `username` of [`grant::password`](crate::grant::password()), and the partner with
/// [`parameter("partnerId", …)`](crate::grant::TokenRequest::parameter).
pub fn comm100() -> Dialect {
    Dialect::new("comm100")
        .base_url("https://partner.comm100.io")
        .token_path("/oauth/token")
        .grants(["password"])
        .client_auth(["none"])
        .parameter_name("username", "email")
        .in_query("partnerId")
        .required("partnerId")
}
