//! The pages a user sees: log in and consent, allow a device, signed out, and what is wrong.

use http::StatusCode;
use serde_json::Value;

use http::header::CONTENT_SECURITY_POLICY;

use crate::encode::{escape_html, random_text};
use crate::routes::form::Form;
use crate::wire::response::MockResponse;

const STYLE: &str = include_str!("style.css");

/// What a user is asked to allow.
pub(crate) struct Consent<'a> {
    pub(crate) client: &'a str,
    pub(crate) scope: &'a [String],
    pub(crate) details: &'a [Value],
    /// Who is logged in already, if that is good enough.
    pub(crate) user: Option<&'a str>,
}

/// Login and consent in one. The request travels along in hidden fields, so the server keeps nothing meanwhile.
pub(crate) fn login(consent: &Consent<'_>, request: &Form, problem: Option<&str>) -> MockResponse {
    let hidden = hidden(request);
    let heading = if consent.user.is_some() { "Allow access" } else { "Sign in" };
    let body = format!(
        r#"<h1>{heading}</h1>{}{}<form method="post">{hidden}{}{BUTTONS}</form>"#,
        asks(consent),
        alert(problem),
        who(consent)
    );
    MockResponse::html(StatusCode::OK, page(heading, &body))
}

/// Asks for the code that a device shows (RFC 8628 section 3.3).
pub(crate) fn ask_code(typed: &str, problem: Option<&str>) -> MockResponse {
    let body = format!(
        r#"<h1>Connect a device</h1><p>Enter the code that your device shows.</p>{}<form>
<label>Code <input class="code" name="user_code" value="{}" autocomplete="off" spellcheck="false" autofocus></label>
<div class="buttons"><button class="main">Continue</button></div></form>"#,
        alert(problem),
        escape_html(typed)
    );
    MockResponse::html(StatusCode::OK, page("Connect a device", &body))
}

/// Asks whether the device that shows this code may come in.
pub(crate) fn device(consent: &Consent<'_>, user_code: &str, problem: Option<&str>) -> MockResponse {
    let code = escape_html(user_code);
    // RFC 8628 section 5.4: another user's device would show another code.
    let body = format!(
        r#"<h1>Connect a device</h1><p class="code">{code}</p><p>Go on only if your device shows this code.</p>{}{}
<form method="post"><input type="hidden" name="user_code" value="{code}">{}{BUTTONS}</form>"#,
        asks(consent),
        alert(problem),
        who(consent)
    );
    MockResponse::html(StatusCode::OK, page("Connect a device", &body))
}

/// What became of the device.
pub(crate) fn device_done(allowed: bool) -> MockResponse {
    let (title, text) = if allowed {
        ("Device connected", "It goes on by itself in a few seconds. You may close this window.")
    } else {
        ("Device denied", "You may close this window.")
    };
    MockResponse::html(StatusCode::OK, page(title, &format!("<h1>{title}</h1><p>{text}</p>")))
}

/// Shows the user an error, when there is no safe redirect.
pub(crate) fn error(status: StatusCode, code: &str, description: &str) -> MockResponse {
    let (code, description) = (escape_html(code), escape_html(description));
    let body =
        format!("<h1>This request cannot be served</h1><p><code>{code}</code></p><p>{description}</p>");
    MockResponse::html(status, page("Error", &body))
}

/// Asks whether the user who is signed in wants to sign out (RP-Initiated Logout section 2).
pub(crate) fn log_out(user: &str, request: &Form) -> MockResponse {
    let hidden = hidden(request);
    let user = escape_html(user);
    let body = format!(
        r#"<h1>Sign out</h1><p>You are signed in as <strong>{user}</strong>. Do you want to sign out?</p>
<form method="post">{hidden}<div class="buttons"><button class="main" name="decision" value="allow">Sign out</button>
<button name="decision" value="deny">Stay signed in</button></div></form>"#
    );
    MockResponse::html(StatusCode::OK, page("Sign out", &body))
}

/// Shows a user who would not sign out that nothing has changed.
pub(crate) fn still_signed_in(user: &str) -> MockResponse {
    let user = escape_html(user);
    let body = format!(
        "<h1>Still signed in</h1><p>You are signed in as <strong>{user}</strong>. You may close this window.</p>"
    );
    MockResponse::html(StatusCode::OK, page("Still signed in", &body))
}

/// Makes the browser post these parameters to `uri` (OAuth 2.0 Form Post Response Mode section 2).
pub(crate) fn form_post(uri: &str, parameters: &[(&str, String)]) -> MockResponse {
    let fields: String = parameters.iter().map(|(name, value)| hidden_field(name, value)).collect();
    let nonce = random_text::<16>();
    let body = format!(
        r#"<h1>Going back</h1><p>You are sent back to the application.</p><form method="post" action="{}">{fields}
<div class="buttons"><button class="main">Continue</button></div></form>
<script nonce="{nonce}">document.forms[0].submit()</script>"#,
        escape_html(uri)
    );
    let policy = format!("{POLICY}; script-src 'nonce-{nonce}'");
    MockResponse::html(StatusCode::OK, page("Going back", &body)).with(CONTENT_SECURITY_POLICY, &policy)
}

/// What the pages may do: nothing but show themselves, in no frame of another page. Where a form leads is left open,
/// since browsers apply that rule to the redirect that follows, too.
pub(crate) const POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'";

/// The parameters of a request as hidden fields, without what the user enters.
fn hidden(request: &Form) -> String {
    let kept = request.pairs().filter(|(name, _)| !matches!(*name, "username" | "password" | "decision"));
    kept.map(|(name, value)| hidden_field(name, value)).collect()
}

fn hidden_field(name: &str, value: &str) -> String {
    format!(r#"<input type="hidden" name="{}" value="{}">"#, escape_html(name), escape_html(value))
}

/// Shows a user that the logout succeeded, when there is no redirect.
pub(crate) fn signed_out() -> MockResponse {
    let body = "<h1>Signed out</h1><p>You may close this window.</p>";
    MockResponse::html(StatusCode::OK, page("Signed out", body))
}

const CREDENTIALS: &str = r#"<label>Name <input name="username" autocomplete="username" autocapitalize="none" autofocus></label>
<label>Password <input name="password" type="password" autocomplete="current-password"></label>"#;

/// The first button is the one that the Enter key presses.
const BUTTONS: &str = r#"<div class="buttons"><button class="main" name="decision" value="allow">Allow</button>
<button name="decision" value="deny">Deny</button></div>"#;

/// Who is asked: the user who is logged in, or the user whose password is entered.
fn who(consent: &Consent<'_>) -> String {
    let Some(user) = consent.user else { return CREDENTIALS.to_owned() };
    format!(
        r#"<p>Signed in as <strong>{}</strong>. <button class="link" name="decision" value="other">Not you?</button></p>"#,
        escape_html(user)
    )
}

fn asks(consent: &Consent<'_>) -> String {
    let scopes = consent.scope.iter().map(|scope| format!("<li><code>{}</code></li>", escape_html(scope)));
    let details = consent.details.iter().map(|one| {
        let pretty = serde_json::to_string_pretty(one).unwrap_or_default();
        format!("<li><pre>{}</pre></li>", escape_html(&pretty))
    });
    let list: String = scopes.chain(details).collect();
    format!("<p><strong>{}</strong> asks for:</p><ul>{list}</ul>", escape_html(consent.client))
}

fn alert(problem: Option<&str>) -> String {
    problem.map(|text| format!(r#"<p role="alert">{}</p>"#, escape_html(text))).unwrap_or_default()
}

fn page(title: &str, body: &str) -> String {
    format!(
        r#"<!doctype html><html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1"><title>{title} - oauth-mock</title>
<style>{STYLE}</style></head><body><main>{body}</main><footer>oauth-mock: a server for tests, no real login</footer></body></html>"#
    )
}
