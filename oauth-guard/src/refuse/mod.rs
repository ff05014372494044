//! Step 8: or say no. One [`Refusal`], said in HTTP or in gRPC.
//!
//! The caller is told the RFC 6750 error code and nothing about which check failed; the reason goes to the
//! operator, as a tracing event.

pub(crate) mod grpc;
mod hook;
pub(crate) mod http;
pub(crate) mod log;

use std::fmt;
use std::time::Duration;

pub use self::hook::AnswerBody;
pub(crate) use self::hook::Hook;
use crate::json::Malformed;

/// Why a request is not let through, ordered by whose fault it is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// The caller's: no credentials, or another scheme's (RFC 6750 §3: a challenge without an error code).
    MissingToken,
    /// The caller's: the request is malformed, and how.
    MalformedRequest(&'static str),
    /// The caller's: the token is no good.
    InvalidToken(InvalidToken),
    /// The caller's: the token is good and grants too little.
    InsufficientScope {
        /// The scopes that this request needs, as a space-separated list. Empty when it is not about scopes.
        needed: Box<str>,
    },
    /// The caller's: the token is good and grants enough, and the user's login is too weak or too long ago (RFC 9470).
    InsufficientAuthentication {
        /// The kinds of login that are enough, as a space-separated list in order of preference. Empty when it is not
        /// about the kind.
        acr_values: Box<str>,
        /// How long ago the login may be, in whole seconds. `None` when it is not about the time.
        max_age: Option<Duration>,
    },
    /// The authorization server's or the network's: there are no keys to check the token with.
    KeysUnavailable {
        /// When to try again.
        retry_after: Duration,
    },
    /// Ours: a handler asks for claims where no guard is in front.
    NotGuarded,
}

impl Refusal {
    /// A stable name for metrics, logs and tests: the RFC 6750 error code where there is one.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::MissingToken => "missing_token",
            Self::MalformedRequest(_) => "invalid_request",
            Self::InvalidToken(_) => "invalid_token",
            Self::InsufficientScope { .. } => "insufficient_scope",
            Self::InsufficientAuthentication { .. } => "insufficient_user_authentication",
            Self::KeysUnavailable { .. } => "keys_unavailable",
            Self::NotGuarded => "not_guarded",
        }
    }

    /// A stable name for the precise reason, for the operator's eyes only.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::InvalidToken(invalid) => invalid.flaw.code(),
            other => other.code(),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MissingToken => f.write_str("the request has no bearer token"),
            Self::MalformedRequest(how) => f.write_str(how),
            Self::InvalidToken(invalid) => invalid.fmt(f),
            Self::InsufficientScope { .. } => f.write_str("the token does not grant what this request needs"),
            Self::InsufficientAuthentication { .. } => {
                f.write_str("the user's login is too weak or too long ago for this request")
            }
            Self::KeysUnavailable { .. } => f.write_str("the keys to check the token with could not be had"),
            Self::NotGuarded => f.write_str("a handler asks for claims on a route that no GuardLayer covers"),
        }
    }
}

impl std::error::Error for Refusal {}

impl From<Flaw> for Refusal {
    fn from(flaw: Flaw) -> Self {
        Self::InvalidToken(InvalidToken { flaw })
    }
}

/// What is wrong with a token. Its `Display` is for the operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidToken {
    flaw: Flaw,
}

impl fmt::Display for InvalidToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.flaw {
            Flaw::TooLong => f.write_str("the token is longer than is accepted"),
            Flaw::NotACompactJws => f.write_str("the token is not three parts joined by dots"),
            Flaw::HeaderTooLong => f.write_str("the token's header is longer than is accepted"),
            Flaw::Base64 => f.write_str("a part of the token is not base64url without padding"),
            Flaw::NotUtf8 => f.write_str("a part of the token is not UTF-8"),
            Flaw::Header(how) => write!(f, "the token's header {}", how.describe()),
            Flaw::HeaderMember(name) => {
                write!(f, "the header's `{name}` is missing, malformed or not supported")
            }
            Flaw::UnknownAlgorithm => f.write_str("the token's alg is none that is supported"),
            Flaw::AlgorithmNotAllowed => f.write_str("the token's alg is not among the issuer's algorithms"),
            Flaw::Claims(how) => write!(f, "the token's payload {}", how.describe()),
            Flaw::Claim(name) => write!(f, "the claim `{name}` is missing or of the wrong type"),
            Flaw::UnknownIssuer => f.write_str("the token's iss is none of the configured issuers"),
            Flaw::WrongType => f.write_str("the token's typ is not that of an access token"),
            Flaw::WrongAudience => f.write_str("the token's aud does not name this service"),
            Flaw::Expired => f.write_str("the token has expired"),
            Flaw::NotYetValid => f.write_str("the token is not valid yet: nbf or iat is in the future"),
            Flaw::TooOld => f.write_str("the token was issued longer ago than max_token_age allows"),
            Flaw::WrongClient => f.write_str("the token's client is not among those allowed"),
            Flaw::BoundToKey => {
                f.write_str("the token is bound to a key (cnf), and no proof of it can be checked")
            }
            Flaw::UnknownKey => f.write_str("the issuer has no key that fits the token's kid and alg"),
            Flaw::BadSignature => f.write_str("the signature is not by the issuer's key"),
            Flaw::CustomClaims => f.write_str("the claims do not fit the type they are to be read as"),
        }
    }
}

/// The reasons, one for each check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    TooLong,
    NotACompactJws,
    HeaderTooLong,
    Base64,
    NotUtf8,
    Header(Malformed),
    HeaderMember(&'static str),
    UnknownAlgorithm,
    AlgorithmNotAllowed,
    Claims(Malformed),
    Claim(&'static str),
    UnknownIssuer,
    WrongType,
    WrongAudience,
    Expired,
    NotYetValid,
    TooOld,
    WrongClient,
    BoundToKey,
    UnknownKey,
    BadSignature,
    CustomClaims,
}

impl Flaw {
    pub(crate) fn code(self) -> &'static str {
        match self {
            Self::TooLong | Self::HeaderTooLong => "token_too_long",
            Self::NotACompactJws | Self::Base64 | Self::NotUtf8 => "token_malformed",
            Self::Header(_) | Self::HeaderMember(_) => "header_malformed",
            Self::UnknownAlgorithm => "algorithm_unsupported",
            Self::AlgorithmNotAllowed => "algorithm_not_allowed",
            Self::Claims(_) => "claims_malformed",
            Self::Claim(_) => "claim_missing_or_malformed",
            Self::UnknownIssuer => "issuer_unknown",
            Self::WrongType => "type_mismatch",
            Self::WrongAudience => "audience_mismatch",
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::TooOld => "too_old",
            Self::WrongClient => "client_not_allowed",
            Self::BoundToKey => "bound_to_key",
            Self::UnknownKey => "key_unknown",
            Self::BadSignature => "signature_invalid",
            Self::CustomClaims => "claims_do_not_fit",
        }
    }
}
