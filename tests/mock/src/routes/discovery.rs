//! Authorization server metadata (RFC 8414 section 2, OpenID Connect Discovery section 3): one document under both
//! names.

use http::StatusCode;
use serde_json::{Value, json};

use super::Call;
use super::authorize::PROMPTS;
use crate::clients::{AuthMethod, GrantType};
use crate::endpoint::Endpoint;
use crate::keys::Alg;
use crate::wire::response::MockResponse;

pub(crate) fn serve(call: Call<'_>) -> MockResponse {
    let clients = call.shared.clients();
    let mut scopes: Vec<&str> =
        clients.iter().flat_map(|client| &client.scopes).map(String::as_str).collect();
    scopes.sort_unstable();
    scopes.dedup();
    let methods: Vec<_> = methods(call).into_iter().map(AuthMethod::as_str).collect();
    // RFC 7662 section 2.1: the caller of introspection authenticates.
    let proving: Vec<_> = methods.iter().filter(|method| **method != "none").collect();
    let assertion_algs: Vec<_> =
        Alg::ALL.iter().filter(|alg| **alg != Alg::None).map(|alg| alg.as_str()).collect();
    let algorithms: Vec<_> = call.issuer.algorithms.iter().map(|alg| alg.as_str()).collect();
    let details_types = &call.shared.policy.details_types;
    let details_types: Vec<_> = details_types.iter().map(|kind| kind.name.as_str()).collect();
    let mut document = json!({
        "issuer": call.issuer.url,
        "authorization_endpoint": call.url(Endpoint::Authorize),
        "pushed_authorization_request_endpoint": call.url(Endpoint::Par),
        "require_pushed_authorization_requests": call.shared.policy.needs_par,
        "device_authorization_endpoint": call.url(Endpoint::DeviceAuthorization),
        "backchannel_authentication_endpoint": call.url(Endpoint::BackchannelAuthentication),
        "backchannel_token_delivery_modes_supported": ["poll"],
        "backchannel_user_code_parameter_supported": false,
        "end_session_endpoint": call.url(Endpoint::EndSession),
        "backchannel_logout_supported": true,
        "backchannel_logout_session_supported": true,
        "token_endpoint": call.url(Endpoint::Token),
        "introspection_endpoint": call.url(Endpoint::Introspect),
        "revocation_endpoint": call.url(Endpoint::Revoke),
        "userinfo_endpoint": call.url(Endpoint::Userinfo),
        "jwks_uri": call.url(Endpoint::Jwks),
        "scopes_supported": scopes,
        "response_types_supported": ["code"],
        "response_modes_supported": ["query", "form_post"],
        "grant_types_supported": GrantType::ALL.map(GrantType::as_str),
        "token_endpoint_auth_methods_supported": methods,
        "token_endpoint_auth_signing_alg_values_supported": assertion_algs,
        // RFC 9701 section 7.
        "introspection_signing_alg_values_supported": algorithms,
        "introspection_endpoint_auth_methods_supported": proving,
        "introspection_endpoint_auth_signing_alg_values_supported": assertion_algs,
        "revocation_endpoint_auth_methods_supported": methods,
        "revocation_endpoint_auth_signing_alg_values_supported": assertion_algs,
        "code_challenge_methods_supported": ["S256"],
        "authorization_details_types_supported": details_types,
        "acr_values_supported": call.shared.policy.acr_values,
        "prompt_values_supported": PROMPTS,
        "dpop_signing_alg_values_supported": call.shared.dpop.algorithms(),
        "authorization_response_iss_parameter_supported": true,
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": algorithms,
    });
    if !call.shared.policy.client_documents.is_empty() {
        document["client_id_metadata_document_supported"] = json!(true);
    }
    if !call.shared.registration.closed {
        document["registration_endpoint"] = json!(call.url(Endpoint::Register));
    }
    if let Some(origin) = call.shared.names.mtls(call.authority()) {
        document["tls_client_certificate_bound_access_tokens"] = json!(true);
        document["mtls_endpoint_aliases"] = aliases(&document, &call.base(), &origin.to_string());
    }
    MockResponse::json(StatusCode::OK, &document)
}

/// How clients may authenticate here.
pub(super) fn methods(call: Call<'_>) -> Vec<AuthMethod> {
    // Certificates are seen at one address only.
    let offered = |method: &AuthMethod| !method.is_tls() || call.shared.mtls_origin.is_some();
    AuthMethod::ALL.into_iter().filter(offered).collect()
}

/// RFC 8705 section 5: every endpoint that a client asks directly, at the address that asks for certificates.
fn aliases(document: &Value, origin: &str, mtls_origin: &str) -> Value {
    let through_the_browser = ["authorization_endpoint", "end_session_endpoint"];
    let members = document.as_object().into_iter().flatten();
    let direct = members
        .filter(|(name, _)| name.ends_with("_endpoint") && !through_the_browser.contains(&name.as_str()));
    let alias = |(name, url): (&String, &Value)| {
        let path = url.as_str()?.strip_prefix(origin)?;
        Some((name.clone(), json!(format!("{mtls_origin}{path}"))))
    };
    Value::Object(direct.filter_map(alias).collect())
}
