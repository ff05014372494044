//! Project Wycheproof's JSON web crypto vectors, through the code that ID tokens and the guard use.

use std::collections::BTreeSet;

use base64::Engine;
use base64::alphabet::URL_SAFE;
use base64::engine::GeneralPurpose;
use base64::engine::general_purpose::NO_PAD;
use serde_json::Value;

use super::{Algorithm, CompactJws, Header, Issued, KeySet, Scratch, VerifyingKey, decode_base64url};

const SIGNATURES: &str = include_str!("../../tests/wycheproof/json_web_signature_test.json");
const KEYS: &str = include_str!("../../tests/wycheproof/json_web_key_test.json");
const CRYPTO: &str = include_str!("../../tests/wycheproof/json_web_crypto_test.json");
const ENCRYPTION: &str = include_str!("../../tests/wycheproof/json_web_encryption_test.json");

#[test]
fn signatures_are_judged_as_told() {
    // 346, 350: the key says PS256 and the token PS384: one key, one algorithm. 347, 351: the key's alg is spelled
    // ES521, which is none. 372, 373: called valid there, although their base64 holds a foreign character.
    // 367, 370: called invalid there, for padding that the token does not have: it is token 357, called valid.
    let deviating = [346, 347, 350, 351, 367, 370, 372, 373];
    assert_eq!(run(SIGNATURES), (401, BTreeSet::from(deviating)));
    let token = |id: u64| {
        let found = tests(SIGNATURES).into_iter().find(|(_, test)| test["tcId"] == id).unwrap();
        found.1["jws"].clone()
    };
    assert_eq!(token(357), token(367));
    assert_eq!(token(357), token(370));
}

#[test]
fn keys_are_judged_as_told() {
    // 7: whether an RSA key comes from a generator with the ROCA weakness is not looked at.
    assert_eq!(run(KEYS), (26, BTreeSet::from([7])));
}

#[test]
fn the_older_collection_is_judged_as_told() {
    // 46: ROCA again.
    assert_eq!(run(CRYPTO), (48, BTreeSet::from([46])));
}

#[test]
fn no_encrypted_token_is_taken_for_a_signed_one() {
    let mut refused = 0;
    for document in [ENCRYPTION, CRYPTO] {
        for (keys, test) in tests(document) {
            let Some(token) = test["jwe"].as_str() else { continue };
            assert!(!accepts(&keys, token), "{test}");
            refused += 1;
        }
    }
    assert_eq!(refused, 139 + 33);
}

/// How many were tried, and which came out other than marked.
fn run(document: &str) -> (usize, BTreeSet<u64>) {
    let mut tried = 0;
    let mut deviations = BTreeSet::new();
    for (keys, test) in tests(document) {
        let Some(token) = test["jws"].as_str() else { continue };
        tried += 1;
        if accepts(&keys, token) != (test["result"] == "valid") {
            deviations.insert(test["tcId"].as_u64().unwrap());
        }
    }
    (tried, deviations)
}

fn tests(document: &str) -> Vec<(Value, Value)> {
    let document: Value = serde_json::from_str(document).unwrap();
    let groups = document["testGroups"].as_array().unwrap();
    groups
        .iter()
        .flat_map(|group| {
            let keys = if group["public"].is_object() { &group["public"] } else { &group["private"] };
            group["tests"].as_array().unwrap().iter().map(move |test| (keys.clone(), test.clone()))
        })
        .collect()
}

fn accepts(keys: &Value, token: &str) -> bool {
    let Ok(compact) = CompactJws::split(token, 2048) else { return false };
    let mut scratch = Scratch::new();
    let Ok(header) = Header::read(compact.header, &mut scratch) else { return false };
    // As their callers do, who read the payload before the signature.
    if decode_base64url(compact.payload).is_err() {
        return false;
    }
    set_of(keys).verify(&header, &compact, Issued { issuer: "", tenant: None }).is_ok()
}

/// As a user would configure them: secrets one by one, and only among themselves; all else as a key set.
fn set_of(keys: &Value) -> KeySet {
    let list = keys["keys"].as_array().cloned().unwrap_or_else(|| vec![keys.clone()]);
    if list.iter().any(|key| key["kty"] != "oct") {
        let document = serde_json::json!({ "keys": list }).to_string();
        return KeySet::parse(document.as_bytes(), &Algorithm::ASYMMETRIC, 100).unwrap();
    }
    let secrets = list.iter().filter_map(|key| {
        let algorithm = Algorithm::from_name(key["alg"].as_str()?)?;
        // One of them is not canonical base64url; a user gives bytes.
        let lenient = GeneralPurpose::new(&URL_SAFE, NO_PAD.with_decode_allow_trailing_bits(true));
        let secret = lenient.decode(key["k"].as_str()?).ok()?;
        VerifyingKey::from_secret(key["kid"].as_str(), algorithm, &secret).ok()
    });
    KeySet::new(secrets.collect(), Vec::new())
}
