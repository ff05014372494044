//! Step 3 and the signature: what the guard asks of the shared reader of signed tokens.

pub(crate) mod algorithm;

use std::sync::Arc;

pub(crate) use oauth_client::jose::{
    CompactJws, Header, Issued, Scratch, TENANT, Typ, by_name, decode_base64url, has_hole,
    is_for_some_tenant, json,
};
use oauth_client::jose::{Error, KeySet, VerifyingKey};

pub use self::algorithm::Algorithm;
use crate::defaults::HEADER_BYTES;
use crate::error::TokenError;

/// A token in its three parts.
pub(crate) fn split(token: &str) -> Result<CompactJws<'_>, TokenError> {
    Ok(CompactJws::split(token, HEADER_BYTES)?)
}

/// The header, with an algorithm that a guard supports.
pub(crate) fn read_header<'a>(
    token: &CompactJws<'_>,
    scratch: &'a mut Scratch,
) -> Result<Header<'a>, TokenError> {
    let header = Header::read(token.header, scratch)?;
    if algorithm::is_supported(header.algorithm) { Ok(header) } else { Err(TokenError::UnknownAlgorithm) }
}

/// The key that signed the token.
///
/// # Errors
/// [`TokenError::UnknownKey`] when none fits the header, in which case a newer key set may help;
/// [`TokenError::OtherIssuersKey`] when those that fit belong to another issuer, [`TokenError::BadSignature`] when those that fit did not sign it.
pub(crate) fn signed_by(
    keys: &KeySet,
    header: &Header<'_>,
    token: &CompactJws<'_>,
    issued: Issued<'_>,
) -> Result<Arc<VerifyingKey>, TokenError> {
    Ok(keys.verify(header, token, issued)?)
}

impl From<Error> for TokenError {
    fn from(error: Error) -> Self {
        match error {
            Error::NotCompact => Self::NotACompactJws,
            Error::HeaderTooLong => Self::HeaderTooLong,
            Error::Base64 => Self::Base64,
            Error::NotUtf8 => Self::NotUtf8,
            Error::Header(how) => Self::Header(how),
            Error::HeaderMember(name) => Self::HeaderMember(name),
            Error::UnsupportedAlgorithm => Self::UnknownAlgorithm,
            Error::UnknownKey => Self::UnknownKey,
            Error::OtherIssuersKey => Self::OtherIssuersKey,
            Error::BadSignature => Self::BadSignature,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_algorithm_that_only_clients_know_is_unsupported() {
        // {"alg":"ES512"}, {"alg":"ES256"}
        for (token, supported) in
            [("eyJhbGciOiJFUzUxMiJ9.e30.AA", false), ("eyJhbGciOiJFUzI1NiJ9.e30.AA", true)]
        {
            let token = split(token).unwrap();
            let mut scratch = Scratch::new();
            let header = read_header(&token, &mut scratch);
            assert_eq!(header.is_ok(), supported, "{header:?}");
            assert!(supported || header.unwrap_err().code() == "algorithm_unsupported");
        }
    }
}
