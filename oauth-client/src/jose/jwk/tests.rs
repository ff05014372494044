use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

use super::*;

/// RFC 7517 appendix A.1, the P-256 key; RFC 8037 appendix A.2.
fn p256() -> Value {
    json!({"kty": "EC", "crv": "P-256",
        "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
        "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"})
}

fn ed25519_key() -> Value {
    json!({"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"})
}

fn rsa(bits: usize) -> Value {
    let mut modulus = vec![0xab; bits / 8];
    modulus[bits / 8 - 1] |= 1;
    json!({"kty": "RSA", "n": URL_SAFE_NO_PAD.encode(modulus), "e": "AQAB"})
}

fn with(mut jwk: Value, name: &str, value: impl Into<Value>) -> Value {
    jwk[name] = value.into();
    jwk
}

fn algorithms(jwk: &Value) -> Result<Vec<Algorithm>, UnusableKey> {
    verifying_keys(jwk, &Algorithm::ASYMMETRIC).map(|keys| keys.iter().map(|key| key.algorithm).collect())
}

#[test]
fn a_key_without_alg_serves_the_algorithms_of_its_kind() {
    assert_eq!(algorithms(&p256()).unwrap(), [Algorithm::Es256]);
    assert_eq!(algorithms(&ed25519_key()).unwrap(), [Algorithm::EdDsa]);
    let mut all = algorithms(&rsa(2048)).unwrap();
    all.sort_unstable();
    use Algorithm::{Ps256, Ps384, Ps512, Rs256, Rs384, Rs512};
    assert_eq!(all, [Rs256, Rs384, Rs512, Ps256, Ps384, Ps512]);
}

#[test]
fn a_key_with_alg_serves_that_one_only_and_only_if_it_is_allowed_and_fits() {
    assert_eq!(algorithms(&with(rsa(2048), "alg", "PS256")).unwrap(), [Algorithm::Ps256]);
    assert_eq!(algorithms(&with(ed25519_key(), "alg", "Ed25519")).unwrap(), [Algorithm::EdDsa]);
    for misfit in [
        with(rsa(2048), "alg", "ES256"),
        with(rsa(2048), "alg", "RSA-OAEP"),
        with(rsa(2048), "alg", "HS256"),
        with(p256(), "alg", "ES384"),
        with(p256(), "alg", "EdDSA"),
        with(ed25519_key(), "alg", "ES256"),
    ] {
        assert!(algorithms(&misfit).is_err(), "{misfit}");
    }
    assert!(verifying_keys(&p256(), &[Algorithm::Rs256]).is_err());
}

#[test]
fn keys_for_something_else_are_passed_over() {
    for other in [
        with(p256(), "use", "enc"),
        with(p256(), "use", 5),
        with(p256(), "key_ops", json!(["sign"])),
        with(p256(), "key_ops", "verify"),
        with(p256(), "kid", 7),
        with(p256(), "kty", "RSA"),
        with(p256(), "crv", "P-384"),
        with(p256(), "crv", "secp256k1"),
        with(ed25519_key(), "crv", "Ed448"),
        with(ed25519_key(), "crv", "P-256"),
        json!({"kty": "oct", "k": "c2VjcmV0"}),
        json!({}),
        json!([]),
    ] {
        assert!(algorithms(&other).is_err(), "{other}");
    }
    assert!(algorithms(&with(with(p256(), "use", "sig"), "key_ops", json!(["verify"]))).is_ok());
}

#[test]
fn a_private_key_that_was_published_is_not_trusted() {
    for member in PRIVATE {
        assert!(algorithms(&with(p256(), member, "AQ")).is_err(), "{member}");
    }
}

#[test]
fn what_serializers_write_for_absent_members_is_absent() {
    let empty = || [json!(null), json!(""), json!([])];
    let optional = ["use", "alg", "key_ops", "kid", "issuer"];
    for member in PRIVATE.into_iter().chain(optional) {
        for value in empty() {
            let keys = verifying_keys(&with(p256(), member, value.clone()), &Algorithm::ASYMMETRIC);
            let keys = keys.unwrap_or_else(|why| panic!("{member} {value}: {why}"));
            assert_eq!((keys[0].key_id.as_deref(), keys[0].issuer.as_deref()), (None, None));
        }
    }
    for value in empty() {
        let all = PRIVATE.into_iter().fold(rsa(2048), |jwk, member| with(jwk, member, value.clone()));
        assert!(algorithms(&all).is_ok(), "{all}");
        let truly = with(all, "d", "AQ");
        assert!(algorithms(&truly).unwrap_err().reason().contains("private"), "{truly}");
        for needed in ["kty", "crv", "x", "y"] {
            assert!(algorithms(&with(p256(), needed, value.clone())).is_err(), "{needed} {value}");
        }
    }
    for private in [json!(0), json!(false), json!({}), json!([null]), json!([{"r": "AQ"}]), json!(" ")] {
        assert!(algorithms(&with(rsa(2048), "oth", private.clone())).is_err(), "{private}");
        assert!(algorithms(&with(rsa(2048), "d", private.clone())).is_err(), "{private}");
    }
}

#[test]
fn rsa_keys_have_2048_to_8192_bits_and_a_real_exponent() {
    assert!(algorithms(&rsa(2040)).is_err());
    assert!(algorithms(&rsa(8200)).is_err());
    for exponent in ["AQ", "AA", "AAAA", "Ag", "", "AQABAQABAQAB"] {
        assert!(algorithms(&with(rsa(2048), "e", exponent)).is_err(), "{exponent}");
    }
    let mut padded = vec![0];
    padded.extend(URL_SAFE_NO_PAD.decode(rsa(2048)["n"].as_str().unwrap()).unwrap());
    assert!(algorithms(&with(rsa(2048), "n", URL_SAFE_NO_PAD.encode(padded))).is_ok());
}

#[test]
fn points_have_to_be_on_their_curve_and_of_full_length() {
    let y = p256()["y"].clone();
    for bad in [
        with(p256(), "x", y),
        with(p256(), "x", "AAAA"),
        with(p256(), "x", URL_SAFE_NO_PAD.encode([0; 32])),
        with(p256(), "y", URL_SAFE_NO_PAD.encode([7; 33])),
        with(p256(), "x", "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4="),
    ] {
        assert!(algorithms(&bad).is_err(), "{bad}");
    }
}

#[test]
fn ed25519_keys_have_32_bytes_and_are_of_large_order() {
    for length in [0, 1, 31, 33, 36] {
        let bad = with(ed25519_key(), "x", URL_SAFE_NO_PAD.encode(vec![0x58; length]));
        assert!(algorithms(&bad).is_err(), "{length}");
    }
    let p = {
        let mut p = [0xff; 32];
        (p[0], p[31]) = (0xed, 0x7f);
        p
    };
    let low = |first| {
        let mut point = [0; 32];
        point[0] = first;
        point
    };
    let near = |first| {
        let mut point = p;
        point[0] = first;
        point
    };
    let order_eight =
        ["JuiVj8KyJ7BFw_SJ8u-Y8NXfrAXTxjM5sTgCiG1T_AU", "xxdqcD1N2E-6PAt2DRBnDyogU_osOczGTsf9d5KsA3o"]
            .map(|text| <[u8; 32]>::try_from(URL_SAFE_NO_PAD.decode(text).unwrap()).unwrap());
    let small = [low(0), low(1), near(0xec), near(0xed), near(0xee)].into_iter().chain(order_eight);
    for mut point in small {
        for sign in [0, 0x80] {
            point[31] = point[31] & 0x7f | sign;
            assert_eq!(
                ed25519(&point).err(),
                Some("x is of small order, under which signatures prove nothing")
            );
        }
    }
    assert!(!is_small_order(&low(2)));
}

/// For y = 2 and y = 7 the equation of the curve has no x. Such a key verifies nothing, and the list of keys that were
/// skipped has to name it.
#[test]
fn an_ed25519_key_that_is_no_point_of_the_curve_is_refused() {
    for (y, sign) in [(2, 0), (2, 0x80), (7, 0), (7, 0x80)] {
        let mut point = [0; 32];
        (point[0], point[31]) = (y, sign);
        let jwk = with(ed25519_key(), "x", URL_SAFE_NO_PAD.encode(point));
        assert_eq!(
            verifying_keys(&jwk, &[Algorithm::EdDsa]).err(),
            Some(UnusableKey::Invalid("x is not on the curve")),
            "y = {y}, sign = {sign}"
        );
    }
}

#[test]
fn a_key_may_belong_to_one_issuer_of_those_that_share_its_set() {
    let keys = verifying_keys(&with(p256(), "issuer", "https://a.example"), &Algorithm::ASYMMETRIC).unwrap();
    assert_eq!(keys[0].issuer.as_deref(), Some("https://a.example"));
    let keys = verifying_keys(&p256(), &Algorithm::ASYMMETRIC).unwrap();
    assert_eq!(keys[0].issuer, None);
    assert!(algorithms(&with(p256(), "issuer", 7)).is_err());
}

#[test]
fn a_key_on_p521_serves_es512_where_that_is_allowed() {
    use crate::sign::SigningKey;
    let key = SigningKey::generate(Algorithm::Es512).unwrap();
    let jwk = Value::Object(key.public_jwk());
    assert_eq!(algorithms(&jwk).unwrap(), [Algorithm::Es512]);
    let others: Vec<_> = Algorithm::ASYMMETRIC.into_iter().filter(|one| *one != Algorithm::Es512).collect();
    assert!(matches!(verifying_keys(&jwk, &others), Err(UnusableKey::OtherPurpose(_))));
}

#[test]
fn a_thumbprint_is_that_of_the_rfc() {
    // RFC 8037 appendix A.3.
    let Value::Object(members) = ed25519_key() else { unreachable!() };
    assert_eq!(thumbprint(&members), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
}
