//! Project Wycheproof's vectors of JSON Web Signatures, which the client's tests carry.

use serde_json::Value;

const DOCUMENTS: [&str; 3] = [
    include_str!("../../oauth-client/tests/wycheproof/json_web_signature_test.json"),
    include_str!("../../oauth-client/tests/wycheproof/json_web_key_test.json"),
    include_str!("../../oauth-client/tests/wycheproof/json_web_crypto_test.json"),
];

/// The keys of each group with the tokens that are tried against them.
pub(crate) fn groups() -> Vec<(Value, Vec<String>)> {
    let mut all = Vec::new();
    for document in DOCUMENTS {
        let document: Value = serde_json::from_str(document).expect("Wycheproof's JSON");
        for group in document["testGroups"].as_array().expect("groups") {
            let keys = if group["public"].is_object() { &group["public"] } else { &group["private"] };
            let tests = group["tests"].as_array().expect("tests");
            let tokens = tests.iter().filter_map(|test| test["jws"].as_str().map(str::to_owned));
            all.push((keys.clone(), tokens.collect()));
        }
    }
    all
}

/// All public keys, each `kid` once.
pub(crate) fn public_keys() -> Vec<Value> {
    let mut keys: Vec<Value> = Vec::new();
    for (group, _) in groups() {
        let list = group["keys"].as_array().cloned().unwrap_or_else(|| vec![group]);
        for key in list {
            let is_new = keys.iter().all(|known| known["kid"] != key["kid"]);
            if is_new && key["kid"].is_string() && key["kty"] != "oct" && key["d"].is_null() {
                keys.push(key);
            }
        }
    }
    keys
}
