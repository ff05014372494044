//! Why a token cannot be verified.

use std::fmt;

use super::json::Malformed;

/// Why a token cannot be verified. It holds nothing of the token; the caller decides what of it to show to whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// It is not three parts joined by dots, or it has no signature.
    NotCompact,
    /// Its header is longer than the caller accepts.
    HeaderTooLong,
    /// A part is not base64url without padding.
    Base64,
    /// A part is not UTF-8.
    NotUtf8,
    /// Its header is not one strict JSON object.
    Header(Malformed),
    /// A member of its header is missing, malformed or not supported.
    HeaderMember(&'static str),
    /// Its `alg` is not supported.
    UnsupportedAlgorithm,
    /// No key fits its `kid` and `alg`; newer keys may.
    UnknownKey,
    /// The keys that fit its `kid` and `alg` are of another issuer.
    OtherIssuersKey,
    /// The keys that fit its `kid` and `alg` did not sign it.
    BadSignature,
}

impl Error {
    /// A stable name of the reason.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::HeaderTooLong => "header_too_long",
            Self::NotCompact | Self::Base64 | Self::NotUtf8 => "token_malformed",
            Self::Header(_) | Self::HeaderMember(_) => "header_malformed",
            Self::UnsupportedAlgorithm => "algorithm_unsupported",
            Self::UnknownKey => "key_unknown",
            Self::OtherIssuersKey => "key_of_another_issuer",
            Self::BadSignature => "signature_invalid",
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotCompact => f.write_str("it is not a signed JWT of three parts"),
            Self::HeaderTooLong => f.write_str("its header is longer than is accepted"),
            Self::Base64 => f.write_str("a part of it is not base64url without padding"),
            Self::NotUtf8 => f.write_str("a part of it is not UTF-8"),
            Self::Header(how) => write!(f, "its header {}", how.describe()),
            Self::HeaderMember(name) => write!(f, "{name}: is missing, malformed or not supported"),
            Self::UnsupportedAlgorithm => f.write_str("alg: is not supported"),
            Self::UnknownKey => f.write_str("no key fits its kid and alg"),
            Self::OtherIssuersKey => f.write_str("the key it names is of another issuer"),
            Self::BadSignature => f.write_str("its signature is not by the key it names"),
        }
    }
}

impl std::error::Error for Error {}
