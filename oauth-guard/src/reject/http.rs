//! A rejection as an HTTP response.

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, Response};

use super::body::standard;
use super::challenge::Challenge;
use super::rejection::Rejection;

/// The whole response.
pub(crate) fn response(rejection: &Rejection, challenge: &Challenge, dpop: bool) -> Response<Bytes> {
    let decision = challenge.decide(rejection, dpop);
    let mut response = Response::new(standard(rejection));
    *response.status_mut() = decision.status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    // A proxy must not reuse one caller's rejection for another.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    for value in decision.challenges.into_iter().flatten() {
        headers.append(WWW_AUTHENTICATE, value);
    }
    if let Some(value) = decision.retry_after {
        headers.insert(RETRY_AFTER, value);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_and_backslashes_in_the_realm_are_escaped() {
        let challenge = Challenge { realm: Some(r#"say "hi" \o/"#.into()), ..Challenge::default() };
        let decision = challenge.decide(&Rejection::MissingToken, false);
        assert_eq!(decision.challenges[0].as_ref().unwrap(), r#"Bearer realm="say \"hi\" \\o/""#);
    }

    #[test]
    fn insufficient_scope_names_the_needed_scopes() {
        let rejection = Rejection::InsufficientScope { needed: "read write".into() };
        let response = response(&rejection, &Challenge::default(), false);
        assert_eq!(response.status(), 403);
        assert_eq!(
            response.headers()[WWW_AUTHENTICATE],
            r#"Bearer realm="api", error="insufficient_scope", scope="read write""#
        );
        assert_eq!(response.headers()[CACHE_CONTROL], "no-store");
    }

    #[test]
    fn unavailable_keys_send_retry_after_and_no_challenge() {
        let rejection = Rejection::KeysUnavailable { retry_after: std::time::Duration::from_millis(1500) };
        let response = response(&rejection, &Challenge::default(), false);
        assert_eq!(response.status(), 503);
        assert_eq!(response.headers()[RETRY_AFTER], "2");
        assert!(!response.headers().contains_key(WWW_AUTHENTICATE));
    }
}
