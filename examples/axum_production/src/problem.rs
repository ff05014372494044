//! One body for all errors, problem details (RFC 9457), whether the guard or a handler says no.

use axum::response::{IntoResponse, Response};
use http::header::CONTENT_TYPE;
use http::{HeaderValue, StatusCode};
use oauth_guard::{Rejection, RejectionBody};
use serde_json::json;

const TYPE: HeaderValue = HeaderValue::from_static("application/problem+json");

fn body(code: &str, title: &str) -> String {
    json!({ "type": format!("https://orders.example.com/problems/{code}"), "title": title, "code": code })
        .to_string()
}

/// The guard's rejections: what callers may know, and no more. The log has the reason.
pub(crate) fn of_rejection(rejection: &Rejection) -> RejectionBody {
    RejectionBody::new(TYPE, body(rejection.code(), rejection.public_message()))
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
        (self.status, [(CONTENT_TYPE, TYPE)], body(self.code, self.title)).into_response()
    }
}
