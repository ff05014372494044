//! Introspection responses, plain and signed: a token is accepted exactly when the response says so by RFC 7662 section 2.2,
//! read once more by `serde_json`.

use bytes::Bytes;
use http::{HeaderValue, Response, header};
use oauth_guard::{ClientAuth, Guard, Introspection};
use serde_json::{Map, Value, json};

use crate::fixture::{AUDIENCE, ISSUER, NOW, builder, check_token, issuer, server, sign, within};
use crate::json::{self, Read};
use crate::secrets::assert_hidden;
use crate::target::{Target, bounded};

pub const TARGET: Target = Target { check, seeds };

const TOKEN: &str = "opaque-0pPIIUfGdrhW0kyDqRgt";
const CLIENT_SECRET: &str = "s3cr3t-of-the-api";
const SIGNED: &str = "application/token-introspection+jwt";
const LEEWAY: u64 = 60;

/// A plain response; `J`, a JWT as it is; `S`, the header and the payload of one that is signed here.
fn check(data: &[u8]) {
    match data.split_first() {
        Some((b'J', jwt)) => {
            let accepted = ask(jwt, Some(SIGNED));
            assert!(!accepted || is_signed(jwt), "{}", String::from_utf8_lossy(jwt));
        }
        Some((b'S', text)) => {
            let Some(at) = text.iter().position(|byte| *byte == b'\n') else { return };
            let (header, payload) = (&text[..at], &text[at + 1..]);
            let accepted = ask(sign(header, payload).as_bytes(), Some(SIGNED));
            let Some(expected) = is_good_jwt(header, payload) else { return };
            // It may hold more than the limit of a response once it is encoded.
            let is_long = payload.len() + header.len() > 40_000;
            assert!(accepted == expected || is_long, "{accepted}: {}", String::from_utf8_lossy(payload));
        }
        _ => {
            let accepted = ask(data, None);
            match json::read(data) {
                Read::HugeNumber => {}
                Read::Invalid => assert!(!accepted, "{}", String::from_utf8_lossy(data)),
                Read::Object(response) => {
                    assert_eq!(accepted, is_active(&response), "{}", String::from_utf8_lossy(data));
                }
            }
        }
    }
}

fn ask(body: &[u8], media_type: Option<&'static str>) -> bool {
    let body = Bytes::copy_from_slice(body);
    let length = body.len();
    let content_type = HeaderValue::from_static(media_type.unwrap_or("application/json"));
    let http = server(move || {
        let mut response = Response::new(body.clone());
        response.headers_mut().insert(header::CONTENT_TYPE, content_type.clone());
        response
    });
    let asking = Introspection::new(ClientAuth::basic("svc", CLIENT_SECRET))
        .endpoint("https://auth.example.com/introspect");
    let asking = if media_type.is_some() { asking.jwt_response() } else { asking };
    let guard = within(|| builder().issuer(issuer().introspection(asking.http(http))).build());
    let guard: Guard = guard.expect("a guard");
    match bounded(length + 64 * 1024, || check_token(&guard, TOKEN)) {
        Ok(claims) => claims.is_some(),
        Err(rejection) => {
            let response = guard.rejection_response(&rejection, &crate::fixture::bearer(TOKEN));
            let secrets = [TOKEN.to_owned(), CLIENT_SECRET.to_owned()];
            assert_hidden(&format!("{rejection}{rejection:?}{response:?}"), &secrets);
            assert!(
                matches!(rejection.code(), "invalid_token" | "introspection_unavailable"),
                "{rejection:?}"
            );
            false
        }
    }
}

/// Whether it is a JWT of the issuer's secret.
fn is_signed(jwt: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(jwt) else { return false };
    let parts: Vec<_> = text.split('.').map(oauth_client::jose::decode_base64url).collect();
    match &*parts {
        [Ok(header), Ok(payload), Ok(_)] => sign(header, payload) == text,
        _ => false,
    }
}

/// RFC 9701 section 5. `None` where a number is none for `serde_json`.
fn is_good_jwt(header: &[u8], payload: &[u8]) -> Option<bool> {
    let is_long = header.len() > 1024;
    let (header, payload) = match (json::read(header), json::read(payload)) {
        (Read::HugeNumber, _) | (_, Read::HugeNumber) => return None,
        (Read::Object(header), Read::Object(payload)) => (header, payload),
        _ => return Some(false),
    };
    let text = |name: &str| header.get(name).and_then(Value::as_str).unwrap_or_default();
    let typ = text("typ").to_ascii_lowercase();
    let is_typ = matches!(typ.as_str(), "token-introspection+jwt" | "application/token-introspection+jwt");
    // What else a header may not have is the business of another target.
    if header.keys().any(|name| !["alg", "typ"].contains(&name.as_str())) || is_long {
        return None;
    }
    let times = seconds(&payload, "iat").zip(seconds(&payload, "exp"));
    let Some((Some(iat), exp)) = times else { return Some(false) };
    let response = payload.get("token_introspection").and_then(Value::as_object);
    Some(
        is_typ
            && text("alg") == "HS256"
            && payload.get("iss") == Some(&json!(ISSUER))
            && names(payload.get("aud"), "svc")
            && iat <= NOW + LEEWAY
            && exp.is_none_or(|exp| NOW < exp.saturating_add(LEEWAY))
            && response.is_some_and(is_active),
    )
}

fn is_active(response: &Map<String, Value>) -> bool {
    let present = |name: &str| response.get(name).filter(|value| !value.is_null());
    let is_text = |name: &&str| present(name).is_none_or(Value::is_string);
    let is_words = |value: &Value| {
        value.is_string() || value.as_array().is_some_and(|list| list.iter().all(Value::is_string))
    };
    let (Some(exp), Some(nbf), Some(iat)) =
        (seconds(response, "exp"), seconds(response, "nbf"), seconds(response, "iat"))
    else {
        return false;
    };
    response.get("active") == Some(&json!(true))
        && ["client_id", "username", "token_type", "sub", "iss", "jti", "azp"]
            .iter()
            .all(|name| is_text(name))
        && present("scope").is_none_or(is_words)
        && names(present("aud"), AUDIENCE)
        && present("iss").is_none_or(|iss| iss == ISSUER)
        && present("token_type")
            .is_none_or(|kind| kind.as_str().is_some_and(|kind| kind.eq_ignore_ascii_case("Bearer")))
        && present("cnf").is_none()
        && exp.is_none_or(|exp| NOW < exp.saturating_add(LEEWAY))
        && [nbf, iat].into_iter().flatten().all(|from| NOW >= from.saturating_sub(LEEWAY))
}

fn names(audience: Option<&Value>, wanted: &str) -> bool {
    match audience {
        Some(Value::String(one)) => one == wanted,
        Some(Value::Array(list)) => list.iter().all(Value::is_string) && list.iter().any(|one| one == wanted),
        _ => false,
    }
}

/// The time, `Some(None)` for none, `None` for what is no time.
fn seconds(members: &Map<String, Value>, name: &str) -> Option<Option<u64>> {
    match members.get(name) {
        None | Some(Value::Null) => Some(None),
        Some(Value::Number(number)) => match number.as_u64() {
            Some(seconds) => Some(Some(seconds)),
            None => {
                let float = number.as_f64()?;
                let fits = float.is_sign_positive() && float <= 9_007_199_254_740_992.0;
                fits.then_some(Some(float.floor() as u64))
            }
        },
        Some(_) => None,
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let good = json!({
        "active": true, "iss": ISSUER, "aud": [AUDIENCE], "sub": "ada", "client_id": "app", "scope": "read write",
        "token_type": "Bearer", "iat": NOW, "exp": NOW + 3600, "username": "ada", "jti": "t1", "nbf": NOW - 1,
    });
    let mut seeds = vec![good.to_string(), json!({ "active": false }).to_string()];
    for (member, value) in [
        ("active", json!("true")),
        ("exp", json!(NOW - 61)),
        ("exp", Value::Null),
        ("nbf", json!(NOW + 61)),
        ("iss", json!("x")),
        ("aud", json!("other")),
        ("scope", json!(["read"])),
        ("cnf", json!({ "jkt": "x" })),
        ("token_type", json!("DPoP")),
        ("exp", json!("soon")),
        ("cnf", Value::Null),
        ("iat", json!(1.5)),
        ("sub", json!(7)),
    ] {
        let mut response = good.clone();
        response[member] = value;
        seeds.push(response.to_string());
    }
    let header = json!({ "typ": "token-introspection+jwt", "alg": "HS256" });
    let jwt = json!({ "iss": ISSUER, "aud": "svc", "iat": NOW, "token_introspection": good });
    seeds.push(format!("S{header}\n{jwt}"));
    seeds.push(format!("J{}", sign(header.to_string().as_bytes(), jwt.to_string().as_bytes())));
    seeds.into_iter().map(String::into_bytes).collect()
}
