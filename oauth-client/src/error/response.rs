//! What a server responded instead of what it was asked for.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use http::StatusCode;

use super::code_for_status;
use crate::dialect::Details;

/// An error response, in the terms of RFC 6749 section 5.2, and in the provider's own. Its `Display` is one sentence, and its
/// source what the server said about it.
#[derive(Clone)]
pub(crate) struct ErrorResponse {
    pub(crate) status: StatusCode,
    pub(crate) code: String,
    pub(crate) said: Said,
    /// What was asked for and refused, where the code is about that.
    pub(crate) asked: Option<String>,
    pub(crate) uri: Option<String>,
    /// The code as the provider wrote it.
    pub(crate) provider_code: Option<String>,
    /// The provider's code means "later", whatever the status.
    pub(crate) transient: bool,
    /// In whatever words: the refresh token that was sent is good no more.
    pub(crate) is_refresh_token_lost: bool,
    pub(crate) details: Option<Arc<dyn Details>>,
    /// The start of a body that has no shape we know.
    pub(crate) unrecognized: Option<String>,
}

impl ErrorResponse {
    /// An error response of which only the status is known.
    pub(crate) fn new(status: StatusCode) -> Self {
        Self {
            status,
            code: code_for_status(status),
            said: Said::default(),
            asked: None,
            uri: None,
            provider_code: None,
            transient: false,
            is_refresh_token_lost: false,
            details: None,
            unrecognized: None,
        }
    }
}

impl fmt::Display for ErrorResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the server refused: {} (HTTP {}", self.code, self.status.as_u16())?;
        let own = self.provider_code.as_ref().filter(|own| **own != self.code);
        own.iter().try_for_each(|own| write!(f, ", {own:?}"))?;
        f.write_str(")")?;
        self.asked.iter().try_for_each(|asked| write!(f, " {asked}"))
    }
}

impl fmt::Debug for ErrorResponse {
    /// Without the text of what was not recognized: who wants it asks for it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ErrorResponse")
            .field("status", &self.status)
            .field("code", &self.code)
            .field("provider_code", &self.provider_code)
            .field("description", &self.said.description)
            .field("asked", &self.asked)
            .field("uri", &self.uri)
            .field("details", &self.details)
            .finish_non_exhaustive()
    }
}

impl StdError for ErrorResponse {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.said.as_source()
    }
}

/// An error that came through the browser, so that there is no status.
#[derive(Clone, Debug)]
pub(crate) struct Denied {
    pub(crate) code: String,
    /// What was asked for and refused, where the code is about that.
    pub(crate) asked: Option<String>,
    pub(crate) said: Said,
    pub(crate) uri: Option<String>,
}

/// What is known of the reason: in the server's words, and in ours.
#[derive(Clone, Debug, Default)]
pub(crate) struct Said {
    pub(crate) description: Option<String>,
    pub(crate) hint: Option<String>,
}

impl Said {
    pub(crate) fn new(description: Option<String>) -> Self {
        Self { description, hint: None }
    }

    /// As the source of an error, where anything is known.
    pub(super) fn as_source(&self) -> Option<&(dyn StdError + 'static)> {
        (self.description.is_some() || self.hint.is_some()).then_some(self)
    }
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts = [self.description.as_deref(), self.hint.as_deref()];
        for (n, text) in texts.into_iter().flatten().enumerate() {
            write!(f, "{}{text}", if n == 0 { "" } else { "; " })?;
        }
        Ok(())
    }
}

impl StdError for Said {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Error, Kind};

    fn refused() -> ErrorResponse {
        let said =
            Said { description: Some("svc is disabled".to_owned()), hint: Some("ask for it".to_owned()) };
        ErrorResponse {
            said,
            provider_code: Some("E17".to_owned()),
            ..ErrorResponse::new(StatusCode::UNAUTHORIZED)
        }
    }

    #[test]
    fn the_sentence_is_short_and_the_details_are_sources_once_each() {
        let reply = "the server refused: invalid_client (HTTP 401, \"E17\")";
        let details = "svc is disabled; ask for it";
        let denied =
            Denied { code: "access_denied".to_owned(), asked: None, said: refused().said, uri: None };
        for (kind, sentence, causes) in [
            (Kind::ErrorResponse(refused()), reply, vec![details]),
            (
                Kind::GrantRefused(refused()),
                "what the grant rests on is good no longer; give another one",
                vec![reply, details],
            ),
            (
                Kind::Reauthorization(Some(refused())),
                "the grant is no longer valid; a person has to authorize again",
                vec![reply, details],
            ),
            (Kind::Denied(denied), "the authorization was refused: access_denied", vec![details]),
            (
                Kind::Fetch { source: "the vault is sealed".into() },
                "no token could be fetched",
                vec!["the vault is sealed"],
            ),
            (
                Kind::ErrorResponse(ErrorResponse::new(StatusCode::BAD_GATEWAY)),
                "the server refused: server_error (HTTP 502)",
                vec![],
            ),
        ] {
            let error = Error::new(kind);
            assert_eq!(error.to_string(), sentence);
            let (mut chain, mut next) = (Vec::new(), error.source());
            while let Some(cause) = next {
                chain.push(cause.to_string());
                next = cause.source();
            }
            assert_eq!(chain, causes);
            let whole = std::iter::once(sentence).chain(causes).collect::<Vec<_>>().join(": ");
            assert_eq!(error.with_causes().to_string(), whole);
            assert_eq!(error.lines().collect::<Vec<_>>(), [format!("{}: {whole}", error.code())]);
        }
    }

    #[test]
    fn a_cause_that_is_shown_already_is_not_shown_twice() {
        #[derive(Debug)]
        struct Repeats(Said);
        impl fmt::Display for Repeats {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "repeats: {}", self.0)
            }
        }
        impl StdError for Repeats {
            fn source(&self) -> Option<&(dyn StdError + 'static)> {
                Some(&self.0)
            }
        }
        let source = Repeats(Said::new(Some("sealed".to_owned()))).into();
        let error = Error::new(Kind::Fetch { source });
        assert_eq!(error.with_causes().to_string(), "no token could be fetched: repeats: sealed");
    }
}
