//! Introspection (RFC 7662), its response plain or signed (RFC 9701).

mod tampered;

use bytes::Bytes;
use http::header::ACCEPT;
use http::{Request, StatusCode};
use serde_json::{Value, json};

use super::Call;
use super::client_auth::authenticate;
use super::form::Form;
use crate::dpop;
use crate::rules::token_rules;
use crate::state::tokens::is_reserved;
use crate::wire::response::{MockResponse, OAuthError};

pub(crate) fn serve(call: Call<'_>) -> MockResponse {
    introspect(call).unwrap_or_else(MockResponse::from)
}

fn introspect(call: Call<'_>) -> Result<MockResponse, OAuthError> {
    let form = Form::read(call.request)?;
    let client = authenticate(call, &form)?;
    if client.is_public() {
        // RFC 7662 section 2.1: otherwise any client could try tokens out.
        return Err(OAuthError::invalid_client("a public client may not introspect", false));
    }
    let token = form.required("token")?;
    let described = describe(call, token).unwrap_or_else(|| json!({"active": false}));
    let active = described["active"] == json!(true);
    let mut text = described.to_string();
    if active {
        text = tampered::text(call, described);
    }
    let response = match is_to_be_signed(call.request) && !tampered::is_left_unsigned(call, active) {
        true => MockResponse::new(StatusCode::OK, SIGNED, tampered::signed(call, &client.id, &text, active)),
        false => MockResponse::new(StatusCode::OK, "application/json", text),
    };
    Ok(response.never_stored())
}

/// The media type of a signed response (RFC 9701 section 4).
const SIGNED: &str = "application/token-introspection+jwt";

fn is_to_be_signed(request: &Request<Bytes>) -> bool {
    let mut accepted = request.headers().get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    accepted.any(|value| value.to_ascii_lowercase().contains(SIGNED))
}

/// RFC 7662 section 2.2. Unknown, expired and revoked look the same.
fn describe(call: Call<'_>, token: &str) -> Option<Value> {
    let now = call.shared.clock.now_unix();
    let (grant, expires_at) = match call.issuer.records.active_access(token, now) {
        Some(access) => {
            let mut described = described(call, &access.grant, access.expires_at);
            described["token_type"] = json!(dpop::token_type(&access.grant.cnf));
            described["iat"] = json!(access.issued_at);
            described["jti"] = json!(access.jti);
            if let Some(members) = described.as_object_mut() {
                token_rules::set(members, &access.grant.set);
            }
            return Some(described);
        }
        None => call.issuer.records.active_refresh(token, now)?,
    };
    Some(described(call, &grant, expires_at))
}

fn described(call: Call<'_>, grant: &crate::state::tokens::Grant, expires_at: i64) -> Value {
    let claims = grant.claims.iter().filter(|(name, _)| !is_reserved(name));
    let mut described = Value::Object(claims.map(|(name, value)| (name.clone(), value.clone())).collect());
    described["active"] = json!(true);
    described["scope"] = json!(grant.scope.join(" "));
    described["client_id"] = json!(grant.client);
    described["sub"] = json!(grant.subject);
    described["aud"] = json!(grant.audience);
    described["iss"] = json!(call.issuer.url);
    described["exp"] = json!(expires_at);
    if !grant.cnf.is_empty() {
        // RFC 9449 section 6.2.
        described["cnf"] = json!(grant.cnf);
    }
    if !grant.details.is_empty() {
        // RFC 9396 section 9.2.
        described["authorization_details"] = json!(grant.details);
    }
    if let Some(login) = &grant.login {
        // RFC 9470 section 6.2.
        described["auth_time"] = json!(login.at);
        described["acr"] = json!(login.acr);
    }
    if let Some(user) = &grant.user {
        described["username"] = json!(user);
    }
    described
}
