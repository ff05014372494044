use aws_lc_rs::signature;
use serde_json::json;

use super::*;

#[test]
fn every_algorithm_signs_what_its_public_jwk_verifies() {
    use Alg::*;
    for alg in [Rs256, Rs384, Rs512, Ps256, Ps384, Ps512, Es256, Es384, Es512, Es256k, EdDsa, Ed25519] {
        let key = TestKey::generate(alg);
        let signature = key.sign(b"message").unwrap();
        assert!(verifies(&key.public_jwk(), alg, b"message", &signature), "{alg}");
        assert!(!verifies(&key.public_jwk(), alg, b"massage", &signature), "{alg}");
    }
    let long = TestKey::rsa_3072(Ps512);
    assert!(verifies(&long.public_jwk(), Ps512, b"m", &long.sign(b"m").unwrap()));
}

#[test]
fn the_short_rsa_key_signs_correctly_so_that_only_its_length_is_wrong() {
    let key = TestKey::rsa_1024();
    let signature = key.sign(b"message").unwrap();
    let [n, e, _] = key.rsa_numbers().unwrap();
    assert_eq!(n.len(), 128);
    let legacy = &signature::RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY;
    aws_lc_rs::rsa::PublicKeyComponents { n, e }.verify(legacy, b"message", &signature).unwrap();
}

#[test]
fn two_keys_never_share_a_kid() {
    let (a, b) = (TestKey::generate(Alg::Rs256), TestKey::generate(Alg::Rs256));
    assert_ne!(a.kid(), b.kid());
    assert_ne!(a.public_jwk()["n"], b.public_jwk()["n"]);
}

#[test]
fn a_foreign_key_is_never_published_and_no_rotation_repeats_a_key() {
    let keys = Keys::new(&[Alg::Rs256, Alg::Ps256]);
    // Every key that tests draw is published too, so that the pool has nothing left. Other tests draw at the same time.
    let mut drawn = std::collections::HashSet::new();
    while drawn.len() < pool::HALF {
        let key = TestKey::generate(Alg::Rs256);
        if drawn.insert(key.public_jwk()["n"].to_string()) {
            keys.add(&key);
        }
    }
    (0..=pool::HALF).for_each(|_| keys.rotate());
    let moduli = |keys: &Keys| {
        let set: serde_json::Value = serde_json::from_str(&keys.jwks_json()).unwrap();
        let all = set["keys"].as_array().unwrap().iter().map(|key| key["n"].to_string());
        all.collect::<Vec<_>>()
    };
    let published = moduli(&keys);
    let distinct: std::collections::HashSet<_> = published.iter().collect();
    assert_eq!(distinct.len(), published.len());
    assert!(!published.contains(&keys.foreign(Alg::Rs256).public_jwk()["n"].to_string()));
}

#[test]
fn a_key_is_not_declared_for_an_algorithm_it_cannot_sign() {
    let key = TestKey::generate(Alg::Rs256);
    assert_eq!(key.clone().with_alg(Alg::Ps256).unwrap().public_jwk()["alg"], "PS256");
    let refused = key.with_alg(Alg::Es256).unwrap_err();
    assert_eq!(refused.to_string(), "a key made for RS256 cannot sign ES256");
}

#[test]
fn rotation_keeps_or_drops_the_old_key() {
    let keys = Keys::new(&[Alg::Es256]);
    let first = keys.current_kid();
    keys.rotate();
    let second = keys.current_kid();
    assert_eq!(keys.kids(), [first.clone(), second]);
    keys.rotate_abruptly();
    assert_eq!(keys.kids(), [first.clone(), keys.current_kid()]);
    keys.withdraw(&first);
    assert_eq!(keys.kids(), [keys.current_kid()]);
    keys.add_raw(serde_json::json!({"kty": "RSA"}));
    assert!(keys.jwks_json().contains(r#"{"kty":"RSA"}"#));
    keys.clear();
    assert_eq!(keys.jwks_json(), r#"{"keys":[]}"#);
}

#[test]
fn debug_shows_no_private_key() {
    let key = TestKey::generate(Alg::Es256);
    assert_eq!(format!("{key:?}"), format!("TestKey {{ kid: {:?}, alg: Es256, .. }}", key.kid()));
}

#[test]
fn the_thumbprint_is_that_of_rfc_7638_and_rfc_8037() {
    let n = [
        "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n",
        "3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgd",
        "AZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur",
        "-kEgU8awapJzKnqDKgw",
    ];
    let rsa = json!({"kty": "RSA", "n": n.concat(), "e": "AQAB", "alg": "RS256", "kid": "2011-04-29"});
    assert_eq!(thumbprint(&rsa).unwrap(), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
    let okp = json!({"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"});
    assert_eq!(thumbprint(&okp).unwrap(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    assert_eq!(thumbprint(&json!({"kty": "oct", "k": "AA"})), None);
}

#[test]
fn a_fresh_key_is_nobody_elses_and_signs() {
    let [first, second] = [0, 1].map(|_| TestKey::fresh(Alg::Rs256).unwrap());
    assert_ne!(first.public_jwk()["n"], second.public_jwk()["n"]);
    let signature = first.sign(b"m").unwrap();
    assert!(verifies(&first.public_jwk(), Alg::Rs256, b"m", &signature));
    assert!(!verifies(&second.public_jwk(), Alg::Rs256, b"m", &signature));
    assert!(TestKey::fresh(Alg::Hs256).is_none());
}
