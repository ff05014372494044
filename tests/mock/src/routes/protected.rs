//! What an API does first: find the access token, see that it is good and that the caller may use it
//! (RFC 6750, RFC 9449 section 7).

use http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use serde_json::Value;

use super::Call;
use crate::dpop::{BadProof, DPOP_NONCE, Side};
use crate::state::tokens::Access;
use crate::wire::peer::Peer;
use crate::wire::response::MockResponse;

/// The scheme of the `Authorization` header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scheme {
    Bearer,
    Dpop,
}

/// The access token of a request, with everything that is known of it; or the rejection. `parameters` are in every
/// challenge, as they are: `resource_metadata="…"`, say. `known` finds an access token that is good here.
pub(crate) fn access(
    call: Call<'_>,
    parameters: &str,
    known: impl FnOnce(Call<'_>, &str) -> Option<Access>,
) -> Result<(Scheme, Access), Box<MockResponse>> {
    let unauthorized = |scheme, error| challenge(call, StatusCode::UNAUTHORIZED, scheme, error, parameters);
    let refuse = |scheme, error| Err(Box::new(unauthorized(scheme, error)));
    let mut headers = call.request.headers().get_all(AUTHORIZATION).iter();
    let header = headers.next().and_then(|value| value.to_str().ok());
    if headers.next().is_some() {
        let (status, error) = (StatusCode::BAD_REQUEST, "invalid_request");
        return Err(Box::new(challenge(call, status, Scheme::Bearer, error, parameters)));
    }
    let (scheme, token) = match header.and_then(|header| header.split_once(' ')) {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("Bearer") => (Scheme::Bearer, token),
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("DPoP") => (Scheme::Dpop, token),
        _ => {
            let mut response = unauthorized(Scheme::Bearer, "");
            if let Ok(second) = HeaderValue::try_from(text(call, Scheme::Dpop, "", parameters)) {
                response.headers.append(WWW_AUTHENTICATE, second);
            }
            return Err(Box::new(response));
        }
    };
    let token = token.trim_start_matches(' ');
    let Some(access) = known(call, token) else { return refuse(scheme, "invalid_token") };
    let certificate = access.grant.cnf.get("x5t#S256").and_then(|thumbprint| thumbprint.as_str());
    if certificate.is_some() && Peer::of(call.request).map(Peer::thumbprint).as_deref() != certificate {
        // RFC 8705 section 3: shown on another connection than its owner's.
        return refuse(scheme, "invalid_token");
    }
    let bound_to = access.grant.cnf.get("jkt").and_then(Value::as_str);
    match (scheme, bound_to) {
        (Scheme::Bearer, None) => Ok((scheme, access)),
        // RFC 9449 section 7.2: calling it a bearer token does not get around the proof.
        (Scheme::Bearer, Some(_)) | (Scheme::Dpop, None) => refuse(Scheme::Dpop, "invalid_token"),
        (Scheme::Dpop, Some(bound_to)) => {
            match call.shared.dpop.check(call.shared, call.request, Side::Api, Some(token)) {
                Ok(Some(jkt)) if jkt == bound_to => Ok((scheme, access)),
                Ok(Some(_)) => refuse(scheme, "invalid_token"),
                Ok(None) | Err(BadProof::Invalid(_)) => refuse(scheme, "invalid_dpop_proof"),
                Err(BadProof::Nonce(nonce)) => {
                    Err(Box::new(unauthorized(scheme, "use_dpop_nonce").with(DPOP_NONCE, &nonce)))
                }
            }
        }
    }
}

/// The record of an access token that this server issued itself.
pub(crate) fn recorded(call: Call<'_>, token: &str) -> Option<Access> {
    call.issuer.records.active_access(token, call.shared.clock.now_unix())
}

/// A refusal (RFC 6750 section 3, RFC 9449 section 7.1). An empty error means that nothing was tried.
pub(crate) fn challenge(
    call: Call<'_>,
    status: StatusCode,
    scheme: Scheme,
    error: &str,
    parameters: &str,
) -> MockResponse {
    MockResponse::empty(status).with(WWW_AUTHENTICATE, &text(call, scheme, error, parameters))
}

fn text(call: Call<'_>, scheme: Scheme, error: &str, parameters: &str) -> String {
    let name = if scheme == Scheme::Dpop { "DPoP" } else { "Bearer" };
    let error = if error.is_empty() { String::new() } else { format!(r#"error="{error}""#) };
    let algs = match scheme {
        Scheme::Dpop => format!(r#"algs="{}""#, call.shared.dpop.algorithms().join(" ")),
        Scheme::Bearer => String::new(),
    };
    let all: Vec<_> =
        [error.as_str(), parameters, &algs].into_iter().filter(|part| !part.is_empty()).collect();
    format!("{name} {}", all.join(", ")).trim_end().to_owned()
}

/// Brings the nonce for the caller's next proof, where one is wanted.
pub(crate) fn finish(call: Call<'_>, scheme: Scheme, response: MockResponse) -> MockResponse {
    match scheme {
        Scheme::Dpop => call.shared.dpop.with_nonce(Side::Api, response),
        Scheme::Bearer => response,
    }
}
