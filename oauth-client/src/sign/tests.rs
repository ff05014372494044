use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use jsonwebtoken::{DecodingKey, Validation};
use serde_json::{Map, Value, json};

use super::*;
use crate::token::Secret;

/// RFC 7515 appendix A.2.1.
fn rsa_jwk() -> Value {
    json!({"kty": "RSA", "e": "AQAB",
        "n": "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ",
        "d": "Eq5xpGnNCivDflJsRQBXHx1hdR1k6Ulwe2JZD50LpXyWPEAeP88vLNO97IjlA7_GQ5sLKMgvfTeXZx9SE-7YwVol2NXOoAJe46sui395IW_GO-pWJ1O0BkTGoVEn2bKVRUCgu-GjBVaYLU6f3l9kJfFNS3E0QbVdxzubSu3Mkqzjkn439X0M_V51gfpRLI9JYanrC4D4qAdGcopV_0ZHHzQlBjudU2QvXt4ehNYTCBr6XCLQUShb1juUO1ZdiYoFaFQT5Tw8bGUl_x_jTj3ccPDVZFD9pIuhLhBOneufuBiB4cS98l2SR_RQyGWSeWjnczT0QU91p1DhOVRuOopznQ",
        "p": "4BzEEOtIpmVdVEZNCqS7baC4crd0pqnRH_5IB3jw3bcxGn6QLvnEtfdUdiYrqBdss1l58BQ3KhooKeQTa9AB0Hw_Py5PJdTJNPY8cQn7ouZ2KKDcmnPGBY5t7yLc1QlQ5xHdwW1VhvKn-nXqhJTBgIPgtldC-KDV5z-y2XDwGUc",
        "q": "uQPEfgmVtjL0Uyyx88GZFF1fOunH3-7cepKmtH4pxhtCoHqpWmT8YAmZxaewHgHAjLYsp1ZSe7zFYHj7C6ul7TjeLQeZD_YwD66t62wDmpe_HlB-TnBA-njbglfIsRLtXlnDzQkv5dTltRJ11BKBBypeeF6689rjcJIDEz9RWdc",
        "dp": "BwKfV3Akq5_MFZDFZCnW-wzl-CCo83WoZvnLQwCTeDv8uzluRSnm71I3QCLdhrqE2e9YkxvuxdBfpT_PI7Yz-FOKnu1R6HsJeDCjn12Sk3vmAktV2zb34MCdy7cpdTh_YVr7tss2u6vneTwrA86rZtu5Mbr1C1XsmvkxHQAdYo0",
        "dq": "h_96-mK1R_7glhsum81dZxjTnYynPbZpHziZjeeHcXYsXaaMwkOlODsWa7I9xXDoRwbKgB719rrmI2oKr6N3Do9U0ajaHF-NKJnwgjMd2w9cjz3_-kyNlxAr2v4IKhGNpmM5iIgOS1VZnOZ68m6_pbLBSp3nssTdlqvd0tIiTHU",
        "qi": "IYd7DHOhrWvxkwPQsRM2tOgrjbcrfvtQJipd-DlcxyVuuM9sQLdgjVk2oy26F0EmpScGLq2MowX7fhd_QJQ3ydy5cY7YIBi87w93IKLEdfnbJtoOPLUW0ITrJReOgo1cq9SbsxYawBgfp_gh6A5603k2-ZQwVK0JKSHuLFkuQ3U"})
}

/// RFC 7515 appendix A.3.1.
fn ec_jwk() -> Value {
    json!({"kty": "EC", "crv": "P-256", "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
        "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0", "d": "jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI"})
}

/// RFC 8037 appendix A.1.
fn ed_jwk() -> Value {
    json!({"kty": "OKP", "crv": "Ed25519", "d": "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A",
        "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"})
}

fn read(jwk: &Value) -> Result<SigningKey, String> {
    SigningKey::from_jwk(&jwk.to_string()).map_err(|error| error.to_string())
}

/// Verified by a library that knows nothing of ours.
fn verified(token: &Secret, key: &DecodingKey) -> Map<String, Value> {
    let header = jsonwebtoken::decode_header(token.expose()).unwrap();
    let mut rules = Validation::new(header.alg);
    rules.required_spec_claims.clear();
    rules.validate_exp = false;
    jsonwebtoken::decode::<Map<String, Value>>(token.expose(), key, &rules).unwrap().claims
}

fn public_half(key: &SigningKey) -> DecodingKey {
    DecodingKey::from_jwk(&serde_json::from_value(Value::Object(key.public_jwk())).unwrap()).unwrap()
}

fn armoured(label: &str, der: &[u8]) -> String {
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", BASE64_STANDARD.encode(der))
}

#[test]
fn the_signatures_of_the_rfcs_come_out_to_the_letter() {
    let sign = |jwk: &Value, message: &str| {
        base64url(&read(jwk).unwrap().raw_signature(message.as_bytes()).unwrap())
    };
    // RFC 7515 appendix A.2.1.
    let message = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
    assert_eq!(
        sign(&rsa_jwk(), message),
        "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw"
    );
    // RFC 8037 appendix A.4.
    assert_eq!(
        sign(&ed_jwk(), "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc"),
        "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"
    );
}

#[test]
fn the_thumbprints_of_the_rfcs_come_out_to_the_letter() {
    // RFC 8037 appendix A.3, of a private key.
    assert_eq!(read(&ed_jwk()).unwrap().thumbprint(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    let of = |jwk: Value| crate::jose::jwk::thumbprint(jwk.as_object().unwrap());
    // RFC 7638 section 3.1.
    assert_eq!(
        of(
            json!({"kty": "RSA", "e": "AQAB", "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"})
        ),
        "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
    );
    // RFC 9449 section 6.1.
    assert_eq!(
        of(json!({"kty": "EC", "crv": "P-256", "x": "l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs",
            "y": "9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA"})),
        "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"
    );
}

#[test]
fn every_algorithm_is_verified_by_another_library() {
    let rsa = read(&rsa_jwk()).unwrap();
    let mut keys: Vec<_> = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"]
        .map(|name| rsa.clone().with_algorithm(name.parse().unwrap()).unwrap())
        .into();
    keys.extend([read(&ec_jwk()).unwrap(), read(&ed_jwk()).unwrap()]);
    keys.extend(
        [Algorithm::Es256, Algorithm::Es384, Algorithm::EdDsa].map(|one| SigningKey::generate(one).unwrap()),
    );
    for key in keys {
        let token = key.clone().with_key_id("k").sign(Map::new(), &json!({"sub": "svc"})).unwrap();
        assert_eq!(verified(&token, &public_half(&key))["sub"], "svc", "{key:?}");
        let header = jsonwebtoken::decode_header(token.expose()).unwrap();
        assert_eq!(
            (header.kid.as_deref(), format!("{:?}", header.alg)),
            (Some("k"), key.algorithm().to_string())
        );
    }
}

/// jsonwebtoken does not know ES512.
#[test]
fn es512_is_verified_by_its_public_jwk() {
    use aws_lc_rs::signature::{ECDSA_P521_SHA512_FIXED, UnparsedPublicKey};
    let key = SigningKey::generate(Algorithm::Es512).unwrap();
    let token = key.sign(Map::new(), &json!({})).unwrap();
    let (message, signature) = token.expose().rsplit_once('.').unwrap();
    let octets = |text: &str| BASE64_URL_SAFE_NO_PAD.decode(text).unwrap();
    let jwk = key.public_jwk();
    let point = [vec![4], octets(jwk["x"].as_str().unwrap()), octets(jwk["y"].as_str().unwrap())].concat();
    assert_eq!((jwk["crv"].as_str(), octets(signature).len(), point.len()), (Some("P-521"), 132, 133));
    UnparsedPublicKey::new(&ECDSA_P521_SHA512_FIXED, point)
        .verify(message.as_bytes(), &octets(signature))
        .unwrap();
}

#[test]
fn a_shared_secret_signs_what_another_library_verifies_and_is_never_too_short() {
    let secret = Secret::from("0123456789abcdef".repeat(4));
    for name in ["HS256", "HS384", "HS512"] {
        let token =
            sign_with_secret(name.parse().unwrap(), &secret, Map::new(), &json!({"sub": "svc"})).unwrap();
        assert_eq!(verified(&token, &DecodingKey::from_secret(secret.expose().as_bytes()))["sub"], "svc");
    }
    let short = Secret::from("0123456789abcdef0123456789abcde");
    let error = sign_with_secret(Algorithm::Hs256, &short, Map::new(), &json!({})).unwrap_err();
    assert!(error.to_string().contains("client_secret: is shorter than the 32 bytes"), "{error}");
}

#[test]
fn a_key_comes_from_every_kind_of_file() {
    for jwk in [rsa_jwk(), ec_jwk(), ed_jwk()] {
        let key = read(&jwk).unwrap();
        let pem = key.to_pem().unwrap();
        let der = BASE64_STANDARD
            .decode(pem.expose().lines().filter(|line| !line.starts_with('-')).collect::<String>())
            .unwrap();
        let mut again = vec![
            SigningKey::from_pem(pem.expose()).unwrap(),
            SigningKey::from_text(&pem.expose().replace('\n', "\r\n")).unwrap(),
            SigningKey::from_text(&format!("\n {jwk}")).unwrap(),
            SigningKey::from_der(&der).unwrap(),
        ];
        match jwk["kty"].as_str().unwrap() {
            // PKCS#8 has the PKCS#1 key as its last member.
            "RSA" => again.push(SigningKey::from_pem(&armoured("RSA PRIVATE KEY", &der[26..])).unwrap()),
            "EC" => {
                let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &der).unwrap();
                let sec1 = armoured("EC PRIVATE KEY", pair.private_key().as_der().unwrap().as_ref());
                // As openssl ecparam writes it, and with the certificate in the same file.
                let file = armoured("EC PARAMETERS", &[6, 1, 0]) + &armoured("CERTIFICATE", &[0]) + &sec1;
                again.push(SigningKey::from_pem(&file).unwrap());
            }
            _ => {}
        }
        for other in again {
            assert_eq!(other.public_jwk(), key.public_jwk());
        }
        assert!(["d", "p", "q", "dp", "dq", "qi"].iter().all(|name| !key.public_jwk().contains_key(*name)));
    }
}

#[test]
fn a_jwk_brings_its_name_and_algorithm() {
    let mut jwk = rsa_jwk();
    jwk["kid"] = "2030-01".into();
    jwk["alg"] = "PS384".into();
    let key = read(&jwk).unwrap();
    assert_eq!((key.algorithm(), key.key_id()), (Algorithm::Ps384, Some("2030-01")));
    assert_eq!((&key.public_jwk()["alg"], &key.public_jwk()["kid"]), (&"PS384".into(), &"2030-01".into()));
}

#[test]
fn the_error_for_a_file_without_a_private_key_names_its_content() {
    let weak = armoured("PRIVATE KEY", &[0x30, 0]);
    let spki = armoured("PUBLIC KEY", &[0x30, 0]);
    for (text, says) in [
        (armoured("ENCRYPTED PRIVATE KEY", &[0x30, 0]), "is encrypted"),
        ("-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nAAAA\n".to_owned(), "is encrypted"),
        (spki, "is a public key"),
        (armoured("RSA PUBLIC KEY", &[0x30, 0]), "is a public key"),
        (armoured("CERTIFICATE", &[0x30, 0]), "is a certificate"),
        (armoured("OPENSSH PRIVATE KEY", &[0x30, 0]), "OpenSSH"),
        (weak, "is not a private key that can be used"),
        (armoured("RSA PRIVATE KEY", &[0x30, 0]), "is not an RSA key that can be used"),
        (armoured("EC PRIVATE KEY", &[0x30, 0]), "is not an EC key that can be used"),
        ("-----BEGIN PRIVATE KEY-----\nAAAA".to_owned(), "is damaged PEM"),
        (String::new(), "is empty"),
        ("s3cr3t".to_owned(), "is not PEM"),
    ] {
        let error = SigningKey::from_text(&text).unwrap_err();
        assert_eq!((error.code(), error.problems()[0].field.as_str()), ("config", "private_key"));
        assert!(error.to_string().contains(says) && !error.to_string().contains("s3cr3t"), "{error}");
    }
}

#[test]
fn the_error_for_a_jwk_that_cannot_sign_names_the_member() {
    let with = |mut jwk: Value, name: &str, value: Value| {
        jwk[name] = value;
        jwk
    };
    let without = |mut jwk: Value, name: &str| {
        jwk.as_object_mut().unwrap().remove(name);
        jwk
    };
    for (jwk, says) in [
        (without(rsa_jwk(), "d"), "is a public key"),
        (without(ec_jwk(), "d"), "is a public key"),
        (without(rsa_jwk(), "qi"), "no member qi"),
        (with(rsa_jwk(), "p", "AQAB".into()), "parts that belong together"),
        (with(rsa_jwk(), "oth", json!([])), "more than two primes"),
        (with(ec_jwk(), "y", ec_jwk()["x"].clone()), "do not belong together"),
        (with(ec_jwk(), "d", "AQ".into()), "wrong length"),
        (with(ec_jwk(), "crv", "secp256k1".into()), "curve"),
        (with(ed_jwk(), "x", ec_jwk()["x"].clone()), "do not belong together"),
        (with(ed_jwk(), "d", "AQ".into()), "32 bytes"),
        (with(ed_jwk(), "crv", "Ed448".into()), "curve"),
        (with(ed_jwk(), "d", "nWGxne/+".into()), "d that is not base64url"),
        (with(ed_jwk(), "d", 5.into()), "d that is no string"),
        (with(ed_jwk(), "use", "enc".into()), "use"),
        (with(ed_jwk(), "key_ops", json!(["verify"])), "key_ops"),
        (with(ed_jwk(), "alg", "ES256".into()), "does not fit this key, which signs EdDSA"),
        (with(ed_jwk(), "alg", "none".into()), "not a signature algorithm"),
        (with(ed_jwk(), "kid", 5.into()), "kid"),
        (json!({"kty": "oct", "k": "AAAA"}), "shared secret"),
        (json!({"keys": [ed_jwk()]}), "set of keys"),
        (json!({"kty": "DH"}), "kty"),
    ] {
        let error = read(&jwk).unwrap_err();
        assert!(error.contains(says) && !error.contains("nWGxne"), "{says}: {error}");
    }
    assert!(
        SigningKey::from_jwk("{\"kty\":\"OKP\",\"kty\":\"EC\"}").unwrap_err().to_string().contains("twice")
    );
}

#[test]
fn nothing_prints_a_private_key() {
    let key = read(&ed_jwk()).unwrap().with_key_id("k");
    let shown = format!("{key:?} {:?} {:?}", key.to_pem().unwrap(), key.public_jwk());
    assert!(!shown.contains("nWGxne") && !shown.contains("PRIVATE KEY"), "{shown}");
    assert!(shown.starts_with("SigningKey { algorithm: EdDsa, key_id: Some(\"k\"), .. }"), "{shown}");
}

#[test]
fn identifiers_have_128_bits_and_never_repeat() {
    let all: std::collections::HashSet<_> = (0..100_000).map(|_| unique_id().unwrap()).collect();
    assert_eq!(all.len(), 100_000);
    assert!(all.iter().all(|id| id.len() == 22));
}

#[test]
fn a_key_is_read_as_shells_and_platforms_mangle_it() {
    for algorithm in [Algorithm::Rs256, Algorithm::Es256, Algorithm::EdDsa] {
        let key = SigningKey::generate(algorithm).unwrap();
        let pem = key.to_pem().unwrap().expose().to_owned();
        let flat = pem.trim().replace('\n', "\\n");
        for (what, text) in [
            ("as it is", pem.clone()),
            ("line breaks as letters", flat.clone()),
            ("carriage returns as letters, too", pem.replace('\n', "\\r\\n")),
            ("in quotes", format!("\"{flat}\"")),
            ("in single quotes, with a line break behind", format!("'{pem}'\n")),
            ("of Windows", pem.replace('\n', "\r\n")),
            ("of an old Mac", pem.replace('\n', "\r")),
            ("with a byte order mark", format!("\u{feff}{pem}")),
            ("blanks in place of line breaks", pem.replace('\n', " ")),
            ("no line breaks at all", pem.replace('\n', "")),
            ("indented", pem.lines().map(|line| format!("    {line}\n")).collect()),
        ] {
            let read = SigningKey::from_text(&text).unwrap_or_else(|error| panic!("{what}: {error}"));
            assert_eq!(read.thumbprint(), key.thumbprint(), "{what}");
        }
    }
    let jwk = ec_jwk().to_string();
    for text in [
        format!("'{jwk}'"),
        format!("\u{feff} {jwk}\r\n"),
        jwk.replace('"', "\\\""),
        format!("\"{}\"", jwk.replace('"', "\\\"")),
    ] {
        assert!(SigningKey::from_text(&text).is_ok(), "{text}");
    }
    for broken in
        ["", "\"", "'", "-----BEGIN ", "-----BEGIN PRIVATE KEY----------END PRIVATE KEY-----", "\\n\\n"]
    {
        assert!(SigningKey::from_text(broken).is_err(), "{broken}");
    }
}
