//! A rejection as a gRPC response: HTTP 200, no body, the status in the headers ("trailers-only").

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, Method, Response, Version};

use super::challenge::Challenge;
use super::rejection::Rejection;
use crate::request::RequestHead;

/// Whether the request is gRPC: POST over HTTP/2 with `application/grpc`, with or without `+proto` or parameters.
/// gRPC-Web counts as HTTP; its proxies translate the status.
///
/// The caller writes the content type, and a gRPC response has HTTP status 200, which a proxy that asks for a decision
/// reads as a permission. So only what can be a gRPC call gets a gRPC response.
pub(crate) fn is_grpc(request: RequestHead<'_>) -> bool {
    let Some(kind) = request.headers.get(CONTENT_TYPE) else { return false };
    if *request.method != Method::POST || request.version != Version::HTTP_2 {
        return false;
    }
    match kind.as_bytes().split_at_checked("application/grpc".len()) {
        Some((name, rest)) => {
            name.eq_ignore_ascii_case(b"application/grpc")
                && matches!(rest.first(), None | Some(b'+' | b';' | b' '))
        }
        None => false,
    }
}

/// The whole response; the challenge is sent as metadata.
pub(crate) fn response(rejection: &Rejection, challenge: &Challenge, dpop: bool) -> Response<Bytes> {
    let decision = challenge.decide(rejection, dpop);
    let mut response = Response::new(Bytes::new());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert("grpc-status", HeaderValue::from_static(status(rejection)));
    headers.insert("grpc-message", HeaderValue::from_static(rejection.public_message()));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    for value in decision.challenges.into_iter().flatten() {
        headers.append(WWW_AUTHENTICATE, value);
    }
    if let Some(value) = decision.retry_after {
        headers.insert(RETRY_AFTER, value);
    }
    response
}

/// <https://grpc.io/docs/guides/status-codes/>
fn status(rejection: &Rejection) -> &'static str {
    match rejection {
        Rejection::KeysUnavailable { .. }
        | Rejection::IntrospectionUnavailable { .. }
        | Rejection::RevocationsUnavailable { .. }
        | Rejection::ReplayUnavailable { .. } => "14", // UNAVAILABLE
        Rejection::MalformedRequest(_) => "3", // INVALID_ARGUMENT
        Rejection::InsufficientScope { .. } | Rejection::NoRule | Rejection::OriginNotAllowed => "7", // PERMISSION_DENIED
        Rejection::NotGuarded | Rejection::UncheckedBody => "13", // INTERNAL
        Rejection::MissingToken
        | Rejection::MissingBoundToken
        | Rejection::InvalidToken(_)
        | Rejection::InvalidProof(_)
        | Rejection::UseDpopNonce
        | Rejection::TokenNotBound(_)
        | Rejection::InsufficientAuthentication { .. } => "16", // UNAUTHENTICATED
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grpc_is_recognized_by_its_content_type_in_a_post_over_http_2() {
        let asked = |method: &str, version, kind: &str| {
            let request = http::Request::builder().method(method).version(version).header(CONTENT_TYPE, kind);
            is_grpc((&request.body(()).unwrap()).into())
        };
        let recognized = |kind| asked("POST", Version::HTTP_2, kind);
        assert!(recognized("application/grpc"));
        assert!(recognized("application/grpc+proto"));
        assert!(!recognized("application/grpc-web"));
        assert!(!recognized("application/json"));
        for version in [Version::HTTP_09, Version::HTTP_10, Version::HTTP_11, Version::HTTP_3] {
            assert!(!asked("POST", version, "application/grpc"), "{version:?}");
        }
        for method in ["GET", "HEAD", "PUT", "OPTIONS", "CONNECT", "post"] {
            assert!(!asked(method, Version::HTTP_2, "application/grpc"), "{method}");
        }
    }

    #[test]
    fn a_rejection_is_trailers_only_with_the_challenge_as_metadata() {
        let response = response(&Rejection::MissingToken, &Challenge::default(), false);
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["grpc-status"], "16");
        assert_eq!(response.headers()[WWW_AUTHENTICATE], r#"Bearer realm="api""#);
    }
}
