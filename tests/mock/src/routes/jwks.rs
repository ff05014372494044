//! The key set (RFC 7517 section 5).

use http::StatusCode;
use http::header::CACHE_CONTROL;

use super::Call;
use crate::wire::response::MockResponse;

pub(crate) fn serve(call: Call<'_>) -> MockResponse {
    let keys = &call.issuer.keys;
    let response = MockResponse::new(StatusCode::OK, "application/jwk-set+json", keys.jwks_json());
    match keys.max_age() {
        Some(max_age) => response.with(CACHE_CONTROL, &format!("max-age={}", max_age.as_secs())),
        None => response,
    }
}
