//! Microsoft Entra ID, by the pages "Microsoft identity platform and OAuth 2.0 authorization code flow", "… client credentials
//! flow", "Microsoft identity platform application authentication certificate credentials" and "Microsoft Entra
//! authentication and authorization error codes".
//!
//! - The issuer is `https://login.microsoftonline.com/<tenant id>/v2.0`. With `common`, `organizations` or `consumers` in
//!   place of the id, users of any tenant log in, and the issuer of their ID tokens is their own tenant's.
//! - The token for an API is asked for with the scope `<api>/.default`.
//! - `interaction_required`, `login_required` and `consent_required` in response to a refresh mean that the user has to log
//!   in again, as `invalid_grant` does.
//! - A client with a certificate names it by its SHA-256 thumbprint: `certificate` beside `private_key`. A client of a
//!   platform that identifies its workloads sends their token: `client_auth = "assertion"`.

use serde::Deserialize;

use super::open::{list, text};
use super::{Dialect, ErrorShape};

/// What Microsoft Entra ID does differently from RFC 6749.
///
/// ```
/// use oauth_client::{Client, ClientAuth, dialect, secret};
///
/// # fn example() -> Result<(), oauth_client::Error> {
/// let auth = ClientAuth::private_key_jwt("11111111-2222-3333-4444-555555555555", secret::from_file("client.key"))
///     .certificate(secret::from_file("client.crt"));
/// let client = Client::builder()
///     .provider(dialect::entra())
///     .issuer("https://login.microsoftonline.com/aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee/v2.0")
///     .auth(auth)
///     .build()?;
/// # Ok(()) }
/// ```
pub fn entra() -> Dialect {
    Dialect::new("entra")
        .error(ErrorShape::oauth())
        .code("consent_required", "invalid_grant")
        .code("interaction_required", "invalid_grant")
        .code("login_required", "invalid_grant")
        .error_type::<ErrorBody>()
}

/// An error body, with what support asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct ErrorBody {
    /// The code, as RFC 6749 has it.
    #[serde(deserialize_with = "text")]
    pub error: Option<String>,
    /// The text, which begins with a number such as `AADSTS7000215`.
    #[serde(deserialize_with = "text")]
    pub error_description: Option<String>,
    /// The numbers of the errors.
    #[serde(deserialize_with = "list")]
    pub error_codes: Vec<u64>,
    /// What exactly happened, such as `basic_action` or `token_expired`.
    #[serde(deserialize_with = "text")]
    pub suberror: Option<String>,
    /// When, by the server's clock.
    #[serde(deserialize_with = "text")]
    pub timestamp: Option<String>,
    /// The request's identifier at the server.
    #[serde(deserialize_with = "text")]
    pub trace_id: Option<String>,
    /// The identifier of all requests that belong to it.
    #[serde(deserialize_with = "text")]
    pub correlation_id: Option<String>,
}
