//! The keys of a configuration, and the RFC 9728 document.

use oauth_guard::config::GuardConfig;
use serde_json::{Value, json};

use super::Bound;

const NONCE_KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

fn config(more: Value) -> Result<oauth_guard::Guard, Vec<(String, String)>> {
    let mut all = json!({"issuer": [{"issuer": "http://127.0.0.1:1", "audience": ["orders-api"], "danger_allow_http": true}]});
    all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let read: Result<GuardConfig, serde_json::Error> = serde_json::from_value(all);
    let built = match read {
        Ok(config) => config.build().map_err(|error| error.problems().to_vec()),
        Err(error) => return Err(vec![("serde".to_owned(), error.to_string())]),
    };
    built.map_err(|all| all.into_iter().map(|one| (one.field, one.message)).collect())
}

#[cfg(feature = "reqwest")]
#[test]
fn every_key_is_read_and_every_mistake_is_named() {
    config(json!({
        "public_url": "https://api.example.com/base",
        "trusted_proxies": ["10.0.0.0/8", "127.0.0.1/32"],
        "dpop": {
            "mode": "require", "algorithms": ["ES256", "EdDSA"], "max_age_seconds": 30, "nonce": "require",
            "nonce_seconds": 60, "nonce_key": NONCE_KEY
        },
        "certificates": {"source": "xfcc", "mode": "require"},
        "rule": [{"path": "/transfers", "require": {"bound": true}}]
    }))
    .unwrap();
    for (bad, field) in [
        (json!({"public_url": "api.example.com"}), "public_url"),
        (json!({"public_url": "https://api.example.com?a"}), "public_url"),
        (json!({"public_url": "https://u:p@api.example.com"}), "public_url"),
        (json!({"trusted_proxies": ["proxy.internal"]}), "trusted_proxies"),
        (json!({"certificates": {"source": "nginx"}}), "trusted_proxies"),
        (json!({"certificates": {"source": "apache"}}), "certificates.source"),
        (json!({"certificates": {"mode": "always"}}), "certificates.mode"),
        (json!({"dpop": {"mode": "on"}}), "dpop.mode"),
        (json!({"dpop": {"algorithms": ["HS256"]}}), "dpop.algorithms"),
        (json!({"dpop": {"algorithms": []}}), "dpop.algorithms"),
        (json!({"dpop": {"max_age_seconds": 0}}), "dpop.max_age_seconds"),
        (json!({"dpop": {"nonce_seconds": 0}}), "dpop.nonce_seconds"),
        (json!({"dpop": {"nonce": "on"}}), "dpop.nonce"),
        (json!({"dpop": {"nonce_key": "c2hvcnQ="}}), "dpop.nonce_key"),
        (json!({"dpop": {"nonce_key": {"file": "/nowhere/nonce.key"}}}), "dpop.nonce_key"),
        (json!({"dpop": {"nonce_key": NONCE_KEY}}), "dpop.nonce_key"),
        (json!({"dpop": {"nonce_seconds": 60}}), "dpop.nonce_seconds"),
        // What waits beside `nonce = "off"` is checked all the same.
        (json!({"dpop": {"nonce": "off", "nonce_seconds": 0}}), "dpop.nonce_seconds"),
        (json!({"dpop": {"nonce": "off", "nonce_key": "c2hvcnQ="}}), "dpop.nonce_key"),
        (json!({"dpop": {"nonce": "off", "nonce_key": {"file": "/nowhere/nonce.key"}}}), "dpop.nonce_key"),
        (json!({"dpop": {"jti": 1}}), "dpop.jti"),
        (json!({"rule": [{"path": "/a", "require": {"bound": false}}]}), "rule[0].require.bound"),
    ] {
        let problems = config(bad.clone()).unwrap_err();
        let (first, text) = &problems[0];
        println!("{bad}: {first}: {text}");
        assert!(first == field || (first == "serde" && text.contains(field)), "{bad}: {problems:?}");
        let secrets = ["c2hvcnQ=", NONCE_KEY];
        assert!(!secrets.iter().any(|one| format!("{problems:?}").contains(one)), "no secret is printed");
    }
}

/// An operator who turns nonces off for a while need not take the other keys out.
#[cfg(feature = "reqwest")]
#[test]
fn the_settings_of_a_nonce_may_wait_beside_one_that_is_off() {
    let off = json!({"dpop": {"nonce": "off", "nonce_seconds": 300, "nonce_key": NONCE_KEY}});
    config(off).unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_document_says_what_the_guard_does() {
    use oauth_guard::{Algorithm, CertificateSource, Certificates, Dpop};

    let bound = Bound::new();
    let document =
        |guard: oauth_guard::Guard| serde_json::to_value(guard.resource_metadata().unwrap()).unwrap();
    let builder = || bound.builder().resource("https://api.example.com");
    let members = [
        "dpop_signing_alg_values_supported",
        "dpop_bound_access_tokens_required",
        "tls_client_certificate_bound_access_tokens",
    ];
    let off = document(builder().build().unwrap());
    assert!(members.iter().all(|name| off.get(*name).is_none()), "{off}");
    let on = document(builder().dpop(Dpop::new().algorithms([Algorithm::Es256])).build().unwrap());
    assert_eq!(members.map(|name| on.get(name).cloned()), [Some(json!(["ES256"])), None, None]);
    let strict = builder()
        .dpop(Dpop::new().required())
        .certificates(Certificates::from(CertificateSource::Connection))
        .build()
        .unwrap();
    let strict = document(strict);
    assert_eq!(
        members.map(|name| strict[name].clone()),
        [json!(["ES256", "ES384", "EdDSA", "RS256", "PS256"]), json!(true), json!(true)]
    );
}
