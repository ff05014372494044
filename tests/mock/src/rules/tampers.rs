//! Responses that are tampered with in one point, which a client or a resource server must notice.

use std::sync::{Mutex, PoisonError};

use crate::server::MockServer;

/// One thing wrong with what a user brings back, with an ID token, with userinfo or with what introspection says of an
/// active token.
///
/// ```
/// use oauth_mock::{Tamper, MockServer};
///
/// let server = MockServer::builder().in_process();
/// server.tamper(Tamper::IssWrong).times(1); // the next authorization response names another issuer
/// server.tamper(Tamper::IdTokenExpired).always();
/// server.clear_faults();
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Tamper {
    /// The authorization response has another `iss` (RFC 9207 section 2.4).
    IssWrong,
    /// The authorization response has no `iss`, although the metadata promises one.
    IssMissing,
    /// The authorization response has another `state` (RFC 6749 section 10.12).
    StateWrong,
    /// The authorization response has no `state`.
    StateMissing,
    /// The authorization response has two codes (RFC 6749 section 3.1 forbids it).
    CodeTwice,
    /// The authorization response has neither code nor error.
    CodeMissing,
    /// The authorization response has an error beside the code.
    CodeWithError,
    /// No ID token comes, although the scope has `openid`.
    IdTokenMissing,
    /// The ID token has another `iss` (OpenID Connect Core section 3.1.3.7, point 2).
    IdTokenIssuer,
    /// The ID token is for another client (point 3).
    IdTokenAudience,
    /// The ID token is for a second client as well, which this one does not know (point 3).
    IdTokenSecondAudience,
    /// The ID token names another client in `azp` (point 5).
    IdTokenAuthorizedParty,
    /// The ID token's signature is by a key that is not published (point 6).
    IdTokenKey,
    /// The ID token was changed after it was signed (point 6).
    IdTokenSignature,
    /// The ID token has the algorithm `none` and no signature (points 6 and 7).
    IdTokenUnsigned,
    /// The ID token has expired (point 9).
    IdTokenExpired,
    /// The ID token was issued an hour from now (point 10).
    IdTokenFuture,
    /// The ID token has another `nonce` (point 11).
    IdTokenNonce,
    /// The ID token has no `nonce` (point 11).
    IdTokenNonceMissing,
    /// The ID token has another `acr` (point 12).
    IdTokenAcr,
    /// The ID token names a login a day ago (point 13).
    IdTokenAuthTime,
    /// The ID token has another `at_hash` (section 3.1.3.8).
    IdTokenHash,
    /// The ID token has no `sub` (section 2).
    IdTokenSubjectMissing,
    /// Userinfo is about another user (section 5.3.2).
    UserinfoSubject,
    /// The introspection response has `active` as a string (RFC 7662 section 2.2).
    IntrospectionActiveText,
    /// The introspection response has no `active`.
    IntrospectionActiveMissing,
    /// The introspection response is about a token that expired an hour ago.
    IntrospectionExpired,
    /// The introspection response is about a token that is valid in an hour (`nbf`).
    IntrospectionFuture,
    /// The introspection response has another `iss`.
    IntrospectionIssuer,
    /// The introspection response has another `aud`.
    IntrospectionAudience,
    /// The introspection response has a `cnf`: the token is bound to a key (RFC 9449 section 6.2).
    IntrospectionBound,
    /// The introspection response has `scope` as a list, as some servers do.
    IntrospectionScopeList,
    /// The introspection response has another `token_type`.
    IntrospectionTokenType,
    /// The introspection response has `active` twice, first `false` and then `true`.
    IntrospectionDuplicate,
    /// The introspection response is plain JSON, although a signed one was asked for (RFC 9701 section 4).
    IntrospectionUnsigned,
    /// The signed introspection response has the type `JWT` (RFC 9701 section 5).
    IntrospectionJwtType,
    /// The signed introspection response has another `iss`.
    IntrospectionJwtIssuer,
    /// The signed introspection response is for another client.
    IntrospectionJwtAudience,
    /// The signed introspection response's signature is by a key that is not published.
    IntrospectionJwtKey,
    /// The signed introspection response was changed after it was signed.
    IntrospectionJwtSignature,
    /// The signed introspection response says at the top what belongs into `token_introspection`.
    IntrospectionJwtMember,
}

impl Tamper {
    /// All of them.
    pub const ALL: &[Self] = &[
        Self::IssWrong,
        Self::IssMissing,
        Self::StateWrong,
        Self::StateMissing,
        Self::CodeTwice,
        Self::CodeMissing,
        Self::CodeWithError,
        Self::IdTokenMissing,
        Self::IdTokenIssuer,
        Self::IdTokenAudience,
        Self::IdTokenSecondAudience,
        Self::IdTokenAuthorizedParty,
        Self::IdTokenKey,
        Self::IdTokenSignature,
        Self::IdTokenUnsigned,
        Self::IdTokenExpired,
        Self::IdTokenFuture,
        Self::IdTokenNonce,
        Self::IdTokenNonceMissing,
        Self::IdTokenAcr,
        Self::IdTokenAuthTime,
        Self::IdTokenHash,
        Self::IdTokenSubjectMissing,
        Self::UserinfoSubject,
        Self::IntrospectionActiveText,
        Self::IntrospectionActiveMissing,
        Self::IntrospectionExpired,
        Self::IntrospectionFuture,
        Self::IntrospectionIssuer,
        Self::IntrospectionAudience,
        Self::IntrospectionBound,
        Self::IntrospectionScopeList,
        Self::IntrospectionTokenType,
        Self::IntrospectionDuplicate,
        Self::IntrospectionUnsigned,
        Self::IntrospectionJwtType,
        Self::IntrospectionJwtIssuer,
        Self::IntrospectionJwtAudience,
        Self::IntrospectionJwtKey,
        Self::IntrospectionJwtSignature,
        Self::IntrospectionJwtMember,
    ];

    /// Its name in configurations and on the control port.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::IssWrong => "iss_wrong",
            Self::IssMissing => "iss_missing",
            Self::StateWrong => "state_wrong",
            Self::StateMissing => "state_missing",
            Self::CodeTwice => "code_twice",
            Self::CodeMissing => "code_missing",
            Self::CodeWithError => "code_with_error",
            Self::IdTokenMissing => "id_token_missing",
            Self::IdTokenIssuer => "id_token_issuer",
            Self::IdTokenAudience => "id_token_audience",
            Self::IdTokenSecondAudience => "id_token_second_audience",
            Self::IdTokenAuthorizedParty => "id_token_authorized_party",
            Self::IdTokenKey => "id_token_key",
            Self::IdTokenSignature => "id_token_signature",
            Self::IdTokenUnsigned => "id_token_unsigned",
            Self::IdTokenExpired => "id_token_expired",
            Self::IdTokenFuture => "id_token_future",
            Self::IdTokenNonce => "id_token_nonce",
            Self::IdTokenNonceMissing => "id_token_nonce_missing",
            Self::IdTokenAcr => "id_token_acr",
            Self::IdTokenAuthTime => "id_token_auth_time",
            Self::IdTokenHash => "id_token_hash",
            Self::IdTokenSubjectMissing => "id_token_subject_missing",
            Self::UserinfoSubject => "userinfo_subject",
            Self::IntrospectionActiveText => "introspection_active_text",
            Self::IntrospectionActiveMissing => "introspection_active_missing",
            Self::IntrospectionExpired => "introspection_expired",
            Self::IntrospectionFuture => "introspection_future",
            Self::IntrospectionIssuer => "introspection_issuer",
            Self::IntrospectionAudience => "introspection_audience",
            Self::IntrospectionBound => "introspection_bound",
            Self::IntrospectionScopeList => "introspection_scope_list",
            Self::IntrospectionTokenType => "introspection_token_type",
            Self::IntrospectionDuplicate => "introspection_duplicate",
            Self::IntrospectionUnsigned => "introspection_unsigned",
            Self::IntrospectionJwtType => "introspection_jwt_type",
            Self::IntrospectionJwtIssuer => "introspection_jwt_issuer",
            Self::IntrospectionJwtAudience => "introspection_jwt_audience",
            Self::IntrospectionJwtKey => "introspection_jwt_key",
            Self::IntrospectionJwtSignature => "introspection_jwt_signature",
            Self::IntrospectionJwtMember => "introspection_jwt_member",
        }
    }

    /// The tamper of this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|tamper| tamper.as_str() == name)
    }
}

/// A tamper without a count: nothing happens before one of these methods is called.
#[derive(Debug)]
#[must_use = "say how often: `.times(n)` or `.always()`"]
pub struct TamperScript<'a> {
    server: &'a MockServer,
    tamper: Tamper,
}

impl<'a> TamperScript<'a> {
    pub(crate) fn new(server: &'a MockServer, tamper: Tamper) -> Self {
        Self { server, tamper }
    }

    /// Tampers with the next `n` responses of the kind.
    pub fn times(self, n: usize) {
        self.server.tampers().add(self.tamper, Some(n));
    }

    /// Tampers with every response of the kind until [`MockServer::clear_faults`].
    pub fn always(self) {
        self.server.tampers().add(self.tamper, None);
    }
}

/// The tampers of one server, and how often each still applies.
#[derive(Debug, Default)]
pub(crate) struct Tampers(Mutex<Vec<(Tamper, Option<usize>)>>);

impl Tampers {
    pub(crate) fn new(tampers: &[(Tamper, Option<usize>)]) -> Self {
        Self(Mutex::new(tampers.to_vec()))
    }

    /// These, and no others.
    pub(crate) fn reset(&self, tampers: &[(Tamper, Option<usize>)]) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = tampers.to_vec();
    }

    /// Those still active, and how often each still applies.
    pub(crate) fn list(&self) -> Vec<(Tamper, Option<usize>)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether this response is tampered with so. Every call counts as one response.
    pub(crate) fn shows(&self, tamper: Tamper) -> bool {
        let mut tampers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(at) = tampers.iter().position(|(known, _)| *known == tamper) else { return false };
        match &mut tampers[at].1 {
            None => true,
            Some(left) if *left > 1 => {
                *left -= 1;
                true
            }
            Some(left) => {
                let shows = *left == 1;
                tampers.remove(at);
                shows
            }
        }
    }

    pub(crate) fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    pub(crate) fn add(&self, tamper: Tamper, times: Option<usize>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push((tamper, times));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tamper_applies_as_often_as_configured() {
        let tampers = Tampers::default();
        tampers.add(Tamper::IssWrong, Some(2));
        tampers.add(Tamper::IssWrong, Some(0));
        assert_eq!([(); 4].map(|()| tampers.shows(Tamper::IssWrong)), [true, true, false, false]);
        tampers.add(Tamper::IssWrong, None);
        assert!(
            tampers.shows(Tamper::IssWrong)
                && tampers.shows(Tamper::IssWrong)
                && !tampers.shows(Tamper::IssMissing)
        );
        tampers.clear();
        assert!(!tampers.shows(Tamper::IssWrong));
    }

    #[test]
    fn every_tamper_is_found_by_its_name() {
        for tamper in Tamper::ALL {
            assert_eq!(Tamper::parse(tamper.as_str()), Some(*tamper));
        }
        assert_eq!(Tamper::parse("none"), None);
    }
}
