//! The caller's token, for handlers that call other APIs on the caller's behalf.

use std::fmt;
use std::time::Duration;

use http::Extensions;
use oauth_client::Secret;
use oauth_client::grant::TokenExchange;
use oauth_client::token::TokenType;

/// The token of a request, from a guard whose layer [hands it on](crate::GuardLayer::with_subject_token): in the
/// request's extensions and, with the feature `axum`, an extractor.
///
/// It is validated, and cannot be printed. An [`Exchanger`](oauth_client::source::Exchanger) takes it as it is, and
/// keeps the tokens that it is exchanged for (RFC 8693) no longer than it is valid itself:
///
/// ```
/// # use oauth_client::{Error, TokenSource, source::Exchanger};
/// use oauth_guard::SubjectToken;
///
/// fn on_behalf_of_the_caller(exchanger: &Exchanger, caller: &SubjectToken) -> Result<TokenSource, Error> {
///     exchanger.source(caller)
/// }
/// ```
#[derive(Clone)]
pub struct SubjectToken {
    token: Secret,
    expires_at: Duration,
}

impl SubjectToken {
    pub(crate) fn new(token: &str, expires_at: u64) -> Self {
        Self { token: Secret::from(token), expires_at: Duration::from_secs(expires_at) }
    }

    /// The token itself.
    #[must_use]
    pub fn secret(&self) -> &Secret {
        &self.token
    }

    /// When it expires, as Unix time; of an introspected token without `exp`, when its server is asked again.
    #[must_use]
    pub fn expires_at(&self) -> Duration {
        self.expires_at
    }
}

/// An access token, to be exchanged (RFC 8693 section 2.1).
impl From<&SubjectToken> for TokenExchange {
    fn from(subject: &SubjectToken) -> Self {
        Self::new(subject.token.clone(), TokenType::AccessToken).expires_at(subject.expires_at)
    }
}

impl From<SubjectToken> for TokenExchange {
    fn from(subject: SubjectToken) -> Self {
        Self::from(&subject)
    }
}

impl fmt::Debug for SubjectToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SubjectToken")
            .field("token", &self.token)
            .field("expires_at", &self.expires_at)
            .finish()
    }
}

/// Hands it on, or takes away what a guard further out has handed on.
pub(crate) fn hand_on(extensions: &mut Extensions, subject: Option<SubjectToken>) {
    match subject {
        Some(subject) => drop(extensions.insert(subject)),
        None => drop(extensions.remove::<SubjectToken>()),
    }
}
