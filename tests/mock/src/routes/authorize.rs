//! The authorization endpoint (RFC 6749 §3.1): checks the request, shows a login page, sends the user back with a code.

use std::sync::Arc;

use http::{Method, StatusCode};

use super::Call;
use super::form::Form;
use super::token::{audience, scope};
use crate::answer::{Answer, OAuthError};
use crate::clients::{GrantType, MockClient};
use crate::codes::Code;
use crate::encode::percent_encode;
use crate::page;
use crate::tokens::Grant;
use crate::users::User;

pub(crate) fn serve(call: Call<'_>) -> Answer {
    let posted = call.request.method() == Method::POST;
    let form = if posted {
        Form::read(call.request)
    } else {
        Form::parse(call.request.uri().query().unwrap_or_default().as_bytes())
    };
    match form {
        Ok(form) => decide(call, &form, posted),
        Err(error) => broken(&error),
    }
}

/// Sends the user back with a code without asking: what a browser would end with after a good login.
pub(crate) fn approve(call: Call<'_>, query: &str, user: &str) -> Result<String, String> {
    let told = |error: OAuthError| format!("{}: {}", error.code(), error.description());
    let form = Form::parse(query.as_bytes()).map_err(told)?;
    let back = Back::of(call, &form).map_err(told)?;
    let request = match Request::check(call, &form, &back) {
        Ok(request) => request,
        Err(error) => return Ok(back.with_error(call, &error)),
    };
    let user = call.shared.user_named(user).ok_or("there is no such user")?;
    Ok(back.with_code(call, &request.code_for(call, &user)))
}

fn decide(call: Call<'_>, form: &Form, posted: bool) -> Answer {
    // RFC 6749 §4.1.2.1: with a bad client or redirect URI the user is told, and sent nowhere.
    let back = match Back::of(call, form) {
        Ok(back) => back,
        Err(error) => return broken(&error),
    };
    let request = match Request::check(call, form, &back) {
        Ok(request) => request,
        Err(error) => return Answer::redirect(&back.with_error(call, &error)),
    };
    if !posted {
        return page::login(&back.client.id, &request.scope, form, None);
    }
    if form.get("decision") != Some("allow") {
        let denied = OAuthError::bad_request("access_denied", "the user said no");
        return Answer::redirect(&back.with_error(call, &denied));
    }
    let (name, password) =
        (form.get("username").unwrap_or_default(), form.get("password").unwrap_or_default());
    match call.shared.user(name, password) {
        Some(user) => Answer::redirect(&back.with_code(call, &request.code_for(call, &user))),
        None => page::login(&back.client.id, &request.scope, form, Some("Wrong name or password.")),
    }
}

fn broken(error: &OAuthError) -> Answer {
    page::error(StatusCode::BAD_REQUEST, error.code(), error.description())
}

/// Where the user goes after all, good or bad.
struct Back {
    client: Arc<MockClient>,
    uri: String,
    state: Option<String>,
    /// Whether the request named the URI, so that the token request must repeat it.
    named: bool,
}

impl Back {
    fn of(call: Call<'_>, form: &Form) -> Result<Self, OAuthError> {
        let client = call.shared.client(form.required("client_id")?);
        let client = client.ok_or_else(|| OAuthError::invalid_request("client_id: unknown"))?;
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
        Ok(Self { client, uri, state, named })
    }

    fn with_code(&self, call: Call<'_>, code: &str) -> String {
        self.with(call, &[("code", code)])
    }

    fn with_error(&self, call: Call<'_>, error: &OAuthError) -> String {
        self.with(call, &[("error", error.code()), ("error_description", error.description())])
    }

    /// The redirect with these parameters, `state` and `iss` (RFC 9207 §2).
    fn with(&self, call: Call<'_>, parameters: &[(&str, &str)]) -> String {
        let state = self.state.as_deref().map(|state| ("state", state));
        let all = parameters.iter().copied().chain(state).chain([("iss", call.issuer.url.as_str())]);
        let query: Vec<_> = all.map(|(name, value)| format!("{name}={}", percent_encode(value))).collect();
        let separator = if self.uri.contains('?') { '&' } else { '?' };
        format!("{}{separator}{}", self.uri, query.join("&"))
    }
}

/// RFC 9700 §4.1.3: exactly equal, but for the port of a loopback address (RFC 8252 §7.3).
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

/// A checked authorization request.
struct Request {
    client: Arc<MockClient>,
    scope: Vec<String>,
    audience: Vec<String>,
    redirect_uri: Option<String>,
    challenge: Option<String>,
    nonce: Option<String>,
}

impl Request {
    fn check(call: Call<'_>, form: &Form, back: &Back) -> Result<Self, OAuthError> {
        let client = &back.client;
        if form.required("response_type")? != "code" {
            return Err(OAuthError::bad_request(
                "unsupported_response_type",
                "response_type: only code is served",
            ));
        }
        if !client.grants.contains(&GrantType::AuthorizationCode) {
            return Err(OAuthError::bad_request(
                "unauthorized_client",
                "this client may not use authorization_code",
            ));
        }
        let challenge = match (form.get("code_challenge"), form.get("code_challenge_method")) {
            (None, _) if client.needs_pkce => {
                return Err(OAuthError::invalid_request("code_challenge: missing (RFC 7636 section 4.4.1)"));
            }
            (None, _) => None,
            // Without a method the request means `plain` (RFC 7636 §4.3).
            (Some(_), method) if method != Some("S256") => {
                return Err(OAuthError::invalid_request("code_challenge_method: only S256 is served"));
            }
            (Some(challenge), _) if challenge.len() == 43 => Some(challenge.to_owned()),
            (Some(_), _) => {
                return Err(OAuthError::invalid_request("code_challenge: not a SHA-256 in base64url"));
            }
        };
        if form.get("prompt") == Some("none") {
            // OpenID Connect Core §3.1.2.6: nobody is logged in, this server keeps no sessions.
            return Err(OAuthError::bad_request("login_required", "prompt: nobody is logged in"));
        }
        Ok(Self {
            client: Arc::clone(client),
            scope: scope(client, form)?,
            audience: audience(call, form)?,
            redirect_uri: back.named.then(|| back.uri.clone()),
            challenge,
            nonce: form.get("nonce").map(str::to_owned),
        })
    }

    fn code_for(self, call: Call<'_>, user: &User) -> String {
        let grant = Grant {
            client: self.client.id.clone(),
            subject: user.subject.clone(),
            user: Some(user.name.clone()),
            scope: self.scope,
            audience: self.audience,
            claims: user.claims.clone(),
            ..Grant::default()
        };
        call.issuer.codes.issue(Code {
            grant,
            redirect_uri: self.redirect_uri,
            challenge: self.challenge,
            nonce: self.nonce,
            family: call.issuer.records.new_family(),
            issued_at: call.shared.clock.now_unix(),
        })
    }
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
