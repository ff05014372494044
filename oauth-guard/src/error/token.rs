//! What can be wrong with a token: one variant for each check.

use std::fmt;

use crate::json::Malformed;

/// Why a token is invalid. Its `Display` is for the operator, never for the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidToken(TokenError);

impl InvalidToken {
    /// A stable name for the reason, see [`Rejection::reason`](crate::Rejection::reason).
    pub(crate) fn code(self) -> &'static str {
        self.0.code()
    }

    /// The claim that is missing or malformed, if that is the reason.
    pub(crate) fn claim(self) -> Option<&'static str> {
        match self.0 {
            TokenError::Claim(name) => Some(name),
            _ => None,
        }
    }
}

impl From<TokenError> for InvalidToken {
    fn from(error: TokenError) -> Self {
        Self(error)
    }
}

impl fmt::Display for InvalidToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            TokenError::TooLong => f.write_str("the token is longer than the limit"),
            TokenError::NotACompactJws => f.write_str("the token is not three parts joined by dots"),
            TokenError::HeaderTooLong => f.write_str("the token's header is longer than the limit"),
            TokenError::Base64 => f.write_str("a part of the token is not base64url without padding"),
            TokenError::NotUtf8 => f.write_str("a part of the token is not UTF-8"),
            TokenError::Header(how) => write!(f, "the token's header {}", how.describe()),
            TokenError::HeaderMember(name) => {
                write!(f, "the header's `{name}` is missing, malformed or not supported")
            }
            TokenError::UnknownAlgorithm => f.write_str("the token's alg is not supported"),
            TokenError::AlgorithmNotAllowed => {
                f.write_str("the token's alg is not one of the issuer's allowed algorithms")
            }
            TokenError::Claims(how) => write!(f, "the token's payload {}", how.describe()),
            TokenError::Claim(name) => write!(f, "the claim `{name}` is missing or of the wrong type"),
            TokenError::UnknownIssuer => f.write_str("the token's iss is not a configured issuer"),
            TokenError::WrongType => f.write_str("the token's typ is not an access token's"),
            TokenError::WrongAudience => f.write_str("the token's aud does not name this service"),
            TokenError::Expired => f.write_str("the token has expired"),
            TokenError::NotYetValid => f.write_str("the token is not valid yet: nbf or iat is in the future"),
            TokenError::TooOld => f.write_str("the token was issued longer ago than max_token_age allows"),
            TokenError::WrongClient => f.write_str("the token's client is not allowed"),
            TokenError::RequiredClaim => {
                f.write_str("a claim that the issuer's `require` names is missing or has another value")
            }
            TokenError::BoundToKey => {
                f.write_str("the token is bound to a key (cnf) in a way that this guard does not check")
            }
            TokenError::OtherScheme => {
                f.write_str("a token that is bound to a DPoP key came as Bearer, or one that is not as DPoP")
            }
            TokenError::OtherProofKey => {
                f.write_str("the proof is by another key than the one that the token is bound to (cnf.jkt)")
            }
            TokenError::OtherCertificate => f.write_str(
                "the token is bound to a certificate (cnf.x5t#S256), and the connection shows none or another",
            ),
            TokenError::UnknownKey => f.write_str("the issuer has no key that fits the token's kid and alg"),
            TokenError::OtherIssuersKey => {
                f.write_str("the token's key belongs to another issuer of the set")
            }
            TokenError::BadSignature => f.write_str("the signature does not verify with the issuer's key"),
            TokenError::Inactive => f.write_str("the authorization server says that the token is not active"),
            TokenError::Contradicted => {
                f.write_str("the introspection response is of another iss or sub than the token")
            }
            TokenError::Revoked => f.write_str("the token was revoked"),
            TokenError::CustomClaims => f.write_str("the claims do not deserialize into the configured type"),
        }
    }
}

/// The reasons, one for each check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TokenError {
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
    RequiredClaim,
    BoundToKey,
    OtherScheme,
    OtherProofKey,
    OtherCertificate,
    UnknownKey,
    OtherIssuersKey,
    BadSignature,
    CustomClaims,
    Inactive,
    Contradicted,
    Revoked,
}

impl TokenError {
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
            Self::RequiredClaim => "required_claim_mismatch",
            Self::BoundToKey => "bound_to_key",
            Self::OtherScheme => "scheme_mismatch",
            Self::OtherProofKey => "proof_key_mismatch",
            Self::OtherCertificate => "certificate_mismatch",
            Self::UnknownKey => "key_unknown",
            Self::OtherIssuersKey => "key_of_another_issuer",
            Self::BadSignature => "signature_invalid",
            Self::CustomClaims => "claims_do_not_fit",
            Self::Inactive => "token_inactive",
            Self::Contradicted => "introspection_contradicts",
            Self::Revoked => "revoked",
        }
    }
}
