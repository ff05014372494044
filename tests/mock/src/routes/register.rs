//! Dynamic client registration (RFC 7591 section 3) and the client configuration endpoint (RFC 7592 section 2).

use http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use http::{Method, StatusCode};
use serde_json::{Map, Value};

use super::{Call, discovery};
use crate::clients::registration::{Registered, Requested, bad};
use crate::encode::random_text;
use crate::endpoint::Endpoint;
use crate::json;
use crate::jws::Jws;
use crate::wire::response::{MockResponse, OAuthError};

/// `POST`: registers a client.
pub(crate) fn register(call: Call<'_>) -> MockResponse {
    let registration = &call.shared.registration;
    if registration.closed {
        return MockResponse::empty(StatusCode::NOT_FOUND);
    }
    let tokens = &registration.initial_access_tokens;
    if !tokens.is_empty() && !bearer(call).is_some_and(|token| tokens.iter().any(|known| known == token)) {
        return unauthorized(call);
    }
    let id = format!("client-{}", random_text::<12>());
    match requested(call).map(|requested| save(call, &id, requested, None)) {
        Ok(information) => MockResponse::json(StatusCode::CREATED, &information).never_stored(),
        Err(error) => error.into(),
    }
}

/// `GET`, `PUT` and `DELETE` of one client's registration.
pub(crate) fn manage(call: Call<'_>) -> MockResponse {
    let id = call.request.uri().path().rsplit('/').next().unwrap_or_default();
    let registrations = &call.issuer.registrations;
    let Some(registered) = bearer(call).and_then(|token| registrations.get(id, token)) else {
        return unauthorized(call);
    };
    match *call.request.method() {
        Method::GET => {
            MockResponse::json(StatusCode::OK, &registered.information(id, &uri(call, id))).never_stored()
        }
        Method::PUT => match update(call, id, registered) {
            Ok(information) => MockResponse::json(StatusCode::OK, &information).never_stored(),
            Err(error) => error.into(),
        },
        Method::DELETE => {
            registrations.remove(id);
            call.shared.remove_client(id);
            // RFC 7592 section 2.3: what the client was given goes with it.
            call.issuer.records.revoke_client(id);
            MockResponse::empty(StatusCode::NO_CONTENT).never_stored()
        }
        _ => MockResponse::not_allowed("GET, PUT, DELETE"),
    }
}

/// RFC 7592 section 2.2: the whole of the metadata is replaced, what is left out goes.
fn update(call: Call<'_>, id: &str, registered: Registered) -> Result<Value, OAuthError> {
    let asked = members(call)?;
    for name in [
        "registration_access_token",
        "registration_client_uri",
        "client_secret_expires_at",
        "client_id_issued_at",
    ] {
        if asked.contains_key(name) {
            return Err(bad(name, "must not be sent in an update (RFC 7592 section 2.2)"));
        }
    }
    if asked.get("client_id").and_then(Value::as_str) != Some(id) {
        return Err(bad("client_id", "must be the client's own (RFC 7592 section 2.2)"));
    }
    let secret = asked.get("client_secret");
    if secret.is_some_and(|secret| secret.as_str() != registered.secret.as_deref()) {
        return Err(bad("client_secret", "a client must not choose its own (RFC 7592 section 2.2)"));
    }
    let requested = requested(call)?;
    Ok(save(call, id, requested, Some(registered)))
}

/// Registers the client, in place of what it was before, and returns what it is now.
fn save(call: Call<'_>, id: &str, requested: Requested, before: Option<Registered>) -> Value {
    // Long enough for any HMAC (RFC 7518 section 3.2).
    let new_secret =
        || before.as_ref().and_then(|before| before.secret.clone()).unwrap_or_else(random_text::<48>);
    let secret = requested.needs_secret().then(new_secret);
    let (client, metadata) = requested.client(id, secret.clone());
    let mut registered = Registered::new(metadata, secret, call.shared.clock.now_unix());
    if let Some(before) = before {
        registered.issued_at = before.issued_at;
        if !call.shared.registration.rotates {
            registered.access_token = before.access_token;
        }
    }
    let information = registered.information(id, &uri(call, id));
    call.issuer.registrations.put(id, registered);
    call.shared.register(client);
    information
}

fn requested(call: Call<'_>) -> Result<Requested, OAuthError> {
    let mut asked = members(call)?;
    if let Some(statement) = asked.get("software_statement").cloned() {
        // RFC 7591 section 2.3: what the statement says counts more than what the client says.
        asked.extend(software_statement(call, &statement)?);
        asked.insert("software_statement".to_owned(), statement);
    }
    Requested::read(&asked, &discovery::methods(call))
}

/// The claims of a software statement by an issuer this server trusts.
fn software_statement(call: Call<'_>, statement: &Value) -> Result<Map<String, Value>, OAuthError> {
    let refused = |why: &str| {
        OAuthError::bad_request("invalid_software_statement", format!("software_statement: {why}"))
    };
    let text = statement.as_str().ok_or_else(|| refused("must be a string"))?;
    let jws = Jws::read(text).map_err(refused)?;
    let issuer = jws.text("iss").ok_or_else(|| refused("iss: missing"))?;
    let mut trusted = call.shared.trusted_issuers.iter();
    let trusted = trusted.find(|trusted| trusted.issuer == issuer).ok_or_else(|| {
        let why = "software_statement: iss: not approved here";
        OAuthError::bad_request("unapproved_software_statement", why)
    })?;
    if !trusted.signed(&jws) {
        return Err(refused("the signature is not by a key of its issuer"));
    }
    if jws.time("exp").is_some_and(|exp| exp <= call.shared.clock.now_unix()) {
        return Err(refused("exp: has expired"));
    }
    Ok(jws.claims.clone())
}

fn members(call: Call<'_>) -> Result<Map<String, Value>, OAuthError> {
    let content_type = call.request.headers().get(http::header::CONTENT_TYPE);
    let content_type = content_type.and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !content_type.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json") {
        return Err(bad("Content-Type", "must be application/json"));
    }
    json::object(call.request.body()).map_err(|_| bad("body", "must be a JSON object, each member once"))
}

fn uri(call: Call<'_>, id: &str) -> String {
    format!("{}/{id}", call.url(Endpoint::Register))
}

fn bearer(call: Call<'_>) -> Option<&str> {
    let (scheme, token) = call.request.headers().get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("Bearer").then_some(token)
}

/// RFC 6750 section 3.
fn unauthorized(call: Call<'_>) -> MockResponse {
    let challenge = if bearer(call).is_some() { r#"Bearer error="invalid_token""# } else { "Bearer" };
    MockResponse::empty(StatusCode::UNAUTHORIZED).with(WWW_AUTHENTICATE, challenge)
}
