//! Key sets and the keys in proofs, against textbook arithmetic: what is accepted is a key, and a safe one.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use num_bigint::BigUint;
use oauth_client::jose::{Algorithm, KeySet, ProofKey, sha256};
use serde_json::{Map, Value, json};

use crate::curve;
use crate::target::{Target, bounded};
use crate::wycheproof;

pub const TARGET: Target = Target { check, seeds };

const MOST: usize = 100;
/// Members that no public key has (RFC 7518 section 6).
const PRIVATE: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

/// Either a key set, or one key for an algorithm.
fn check(data: &[u8]) {
    match data.split_first() {
        Some((number @ 0..=9, jwk)) => {
            if let Ok(text) = std::str::from_utf8(jwk) {
                proof_key(text, Algorithm::ASYMMETRIC[usize::from(*number)]);
            }
        }
        _ => key_set(data),
    }
}

fn key_set(document: &[u8]) {
    // A parsed key is larger than its text.
    let parsed =
        bounded(document.len() + 64 * 1024, || KeySet::parse(document, &Algorithm::ASYMMETRIC, MOST));
    let text = document.strip_prefix(b"\xef\xbb\xbf").unwrap_or(document);
    let other: Option<Value> = serde_json::from_slice(text).ok();
    let elements = other.as_ref().and_then(|document| document.get("keys")).and_then(Value::as_array);
    assert_eq!(parsed.is_ok(), elements.is_some());
    let (Ok(keys), Some(elements)) = (parsed, elements) else { return };
    assert!(keys.len() <= MOST.min(elements.len()));
    assert!(!format!("{:?}", keys.skipped).contains("\"d\""));
    let mut good = Vec::new();
    for element in elements {
        let alone = json!({ "keys": [element] }).to_string();
        let alone = KeySet::parse(alone.as_bytes(), &Algorithm::ASYMMETRIC, MOST).expect("a key set");
        if alone.is_empty() {
            continue;
        }
        assert_key(element);
        good.push(element.clone());
    }
    // What is wrong with one key does not touch the others: without the bad ones nothing changes.
    let without = json!({ "keys": good }).to_string();
    let without = KeySet::parse(without.as_bytes(), &Algorithm::ASYMMETRIC, MOST).expect("a key set");
    assert_eq!(without.len(), keys.len());
    assert!(without.is_same(&keys));
}

fn proof_key(text: &str, algorithm: Algorithm) {
    let parsed = bounded(text.len() + 4096, || ProofKey::from_jwk(text, algorithm));
    if algorithm == Algorithm::EdDsa
        && let Some(x) = bare_ed25519(text)
    {
        assert_eq!(parsed.is_ok(), curve::is_safe_ed25519(&x), "{text}");
    }
    let Ok(proof) = parsed else { return };
    let jwk: Value = serde_json::from_str(text).expect("it was read");
    let members = assert_key(&jwk);
    assert_eq!(proof.key.algorithm, algorithm);
    // RFC 7638 section 3.
    let required: &[&str] = match members["kty"].as_str() {
        Some("RSA") => &["e", "kty", "n"],
        Some("EC") => &["crv", "kty", "x", "y"],
        _ => &["crv", "kty", "x"],
    };
    let canonical: Vec<String> =
        required.iter().map(|name| format!("\"{name}\":{}", members[*name])).collect();
    let canonical = format!("{{{}}}", canonical.join(","));
    assert_eq!(proof.thumbprint, sha256(canonical.as_bytes()), "{canonical}");
}

/// The coordinate of an Ed25519 key that has the members it needs and no others: nothing else can be wrong with it.
fn bare_ed25519(text: &str) -> Option<Vec<u8>> {
    let jwk: Value = serde_json::from_str(text).ok()?;
    let x = jwk.get("x")?.as_str()?;
    let bare = json!({ "kty": "OKP", "crv": "Ed25519", "x": x });
    // As many bytes as the members need, so no member is there twice.
    (jwk == bare && text.len() == bare.to_string().len()).then(|| URL_SAFE_NO_PAD.decode(x).ok()).flatten()
}

/// Asserts that an accepted element is a public key for signatures, of a safe size and on its curve.
fn assert_key(element: &Value) -> &Map<String, Value> {
    let members = element.as_object().expect("an accepted key is an object");
    let is_absent = |value: &Value| value.is_null() || *value == json!("") || *value == json!([]);
    assert!(PRIVATE.iter().all(|name| members.get(*name).is_none_or(is_absent)), "{element}");
    assert!(members.get("use").is_none_or(|usage| is_absent(usage) || usage == "sig"), "{element}");
    let verifies = |operations: &Value| {
        is_absent(operations) || operations.as_array().is_some_and(|list| list.contains(&json!("verify")))
    };
    assert!(members.get("key_ops").is_none_or(verifies), "{element}");
    let octets = |name: &str| {
        let text = members.get(name).and_then(Value::as_str).expect("a component");
        URL_SAFE_NO_PAD.decode(text).expect("base64url")
    };
    let number = |name: &str| BigUint::from_bytes_be(&octets(name));
    match (members["kty"].as_str(), members.get("crv").and_then(Value::as_str)) {
        (Some("RSA"), _) => {
            let (n, e) = (number("n"), number("e"));
            assert!((2048..=8192).contains(&n.bits()), "{element}");
            assert!(n.bit(0) && e.bit(0) && e >= BigUint::from(3_u8), "{element}");
        }
        (Some("EC"), Some(name)) => assert!(curve::is_on(name, &octets("x"), &octets("y")), "{element}"),
        (Some("OKP"), Some("Ed25519")) => assert!(curve::is_safe_ed25519(&octets("x")), "{element}"),
        _ => panic!("accepted: {element}"),
    }
    members
}

/// Wycheproof's keys as sets and as keys of proofs.
fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for (group, _) in wycheproof::groups() {
        let keys = group["keys"].as_array().cloned().unwrap_or_else(|| vec![group]);
        for key in &keys {
            let number = ["RS", "RS", "RS", "PS", "PS", "PS", "ES256", "ES384", "ES512", "EdDSA"];
            let alg = key["alg"].as_str().unwrap_or_default();
            let number = number.iter().position(|name| alg.starts_with(name)).unwrap_or(6);
            seeds.push([&[number as u8][..], key.to_string().as_bytes()].concat());
        }
        seeds.push(json!({ "keys": keys }).to_string().into_bytes());
    }
    // A public key; no point; y of p and more; points of small order.
    let (low, high) = ([&[2][..], &[0; 31]].concat(), [&[0xee_u8][..], &[0xff; 30], &[0x7f]].concat());
    let bytes = [low, high, [&[1][..], &[0; 31]].concat()].map(|x| URL_SAFE_NO_PAD.encode(x));
    for x in bytes.iter().map(String::as_str).chain(["11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"]) {
        let edwards = json!({"kty": "OKP", "crv": "Ed25519", "x": x});
        seeds.push([&[9][..], edwards.to_string().as_bytes()].concat());
        seeds.push(json!({ "keys": [edwards] }).to_string().into_bytes());
    }
    seeds.push(json!({ "keys": wycheproof::public_keys() }).to_string().into_bytes());
    seeds.sort_unstable();
    seeds.dedup();
    seeds
}
