//! Answers that are wrong in one point, which a client must notice.

use std::sync::{Mutex, PoisonError};

use crate::server::MockServer;

/// One thing wrong with what a user brings back, with an ID token or with userinfo.
///
/// ```
/// use oauth_mock::{Flaw, MockServer};
///
/// let server = MockServer::builder().in_process();
/// server.spoil(Flaw::IssWrong).times(1); // the next authorization response names another issuer
/// server.spoil(Flaw::IdTokenExpired).always();
/// server.clear_faults();
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Flaw {
    /// The authorization response has another `iss` (RFC 9207 §2.4).
    IssWrong,
    /// The authorization response has no `iss`, although the metadata promises one.
    IssMissing,
    /// The authorization response has another `state` (RFC 6749 §10.12).
    StateWrong,
    /// The authorization response has no `state`.
    StateMissing,
    /// The authorization response has two codes (RFC 6749 §3.1 forbids it).
    CodeTwice,
    /// The authorization response has neither code nor error.
    CodeMissing,
    /// The authorization response has an error beside the code.
    CodeWithError,
    /// No ID token comes, although the scope has `openid`.
    IdTokenMissing,
    /// The ID token has another `iss` (OpenID Connect Core §3.1.3.7, point 2).
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
    /// The ID token tells of a login a day ago (point 13).
    IdTokenAuthTime,
    /// The ID token has another `at_hash` (§3.1.3.8).
    IdTokenHash,
    /// The ID token has no `sub` (§2).
    IdTokenSubjectMissing,
    /// Userinfo is about somebody else (§5.3.2).
    UserinfoSubject,
}

impl Flaw {
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
        }
    }

    /// The flaw of this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|flaw| flaw.as_str() == name)
    }
}

/// A flaw waiting to be told how often: nothing happens before one of these methods is called.
#[derive(Debug)]
#[must_use = "say how often: `.times(n)` or `.always()`"]
pub struct FlawScript<'a> {
    server: &'a MockServer,
    flaw: Flaw,
}

impl<'a> FlawScript<'a> {
    pub(crate) fn new(server: &'a MockServer, flaw: Flaw) -> Self {
        Self { server, flaw }
    }

    /// Spoils the next `n` answers of the kind.
    pub fn times(self, n: usize) {
        self.server.flaws().add(self.flaw, Some(n));
    }

    /// Spoils every answer of the kind until [`MockServer::clear_faults`].
    pub fn always(self) {
        self.server.flaws().add(self.flaw, None);
    }
}

/// The flaws of one server, and how often each still shows.
#[derive(Debug, Default)]
pub(crate) struct Flaws(Mutex<Vec<(Flaw, Option<usize>)>>);

impl Flaws {
    pub(crate) fn new(flaws: &[(Flaw, Option<usize>)]) -> Self {
        Self(Mutex::new(flaws.to_vec()))
    }

    /// These, and no others.
    pub(crate) fn reset(&self, flaws: &[(Flaw, Option<usize>)]) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = flaws.to_vec();
    }

    /// Those that still show, and how often.
    pub(crate) fn list(&self) -> Vec<(Flaw, Option<usize>)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether this answer has this flaw. Every call counts as one answer.
    pub(crate) fn shows(&self, flaw: Flaw) -> bool {
        let mut flaws = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(at) = flaws.iter().position(|(known, _)| *known == flaw) else { return false };
        match &mut flaws[at].1 {
            None => true,
            Some(left) if *left > 1 => {
                *left -= 1;
                true
            }
            Some(left) => {
                let shows = *left == 1;
                flaws.remove(at);
                shows
            }
        }
    }

    pub(crate) fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    pub(crate) fn add(&self, flaw: Flaw, times: Option<usize>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push((flaw, times));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flaw_shows_as_often_as_it_was_told_to() {
        let flaws = Flaws::default();
        flaws.add(Flaw::IssWrong, Some(2));
        flaws.add(Flaw::IssWrong, Some(0));
        assert_eq!([(); 4].map(|()| flaws.shows(Flaw::IssWrong)), [true, true, false, false]);
        flaws.add(Flaw::IssWrong, None);
        assert!(flaws.shows(Flaw::IssWrong) && flaws.shows(Flaw::IssWrong) && !flaws.shows(Flaw::IssMissing));
        flaws.clear();
        assert!(!flaws.shows(Flaw::IssWrong));
    }

    #[test]
    fn every_flaw_is_found_by_its_name() {
        for flaw in Flaw::ALL {
            assert_eq!(Flaw::parse(flaw.as_str()), Some(*flaw));
        }
        assert_eq!(Flaw::parse("none"), None);
    }
}
