//! A rejection as a gRPC response: HTTP 200, no body, the status in the headers ("trailers-only").

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, Response};
use http_body_util::Full;

use super::challenge::Challenge;
use super::rejection::Rejection;

/// Whether the request is gRPC: `application/grpc`, with or without `+proto` or parameters. gRPC-Web counts as HTTP;
/// its proxies translate the status.
pub(crate) fn is_grpc(headers: &HeaderMap) -> bool {
    let Some(kind) = headers.get(CONTENT_TYPE) else { return false };
    match kind.as_bytes().split_at_checked("application/grpc".len()) {
        Some((name, rest)) => {
            name.eq_ignore_ascii_case(b"application/grpc")
                && matches!(rest.first(), None | Some(b'+' | b';' | b' '))
        }
        None => false,
    }
}

/// The whole response; the challenge is sent as metadata.
pub(crate) fn response(rejection: &Rejection, challenge: &Challenge) -> Response<Full<Bytes>> {
    let decision = challenge.decide(rejection);
    let mut response = Response::new(Full::default());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert("grpc-status", HeaderValue::from_static(status(rejection)));
    headers.insert("grpc-message", HeaderValue::from_static(rejection.code()));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(value) = decision.challenge {
        headers.insert(WWW_AUTHENTICATE, value);
    }
    if let Some(value) = decision.retry_after {
        headers.insert(RETRY_AFTER, value);
    }
    response
}

/// <https://grpc.io/docs/guides/status-codes/>
fn status(rejection: &Rejection) -> &'static str {
    match rejection {
        Rejection::MalformedRequest(_) => "3",      // INVALID_ARGUMENT
        Rejection::InsufficientScope { .. } => "7", // PERMISSION_DENIED
        Rejection::NotGuarded => "13",              // INTERNAL
        Rejection::KeysUnavailable { .. } | Rejection::IntrospectionUnavailable { .. } => "14", // UNAVAILABLE
        Rejection::MissingToken
        | Rejection::InvalidToken(_)
        | Rejection::InsufficientAuthentication { .. } => "16", // UNAUTHENTICATED
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grpc_is_recognized_by_its_content_type() {
        let recognized = |kind: &'static str| {
            is_grpc(&HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(kind))]))
        };
        assert!(recognized("application/grpc"));
        assert!(recognized("application/grpc+proto"));
        assert!(!recognized("application/grpc-web"));
        assert!(!recognized("application/json"));
    }

    #[test]
    fn a_rejection_is_trailers_only_with_the_challenge_as_metadata() {
        let response = response(&Rejection::MissingToken, &Challenge::default());
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["grpc-status"], "16");
        assert_eq!(response.headers()[WWW_AUTHENTICATE], "Bearer");
    }
}
