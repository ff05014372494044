//! Where the user goes after all, good or bad.

use std::sync::Arc;

use crate::clients::MockClient;
use crate::encode::{percent_encode, random_text};
use crate::page;
use crate::routes::Call;
use crate::routes::form::Form;
use crate::rules::tampers::Tamper;
use crate::wire::response::{MockResponse, OAuthError};

pub(super) struct Back {
    pub(super) client: Arc<MockClient>,
    pub(super) uri: String,
    state: Option<String>,
    /// Whether the request named the URI, so that the token request must repeat it.
    pub(super) named: bool,
    /// Whether the parameters are posted (OAuth 2.0 Form Post Response Mode) instead of put into the query.
    posts: bool,
}

/// What the browser brings to the client.
pub(super) struct Going<'a> {
    uri: &'a str,
    parameters: Vec<(&'a str, String)>,
    posts: bool,
}

impl Back {
    pub(super) fn of(call: Call<'_>, form: &Form) -> Result<Self, OAuthError> {
        let id = form.required("client_id")?;
        let client = match call.shared.client(id) {
            Some(client) => client,
            None => match call.shared.documented_client(id) {
                Some(documented) => documented?,
                None => return Err(OAuthError::invalid_request("client_id: unknown")),
            },
        };
        let state = form.get("state").map(str::to_owned);
        let (uri, named) = match (form.get("redirect_uri"), client.redirect_uris.as_slice()) {
            (Some(asked), registered) if registered.iter().any(|known| same_uri(known, asked)) => {
                (asked, true)
            }
            (Some(_), _) => return Err(OAuthError::invalid_request("redirect_uri: not one of the client's")),
            (None, [only]) => (only.as_str(), false),
            (None, _) => return Err(OAuthError::invalid_request("redirect_uri: missing")),
        };
        let uri = uri.to_owned();
        let posts = form.get("response_mode") == Some(FORM_POST);
        Ok(Self { client, uri, state, named, posts })
    }

    pub(super) fn with_code(&self, call: Call<'_>, code: &str) -> Going<'_> {
        self.with(call, &[("code", code)])
    }

    pub(super) fn with_error(&self, call: Call<'_>, error: &OAuthError) -> Going<'_> {
        self.with(call, &[("error", error.code()), ("error_description", error.description())])
    }

    /// The redirect with these parameters, `state` and `iss` (RFC 9207 section 2).
    fn with<'a>(&'a self, call: Call<'_>, parameters: &[(&'a str, &str)]) -> Going<'a> {
        let state = self.state.as_deref().map(|state| ("state", state));
        let all = parameters.iter().copied().chain(state).chain([("iss", call.issuer.url.as_str())]);
        let mut all: Vec<_> = all.map(|(name, value)| (name, value.to_owned())).collect();
        tamper(call, &mut all);
        Going { uri: &self.uri, parameters: all, posts: self.posts }
    }
}

/// The response mode in which the browser posts the parameters.
pub(super) const FORM_POST: &str = "form_post";

impl Going<'_> {
    /// The redirect, or the page that posts.
    pub(super) fn response(self) -> MockResponse {
        if self.posts {
            return page::form_post(self.uri, &self.parameters);
        }
        MockResponse::redirect(&self.url())
    }

    /// The redirect's address. Parameters that would be posted are in its query all the same.
    pub(super) fn url(self) -> String {
        let query: Vec<_> =
            self.parameters.iter().map(|(name, value)| format!("{name}={}", percent_encode(value))).collect();
        let separator = if self.uri.contains('?') { '&' } else { '?' };
        format!("{}{separator}{}", self.uri, query.join("&"))
    }
}

fn tamper(call: Call<'_>, all: &mut Vec<(&str, String)>) {
    let shows = |tamper| call.shared.tampers.shows(tamper);
    let mut set = |name: &str, value: String| {
        all.iter_mut().filter(|(known, _)| *known == name).for_each(|(_, old)| old.clone_from(&value));
    };
    if shows(Tamper::IssWrong) {
        set("iss", "https://attacker.example".to_owned());
    }
    if shows(Tamper::StateWrong) {
        set("state", random_text::<12>());
    }
    for (tamper, name) in
        [(Tamper::IssMissing, "iss"), (Tamper::StateMissing, "state"), (Tamper::CodeMissing, "code")]
    {
        if shows(tamper) {
            all.retain(|(known, _)| *known != name);
        }
    }
    if shows(Tamper::CodeTwice) {
        all.push(("code", random_text::<24>()));
    }
    if shows(Tamper::CodeWithError) {
        all.push(("error", "access_denied".to_owned()));
    }
}

/// RFC 9700 section 4.1.3: exactly equal, but for the port of a loopback address (RFC 8252 section 7.3).
fn same_uri(registered: &str, asked: &str) -> bool {
    let loopback = |uri: &str| {
        let host = ["http://127.0.0.1", "http://[::1]"].into_iter().find(|host| uri.starts_with(host))?;
        let rest = &uri[host.len()..];
        let port =
            rest.strip_prefix(':').map_or(0, |rest| 1 + rest.bytes().take_while(u8::is_ascii_digit).count());
        let path = &rest[port..];
        (path.is_empty() || path.starts_with(['/', '?'])).then(|| (host, path.to_owned()))
    };
    registered == asked || loopback(registered).is_some_and(|known| loopback(asked) == Some(known))
}

#[cfg(test)]
mod tests {
    use super::same_uri;

    #[test]
    fn only_the_port_of_a_loopback_address_may_differ() {
        for (registered, asked, same) in [
            ("https://app.test/cb", "https://app.test/cb", true),
            ("https://app.test/cb", "https://app.test/cb/", false),
            ("https://app.test/cb", "https://app.test:8443/cb", false),
            ("http://127.0.0.1/cb", "http://127.0.0.1:49152/cb", true),
            ("http://127.0.0.1:1/cb", "http://127.0.0.1:2/cb", true),
            ("http://[::1]/cb", "http://[::1]:5/cb", true),
            ("http://127.0.0.1/cb", "http://127.0.0.1:5/other", false),
            ("http://127.0.0.1/cb", "http://[::1]:5/cb", false),
            ("http://127.0.0.1/cb", "http://127.0.0.1.evil.test/cb", false),
            ("http://127.0.0.1/cb", "http://127.0.0.1:5@evil.test/cb", false),
            ("http://localhost/cb", "http://localhost:5/cb", false),
        ] {
            assert_eq!(same_uri(registered, asked), same, "{registered} {asked}");
        }
    }
}
