//! Google.

use super::Dialect;

/// What Google does differently from RFC 6749: hardly anything.
///
/// By its pages "Using OAuth 2.0 for Web Server Applications", "OAuth 2.0 for TV and Limited-Input Device
/// Applications" and "OpenID Connect".
///
/// - There is one issuer, `https://accounts.google.com`, with metadata: nothing but the client has to be given.
/// - A refresh token comes only where the authorization request has `access_type=offline`, and again only with
///   `prompt=consent`: set both in `params`.
/// - `invalid_grant` with "Token has been expired or revoked." is the end of a refresh token, as in RFC 6749.
/// - The device endpoint calls its page `verification_url`.
/// - A service account is grant `jwt_bearer`, with `signed_assertion` and the audience
///   `https://oauth2.googleapis.com/token`.
///
/// ```
/// use oauth_client::{Client, ClientAuth, dialect};
///
/// let auth = ClientAuth::post("123.apps.googleusercontent.com", "s3cr3t");
/// let client = Client::builder().provider(dialect::google()).auth(auth).build()?;
/// assert!(format!("{client:?}").contains("https://accounts.google.com"));
/// # Ok::<(), oauth_client::Error>(())
/// ```
pub fn google() -> Dialect {
    Dialect::new("google")
        .issuer("https://accounts.google.com")
        .client_auth(["client_secret_post", "client_secret_basic", "none"])
        .grants(["authorization_code", "device_code", "refresh_token", "jwt_bearer"])
        .code("admin_policy_enforced", "access_denied")
        .code("org_internal", "access_denied")
}
