//! What a caller may read of a rejection.

use super::rejection::{Rejection, RequiredBinding};

impl Rejection {
    /// What happened, in a sentence that is safe to send to the caller: for bodies of your own. It says what the standard's
    /// error code says and the caller's own request shows, and never which check a token or a proof failed, nor anything
    /// of the configuration. The `Display` of a rejection and its [`reason`](Self::reason) are for the operator.
    ///
    /// The guard's own responses have it as `error_description`, in the JSON body and where RFC 6750 has one in the
    /// challenge; over gRPC it is the `grpc-message`.
    ///
    /// ```
    /// use oauth_guard::{Rejection, RejectionBody};
    ///
    /// fn page(rejection: &Rejection) -> RejectionBody {
    ///     RejectionBody::text(format!("{}: {}", rejection.code(), rejection.public_message()))
    /// }
    /// # page(&Rejection::MissingToken);
    /// assert_eq!(Rejection::MissingToken.public_message(), "the request has no access token");
    /// ```
    #[must_use]
    pub fn public_message(&self) -> &'static str {
        match self {
            Self::MissingToken | Self::MissingBoundToken => "the request has no access token",
            Self::MalformedRequest(how) => how,
            Self::InvalidToken(_) => "the access token is not valid",
            Self::InvalidProof(_) => "the DPoP proof is missing or not valid",
            Self::UseDpopNonce => "the DPoP proof needs the nonce in DPoP-Nonce",
            Self::TokenNotBound(RequiredBinding::Key) => "the access token has to be bound to a key",
            Self::TokenNotBound(RequiredBinding::Certificate) => {
                "the access token has to be bound to a client certificate"
            }
            Self::InsufficientScope { .. } => "the access token does not grant what this request needs",
            Self::NoRule => "no rule allows this request",
            Self::InsufficientAuthentication { .. } => "the request needs a stronger or more recent login",
            Self::OriginNotAllowed => "pages of this origin may not send this request",
            Self::KeysUnavailable { .. }
            | Self::IntrospectionUnavailable { .. }
            | Self::RevocationsUnavailable { .. }
            | Self::ReplayUnavailable { .. } => "the access token cannot be checked at the moment",
            Self::NotGuarded | Self::UncheckedBody => "the request cannot be handled",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::error::TokenError;
    use crate::possession::ProofError;
    use crate::reject::{Challenge, grpc, http as over_http};

    /// Every reason that is not the caller's to know.
    fn secret_reasons() -> Vec<Rejection> {
        use TokenError as Token;
        let tokens = [
            Token::TooLong,
            Token::NotACompactJws,
            Token::HeaderTooLong,
            Token::Base64,
            Token::NotUtf8,
            Token::HeaderMember("crit"),
            Token::UnknownAlgorithm,
            Token::AlgorithmNotAllowed,
            Token::Claim("sub"),
            Token::UnknownIssuer,
            Token::WrongType,
            Token::WrongAudience,
            Token::Expired,
            Token::NotYetValid,
            Token::TooOld,
            Token::WrongClient,
            Token::RequiredClaim,
            Token::BoundToKey,
            Token::OtherScheme,
            Token::OtherProofKey,
            Token::OtherCertificate,
            Token::UnknownKey,
            Token::OtherIssuersKey,
            Token::BadSignature,
            Token::CustomClaims,
            Token::Inactive,
            Token::Contradicted,
            Token::Revoked,
        ];
        let proofs = [
            ProofError::Missing,
            ProofError::TooLong,
            ProofError::WrongType,
            ProofError::AlgorithmNotAllowed,
            ProofError::NoKey,
            ProofError::Claim("htu"),
            ProofError::OtherToken,
            ProofError::OtherMethod,
            ProofError::OtherUrl,
            ProofError::TooOld,
            ProofError::FromTheFuture,
            ProofError::BadSignature,
            ProofError::Replayed,
        ];
        let mut all: Vec<_> = tokens.into_iter().map(Rejection::from).collect();
        all.extend(proofs.into_iter().map(Rejection::from));
        let retry_after = Duration::from_secs(1);
        all.extend([
            Rejection::NoRule,
            Rejection::KeysUnavailable { retry_after },
            Rejection::IntrospectionUnavailable { retry_after },
            Rejection::RevocationsUnavailable { retry_after },
            Rejection::ReplayUnavailable { retry_after },
            Rejection::NotGuarded,
            Rejection::UncheckedBody,
            Rejection::OriginNotAllowed,
        ]);
        all
    }

    #[test]
    fn no_reason_and_no_text_for_the_operator_is_in_what_callers_get() {
        for rejection in secret_reasons() {
            let challenge = Challenge::default();
            let over_http = over_http::response(&rejection, &challenge, false);
            let over_grpc = grpc::response(&rejection, &challenge, false);
            let sent = format!(
                "{} {:?} {:?} {:?} {:?}",
                rejection.public_message(),
                over_http.headers(),
                over_http.body(),
                over_grpc.headers(),
                over_grpc.body()
            );
            assert!(!sent.contains(&rejection.to_string()), "{rejection:?}: {sent}");
            if rejection.reason() != rejection.code() {
                assert!(!sent.contains(rejection.reason()), "{rejection:?}: {sent}");
            }
        }
    }

    #[test]
    fn every_default_response_says_what_callers_may_read() {
        let mut all = secret_reasons();
        all.extend([
            Rejection::MissingToken,
            Rejection::MissingBoundToken,
            Rejection::MalformedRequest("the request has two access tokens"),
            Rejection::UseDpopNonce,
            Rejection::TokenNotBound(RequiredBinding::Key),
            Rejection::TokenNotBound(RequiredBinding::Certificate),
            Rejection::InsufficientScope { needed: "orders:read".into() },
            Rejection::InsufficientAuthentication { acr_values: "phr".into(), max_age: None },
        ]);
        for rejection in all {
            let challenge = Challenge::default();
            let (over_http, over_grpc) = (
                over_http::response(&rejection, &challenge, false),
                grpc::response(&rejection, &challenge, false),
            );
            let body: serde_json::Value = serde_json::from_slice(over_http.body()).unwrap();
            let expected = serde_json::json!({
                "error": rejection.code(), "error_description": rejection.public_message(),
            });
            assert_eq!(body, expected);
            // The gRPC specification escapes with percent signs whatever is no printable ASCII.
            let message = rejection.public_message();
            assert!(message.bytes().all(|byte| (b' '..=b'~').contains(&byte) && byte != b'%'), "{message}");
            assert_eq!(over_grpc.headers()["grpc-message"], message);
        }
    }

    #[test]
    fn all_invalid_tokens_read_the_same_and_so_do_all_invalid_proofs() {
        for rejection in secret_reasons() {
            let expected = match rejection {
                Rejection::InvalidToken(_) => "the access token is not valid",
                Rejection::InvalidProof(_) => "the DPoP proof is missing or not valid",
                _ => continue,
            };
            assert_eq!(rejection.public_message(), expected, "{rejection:?}");
        }
    }
}
