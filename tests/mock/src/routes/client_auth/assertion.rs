//! Client authentication with a signed JWT (RFC 7523 sections 2.2 and 3): `private_key_jwt` and `client_secret_jwt`.

use std::sync::Arc;

use serde_json::Value;

use crate::clients::{AuthMethod, MockClient};
use crate::endpoint::Endpoint;
use crate::jws::Jws;
use crate::keys::Alg;
use crate::routes::Call;
use crate::wire::response::OAuthError;

/// The value of `client_assertion_type` (RFC 7523 section 2.2).
pub(super) const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// Seconds that `exp` may lie ahead: an assertion is made for one request.
const MAX_LIFETIME: i64 = 600;

/// Seconds that the signer's clock may be ahead of this one.
const LEEWAY: i64 = 60;

/// The client that this assertion proves; `named` is the form's `client_id`.
pub(super) fn authenticate(
    call: Call<'_>,
    assertion: &str,
    named: Option<&str>,
) -> Result<Arc<MockClient>, OAuthError> {
    let jws = Jws::read(assertion).map_err(refused)?;
    let id = jws.text("sub").ok_or_else(|| refused("sub: missing or no string"))?;
    if jws.text("iss") != Some(id) {
        return Err(refused("iss: must be the client_id, like sub (RFC 7523 section 3)"));
    }
    if named.is_some_and(|named| named != id) {
        return Err(OAuthError::invalid_request("client_id: differs from the client_assertion"));
    }
    let client = call.shared.client(id).ok_or_else(|| refused("the client is unknown"))?;
    check_signature(&client, &jws).map_err(refused)?;
    check_claims(call, &jws).map_err(refused)?;
    Ok(client)
}

fn refused(why: impl AsRef<str>) -> OAuthError {
    OAuthError::invalid_client(format!("client_assertion: {}", why.as_ref()), false)
}

fn check_signature(client: &MockClient, jws: &Jws<'_>) -> Result<(), String> {
    let method =
        if jws.alg.is_asymmetric() { AuthMethod::PrivateKeyJwt } else { AuthMethod::ClientSecretJwt };
    if jws.alg == Alg::None || !client.methods.contains(&method) {
        return Err(format!("alg: the client may not authenticate with {} of {}", method.as_str(), jws.alg));
    }
    if client.assertion_algs.as_ref().is_some_and(|algs| !algs.contains(&jws.alg)) {
        return Err(format!("alg: the client is not registered for {}", jws.alg));
    }
    // `typ` is optional, but a JWT made for something else is none of these (RFC 8725 section 3.11).
    if jws.typ().is_some_and(|typ| typ != "jwt" && typ != "client-authentication+jwt") {
        return Err("typ: neither JWT nor client-authentication+jwt".to_owned());
    }
    let verified = match (method, &client.secret) {
        (AuthMethod::PrivateKeyJwt, _) => jws.verifies_with_any(&client.jwks),
        (_, Some(secret)) if secret.len() < hash_length(jws.alg) => {
            let why = "alg: the client's secret is shorter than the hash (RFC 7518 section 3.2)";
            return Err(why.to_owned());
        }
        (_, Some(secret)) => jws.verifies_with_secret(secret.as_bytes()),
        (_, None) => false,
    };
    if verified { Ok(()) } else { Err("the signature is not by a key of the client".to_owned()) }
}

fn check_claims(call: Call<'_>, jws: &Jws<'_>) -> Result<(), String> {
    check_audience(call, jws)?;
    let now = call.shared.clock.now_unix();
    let until = check_times(jws, now, MAX_LIFETIME)?;
    let jti = jws.text("jti").ok_or("jti: missing")?;
    if is_first_use(call, jws.text("iss").unwrap_or_default(), jti, until) {
        Ok(())
    } else {
        Err("jti: used before".to_owned())
    }
}

/// Whether a JWT of this issuer is seen for the first time, be it as client authentication or as a grant: one that is
/// good for both would be good twice.
pub(in crate::routes) fn is_first_use(call: Call<'_>, issuer: &str, jti: &str, until: i64) -> bool {
    let now = call.shared.clock.now_unix();
    call.issuer.replays.is_first(format!("assertion {issuer} {jti}"), until, now)
}

/// RFC 7523 section 3: the authorization server is named, by its issuer identifier or by the endpoint that is asked.
pub(in crate::routes) fn check_audience(call: Call<'_>, jws: &Jws<'_>) -> Result<(), String> {
    let issuer = &call.issuer.url;
    if call.shared.strict_assertion_audience {
        let is_issuer = jws.claims.get("aud").and_then(Value::as_str) == Some(issuer);
        return if is_issuer { Ok(()) } else { Err("aud: must be the issuer as one string".to_owned()) };
    }
    let asked = format!("{}{}", call.origin(), call.request.uri().path());
    let own =
        format!("{}{}", call.shared.origin, Endpoint::Token.path(&call.issuer.name, call.shared.routes()));
    let accepted = [issuer.as_str(), &call.url(Endpoint::Token), &own, &asked];
    if jws.audience().iter().any(|one| accepted.contains(one)) {
        Ok(())
    } else {
        Err("aud: names neither the issuer nor this endpoint".to_owned())
    }
}

/// RFC 7523 section 3, points 4 to 6; until when the assertion is good.
pub(in crate::routes) fn check_times(jws: &Jws<'_>, now: i64, max_lifetime: i64) -> Result<i64, String> {
    let exp = jws.time("exp").ok_or("exp: missing or no number")?;
    if exp <= now {
        return Err("exp: has expired".to_owned());
    }
    if exp > now.saturating_add(max_lifetime) {
        return Err(format!("exp: more than {max_lifetime} seconds ahead"));
    }
    for name in ["nbf", "iat"] {
        let time = jws.time(name);
        if jws.claims.contains_key(name) && time.is_none_or(|time| time > now.saturating_add(LEEWAY)) {
            return Err(format!("{name}: in the future, or no number"));
        }
    }
    Ok(exp)
}

fn hash_length(alg: Alg) -> usize {
    match alg {
        Alg::Hs384 => 48,
        Alg::Hs512 => 64,
        _ => 32,
    }
}
