//! What is said of an active token, with the tampers in force, and signed where that is asked for.

use serde_json::{Map, Value, json};

use crate::keys::TestKey;
use crate::routes::Call;
use crate::rules::tampers::Tamper;

const HOUR: i64 = 3600;
const OTHER: &str = "https://attacker.example";

/// The response about an active token as JSON text.
pub(super) fn text(call: Call<'_>, mut described: Value) -> String {
    let shows = |tamper| call.shared.tampers.shows(tamper);
    let now = call.shared.clock.now_unix();
    if shows(Tamper::IntrospectionActiveText) {
        described["active"] = json!("true");
    }
    if shows(Tamper::IntrospectionExpired) {
        described["iat"] = json!(now.saturating_sub(2 * HOUR));
        described["exp"] = json!(now.saturating_sub(HOUR));
    }
    if shows(Tamper::IntrospectionFuture) {
        described["nbf"] = json!(now.saturating_add(HOUR));
    }
    if shows(Tamper::IntrospectionIssuer) {
        described["iss"] = json!(OTHER);
    }
    if shows(Tamper::IntrospectionAudience) {
        described["aud"] = json!("another-api");
    }
    if shows(Tamper::IntrospectionBound) {
        let key = TestKey::generate(call.issuer.keys.current().alg());
        described["cnf"] = json!({"jkt": key.thumbprint()});
    }
    if shows(Tamper::IntrospectionScopeList) {
        let scope = described["scope"].as_str().unwrap_or_default();
        described["scope"] = json!(scope.split(' ').collect::<Vec<_>>());
    }
    if shows(Tamper::IntrospectionTokenType) {
        described["token_type"] = json!("mac");
    }
    if shows(Tamper::IntrospectionActiveMissing)
        && let Some(members) = described.as_object_mut()
    {
        members.remove("active");
    }
    let text = described.to_string();
    match (shows(Tamper::IntrospectionDuplicate), text.strip_prefix('{')) {
        (true, Some(rest)) => format!("{{\"active\":false,{rest}"),
        _ => text,
    }
}

/// Whether the response about an active token is plain, although it is to be signed.
pub(super) fn is_left_unsigned(call: Call<'_>, active: bool) -> bool {
    active && call.shared.tampers.shows(Tamper::IntrospectionUnsigned)
}

/// A signed response with this text (RFC 9701 section 5), to this client.
pub(super) fn signed(call: Call<'_>, client: &str, text: &str, active: bool) -> String {
    let shows = |tamper| active && call.shared.tampers.shows(tamper);
    let (mut issuer, mut audience, mut typ) = (&*call.issuer.url, client, "token-introspection+jwt");
    if shows(Tamper::IntrospectionJwtType) {
        typ = "JWT";
    }
    if shows(Tamper::IntrospectionJwtIssuer) {
        issuer = OTHER;
    }
    if shows(Tamper::IntrospectionJwtAudience) {
        audience = "another-client";
    }
    let mut claims = Map::new();
    claims.insert("iss".to_owned(), json!(issuer));
    claims.insert("aud".to_owned(), json!(audience));
    claims.insert("iat".to_owned(), json!(call.shared.clock.now_unix()));
    // As text, so that what is wrong in it stays as it is.
    let claims = Value::Object(claims).to_string();
    let outer = claims.trim_end_matches('}');
    let payload = if shows(Tamper::IntrospectionJwtMember) {
        text.to_owned()
    } else {
        format!("{outer},\"token_introspection\":{text}}}")
    };
    let mut token = call.shared.mint(call.issuer).typ(typ).raw_payload(payload.clone());
    if shows(Tamper::IntrospectionJwtKey) {
        let current = call.issuer.keys.current();
        // Under the key id that is published, so that nothing but the signature is wrong.
        token = token.signed_with(&call.issuer.keys.foreign(current.alg()).with_kid(current.kid()));
    }
    if shows(Tamper::IntrospectionJwtSignature) {
        let signature = token.sign(token.signing_input().as_bytes());
        token = token.raw_payload(format!("{payload} ")).signature(signature);
    }
    token.build()
}
