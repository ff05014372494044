//! Teen Quotes, by its page "OAuth - Client credentials".
//!
//! Where the page is silent or at odds with itself, this was assumed:
//!
//! - `expires_in` wins over `expires`: it counts from our own sending of the request, whereas `expires` is right only
//!   as far as the server's clock agrees with ours. `expires` counts where `expires_in` is missing; it stays in
//!   [`TokenSet::extra`](crate::TokenSet::extra) in any case.
//! - The request goes out as JSON, like the page's example, without the trailing comma that is printed there and that
//!   JSON does not have. [`form`](super::Dialect::form) switches to a form.
//! - The page mentions a refresh token and not how it is used: RFC 6749 section 6 is assumed, with the client's
//!   credentials, in the same encoding.
//! - `invalid_refresh` is RFC 6749's `invalid_grant`. `invalid_credentials` keeps its name; a password is
//!   held back after it as after `invalid_grant`.
//! - `server_error` has no status on the page: it is "later" whatever status it comes with.

use serde::Deserialize;

use super::open::open_enum;
use super::{Dialect, ErrorShape};

/// What Teen Quotes does differently from RFC 6749.
pub fn teen_quotes() -> Dialect {
    Dialect::new("teen-quotes")
        .base_url("https://api.teen-quotes.com")
        .token_path("/oauth")
        .json()
        .client_auth(["client_secret_post"])
        .expires_at("expires")
        .error(ErrorShape::oauth())
        .code("invalid_refresh", "invalid_grant")
        .error_type::<ErrorBody>()
}

/// An error body: `error` and `error_description`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(from = "Wire")]
#[non_exhaustive]
pub struct ErrorBody {
    /// The `error` key.
    pub error: ErrorKey,
    /// The text as it came.
    pub error_description: Option<String>,
    /// What the text names in quotes: the parameter, scope or grant type to check.
    pub parameter: Option<String>,
}

open_enum! {
    /// The page's error keys.
    ErrorKey {
        InvalidRequest = "invalid_request",
        UnauthorizedClient = "unauthorized_client",
        AccessDenied = "access_denied",
        UnsupportedResponseType = "unsupported_response_type",
        InvalidScope = "invalid_scope",
        ServerError = "server_error",
        TemporarilyUnavailable = "temporarily_unavailable",
        UnsupportedGrantType = "unsupported_grant_type",
        InvalidClient = "invalid_client",
        InvalidGrant = "invalid_grant",
        InvalidCredentials = "invalid_credentials",
        InvalidRefresh = "invalid_refresh",
    }
}

#[derive(Deserialize)]
struct Wire {
    error: String,
    error_description: Option<String>,
}

impl From<Wire> for ErrorBody {
    fn from(Wire { error, error_description }: Wire) -> Self {
        let quoted = error_description.as_deref().and_then(|text| text.split('"').nth(1));
        let parameter = quoted.filter(|text| !text.is_empty()).map(str::to_owned);
        Self { error: ErrorKey::from(error), parameter, error_description }
    }
}
