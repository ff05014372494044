//! Logout tokens and security events: what is refused ends nothing, what is taken was valid by its specification, and no
//! issuer ends the tokens of another.

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use oauth_guard::revocation::RevocationSettings;
use oauth_guard::{Algorithm, Guard, Issuer, Profile};
use serde_json::{Map, Value, json};
use tower::ServiceExt;

use crate::fixture::{AUDIENCE, ISSUER, NOW, builder, check_token, claims, issuer, run, sign, token, within};
use crate::json;
use crate::secrets::assert_hidden;
use crate::target::Target;

pub const TARGET: Target = Target { check, seeds };

const OTHER: &str = "https://other.example.com";
const LOGOUT: &str = "http://schemas.openid.net/event/backchannel-logout";
const CAEP: &str = "https://schemas.openid.net/secevent/caep/event-type";
const RISC: &str = "https://schemas.openid.net/secevent/risc/event-type";

/// `L` or `E`, then header and payload of a statement that the issuer has signed, in two lines; or `l` or `e`, then a body.
fn check(data: &[u8]) {
    let Some((kind, text)) = data.split_first() else { return };
    let statement = match kind {
        b'L' | b'E' => {
            let Some(at) = text.iter().position(|byte| *byte == b'\n') else { return };
            Some((text[..at].to_vec(), text[at + 1..].to_vec()))
        }
        b'l' | b'e' => None,
        _ => return,
    };
    let body = match &statement {
        Some((header, payload)) => sign(header, payload).into_bytes(),
        None => text.to_vec(),
    };
    let guard = guard();
    let (ours, theirs) = tokens();
    let is_logout = kind.eq_ignore_ascii_case(&b'L');
    let (status, response) = deliver(&guard, is_logout, &body);
    if body.len() > 32 {
        assert_hidden(&response, &[String::from_utf8_lossy(&body).into_owned()]);
    }
    assert!(matches!(status, 200 | 202 | 400), "{status}: {response}");
    // No issuer ends the tokens of another, whatever the statement is about.
    assert!(check_token(&guard, &theirs).is_ok(), "{}", String::from_utf8_lossy(&body));
    let is_alive = check_token(&guard, &ours).is_ok();
    if status == 400 {
        assert!(is_alive);
        return;
    }
    // What was taken has a valid signature.
    let Some((header, payload)) = statement.or_else(|| opened(&body, is_logout)) else {
        panic!("{status} for no JWT")
    };
    let (Some(header), Some(payload)) = (json::object(&header), json::object(&payload)) else { return };
    assert_valid(&header, &payload, is_logout);
    if !is_alive {
        // The token is Ada's, of the session s1, with the jti t1.
        let text = Value::Object(payload).to_string();
        assert!(["ada", "s1", "t1"].iter().any(|name| text.contains(name)), "{text}");
    }
    // What comes again is answered like the first time.
    assert_eq!(deliver(&guard, is_logout, &body).0, status);
}

fn guard() -> Guard {
    let settings = RevocationSettings::new()
        .backchannel_logout("/backchannel-logout")
        .security_events("/security-events")
        .client_id("shop");
    let other = Issuer::new(OTHER).audience(AUDIENCE).profile(Profile::Jwt);
    let other = other.hmac_secret(Algorithm::Hs256, [8; 32]);
    within(|| builder().issuer(issuer()).issuer(other).revocation(settings).build()).expect("a guard")
}

/// The issuer's token, and the same of the other issuer.
fn tokens() -> (String, String) {
    let mut claims = claims();
    claims["sid"] = "s1".into();
    let ours = token(&claims);
    claims["iss"] = OTHER.into();
    let mut validation = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::HS256);
    validation.typ = None;
    let theirs =
        jsonwebtoken::encode(&validation, &claims, &jsonwebtoken::EncodingKey::from_secret(&[8; 32]));
    (ours, theirs.expect("a token"))
}

fn deliver(guard: &Guard, is_logout: bool, body: &[u8]) -> (u16, String) {
    let (endpoint, media_type, body) = if is_logout {
        let form: String = url::form_urlencoded::byte_serialize(body).collect();
        let body = format!("logout_token={form}").into_bytes();
        (guard.backchannel_logout(), "application/x-www-form-urlencoded", body)
    } else {
        (guard.security_events(), "application/secevent+jwt", body.to_vec())
    };
    let request = Request::post("/x").header("content-type", media_type).body(Full::new(Bytes::from(body)));
    let response = run(endpoint.oneshot(request.expect("a request"))).expect("a response");
    let (head, body) = response.into_parts();
    let body = run(body.collect()).expect("a body").to_bytes();
    (head.status.as_u16(), format!("{head:?}{}", String::from_utf8_lossy(&body)))
}

/// Header and payload of what was sent, if the issuer has signed it.
fn opened(body: &[u8], is_logout: bool) -> Option<(Vec<u8>, Vec<u8>)> {
    let text = std::str::from_utf8(body).ok()?;
    // Blanks around it do no harm.
    let text = if is_logout { text } else { text.trim() };
    let mut parts = text.split('.').map(|part| oauth_client::jose::decode_base64url(part).ok());
    let (header, payload) = (parts.next()??, parts.next()??);
    (sign(&header, &payload) == text).then_some((header, payload))
}

/// OpenID Connect Back-Channel Logout 1.0 section 2.6, RFC 8417 section 2.2.
fn assert_valid(header: &Map<String, Value>, payload: &Map<String, Value>, is_logout: bool) {
    let shown = || format!("{} {}", Value::Object(header.clone()), Value::Object(payload.clone()));
    let typ = header.get("typ").map(|typ| typ.as_str().unwrap_or("?").to_ascii_lowercase());
    let typ = typ.as_deref().map(|typ| typ.strip_prefix("application/").unwrap_or(typ));
    let is_typ = match typ {
        Some("logout+jwt" | "jwt") | None => is_logout,
        Some("secevent+jwt") => !is_logout,
        Some(_) => false,
    };
    let text = |name: &str| payload.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    let time = |name: &str| payload.get(name).and_then(Value::as_f64);
    let names_us = match payload.get("aud") {
        Some(Value::String(one)) => one == "shop",
        Some(Value::Array(list)) => list.iter().any(|one| one == "shop"),
        _ => false,
    };
    let events = payload.get("events").and_then(Value::as_object);
    assert!(
        is_typ && header.get("alg") == Some(&json!("HS256")) && !header.contains_key("crit"),
        "{}",
        shown()
    );
    assert!(text("iss") == Some(ISSUER) && names_us && text("jti").is_some(), "{}", shown());
    assert!(time("iat").is_some_and(|iat| iat <= NOW as f64 + 61.0), "{}", shown());
    assert!(time("exp").is_none_or(|exp| exp > NOW as f64 - 61.0), "{}", shown());
    assert!(!payload.contains_key("nonce"), "{}", shown());
    assert!(
        events.is_some_and(|events| !events.is_empty() && events.values().all(Value::is_object)),
        "{}",
        shown()
    );
    if is_logout {
        assert!(events.is_some_and(|events| events.contains_key(LOGOUT)), "{}", shown());
        assert!(text("sub").is_some() || text("sid").is_some(), "{}", shown());
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let logout = json!({ "alg": "HS256", "typ": "logout+jwt" });
    let event = json!({ "alg": "HS256", "typ": "secevent+jwt" });
    let base = json!({ "iss": ISSUER, "aud": "shop", "iat": NOW, "exp": NOW + 120, "jti": "j1", "sub": "ada", "sid": "s1" });
    let with = |changes: &[(&str, Value)]| {
        let mut payload = base.clone();
        for (name, value) in changes {
            match value {
                Value::Null => drop(payload.as_object_mut().and_then(|members| members.remove(*name))),
                value => payload[*name] = value.clone(),
            }
        }
        payload
    };
    let out = json!({ LOGOUT: {} });
    let mut seeds = vec![
        format!("L{logout}\n{}", with(&[("events", out.clone())])),
        format!("L{logout}\n{}", with(&[("events", out.clone()), ("sid", Value::Null)])),
        format!("L{logout}\n{}", with(&[("events", out.clone()), ("sub", Value::Null)])),
        format!("L{logout}\n{}", with(&[("events", out.clone()), ("exp", Value::Null)])),
        format!("L{logout}\n{}", with(&[("events", out.clone()), ("nonce", json!("n"))])),
        format!("L{logout}\n{}", with(&[("events", out), ("iss", json!(OTHER))])),
        "llogout_token=x".to_owned(),
        "ex.y.z".to_owned(),
    ];
    for name in ["session-revoked", "token-claims-change", "credential-change", "device-compliance-change"] {
        let events = json!({ format!("{CAEP}/{name}"): { "event_timestamp": NOW } });
        seeds.push(format!("E{event}\n{}", with(&[("events", events)])));
    }
    for subject in [
        json!({ "format": "iss_sub", "iss": ISSUER, "sub": "ada" }),
        json!({ "format": "iss_sub", "iss": OTHER, "sub": "ada" }),
        json!({ "format": "jwt_id", "iss": ISSUER, "jti": "t1" }),
        json!({ "format": "opaque", "id": "ada" }),
        json!({ "format": "email", "email": "ada@example.com" }),
        json!({ "format": "complex", "user": { "format": "iss_sub", "iss": ISSUER, "sub": "ada" }, "session": { "format": "opaque", "id": "s1" } }),
        json!({ "user": { "user": { "format": "opaque", "id": "ada" } } }),
    ] {
        let events = json!({ format!("{RISC}/account-disabled"): { "subject": subject } });
        seeds.push(format!(
            "E{event}\n{}",
            with(&[("events", events), ("sub", Value::Null), ("sid", Value::Null)])
        ));
        let events = json!({ format!("{CAEP}/session-revoked"): {} });
        seeds.push(format!(
            "E{event}\n{}",
            with(&[("events", events), ("sub_id", subject), ("sub", Value::Null)])
        ));
    }
    seeds.into_iter().map(String::into_bytes).collect()
}
