//! Metadata documents of servers and APIs: what is accepted is the document of the issuer that was asked for, every URL in
//! it is one, and https.

use bytes::Bytes;
use oauth_client::Error;
use oauth_client::discover::{Endpoint, Metadata, ProtectedResource, discover, resource};
use oauth_client::transport::Limits;
use serde_json::{Map, Value, json};
use url::Url;

use crate::fixture::{ISSUER, json_server, run};
use crate::json;
use crate::target::{Target, bounded};

pub const TARGET: Target = Target { check, seeds };

const API: &str = "https://api.example.com/mcp";

const ENDPOINTS: [Endpoint; 10] = [
    Endpoint::Authorization,
    Endpoint::BackchannelAuthentication,
    Endpoint::DeviceAuthorization,
    Endpoint::EndSession,
    Endpoint::Introspection,
    Endpoint::PushedAuthorizationRequest,
    Endpoint::Registration,
    Endpoint::Revocation,
    Endpoint::Token,
    Endpoint::Userinfo,
];

/// Of a server, or with an `R` in front of an API.
fn check(data: &[u8]) {
    match data.split_first() {
        Some((b'R', document)) => of_api(document),
        _ => of_server(data),
    }
}

fn of_server(document: &[u8]) {
    let http = json_server(Bytes::copy_from_slice(document));
    let found = bounded(document.len() + 4096, || run(discover(&http, ISSUER, &Limits::metadata())));
    let expected = json::document(document);
    let found = match found {
        Ok(found) => found,
        Err(error) => return refused(&error, document),
    };
    let members = expected.expect("an accepted document is one strict JSON object");
    let issuer = members["issuer"].as_str().expect("an issuer");
    assert_eq!(found.issuer, issuer);
    // The hole of a document for many tenants is none where a name was asked for.
    assert!(issuer == ISSUER || issuer.contains("{tenantid}"), "{issuer}");
    urls(&found, &members);
    let list = |name: &str| {
        members.get(name).and_then(|value| serde_json::from_value::<Vec<String>>(value.clone()).ok())
    };
    assert_eq!(found.scopes_supported, list("scopes_supported"));
    assert_eq!(found.grant_types_supported, list("grant_types_supported"));
    assert_eq!(found.token_endpoint_auth_methods_supported, list("token_endpoint_auth_methods_supported"));
    for (name, value) in &found.extra {
        assert_eq!(members.get(name), Some(value));
    }
}

/// Each is what the `url` crate reads, or absent.
fn urls(found: &Metadata, members: &Map<String, Value>) {
    let read = |name: &str| members.get(name).and_then(Value::as_str).and_then(|text| Url::parse(text).ok());
    let all = ENDPOINTS.iter().map(|one| (one.name(), found.endpoint(*one)));
    for (name, url) in all.chain([("jwks_uri", found.jwks_uri.as_ref())]) {
        if let Some(url) = url {
            assert_eq!(Some(url), read(name).as_ref(), "{name}");
            assert_eq!(url.scheme(), "https", "{name}");
        }
    }
    for (name, url) in &found.mtls_endpoint_aliases {
        let text = members["mtls_endpoint_aliases"][name].as_str().expect("a string");
        assert_eq!(Url::parse(text).as_ref(), Ok(url));
        assert_eq!(url.scheme(), "https", "{name}");
    }
    // Tokens come from one of these; a document with a wrong one is none.
    for name in ["token_endpoint", "jwks_uri"] {
        assert!(read(name).is_none_or(|url| url.scheme() == "https"), "{name}");
    }
}

fn of_api(document: &[u8]) {
    let http = json_server(Bytes::copy_from_slice(document));
    let found: Result<ProtectedResource, Error> =
        bounded(document.len() + 4096, || run(resource(&http, API, &Limits::metadata())));
    let found = match found {
        Ok(found) => found,
        Err(error) => return refused(&error, document),
    };
    let members = json::document(document).expect("an accepted document is one strict JSON object");
    assert_eq!((found.resource.as_str(), members["resource"].as_str()), (API, Some(API)));
    let list = |name: &str| {
        members.get(name).and_then(|value| serde_json::from_value::<Vec<String>>(value.clone()).ok())
    };
    assert_eq!(found.authorization_servers, list("authorization_servers").unwrap_or_default());
    assert_eq!(found.scopes_supported, list("scopes_supported"));
    let required = members.get("dpop_bound_access_tokens_required") == Some(&json!(true));
    assert_eq!(found.dpop_bound_access_tokens_required, required);
}

/// An error quotes little of a document.
fn refused(error: &Error, document: &[u8]) {
    assert!(error.to_string().len() < 4096, "{error} of {} bytes", document.len());
    // A good one is not refused.
    if let Some(members) = json::document(document) {
        let is_plain = members.len() == 1;
        assert!(!(is_plain && members.get("issuer") == Some(&json!(ISSUER))), "{error}");
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let url = |path: &str| format!("{ISSUER}/{path}");
    let mut server = json!({
        "issuer": ISSUER, "jwks_uri": url("keys"), "scopes_supported": ["read"], "grant_types_supported": ["client_credentials"],
        "token_endpoint_auth_methods_supported": ["client_secret_basic"], "require_pushed_authorization_requests": true,
        "mtls_endpoint_aliases": { "token_endpoint": "https://mtls.example.com/token" }, "x": { "y": [1, null] },
    });
    for endpoint in ENDPOINTS {
        server[endpoint.name()] = url("e").into();
    }
    let api = json!({
        "resource": API, "authorization_servers": [ISSUER], "scopes_supported": ["read"], "jwks_uri": url("keys"),
        "bearer_methods_supported": ["header"], "dpop_bound_access_tokens_required": true,
    });
    [
        server.to_string(),
        format!("\u{feff}{server}"),
        json!({ "issuer": ISSUER }).to_string(),
        json!({ "issuer": "https://auth.example.com/{tenantid}" }).to_string(),
        json!({ "issuer": ISSUER, "token_endpoint": "http://auth.example.com/token" }).to_string(),
        json!({ "issuer": ISSUER, "userinfo_endpoint": "http://127.0.0.1/u", "jwks_uri": "" }).to_string(),
        format!("R{api}"),
        format!("R{}", json!({ "resource": API })),
    ]
    .map(String::into_bytes)
    .to_vec()
}
