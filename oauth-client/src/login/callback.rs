//! The authorization response (RFC 6749 section 4.1.2), trusted only after the state is checked.

use std::collections::HashSet;

use url::form_urlencoded;

use super::PendingLogin;
use crate::discover::fills;
use crate::error::{Denied, Error, Kind, Said, printable};
use crate::secret::constant_time_eq;
use crate::token::Secret;
use crate::token_endpoint::Asked;

/// The longest response that is read: codes are opaque and may be long, but no browser carries more in a URL.
const MAX_CALLBACK: usize = 32 * 1024;

/// The most of a server's text that is kept, in characters.
const MAX_TEXT: usize = 512;

/// The parameters of an authorization response.
#[derive(Default)]
pub(super) struct Callback {
    state: Option<Secret>,
    code: Option<Secret>,
    issuer: Option<String>,
    error: Option<String>,
    description: Option<String>,
    uri: Option<String>,
}

impl Callback {
    /// Reads a query, or the URL that it is the query of.
    pub(super) fn parse(text: &str) -> Result<Self, Error> {
        let wrong = |what: &str| Error::login("invalid_callback", what);
        if text.len() > MAX_CALLBACK {
            return Err(wrong("the response is longer than any server's"));
        }
        let query = query_of(text.split('#').next().unwrap_or_default());
        let mut callback = Self::default();
        let mut seen = HashSet::new();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            // RFC 6749 section 3.1: each once. Of two, an attacker may have added one.
            if !seen.insert(name.clone().into_owned()) {
                let name = printable(&name, 64);
                return Err(wrong(&format!("{name} stands twice in the response (RFC 6749 section 3.1)")));
            }
            let value = value.into_owned();
            match &*name {
                "state" => callback.state = Some(Secret::new(value)),
                "code" => callback.code = Some(Secret::new(value)),
                "iss" => callback.issuer = Some(value),
                "error" => callback.error = Some(value),
                "error_description" => callback.description = Some(value),
                "error_uri" => callback.uri = Some(value),
                _ => {}
            }
        }
        Ok(callback)
    }

    /// Whether it belongs to this login. Nothing else in it counts before that: any page can make a browser come here.
    pub(super) fn is_for(&self, pending: &PendingLogin) -> bool {
        self.state.as_ref().is_some_and(|state| constant_time_eq(state.expose(), pending.state.expose()))
    }

    /// The code, if all checks pass: the state first, then the issuer, then the content.
    pub(super) fn code_for(self, pending: &PendingLogin) -> Result<Secret, Error> {
        if !self.is_for(pending) {
            let what = match self.state {
                Some(_) => "its state is that of another login",
                None => "it has no state",
            };
            return Err(Error::login(
                "state_mismatch",
                format!("{what}; begin again (RFC 6749 section 10.12)"),
            ));
        }
        self.check_issuer(pending)?;
        match (self.error, self.code) {
            (Some(error), _) => Err(denied(&error, self.description, self.uri, pending)),
            (None, Some(code)) if !code.is_empty() => Ok(code),
            (None, _) => {
                Err(Error::login("invalid_callback", "the response has neither a code nor an error"))
            }
        }
    }

    /// RFC 9207 section 2.4, of errors too.
    fn check_issuer(&self, pending: &PendingLogin) -> Result<(), Error> {
        let wrong = |what: String| Err(Error::login("issuer_mismatch", what));
        match (&self.issuer, &pending.issuer) {
            (Some(found), Some(expected)) if found != expected && !fills(expected, found) => wrong(format!(
                "it is the response of issuer {:?}, and the login began at {expected:?}",
                printable(found, 256)
            )),
            (None, _) if pending.names_itself => wrong(
                "it does not say whose response it is, as this server always does (RFC 9207)".to_owned(),
            ),
            // A server of which only endpoints are known has no name to compare with.
            _ => Ok(()),
        }
    }
}

/// The query of a URL; or the text itself, where it is one. `:`, `/` and `?` may stand in a query as they are (RFC 3986
/// section 3.4), so what comes before the first `=` decides.
fn query_of(text: &str) -> &str {
    let name = text.split('=').next().unwrap_or_default();
    match name.split_once('?') {
        Some((before, _)) => text.get(before.len() + 1..).unwrap_or_default(),
        None if name.contains("://") || name.starts_with('/') => "",
        None => text,
    }
}

fn denied(code: &str, description: Option<String>, uri: Option<String>, pending: &PendingLogin) -> Error {
    // RFC 6749 appendix A.7.
    let good = |byte: u8| matches!(byte, 0x20..=0x21 | 0x23..=0x5b | 0x5d..=0x7e);
    if code.is_empty() || code.len() > 64 || !code.bytes().all(good) {
        return Error::login("invalid_callback", "the response's error is not one that a server could send");
    }
    let text = |text: Option<String>| text.map(|text| printable(&text, MAX_TEXT));
    Error::new(Kind::Denied(Denied {
        code: code.to_owned(),
        // A request that was pushed is not in the URL, and would have been refused when it was.
        asked: Asked::in_url(&pending.url).and_then(|asked| asked.refused_with(code)),
        said: Said::new(text(description)),
        uri: text(uri),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_query_is_found_in_a_url_and_taken_as_it_is_elsewhere() {
        for text in [
            "iss=https://as.example/a?b&state=s",
            "https://app.example/callback?iss=https://as.example/a?b&state=s",
            "/callback?iss=https://as.example/a?b&state=s#fragment",
        ] {
            let callback = Callback::parse(text).unwrap();
            assert_eq!(callback.issuer.as_deref(), Some("https://as.example/a?b"), "{text}");
            assert_eq!(callback.state.as_ref().map(Secret::expose), Some("s"), "{text}");
        }
        for empty in ["https://app.example/callback", "/callback", "", "#code=c"] {
            assert!(Callback::parse(empty).unwrap().code.is_none(), "{empty}");
        }
    }
}
