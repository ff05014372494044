//! Authorization server metadata (RFC 8414 §2, OpenID Connect Discovery §3): one document under both names.

use http::StatusCode;
use serde_json::json;

use super::Call;
use crate::answer::Answer;
use crate::clients::{AuthMethod, GrantType};
use crate::endpoint::Endpoint;

pub(crate) fn serve(call: Call<'_>) -> Answer {
    let clients = call.shared.clients();
    let mut scopes: Vec<&str> =
        clients.iter().flat_map(|client| &client.scopes).map(String::as_str).collect();
    scopes.sort_unstable();
    scopes.dedup();
    let methods = [AuthMethod::Basic, AuthMethod::Post, AuthMethod::None].map(AuthMethod::as_str);
    let algorithms: Vec<_> = call.issuer.algorithms.iter().map(|alg| alg.as_str()).collect();
    let document = json!({
        "issuer": call.issuer.url,
        "authorization_endpoint": call.url(Endpoint::Authorize),
        "token_endpoint": call.url(Endpoint::Token),
        "introspection_endpoint": call.url(Endpoint::Introspect),
        "revocation_endpoint": call.url(Endpoint::Revoke),
        "userinfo_endpoint": call.url(Endpoint::Userinfo),
        "jwks_uri": call.url(Endpoint::Jwks),
        "scopes_supported": scopes,
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": GrantType::ALL.map(GrantType::as_str),
        "token_endpoint_auth_methods_supported": methods,
        "introspection_endpoint_auth_methods_supported": [methods[0], methods[1]],
        "revocation_endpoint_auth_methods_supported": methods,
        "code_challenge_methods_supported": ["S256"],
        "authorization_response_iss_parameter_supported": true,
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": algorithms,
    });
    Answer::json(StatusCode::OK, &document)
}
