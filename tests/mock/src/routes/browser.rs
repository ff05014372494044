//! What browsers may do: whose page sent a request, and which pages may read a response.

use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use http::{HeaderName, Method, StatusCode};

use super::Call;
use crate::endpoint::Endpoint;
use crate::page;
use crate::wire::response::MockResponse;

/// Which page made a browser send a request (Fetch Metadata, section 2.3).
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Refuses a form that a page of another origin made the browser send (RFC 6749 section 10.12). Other programs than
/// browsers say nothing about pages, and cannot be misled by one.
pub(super) fn refuse_foreign_page(call: Call<'_>) -> Option<MockResponse> {
    let headers = call.request.headers();
    let is_own = |value: &http::HeaderValue| {
        value.to_str().is_ok_and(|origin| call.shared.names.is_own_page(origin, call.authority()))
    };
    let same_origin =
        |value: &http::HeaderValue| value.to_str().is_ok_and(|site| matches!(site, "same-origin" | "none"));
    let good =
        headers.get_all(ORIGIN).iter().all(is_own) && headers.get_all(SEC_FETCH_SITE).iter().all(same_origin);
    let refusal = || {
        let why = "this form was sent by a page of another origin (RFC 6749 section 10.12)";
        page::error(StatusCode::FORBIDDEN, "access_denied", why)
    };
    (!good).then(refusal)
}

/// The endpoints that clients in browsers ask themselves. Pages that users see are none of them.
fn is_for_clients(endpoint: Endpoint) -> bool {
    matches!(
        endpoint,
        Endpoint::OauthMetadata
            | Endpoint::OpenidMetadata
            | Endpoint::ResourceMetadata
            | Endpoint::Jwks
            | Endpoint::Token
            | Endpoint::Par
            | Endpoint::DeviceAuthorization
            | Endpoint::Revoke
            | Endpoint::Userinfo
            | Endpoint::Register
            | Endpoint::ClientConfiguration
            | Endpoint::Api
    )
}

/// The response to the question that a browser asks before a request to another origin.
pub(super) fn preflight(call: Call<'_>, endpoint: Endpoint) -> Option<MockResponse> {
    let headers = call.request.headers();
    let is_one = call.request.method() == Method::OPTIONS
        && headers.contains_key(ORIGIN)
        && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD);
    (is_one && is_for_clients(endpoint)).then(|| {
        let response = MockResponse::empty(StatusCode::NO_CONTENT);
        if reader(call).is_none() {
            return response.with(VARY, ORIGIN.as_str());
        }
        response
            .with(ACCESS_CONTROL_ALLOW_METHODS, "GET, HEAD, POST, PUT, PATCH, DELETE")
            .with(ACCESS_CONTROL_ALLOW_HEADERS, "authorization, content-type, dpop")
            .with(ACCESS_CONTROL_MAX_AGE, "600")
    })
}

/// Lets pages of other origins read a response. Never with cookies: nothing here that a client asks looks at them.
pub(super) fn with_reader(call: Call<'_>, endpoint: Endpoint, response: MockResponse) -> MockResponse {
    match reader(call) {
        Some(origin) if is_for_clients(endpoint) => response
            .with(ACCESS_CONTROL_ALLOW_ORIGIN, &origin)
            .with(ACCESS_CONTROL_EXPOSE_HEADERS, "dpop-nonce, www-authenticate, retry-after")
            .with(VARY, ORIGIN.as_str()),
        _ => response,
    }
}

/// Whose pages may read the response to this request.
fn reader(call: Call<'_>) -> Option<String> {
    let origin = call.request.headers().get(ORIGIN)?.to_str().ok()?;
    match &call.shared.policy.cors_origins {
        None => Some("*".to_owned()),
        Some(allowed) => allowed.iter().find(|allowed| *allowed == origin).cloned(),
    }
}
