//! Why a request is rejected.

use std::fmt;
use std::time::Duration;

use super::token_error::{InvalidToken, TokenError};

/// Why a request is rejected, ordered by whose fault it is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Rejection {
    /// The caller's fault: no credentials, or another scheme's (RFC 6750 section 3: a challenge without an error code).
    MissingToken,
    /// The caller's fault: the request is malformed, and how.
    MalformedRequest(&'static str),
    /// The caller's fault: the token is invalid.
    InvalidToken(InvalidToken),
    /// The caller's fault: the token is valid and grants too little.
    InsufficientScope {
        /// The scopes that this request needs, as a space-separated list. Empty when it is not about scopes.
        needed: Box<str>,
    },
    /// The caller's fault: the token is valid and grants enough, but the user's login is too weak or too old (RFC 9470).
    InsufficientAuthentication {
        /// The accepted `acr` values, as a space-separated list in order of preference. Empty when it is not about
        /// `acr`.
        acr_values: Box<str>,
        /// The maximum age of the login, in whole seconds. `None` when it is not about the time.
        max_age: Option<Duration>,
    },
    /// The route has no [rule](crate::Rule), and [`deny_by_default`](crate::GuardBuilder::deny_by_default) is set.
    NoRule,
    /// The caller's fault: a page of an origin that is not one of the
    /// [`allowed_origins`](crate::GuardBuilder::allowed_origins) sent the request.
    OriginNotAllowed,
    /// The authorization server's or the network's fault: there are no keys to validate the token with.
    KeysUnavailable {
        /// When to retry.
        retry_after: Duration,
    },
    /// The authorization server's, the network's or the configuration's fault: the server could not be asked about the
    /// token (RFC 7662).
    IntrospectionUnavailable {
        /// When to retry.
        retry_after: Duration,
    },
    /// This service's fault: a handler asks for claims on a route without a guard.
    NotGuarded,
    /// This service's fault: an [MCP rule](crate::Rule::mcp) needs the body, and the guard cannot read it. See
    /// [`RequestBody`](crate::RequestBody).
    UncheckedBody,
}

impl Rejection {
    /// A stable name for metrics, logs and tests: the RFC 6750 error code where there is one.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::MissingToken => "missing_token",
            Self::MalformedRequest(_) => "invalid_request",
            Self::InvalidToken(_) => "invalid_token",
            Self::InsufficientScope { .. } | Self::NoRule => "insufficient_scope",
            Self::InsufficientAuthentication { .. } => "insufficient_user_authentication",
            Self::KeysUnavailable { .. } => "keys_unavailable",
            Self::IntrospectionUnavailable { .. } => "introspection_unavailable",
            Self::NotGuarded => "not_guarded",
            Self::OriginNotAllowed => "origin_not_allowed",
            Self::UncheckedBody => "unchecked_body",
        }
    }

    /// A stable name for the precise reason, for the operator only: do not send it to the caller.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::InvalidToken(invalid) => invalid.code(),
            Self::NoRule => "no_rule",
            other => other.code(),
        }
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MissingToken => f.write_str("the request has no bearer token"),
            Self::MalformedRequest(how) => f.write_str(how),
            Self::InvalidToken(invalid) => invalid.fmt(f),
            Self::InsufficientScope { .. } => f.write_str("the token does not grant what this request needs"),
            Self::InsufficientAuthentication { .. } => {
                f.write_str("the user's login is too weak or too old for this request")
            }
            Self::NoRule => f.write_str("the route has no rule, and default_access is \"deny\""),
            Self::KeysUnavailable { .. } => {
                f.write_str("the keys to validate the token with are unavailable")
            }
            Self::IntrospectionUnavailable { .. } => {
                f.write_str("the authorization server could not be asked about the token")
            }
            Self::NotGuarded => f.write_str("a handler asks for claims that no GuardLayer inserted"),
            Self::OriginNotAllowed => f.write_str("the request's Origin is not one of allowed_origins"),
            Self::UncheckedBody => f.write_str("an MCP rule needs the body, and the guard cannot read it"),
        }
    }
}

impl std::error::Error for Rejection {}

impl From<TokenError> for Rejection {
    fn from(error: TokenError) -> Self {
        Self::InvalidToken(error.into())
    }
}
