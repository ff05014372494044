//! Why a request is rejected.

use std::fmt;
use std::time::Duration;

use crate::error::{InvalidToken, TokenError};
use crate::possession::ProofError;

/// Why a request is rejected, ordered by whose fault it is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Rejection {
    /// The caller's fault: no credentials, or another scheme's (RFC 6750 section 3: a challenge without an error code).
    MissingToken,
    /// The same where only a token that is bound to a key is accepted ([`Requirement::bound`](crate::Requirement::bound)): a
    /// challenge for DPoP alone.
    MissingBoundToken,
    /// The caller's fault: the request is malformed, and how.
    MalformedRequest(&'static str),
    /// The caller's fault: the token is invalid.
    InvalidToken(InvalidToken),
    /// The caller's fault: the token is valid, and the request does not prove that it is the caller's (RFC 9449 section
    /// 7.1).
    InvalidProof(InvalidProof),
    /// The proof has no nonce of this guard's, or an old one (RFC 9449 section 9). Clients send it again with the nonce of
    /// the response.
    UseDpopNonce,
    /// The caller's fault: the token is valid, but not bound where only bound tokens are accepted, and to what it has to be.
    TokenNotBound(RequiredBinding),
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
    /// A source of revocations has been away for too long, and nothing is served without it
    /// ([`OnOutage::Refuse`](crate::revocation::OnOutage::Refuse)).
    RevocationsUnavailable {
        /// When to retry.
        retry_after: Duration,
    },
    /// This service's or the network's fault: the store of used proofs is full or away, so that a replay would not show.
    ReplayUnavailable {
        /// When to retry.
        retry_after: Duration,
    },
    /// This service's fault: a handler asks for claims on a route without a guard.
    NotGuarded,
    /// This service's fault: an [MCP rule](crate::Rule::mcp) needs the body, and the guard cannot read it. See
    /// [`RequestBody`](crate::RequestBody).
    UncheckedBody,
}

/// What a token has to be bound to, see [`Rejection::TokenNotBound`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RequiredBinding {
    /// A key of the client, whose possession each request proves (RFC 9449).
    Key,
    /// A client certificate (RFC 8705 section 3). A token that is bound to a key is refused too.
    Certificate,
}

impl Rejection {
    /// A stable name for metrics, logs and tests: the RFC 6750 error code where there is one.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::MissingToken | Self::MissingBoundToken => "missing_token",
            Self::MalformedRequest(_) => "invalid_request",
            Self::InvalidToken(_) | Self::TokenNotBound(_) => "invalid_token",
            Self::InvalidProof(_) => "invalid_dpop_proof",
            Self::UseDpopNonce => "use_dpop_nonce",
            Self::ReplayUnavailable { .. } => "replay_store_unavailable",
            Self::InsufficientScope { .. } | Self::NoRule => "insufficient_scope",
            Self::InsufficientAuthentication { .. } => "insufficient_user_authentication",
            Self::KeysUnavailable { .. } => "keys_unavailable",
            Self::IntrospectionUnavailable { .. } => "introspection_unavailable",
            Self::RevocationsUnavailable { .. } => "revocations_unavailable",
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
            Self::InvalidProof(invalid) => invalid.code(),
            Self::UseDpopNonce => ProofError::Nonce.code(),
            Self::TokenNotBound(RequiredBinding::Key) => "token_not_bound",
            Self::TokenNotBound(RequiredBinding::Certificate) => "token_not_bound_to_certificate",
            Self::NoRule => "no_rule",
            other => other.code(),
        }
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MissingToken => f.write_str("the request has no bearer token"),
            Self::MissingBoundToken => {
                f.write_str("the request has no token, and only one that is bound to a key is accepted here")
            }
            Self::MalformedRequest(how) => f.write_str(how),
            Self::InvalidToken(invalid) => invalid.fmt(f),
            Self::InvalidProof(invalid) => invalid.fmt(f),
            Self::UseDpopNonce => ProofError::Nonce.fmt(f),
            Self::TokenNotBound(RequiredBinding::Key) => {
                f.write_str("the token is bound to no key, and only bound ones are accepted here")
            }
            Self::TokenNotBound(RequiredBinding::Certificate) => f.write_str(
                "the token is bound to no client certificate, and only tokens bound to one are accepted here",
            ),
            Self::ReplayUnavailable { .. } => f.write_str("the store of used proofs is full or unavailable"),
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
            Self::RevocationsUnavailable { .. } => {
                f.write_str("a source of revocations is away, so the token may have been revoked")
            }
            Self::NotGuarded => f.write_str("a handler asks for claims that no GuardLayer inserted"),
            Self::OriginNotAllowed => f.write_str("the request's Origin is not one of allowed_origins"),
            Self::UncheckedBody => f.write_str("an MCP rule needs the body, and the guard cannot read it"),
        }
    }
}

impl std::error::Error for Rejection {}

/// Why a proof of possession is invalid. Its `Display` is for the operator, never for the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidProof(ProofError);

impl InvalidProof {
    /// A stable name for the reason, see [`Rejection::reason`].
    fn code(self) -> &'static str {
        self.0.code()
    }
}

impl fmt::Display for InvalidProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl From<ProofError> for Rejection {
    fn from(error: ProofError) -> Self {
        match error {
            // RFC 9449 section 7.1: that is about the token.
            ProofError::OtherKey => TokenError::OtherProofKey.into(),
            ProofError::Nonce => Self::UseDpopNonce,
            other => Self::InvalidProof(InvalidProof(other)),
        }
    }
}

impl From<TokenError> for Rejection {
    fn from(error: TokenError) -> Self {
        Self::InvalidToken(error.into())
    }
}
