//! What can be wrong with a proof: one variant for each check.

use std::fmt;

use oauth_client::jose::{Error, UnusableKey};

use crate::json::Malformed;

/// Why a proof is not accepted, in the order of the checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProofError {
    Missing,
    TooLong,
    /// No compact JWS, or a malformed header.
    Malformed(Error),
    WrongType,
    AlgorithmNotAllowed,
    /// `jwk` is missing.
    NoKey,
    Key(UnusableKey),
    /// The token is bound to another key.
    OtherKey,
    Claims(Malformed),
    /// A claim is missing or of the wrong type.
    Claim(&'static str),
    OtherToken,
    OtherMethod,
    OtherUrl,
    TooOld,
    FromTheFuture,
    Nonce,
    BadSignature,
    Replayed,
}

impl ProofError {
    pub(crate) fn code(self) -> &'static str {
        match self {
            Self::Missing => "proof_missing",
            Self::TooLong => "proof_too_long",
            Self::Malformed(_) => "proof_malformed",
            Self::WrongType => "proof_type_mismatch",
            Self::AlgorithmNotAllowed => "proof_algorithm_not_allowed",
            Self::NoKey | Self::Key(_) => "proof_key_unusable",
            Self::OtherKey => "proof_key_mismatch",
            Self::Claims(_) | Self::Claim(_) => "proof_claim_missing_or_malformed",
            Self::OtherToken => "proof_ath_mismatch",
            Self::OtherMethod => "proof_htm_mismatch",
            Self::OtherUrl => "proof_htu_mismatch",
            Self::TooOld => "proof_too_old",
            Self::FromTheFuture => "proof_from_the_future",
            Self::Nonce => "proof_nonce_missing_or_stale",
            Self::BadSignature => "proof_signature_invalid",
            Self::Replayed => "proof_replayed",
        }
    }
}

impl fmt::Display for ProofError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("the token is bound to a key, and the request has no DPoP header"),
            Self::TooLong => f.write_str("the proof is longer than 8,192 bytes"),
            Self::Malformed(error) => write!(f, "the proof is malformed: {error}"),
            Self::WrongType => f.write_str("the proof's typ is not dpop+jwt"),
            Self::AlgorithmNotAllowed => f.write_str("the proof's alg is not one of the allowed algorithms"),
            Self::NoKey => f.write_str("the proof's header has no jwk"),
            Self::Key(why) => write!(f, "the proof's jwk is of no use: {why}"),
            Self::OtherKey => f.write_str("the token is bound to another key than the proof's (cnf.jkt)"),
            Self::Claims(how) => write!(f, "the proof's payload {}", how.describe()),
            Self::Claim(name) => write!(f, "the proof's `{name}` is missing or of the wrong type"),
            Self::OtherToken => f.write_str("the proof's ath is not the hash of this token"),
            Self::OtherMethod => f.write_str("the proof's htm is another method"),
            Self::OtherUrl => f.write_str("the proof's htu is another URL than the one that was called"),
            Self::TooOld => f.write_str("the proof's iat is older than max_age_seconds"),
            Self::FromTheFuture => f.write_str("the proof's iat is more than 5 seconds ahead"),
            Self::Nonce => f.write_str("the proof has no nonce of this guard's that is still good"),
            Self::BadSignature => f.write_str("the proof's signature is not by the key in its header"),
            Self::Replayed => f.write_str("the proof was used before"),
        }
    }
}

impl From<Error> for ProofError {
    fn from(error: Error) -> Self {
        match error {
            // HMAC has no public key (RFC 9449 section 4.3, check 5), `none` has no key at all.
            Error::UnsupportedAlgorithm => Self::AlgorithmNotAllowed,
            Error::HeaderTooLong => Self::TooLong,
            Error::BadSignature => Self::BadSignature,
            other => Self::Malformed(other),
        }
    }
}
