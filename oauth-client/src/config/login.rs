//! The grants that a person gives: the login request, and how the person is prompted.

use std::time::Duration;

use serde_json::Value;

use super::tree::Table;
use super::{needed, problem};
use crate::error::{Error, Problem};
use crate::grant::scopes;
#[cfg(feature = "loopback")]
use crate::login::AuthorizationRequest;
use crate::login::{BackchannelRequest, DeviceRequest, LoginMethod};

/// Where the browser comes back to when nothing else is said: any free port.
#[cfg(feature = "loopback")]
const REDIRECT_URI: &str = "http://127.0.0.1/callback";

/// The login that a configuration describes, if its grant is one.
pub(super) fn way(table: Table<'_>, grant: &str, problems: &mut Vec<Problem>) -> Option<LoginMethod> {
    let by_browser = grant == "authorization_code";
    for field in ["par", "redirect_uri"] {
        let given = if field == "par" { table.flag(field) } else { table.has(field) };
        if given && !by_browser {
            problems.push(problem(field, "is for grant = \"authorization_code\"; remove it"));
        }
    }
    for field in ["login_hint", "binding_message"] {
        if table.has(field) && grant != "ciba" {
            problems.push(problem(field, "is for grant = \"ciba\"; remove it"));
        }
    }
    let is_login = by_browser || matches!(grant, "device_code" | "ciba");
    if is_login && table.has("token_endpoint") {
        let message =
            "is not enough, since users are sent to other endpoints; give issuer, whose metadata names them";
        problems.push(problem("token_endpoint", message));
        return None;
    }
    match grant {
        "authorization_code" => browser(table, problems),
        "device_code" => device(table, problems),
        "ciba" => backchannel(table, problems),
        _ => None,
    }
}

/// The request with the `authorization_details` of the table, which are JSON in a string so that they can stand in the
/// environment, too.
pub(super) fn with_details<R: Clone>(
    request: R,
    set: impl FnOnce(R, Value) -> Result<R, Error>,
    table: Table<'_>,
    problems: &mut Vec<Problem>,
) -> R {
    let Some(text) = table.text("authorization_details") else { return request };
    let Ok(details) = serde_json::from_str(text) else {
        let message = "is not JSON; expected a list such as [{\"type\":\"payment\"}] (RFC 9396 section 2)";
        problems.push(problem("authorization_details", message));
        return request;
    };
    match set(request.clone(), details) {
        Ok(request) => request,
        Err(error) => {
            problems.extend(error.problems().iter().cloned());
            request
        }
    }
}

#[cfg(feature = "loopback")]
fn browser(table: Table<'_>, problems: &mut Vec<Problem>) -> Option<LoginMethod> {
    let redirect_uri = table.text("redirect_uri").unwrap_or(REDIRECT_URI);
    let mut request =
        AuthorizationRequest::new(redirect_uri).scope(table.texts("scope")).resource(table.texts("resource"));
    request = table.text("audience").into_iter().fold(request, AuthorizationRequest::audience);
    request = table.text("subject").into_iter().fold(request, AuthorizationRequest::subject);
    let (max_age, params) = params(table, problems);
    request = max_age.into_iter().fold(request, AuthorizationRequest::max_age);
    request = params.fold(request, |request, (name, value)| request.parameter(name, value));
    if table.flag("par") {
        request = request.pushed();
    }
    request = with_details(request, AuthorizationRequest::authorization_details, table, problems);
    let wrong: Vec<_> = request.problems_on_loopback();
    problems.extend(wrong.iter().map(|found| match found.field.as_str() {
        "redirect_uri" if !table.pairs("params").iter().any(|(name, _)| *name == "redirect_uri") => {
            found.clone()
        }
        name => in_params(name, &found.message),
    }));
    wrong.is_empty().then_some(LoginMethod::Browser(request))
}

/// What `params` has: `max_age`, which has no key of its own and is checked all the same, and the others.
fn params<'t>(
    table: Table<'t>,
    problems: &mut Vec<Problem>,
) -> (Option<Duration>, impl Iterator<Item = (&'t str, &'t str)>) {
    let (ages, others): (Vec<_>, Vec<_>) =
        table.pairs("params").into_iter().partition(|(name, _)| *name == "max_age");
    let age = ages.first().and_then(|(_, value)| {
        let seconds = value.parse();
        if seconds.is_err() {
            problems.push(problem("params.max_age", "is not a whole number of seconds"));
        }
        seconds.ok().map(Duration::from_secs)
    });
    (age, others.into_iter())
}

/// The problem of one of the `params`, in the terms of the file.
fn in_params(name: &str, message: &str) -> Problem {
    problem(&format!("params.{name}"), message)
}

#[cfg(not(feature = "loopback"))]
fn browser(_: Table<'_>, problems: &mut Vec<Problem>) -> Option<LoginMethod> {
    let message =
        "\"authorization_code\" needs the feature \"loopback\", which this program was built without";
    problems.push(problem("grant", message));
    None
}

fn device(table: Table<'_>, problems: &mut Vec<Problem>) -> Option<LoginMethod> {
    let mut request = DeviceRequest::new().scope(table.texts("scope")).resource(table.texts("resource"));
    request = table.text("audience").into_iter().fold(request, DeviceRequest::audience);
    request = table.text("subject").into_iter().fold(request, DeviceRequest::subject);
    let (max_age, params) = params(table, problems);
    request = max_age.into_iter().fold(request, DeviceRequest::max_age);
    request = params.fold(request, |request, (name, value)| request.parameter(name, value));
    request = with_details(request, DeviceRequest::authorization_details, table, problems);
    let wrong = request.problems();
    problems.extend(wrong.iter().map(|found| in_params(&found.field, &found.message)));
    wrong.is_empty().then_some(LoginMethod::Device(request))
}

fn backchannel(table: Table<'_>, problems: &mut Vec<Problem>) -> Option<LoginMethod> {
    needed(table, "login_hint", "grant = \"ciba\"", problems)?;
    if table.has("audience") {
        problems.push(problem("audience", "is not for grant = \"ciba\"; remove it"));
    }
    let mut request =
        BackchannelRequest::login_hint(table.text("login_hint")?).resource(table.texts("resource"));
    let scope = scopes(table.texts("scope"));
    if !scope.is_empty() {
        if !scope.iter().any(|one| one == "openid") {
            problems.push(problem("scope", "has no openid, which grant = \"ciba\" needs; add it"));
            return None;
        }
        request = request.scope(scope);
    }
    request = table.text("subject").into_iter().fold(request, BackchannelRequest::subject);
    request = table.text("binding_message").into_iter().fold(request, BackchannelRequest::binding_message);
    let (max_age, params) = params(table, problems);
    request = max_age.into_iter().fold(request, BackchannelRequest::max_age);
    request = params.fold(request, |request, (name, value)| request.parameter(name, value));
    request = with_details(request, BackchannelRequest::authorization_details, table, problems);
    let wrong = request.problems();
    problems.extend(wrong.iter().map(|found| in_params(&found.field, &found.message)));
    wrong.is_empty().then_some(LoginMethod::Backchannel(request))
}

#[cfg(test)]
mod tests;
