//! GitHub.

use super::{Dialect, ErrorShape};
use crate::discover::Endpoint;

/// What GitHub does differently from RFC 6749.
///
/// By its pages "Authorizing OAuth apps", "Refreshing user access tokens" and "Troubleshooting OAuth app access token
/// request errors".
///
/// - Errors come with status 200. `bad_refresh_token` is RFC 6749's `invalid_grant`: the user has to log in again.
/// - Without `Accept: application/json` the token endpoint responds with a form. Either is read.
/// - Scopes are separated by commas in the response, by spaces in the request.
/// - Tokens of OAuth apps have no `expires_in`; those of GitHub Apps live for eight hours and come with a refresh token.
/// - There is no metadata: the endpoints are listed here. For GitHub Enterprise Server, set `base_url`.
/// - The API wants a `User-Agent`, as any client of it sends; requests to the token endpoint have one already.
///
/// ```
/// use oauth_client::{Client, ClientAuth, dialect};
///
/// let client = Client::builder().provider(dialect::github()).auth(ClientAuth::post("Iv1.abc", "s3cr3t")).build()?;
/// assert!(format!("{client:?}").contains("https://github.com/login/oauth/access_token"));
/// # Ok::<(), oauth_client::Error>(())
/// ```
pub fn github() -> Dialect {
    Dialect::new("github")
        .base_url("https://github.com")
        .token_path("/login/oauth/access_token")
        .endpoint(Endpoint::Authorization, "/login/oauth/authorize")
        .endpoint(Endpoint::DeviceAuthorization, "/login/device/code")
        .client_auth(["client_secret_post", "none"])
        .grants(["authorization_code", "device_code", "refresh_token"])
        .error(ErrorShape::oauth())
        .code("bad_refresh_token", "invalid_grant")
        .code("bad_verification_code", "invalid_grant")
        .code("incorrect_device_code", "invalid_grant")
        .code("incorrect_client_credentials", "invalid_client")
        .code("device_flow_disabled", "unauthorized_client")
        .code("redirect_uri_mismatch", "invalid_request")
        .code("unverified_user_email", "access_denied")
}
