//! The two pages a person sees: log in and consent, or what is wrong.

use http::StatusCode;

use crate::answer::Answer;
use crate::encode::escape_html;
use crate::routes::form::Form;

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:26rem;margin:4rem auto;padding:0 1rem}\
    label{display:block;margin:.8rem 0}input{width:100%;padding:.5rem;box-sizing:border-box;font:inherit}\
    button{padding:.5rem 1.2rem;margin-right:.6rem;font:inherit}[role=alert]{color:#b00020}\
    @media(prefers-color-scheme:dark){body{background:#16181c;color:#e8e8e8}[role=alert]{color:#ff8a80}}";

/// Login and consent in one. The request travels along in hidden fields, so the server keeps nothing meanwhile.
pub(crate) fn login(client: &str, scope: &[String], request: &Form, problem: Option<&str>) -> Answer {
    let hidden: String = request
        .pairs()
        .filter(|(name, _)| !matches!(*name, "username" | "password" | "decision"))
        .map(|(name, value)| {
            format!(r#"<input type="hidden" name="{}" value="{}">"#, escape_html(name), escape_html(value))
        })
        .collect();
    let problem =
        problem.map(|text| format!(r#"<p role="alert">{}</p>"#, escape_html(text))).unwrap_or_default();
    let scopes: String =
        scope.iter().map(|scope| format!("<li><code>{}</code></li>", escape_html(scope))).collect();
    let client = escape_html(client);
    let body = format!(
        r#"<h1>Sign in</h1><p><strong>{client}</strong> asks for:</p><ul>{scopes}</ul>{problem}
<form method="post">{hidden}
<label>Name <input name="username" autocomplete="username" autofocus></label>
<label>Password <input name="password" type="password" autocomplete="current-password"></label>
<button name="decision" value="allow">Allow</button>
<button name="decision" value="deny">Deny</button></form>"#
    );
    Answer::html(StatusCode::OK, page("Sign in", &body))
}

/// Tells the user, when there is nowhere safe to send them.
pub(crate) fn error(status: StatusCode, code: &str, description: &str) -> Answer {
    let (code, description) = (escape_html(code), escape_html(description));
    let body =
        format!("<h1>This request cannot be served</h1><p><code>{code}</code></p><p>{description}</p>");
    Answer::html(status, page("Error", &body))
}

fn page(title: &str, body: &str) -> String {
    format!(
        r#"<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title} - oauth-mock</title><style>{STYLE}</style><main>{body}</main></html>"#
    )
}
