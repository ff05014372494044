//! The key set (RFC 7517 §5).

use http::StatusCode;
use http::header::CACHE_CONTROL;

use super::Call;
use crate::answer::Answer;

pub(crate) fn serve(call: Call<'_>) -> Answer {
    let keys = &call.issuer.keys;
    let answer = Answer::new(StatusCode::OK, "application/jwk-set+json", keys.jwks_json());
    match keys.max_age() {
        Some(max_age) => answer.with(CACHE_CONTROL, &format!("max-age={}", max_age.as_secs())),
        None => answer,
    }
}
