use std::sync::{Arc, OnceLock};

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use oauth_client::sign::{Algorithm, SigningKey};
use oauth_mock::{Alg, TestKey};
use serde_json::{Value, json};

use super::*;
use crate::error::Problems;
use crate::possession::dpop::{ClockMark, Dpop};

/// Writes down which checks are made, and ends at the first error as a request does.
#[derive(Default)]
struct Recorder(Vec<&'static str>);

impl Visitor for Recorder {
    fn check<V>(
        &mut self,
        check: &'static str,
        outcome: Result<V, ProofError>,
    ) -> Result<Option<V>, ProofError> {
        self.0.push(check);
        outcome.map(Some)
    }
}

const TOKEN: &[u8] = b"Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU";

fn encoded(value: &Value) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(value.to_string())
}

/// A proof by this key, not signed: the signature is made of sevens.
fn unsigned(key: &TestKey) -> String {
    let mut jwk = key.public_jwk();
    jwk.as_object_mut().unwrap().retain(|name, _| ["kty", "crv", "x", "y"].contains(&&**name));
    let header = encoded(&json!({"typ": "dpop+jwt", "alg": "ES256", "jwk": jwk}));
    let claims = json!({
        "jti": "a", "htm": "GET", "htu": "https://api.example.com/", "iat": 1_000,
        "ath": "fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo"
    });
    format!("{header}.{}.{}", encoded(&claims), BASE64_URL_SAFE_NO_PAD.encode([7; 64]))
}

fn checks(proof: &str, jkt: [u8; 32]) -> (Vec<&'static str>, Option<ProofError>) {
    let given = DpopEvidence {
        proof: Some(proof.as_bytes().into()),
        method: Cow::Owned(Method::GET),
        url: ExpectedUrl::for_tests("https://api.example.com", "/"),
        noted: None,
    };
    let binding = Binding { jkt: Some(jkt), x5t: None, known: OnceLock::new() };
    let now = Now { wall: Duration::from_secs(1_000), monotonic: Duration::ZERO };
    let (mark, mut problems) = (Arc::new(ClockMark::new(now)), Problems::default());
    let rules = Dpop::new().rules(None, None, &mark, now, &mut problems).unwrap();
    let mut recorder = Recorder::default();
    let outcome = rules.visit(&given, TOKEN, &binding, &jkt, now, &mut recorder);
    (recorder.0, outcome.err())
}

/// No signature is computed under a key that the token is not bound to, and the identifier is looked at last.
#[test]
fn the_signature_comes_after_all_that_costs_less() {
    let (key, other) = (TestKey::generate(Alg::Es256), TestKey::generate(Alg::Es256));
    let jkt = |key: &TestKey| {
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(key.thumbprint()).unwrap();
        <[u8; 32]>::try_from(bytes).unwrap()
    };
    let (made, error) = checks(&unsigned(&key), jkt(&other));
    assert_eq!(error, Some(ProofError::OtherKey));
    assert_eq!(
        made,
        ["dpop proof", "dpop form", "dpop header", "dpop typ", "dpop alg", "dpop jwk", "dpop jkt"]
    );
    let (made, error) = checks(&unsigned(&key), jkt(&key));
    assert_eq!(error, Some(ProofError::BadSignature));
    assert_eq!(
        made,
        [
            "dpop proof",
            "dpop form",
            "dpop header",
            "dpop typ",
            "dpop alg",
            "dpop jwk",
            "dpop jkt",
            "dpop payload",
            "dpop ath",
            "dpop htm",
            "dpop htu",
            "dpop iat",
            "dpop nonce",
            "dpop signature"
        ]
    );
}

/// The client's own thumbprint and the one that is computed here are the same for every kind of key.
#[test]
fn thumbprints_are_those_of_the_client() {
    for algorithm in [Algorithm::Es256, Algorithm::Es384, Algorithm::EdDsa, Algorithm::Rs256] {
        let key = SigningKey::generate(algorithm).unwrap();
        let jwk = Value::Object(key.public_jwk()).to_string();
        let read = ProofKey::from_jwk(&jwk, algorithm).unwrap();
        assert_eq!(BASE64_URL_SAFE_NO_PAD.encode(read.thumbprint), key.thumbprint(), "{algorithm}");
    }
}
