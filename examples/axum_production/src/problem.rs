//! One body for all errors, problem details (RFC 9457), whether the guard, a handler or the framework says no.

use axum::body::{Body, to_bytes};
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, StatusCode};
use oauth_guard::{Rejection, RejectionBody};
use serde_json::{Value, json};

/// The longest text of the framework that is repeated.
const MAX_DETAIL: usize = 1024;
const TYPE: HeaderValue = HeaderValue::from_static("application/problem+json");

fn problem(code: &str, title: &str) -> Value {
    json!({ "type": format!("https://orders.example.com/problems/{code}"), "title": title, "code": code })
}

/// The guard's rejections: what callers may know, and no more. The log has the reason.
pub(crate) fn of_rejection(rejection: &Rejection) -> RejectionBody {
    RejectionBody::new(TYPE, problem(rejection.code(), rejection.public_message()).to_string())
}

/// An error of a handler.
#[derive(Debug)]
pub(crate) struct Problem {
    pub(crate) status: StatusCode,
    pub(crate) code: &'static str,
    pub(crate) title: &'static str,
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        (self.status, [(CONTENT_TYPE, TYPE)], problem(self.code, self.title).to_string()).into_response()
    }
}

/// Gives this form to the errors of the layers and extractors, which are empty or plain text: a time-out, a body or a
/// path that does not fit, a method that a route does not have, a panic. Errors that have a form of their own keep it.
pub(crate) async fn complete(response: Response) -> Response {
    let status = response.status();
    if !(status.is_client_error() || status.is_server_error()) || has_a_form(response.headers()) {
        return response;
    }
    let (mut head, text) = response.into_parts();
    // What is wrong with a request is for its sender; what is wrong here is not.
    let detail = match to_bytes(text, MAX_DETAIL).await {
        Ok(text) if status.is_client_error() => String::from_utf8(text.into()).unwrap_or_default(),
        _ => String::new(),
    };
    let reason = status.canonical_reason().unwrap_or("Error");
    let code = reason.to_ascii_lowercase().replace(' ', "_");
    let mut problem = problem(&code, reason);
    if !detail.is_empty() {
        problem["detail"] = detail.into();
    }
    head.headers.remove(CONTENT_LENGTH);
    head.headers.insert(CONTENT_TYPE, TYPE);
    if status == StatusCode::SERVICE_UNAVAILABLE {
        head.headers.entry(RETRY_AFTER).or_insert(HeaderValue::from_static("1"));
    }
    Response::from_parts(head, Body::from(problem.to_string()))
}

fn has_a_form(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|kind| !kind.as_bytes().starts_with(b"text/plain"))
}
