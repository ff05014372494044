//! A refusal as HTTP (RFC 6750 §3, RFC 9110 §11.6.1): the one place that decides status, challenge and body.

use std::sync::OnceLock;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, Response, StatusCode};
use http_body_util::Full;

use super::hook::Hook;
use super::{Refusal, grpc};

/// What every challenge of a guard names.
#[derive(Clone, Debug, Default)]
pub(crate) struct Challenge {
    pub(crate) realm: Option<Box<str>>,
    pub(crate) resource_metadata: Option<Box<str>>,
    /// Who may do too little is not told so: it is logged.
    pub(crate) dry_run: bool,
    /// What the user says beside it.
    pub(crate) hook: Option<Hook>,
    /// The challenge that answers every bad token, made when it is first needed.
    pub(crate) invalid_token: OnceLock<Option<HeaderValue>>,
}

/// Status and challenge for each refusal.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) challenge: Option<HeaderValue>,
    pub(crate) retry_after: Option<HeaderValue>,
}

impl Challenge {
    /// The whole answer, in the caller's protocol.
    #[cold]
    pub(crate) fn respond(&self, refusal: &Refusal, is_grpc: bool) -> Response<Full<Bytes>> {
        let mut response = if is_grpc { grpc::response(refusal, self) } else { response(refusal, self) };
        if let Some(hook) = &self.hook {
            hook.apply(refusal, &mut response, is_grpc);
        }
        response
    }

    pub(crate) fn answer(&self, refusal: &Refusal) -> Answer {
        let max_age = match refusal {
            Refusal::InsufficientAuthentication { max_age, .. } => {
                max_age.map(|age| age.as_secs().to_string())
            }
            _ => None,
        };
        let (status, attributes): (_, Option<Vec<(&str, &str)>>) = match refusal {
            Refusal::MissingToken => (StatusCode::UNAUTHORIZED, Some(vec![])),
            Refusal::MalformedRequest(how) => (
                StatusCode::BAD_REQUEST,
                Some(vec![("error", "invalid_request"), ("error_description", how)]),
            ),
            Refusal::InvalidToken(_) => (
                StatusCode::UNAUTHORIZED,
                Some(vec![
                    ("error", "invalid_token"),
                    ("error_description", "the access token is not valid"),
                ]),
            ),
            Refusal::InsufficientScope { needed } => {
                let mut attributes = vec![("error", "insufficient_scope")];
                if !needed.is_empty() {
                    attributes.push(("scope", needed));
                }
                (StatusCode::FORBIDDEN, Some(attributes))
            }
            Refusal::InsufficientAuthentication { acr_values, .. } => {
                let mut attributes = vec![("error", "insufficient_user_authentication")];
                if !acr_values.is_empty() {
                    attributes.push(("acr_values", acr_values));
                }
                if let Some(age) = &max_age {
                    attributes.push(("max_age", age));
                }
                (StatusCode::UNAUTHORIZED, Some(attributes))
            }
            Refusal::KeysUnavailable { .. } => (StatusCode::SERVICE_UNAVAILABLE, None),
            Refusal::NotGuarded => (StatusCode::INTERNAL_SERVER_ERROR, None),
        };
        let retry_after = match refusal {
            Refusal::KeysUnavailable { retry_after } => {
                // Whole seconds, rounded up: RFC 9110 §10.2.3.
                let seconds = retry_after.as_secs() + u64::from(retry_after.subsec_nanos() > 0);
                Some(HeaderValue::from(seconds.max(1)))
            }
            _ => None,
        };
        let render = || attributes.and_then(|attributes| self.render(&attributes));
        let challenge = match refusal {
            // Whoever floods a service with bad tokens gets the same few words each time.
            Refusal::InvalidToken(_) => self.invalid_token.get_or_init(render).clone(),
            _ => render(),
        };
        Answer { status, challenge, retry_after }
    }

    fn render(&self, attributes: &[(&str, &str)]) -> Option<HeaderValue> {
        let ours = [("realm", &self.realm), ("resource_metadata", &self.resource_metadata)];
        let ours = ours.iter().filter_map(|(name, value)| Some((*name, value.as_deref()?)));
        let mut text = String::from("Bearer");
        for (index, (name, value)) in ours.chain(attributes.iter().copied()).enumerate() {
            text.push_str(if index == 0 { " " } else { ", " });
            text.push_str(name);
            text.push_str("=\"");
            // RFC 9110 §5.6.4: only these two need a backslash; control characters are refused when the guard
            // is built.
            for char in value.chars() {
                if matches!(char, '"' | '\\') {
                    text.push('\\');
                }
                text.push(char);
            }
            text.push('"');
        }
        HeaderValue::try_from(text).ok()
    }
}

/// The whole answer.
pub(crate) fn response(refusal: &Refusal, challenge: &Challenge) -> Response<Full<Bytes>> {
    let answer = challenge.answer(refusal);
    let body = match refusal {
        Refusal::InvalidToken(_) => Bytes::from_static(b"{\"error\":\"invalid_token\"}"),
        _ => Bytes::from(format!("{{\"error\":\"{}\"}}", refusal.code())),
    };
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = answer.status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    // What is said to one caller is not for the next one behind the same proxy.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(value) = answer.challenge {
        headers.insert(WWW_AUTHENTICATE, value);
    }
    if let Some(value) = answer.retry_after {
        headers.insert(RETRY_AFTER, value);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_and_backslashes_in_the_realm_stay_inside_their_string() {
        let challenge = Challenge { realm: Some(r#"say "hi" \o/"#.into()), ..Challenge::default() };
        let answer = challenge.answer(&Refusal::MissingToken);
        assert_eq!(answer.challenge.unwrap(), r#"Bearer realm="say \"hi\" \\o/""#);
    }

    #[test]
    fn too_little_scope_names_what_is_needed() {
        let refusal = Refusal::InsufficientScope { needed: "read write".into() };
        let response = response(&refusal, &Challenge::default());
        assert_eq!(response.status(), 403);
        assert_eq!(
            response.headers()[WWW_AUTHENTICATE],
            r#"Bearer error="insufficient_scope", scope="read write""#
        );
        assert_eq!(response.headers()[CACHE_CONTROL], "no-store");
    }

    #[test]
    fn missing_keys_are_no_challenge_and_say_when_to_come_back() {
        let refusal = Refusal::KeysUnavailable { retry_after: std::time::Duration::from_millis(1500) };
        let response = response(&refusal, &Challenge::default());
        assert_eq!(response.status(), 503);
        assert_eq!(response.headers()[RETRY_AFTER], "2");
        assert!(!response.headers().contains_key(WWW_AUTHENTICATE));
    }
}
