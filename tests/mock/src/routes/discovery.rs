//! Authorization server metadata (RFC 8414 §2, OpenID Connect Discovery §3): one document under both names.

use http::StatusCode;
use serde_json::json;

use super::Call;
use crate::answer::Answer;
use crate::clients::{AuthMethod, GrantType};
use crate::endpoint::Endpoint;
use crate::keys::Alg;

pub(crate) fn serve(call: Call<'_>) -> Answer {
    let clients = call.shared.clients();
    let mut scopes: Vec<&str> =
        clients.iter().flat_map(|client| &client.scopes).map(String::as_str).collect();
    scopes.sort_unstable();
    scopes.dedup();
    let methods = AuthMethod::ALL.map(AuthMethod::as_str);
    // RFC 7662 §2.1: whoever introspects proves who it is.
    let proving: Vec<_> = methods.into_iter().filter(|method| *method != "none").collect();
    let assertion_algs: Vec<_> =
        Alg::ALL.iter().filter(|alg| **alg != Alg::None).map(|alg| alg.as_str()).collect();
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
        "token_endpoint_auth_signing_alg_values_supported": assertion_algs,
        "introspection_endpoint_auth_methods_supported": proving,
        "introspection_endpoint_auth_signing_alg_values_supported": assertion_algs,
        "revocation_endpoint_auth_methods_supported": methods,
        "revocation_endpoint_auth_signing_alg_values_supported": assertion_algs,
        "code_challenge_methods_supported": ["S256"],
        "dpop_signing_alg_values_supported": call.shared.dpop.algorithms(),
        "authorization_response_iss_parameter_supported": true,
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": algorithms,
    });
    Answer::json(StatusCode::OK, &document)
}
