//! DPoP proofs: what the guard accepts holds by the rules of RFC 9449 section 4.3, read once more, and holds once.

use std::sync::LazyLock;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderValue, Request};
use oauth_client::jose::sha256;
use oauth_guard::{Dpop, Guard};
use serde_json::{Map, Value, json};
use url::Url;

use crate::fixture::{NOW, builder, check as ask, claims, issuer, token, within};
use crate::json::{self, Read};
use crate::secrets::assert_hidden;
use crate::target::{Target, bounded};

pub const TARGET: Target = Target { check, seeds };

const BASE: &str = "https://api.example.com/base";

static KEY: LazyLock<Ed25519KeyPair> =
    LazyLock::new(|| Ed25519KeyPair::from_seed_unchecked(&[9; 32]).expect("a key"));
static JWK: LazyLock<Value> = LazyLock::new(
    || json!({ "crv": "Ed25519", "kty": "OKP", "x": URL_SAFE_NO_PAD.encode(KEY.public_key().as_ref()) }),
);
/// Bound to the key by its thumbprint (RFC 7638: the members above in this order, without blanks).
static TOKEN: LazyLock<String> = LazyLock::new(|| {
    let mut claims = claims();
    claims["cnf"] = json!({ "jkt": URL_SAFE_NO_PAD.encode(sha256(JWK.to_string().as_bytes())) });
    token(&claims)
});

fn guard() -> Guard {
    within(|| builder().issuer(issuer()).public_url(BASE).dpop(Dpop::new()).build()).expect("a guard")
}

/// A proof as it is sent; a header and a payload to be signed; or a path that is called and the URL that a proof names.
fn check(data: &[u8]) {
    let lines = |text: &[u8]| {
        let at = text.iter().position(|byte| *byte == b'\n')?;
        Some((text[..at].to_vec(), text[at + 1..].to_vec()))
    };
    match data.split_first() {
        Some((b'P', text)) => {
            if let Some((header, payload)) = lines(text) {
                proof(sign(&header, &payload).as_bytes(), "/orders");
            }
        }
        Some((b'U', text)) => {
            let Some((path, htu)) = lines(text) else { return };
            let (Ok(path), Ok(htu)) = (String::from_utf8(path), String::from_utf8(htu)) else { return };
            let mut payload = good();
            payload["htu"] = htu.into();
            proof(sign(header().to_string().as_bytes(), payload.to_string().as_bytes()).as_bytes(), &path);
        }
        _ => proof(data, "/orders"),
    }
}

fn proof(text: &[u8], path: &str) {
    let Ok(value) = HeaderValue::from_bytes(text) else { return };
    let Ok(request) = Request::get(path).header("authorization", format!("DPoP {}", *TOKEN)).body(()) else {
        return;
    };
    let mut request: Request<()> = request;
    request.headers_mut().append("dpop", value);
    let guard = guard();
    let explained = within(|| guard.explain_request(&request));
    let outcome = bounded(text.len() + 64 * 1024, || ask(&guard, &request));
    assert_eq!(explained.code, outcome.as_ref().err().map(|rejection| rejection.code()), "{explained}");
    // `*` and an authority alone have no path.
    let called = Some(request.uri().path()).filter(|path| path.starts_with('/')).unwrap_or_default();
    let expected = is_good(text, called);
    match outcome {
        Ok(claims) => {
            assert!(claims.is_some() && expected != Some(false), "{}", String::from_utf8_lossy(text));
            assert!(ask(&guard, &request).is_err(), "a proof is good once");
        }
        Err(rejection) => {
            let response = guard.rejection_response(&rejection, &request);
            assert_hidden(&format!("{rejection}{rejection:?}{response:?}"), &[TOKEN.clone()]);
            // Where the two read a URL differently, ours may be the stricter.
            let is_as_written = htu(text).is_some_and(|htu| htu == [BASE, called].concat());
            assert!(
                expected != Some(true) || !is_as_written,
                "{rejection:?} for {}",
                String::from_utf8_lossy(text)
            );
        }
    }
}

/// `None` where it depends on a number that is no number for `serde_json`.
fn is_good(proof: &[u8], path: &str) -> Option<bool> {
    let parts: Vec<&[u8]> = proof.split(|byte| *byte == b'.').collect();
    let [header, payload, signature] = *parts else { return Some(false) };
    let part = |part: &[u8]| URL_SAFE_NO_PAD.decode(part).ok();
    let (Some(header), Some(payload), Some(signature)) = (part(header), part(payload), part(signature))
    else {
        return Some(false);
    };
    let (header, payload) = match (json::read(&header), json::read(&payload)) {
        (Read::Object(header), Read::Object(payload)) => (header, payload),
        (Read::HugeNumber, _) | (_, Read::HugeNumber) => return None,
        _ => return Some(false),
    };
    let signed = proof.len() - parts[2].len() - 1;
    let verified =
        aws_lc_rs::signature::UnparsedPublicKey::new(&aws_lc_rs::signature::ED25519, KEY.public_key())
            .verify(&proof[..signed], &signature);
    let is_good = proof.len() <= 8192 && verified.is_ok() && is_header(&header) && is_payload(&payload, path);
    // What else a header and its key may have is the business of other targets.
    let is_plain =
        header.len() == 3 && header.get("jwk").and_then(Value::as_object).is_some_and(|jwk| jwk.len() == 3);
    if is_good && !is_plain { None } else { Some(is_good) }
}

fn is_header(header: &Map<String, Value>) -> bool {
    let typ = header.get("typ").and_then(Value::as_str).unwrap_or_default().to_ascii_lowercase();
    let algorithm = header.get("alg").and_then(Value::as_str);
    let jwk = header.get("jwk").and_then(Value::as_object);
    let is_ours = |jwk: &Map<String, Value>| {
        ["crv", "kty", "x"].iter().all(|name| jwk.get(*name) == JWK.get(*name))
            && jwk.get("d").is_none_or(|d| d.is_null() || *d == json!("") || *d == json!([]))
    };
    matches!(typ.as_str(), "dpop+jwt" | "application/dpop+jwt")
        && matches!(algorithm, Some("EdDSA" | "Ed25519"))
        && jwk.is_some_and(is_ours)
        && !header.contains_key("crit")
}

fn is_payload(payload: &Map<String, Value>, path: &str) -> bool {
    let text = |name: &str| payload.get(name).and_then(Value::as_str).unwrap_or_default();
    let iat = payload.get("iat").and_then(Value::as_f64).unwrap_or(-1.0).floor();
    text("ath") == URL_SAFE_NO_PAD.encode(sha256(TOKEN.as_bytes()))
        && text("htm") == "GET"
        && (1..=256).contains(&text("jti").len())
        && (NOW as f64 - 60.0..=NOW as f64 + 5.0).contains(&iat)
        && is_same_place(text("htu"), &[BASE, path].concat())
}

/// By the `url` crate, and RFC 3986 section 6.2.2 for encodings in the path.
fn is_same_place(one: &str, other: &str) -> bool {
    let place = |text: &str| {
        let url = Url::parse(text).ok()?;
        Some((
            url.scheme().to_owned(),
            url.host_str()?.to_owned(),
            url.port_or_known_default(),
            path_of(&url)?,
        ))
    };
    place(one).is_some() && place(one) == place(other)
}

fn path_of(url: &Url) -> Option<String> {
    let mut path = Vec::new();
    let mut bytes = url.path().bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            path.push(byte);
            continue;
        }
        let digits = [bytes.next()?, bytes.next()?].map(|digit| digit.to_ascii_uppercase());
        let byte = u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?;
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            path.push(byte);
        } else {
            path.extend([b'%', digits[0], digits[1]]);
        }
    }
    String::from_utf8(path).ok()
}

fn htu(proof: &[u8]) -> Option<String> {
    let payload = URL_SAFE_NO_PAD.decode(proof.split(|byte| *byte == b'.').nth(1)?).ok()?;
    json::object(&payload)?.get("htu")?.as_str().map(str::to_owned)
}

fn sign(header: &[u8], payload: &[u8]) -> String {
    let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(KEY.sign(signed.as_bytes())))
}

fn header() -> Value {
    json!({ "typ": "dpop+jwt", "alg": "EdDSA", "jwk": *JWK })
}

fn good() -> Value {
    json!({
        "jti": "e1j3V_bKic8-LAEB", "htm": "GET", "htu": "https://api.example.com/base/orders", "iat": NOW,
        "ath": URL_SAFE_NO_PAD.encode(sha256(TOKEN.as_bytes())),
    })
}

fn seeds() -> Vec<Vec<u8>> {
    let (header, payload) = (header(), good());
    let mut seeds = vec![
        format!("P{header}\n{payload}"),
        sign(header.to_string().as_bytes(), payload.to_string().as_bytes()),
    ];
    for (member, value) in [
        ("jti", json!("")),
        ("htm", json!("POST")),
        ("iat", json!(NOW - 61)),
        ("iat", json!(NOW + 5)),
        ("iat", json!(1893456000.5)),
        ("ath", json!("x")),
        ("nonce", json!("n")),
        ("htu", json!("https://api.example.com:443/base/./orders?x=1#y")),
    ] {
        let mut payload = payload.clone();
        payload[member] = value;
        seeds.push(format!("P{header}\n{payload}"));
    }
    for (path, htu) in [
        ("/orders", "HTTPS://API.example.com/base/orders"),
        ("/o%72ders", "https://api.example.com/base/orders"),
        ("/a/../orders", "https://api.example.com/base/orders"),
        ("/%C3%BC", "https://api.example.com/base/%c3%bc"),
        ("/orders", "https://api.example.com@evil.example/base/orders"),
        ("/a%2Fb", "https://api.example.com/base/a/b"),
        ("/", "https://api.example.com/base"),
        ("/a//b", "https://api.example.com/base/a/b"),
        ("/a;b", "https://api.example.com/base/a%3Bb"),
        ("/..", "https://api.example.com/"),
        ("/orders", "https://[::1]/base/orders"),
        ("/orders", "https://api.example.com:/base/orders"),
    ] {
        seeds.push(format!("U{path}\n{htu}"));
    }
    seeds.into_iter().map(String::into_bytes).collect()
}
