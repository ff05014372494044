//! The authorization endpoint (RFC 6749 section 3.1): checks the request, shows a login page, sends the user back with
//! a code.

mod back;
mod request;

use http::header::SET_COOKIE;
use http::{Method, StatusCode};

use self::back::{Back, Going};
pub(super) use self::request::{PROMPTS, check_pushed};
use self::request::{Prompt, Request};
use super::form::Form;
use super::{Call, browser};
use crate::page;
use crate::state::sessions::{Login, Session};
use crate::wire::response::{MockResponse, OAuthError};

pub(crate) fn serve(call: Call<'_>) -> MockResponse {
    let posted = call.request.method() == Method::POST;
    let form = if posted {
        Form::read(call.request)
    } else {
        Form::parse(call.request.uri().query().unwrap_or_default().as_bytes())
    };
    // OpenID Connect Core section 3.1.2.1: a request may be posted, by any page. Only this server's own page asks for a
    // decision.
    let decided = posted && form.as_ref().is_ok_and(|form| form.get("decision").is_some());
    if decided && let Some(refusal) = browser::refuse_foreign_page(call) {
        return refusal;
    }
    form.and_then(|form| decide(call, &form, decided))
        // RFC 9700 section 4.12: a browser must not send the password on to the client.
        .map(|response| if posted { response.followed_by_get() } else { response })
        // RFC 6749 section 4.1.2.1: with a bad client or redirect URI the user sees the error, and is sent nowhere.
        .unwrap_or_else(|error| page::error(StatusCode::BAD_REQUEST, error.code(), error.description()))
}

/// Sends the user back with a code without asking: what a browser would end with after a good login.
pub(crate) fn approve(call: Call<'_>, query: &str, user: &str) -> Result<String, String> {
    let described = |error: OAuthError| format!("{}: {}", error.code(), error.description());
    let form = Form::parse(query.as_bytes()).map_err(described)?;
    let asked = Asked::read(call, &form).map_err(described)?;
    let refused = |error: &OAuthError| asked.refused(call, error).map(Going::url).map_err(described);
    let request = match &asked.request {
        Ok(request) if request.prompt == Prompt::None => return refused(&login_required()),
        Ok(request) => request,
        Err(error) => return refused(error),
    };
    let user = call.shared.user_named(user).ok_or("there is no such user")?;
    let login = Login::new(call.shared.clock.now_unix(), &request.acr);
    let session = Session { user: user.name.clone(), login };
    asked.allowed(call, request, &session).map(Going::url).map_err(described)
}

fn decide(call: Call<'_>, form: &Form, decided: bool) -> Result<MockResponse, OAuthError> {
    let asked = Asked::read(call, form)?;
    let request = match &asked.request {
        Ok(request) => request,
        Err(error) => return asked.refused(call, error).map(Going::response),
    };
    let session = call.issuer.sessions.of(call.request, &call.cookie().name);
    let session = session.filter(|session| request.is_met_by(call, session));
    match (request.prompt, session) {
        (Prompt::None, Some(session)) if request.was_allowed_before(call, &session) => {
            asked.allowed(call, request, &session).map(Going::response)
        }
        (Prompt::None, Some(_)) => asked.refused(call, &consent_required()).map(Going::response),
        (Prompt::None, None) => asked.refused(call, &login_required()).map(Going::response),
        (_, session) if decided => response(call, form, &asked, request, session),
        (_, session) => Ok(page::login(&request.consent(session.as_ref()), form, None)),
    }
}

/// What follows from the page's buttons.
fn response(
    call: Call<'_>,
    form: &Form,
    asked: &Asked,
    request: &Request,
    session: Option<Session>,
) -> Result<MockResponse, OAuthError> {
    let again = |problem| Ok(page::login(&request.consent(None), form, problem));
    match (form.get("decision"), form.get("username"), session) {
        (Some("other"), _, _) => again(None),
        (Some("allow"), None, Some(session)) => asked.allowed(call, request, &session).map(Going::response),
        (Some("allow"), name, _) => {
            let password = form.get("password").unwrap_or_default();
            let Some(user) = call.shared.user(name.unwrap_or_default(), password) else {
                return again(Some("Wrong name or password."));
            };
            let login = Login::new(call.shared.clock.now_unix(), &request.acr);
            let session = Session { user: user.name.clone(), login };
            let back = asked.allowed(call, request, &session)?.response();
            let cookie = call.issuer.sessions.begin(session, &call.cookie());
            Ok(back.with(SET_COOKIE, &cookie))
        }
        _ => {
            let denied = OAuthError::bad_request("access_denied", "the user said no");
            asked.refused(call, &denied).map(Going::response)
        }
    }
}

/// OpenID Connect Core section 3.1.2.6.
fn login_required() -> OAuthError {
    OAuthError::bad_request(
        "login_required",
        "prompt: no user is logged in, or not well enough for this request",
    )
}

/// OpenID Connect Core section 3.1.2.6.
fn consent_required() -> OAuthError {
    OAuthError::bad_request(
        "consent_required",
        "prompt: the user has not allowed this client all of this yet",
    )
}

fn used_before() -> OAuthError {
    let why = "request_uri: unknown, expired, used before or pushed by another client";
    OAuthError::bad_request("invalid_request_uri", why)
}

/// A request whose client can be sent a response.
struct Asked {
    back: Back,
    request: Result<Request, OAuthError>,
    /// The `request_uri`, if it was pushed.
    uri: Option<String>,
}

impl Asked {
    /// Reads the request from the parameters, or finds the one they refer to (RFC 9126 section 4).
    fn read(call: Call<'_>, form: &Form) -> Result<Self, OAuthError> {
        let Some(uri) = form.get("request_uri") else {
            let back = Back::of(call, form)?;
            let request = Request::check(call, form, &back, false);
            return Ok(Self { back, request, uri: None });
        };
        let now = call.shared.clock.now_unix();
        let pushed = call.issuer.pushed.find(uri, form.required("client_id")?, now);
        let pushed = pushed.ok_or_else(used_before)?;
        // RFC 9101 section 6.3: what else stands in the URL counts for nothing.
        let back = Back::of(call, &pushed)?;
        let request = Request::check(call, &pushed, &back, true);
        Ok(Self { back, request, uri: Some(uri.to_owned()) })
    }

    /// Sends the user back with a code. Fails if another response to the same pushed request was faster.
    fn allowed(&self, call: Call<'_>, request: &Request, session: &Session) -> Result<Going<'_>, OAuthError> {
        let user = call.shared.user_named(&session.user).filter(|user| request.is_for(user));
        let Some(user) = user else { return self.refused(call, &login_required()) };
        self.use_up(call)?;
        Ok(self.back.with_code(call, &request.code_for(call, &user, session)))
    }

    fn refused(&self, call: Call<'_>, error: &OAuthError) -> Result<Going<'_>, OAuthError> {
        self.use_up(call)?;
        Ok(self.back.with_error(call, error))
    }

    fn use_up(&self, call: Call<'_>) -> Result<(), OAuthError> {
        let is_first = self.uri.as_ref().is_none_or(|uri| call.issuer.pushed.use_up(uri));
        if is_first { Ok(()) } else { Err(used_before()) }
    }
}
