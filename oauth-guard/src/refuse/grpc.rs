//! A refusal as gRPC: HTTP 200, no body, the status in the headers ("trailers-only").

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, Response};
use http_body_util::Full;

use super::Refusal;
use super::http::Challenge;

/// Whether the caller speaks gRPC: `application/grpc`, with or without `+proto` or parameters. gRPC-Web is HTTP
/// to us, and its proxies translate the status.
pub(crate) fn is_spoken(headers: &HeaderMap) -> bool {
    let Some(kind) = headers.get(CONTENT_TYPE) else { return false };
    match kind.as_bytes().split_at_checked("application/grpc".len()) {
        Some((name, rest)) => {
            name.eq_ignore_ascii_case(b"application/grpc")
                && matches!(rest.first(), None | Some(b'+' | b';' | b' '))
        }
        None => false,
    }
}

/// The whole answer; the challenge goes along as metadata.
pub(crate) fn response(refusal: &Refusal, challenge: &Challenge) -> Response<Full<Bytes>> {
    let answer = challenge.answer(refusal);
    let mut response = Response::new(Full::default());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert("grpc-status", HeaderValue::from_static(status(refusal)));
    headers.insert("grpc-message", HeaderValue::from_static(refusal.code()));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(value) = answer.challenge {
        headers.insert(WWW_AUTHENTICATE, value);
    }
    if let Some(value) = answer.retry_after {
        headers.insert(RETRY_AFTER, value);
    }
    response
}

/// <https://grpc.io/docs/guides/status-codes/>
fn status(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::MalformedRequest(_) => "3",      // INVALID_ARGUMENT
        Refusal::InsufficientScope { .. } => "7", // PERMISSION_DENIED
        Refusal::NotGuarded => "13",              // INTERNAL
        Refusal::KeysUnavailable { .. } => "14",  // UNAVAILABLE
        Refusal::MissingToken | Refusal::InvalidToken(_) | Refusal::InsufficientAuthentication { .. } => "16", // UNAUTHENTICATED
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grpc_is_told_by_its_content_type() {
        let told = |kind: &'static str| {
            is_spoken(&HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(kind))]))
        };
        assert!(told("application/grpc"));
        assert!(told("application/grpc+proto"));
        assert!(!told("application/grpc-web"));
        assert!(!told("application/json"));
    }

    #[test]
    fn a_refusal_is_trailers_only_with_the_challenge_as_metadata() {
        let response = response(&Refusal::MissingToken, &Challenge::default());
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["grpc-status"], "16");
        assert_eq!(response.headers()[WWW_AUTHENTICATE], "Bearer");
    }
}
