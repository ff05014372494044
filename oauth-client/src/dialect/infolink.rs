//! InfoLink, by its page "OAuth 2.0 Authentication".
//!
//! The page prints plain http and no HTTP status for its error bodies: they are recognized whatever status they come
//! with, and https is asked for unless the client was built with
//! [`danger_allow_http`](crate::ClientBuilder::danger_allow_http). The JSON in its sample of an API call stands in
//! single quotes; send it with double ones.

use serde::Deserialize;

use super::open::open_enum;
use super::{Dialect, ErrorShape};

/// What InfoLink does differently from RFC 6749.
pub fn infolink() -> Dialect {
    Dialect::new("infolink")
        .token_path("/api/v1/oauth2/token")
        .grants(["client_credentials", "password", "refresh_token"])
        .client_auth(["client_secret_post"])
        .refresh_without_client()
        .error(ErrorShape::oauth())
        .error(ErrorShape::own().code("result.code").description("result.message"))
        .error_type::<ErrorBody>()
        .expired_response([("result.code", "invalid_grant"), ("status", "error")])
}

/// An error, be it the token endpoint's (`error`, `error_description`) or the API's (`result`, `status`).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(from = "Wire")]
#[non_exhaustive]
pub struct ErrorBody {
    /// The code, wherever it stood.
    pub code: Option<ErrorCode>,
    /// The text, wherever it stood.
    pub message: Option<String>,
    /// `status`, which the API sends and the token endpoint does not.
    pub status: Option<String>,
}

open_enum! {
    /// InfoLink's error codes.
    ErrorCode {
        /// Credentials, access token or refresh token are invalid or expired:
        InvalidGrant = "invalid_grant",
    }
}

#[derive(Deserialize)]
struct Wire {
    error: Option<String>,
    error_description: Option<String>,
    result: Option<WireResult>,
    status: Option<String>,
}

#[derive(Deserialize)]
struct WireResult {
    code: Option<String>,
    message: Option<String>,
}

impl From<Wire> for ErrorBody {
    fn from(wire: Wire) -> Self {
        let (code, message) = wire.result.map_or((None, None), |result| (result.code, result.message));
        Self {
            code: wire.error.or(code).map(ErrorCode::from),
            message: wire.error_description.or(message),
            status: wire.status,
        }
    }
}
