//! Each check of RFC 9449 section 4.3 by itself, and their order.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use oauth_guard::replay::{Insertion, ProofId, ReplayError, ReplayStore};
use oauth_guard::{Algorithm, Dpop};
use oauth_mock::{Alg, TestKey};
use serde_json::{Value, json};

use super::{Bound, URL, ask, reason, request};

/// Counts how often it was asked.
#[derive(Clone, Debug, Default)]
struct Counting(Arc<AtomicUsize>);

impl ReplayStore for Counting {
    async fn insert(&self, proof: ProofId<'_>, keep: Duration) -> Result<Insertion, ReplayError> {
        assert!((1..=256).contains(&proof.jti().len()) && (6..=71).contains(&keep.as_secs()), "{keep:?}");
        self.0.fetch_add(1, Ordering::Relaxed);
        Ok(Insertion::Inserted)
    }
}

/// What a request is to come to: status, challenge, reason.
type Expected = (u16, &'static str, &'static str);

const GOOD: Expected = (200, "", "accepted");
const PROOF: (u16, &str) = (401, "DPoP invalid_dpop_proof");

fn bad(reason: &'static str) -> Expected {
    (PROOF.0, PROOF.1, reason)
}

#[tokio::test(start_paused = true)]
async fn each_check_rejects_what_violates_it_alone() {
    let bound = Bound::new();
    let store = Counting::default();
    let guard = bound.guard(Dpop::new().replay_store(store.clone()));
    let now = bound.fixture.server.clock().now_unix();
    let proof = || bound.proof();
    let jwk = bound.key.public_jwk();
    let with_jwk = |name: &str, value: Value| {
        let mut jwk = jwk.clone();
        jwk[name] = value;
        proof().header("jwk", jwk)
    };
    let other = TestKey::generate(Alg::Es256);
    let (rsa, ed) = (TestKey::generate(Alg::Rs256), TestKey::generate(Alg::EdDsa));
    let signed =
        |key: &TestKey| bound.fixture.server.dpop_proof(key, "GET", URL).access_token_hash(&bound.token);
    let cases: Vec<(&str, String, Expected)> = vec![
        ("good", proof().build(), GOOD),
        ("not a JWT", "abc".into(), bad("proof_malformed")),
        ("two parts", "e30.e30".into(), bad("proof_malformed")),
        ("JSON serialization", r#"{"payload":"","signature":""}"#.into(), bad("proof_malformed")),
        ("padding", format!("{}=", proof().build()), bad("proof_malformed")),
        ("8 KiB and more", proof().claim("pad", "x".repeat(7000)).build(), bad("proof_too_long")),
        ("8 KiB nearly", proof().claim("pad", "x".repeat(5000)).build(), GOOD),
        ("typ absent", proof().without_header("typ").build(), bad("proof_type_mismatch")),
        ("typ JWT", proof().typ("JWT").build(), bad("proof_type_mismatch")),
        ("typ at+jwt", proof().typ("at+jwt").build(), bad("proof_type_mismatch")),
        ("typ in capitals", proof().typ("DPOP+JWT").build(), GOOD),
        ("typ with application/", proof().typ("application/dpop+jwt").build(), GOOD),
        ("alg none", proof().unsigned().build(), bad("proof_malformed")),
        (
            "alg none, with a signature",
            proof().header("alg", "none").signature([7; 64]).build(),
            bad("proof_algorithm_not_allowed"),
        ),
        (
            "alg HS256 by the public key",
            proof().signed_with_secret(Alg::Hs256, jwk.to_string()).build(),
            bad("proof_algorithm_not_allowed"),
        ),
        (
            "alg RS512, not on the list",
            signed(&rsa).alg(Alg::Rs512).build(),
            bad("proof_algorithm_not_allowed"),
        ),
        ("alg of another family", proof().header("alg", "RS256").build(), bad("proof_key_unusable")),
        ("crit", proof().header("crit", json!(["exp"])).build(), bad("proof_malformed")),
        ("b64", proof().header("b64", false).build(), bad("proof_malformed")),
        ("jwk absent", proof().without_header("jwk").build(), bad("proof_key_unusable")),
        ("jwk a string", proof().header("jwk", "key").build(), bad("proof_malformed")),
        ("jwk null", proof().header("jwk", Value::Null).build(), bad("proof_malformed")),
        ("jwk private", with_jwk("d", json!("AAAA")).build(), bad("proof_key_unusable")),
        (
            "jwk symmetric",
            proof().header("jwk", json!({"kty": "oct", "k": "AAAA"})).build(),
            bad("proof_key_unusable"),
        ),
        ("jwk for encryption", with_jwk("use", json!("enc")).build(), bad("proof_key_unusable")),
        ("jwk of another alg", with_jwk("alg", json!("ES384")).build(), bad("proof_key_unusable")),
        (
            "jwk off the curve",
            with_jwk("x", json!("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")).build(),
            bad("proof_key_unusable"),
        ),
        ("jwk with a kid", with_jwk("kid", json!("a")).build(), GOOD),
        ("another key", signed(&other).build(), (401, "DPoP invalid_token", "proof_key_mismatch")),
        ("another key, Ed25519", signed(&ed).build(), (401, "DPoP invalid_token", "proof_key_mismatch")),
        ("another key, RSA", signed(&rsa).build(), (401, "DPoP invalid_token", "proof_key_mismatch")),
        ("another's key in the header", proof().signed_with(&other).build(), bad("proof_signature_invalid")),
        ("payload no object", proof().raw_payload("[]").build(), bad("proof_claim_missing_or_malformed")),
        (
            "a member twice",
            proof().raw_payload(r#"{"jti":"a","jti":"b"}"#).build(),
            bad("proof_claim_missing_or_malformed"),
        ),
        ("ath absent", proof().without("ath").build(), bad("proof_claim_missing_or_malformed")),
        ("ath of another token", proof().access_token_hash("other").build(), bad("proof_ath_mismatch")),
        ("ath empty", proof().claim("ath", "").build(), bad("proof_ath_mismatch")),
        ("ath a number", proof().claim("ath", 1).build(), bad("proof_claim_missing_or_malformed")),
        ("htm absent", proof().without("htm").build(), bad("proof_claim_missing_or_malformed")),
        ("htm POST", proof().claim("htm", "POST").build(), bad("proof_htm_mismatch")),
        ("htm get", proof().claim("htm", "get").build(), bad("proof_htm_mismatch")),
        ("htu absent", proof().without("htu").build(), bad("proof_claim_missing_or_malformed")),
        (
            "htu of another path",
            proof().claim("htu", "https://api.example.com/others").build(),
            bad("proof_htu_mismatch"),
        ),
        (
            "htu of another host",
            proof().claim("htu", "https://api.example.org/orders").build(),
            bad("proof_htu_mismatch"),
        ),
        ("htu with a query", proof().claim("htu", format!("{URL}?page=2")).build(), GOOD),
        ("iat absent", proof().without("iat").build(), bad("proof_claim_missing_or_malformed")),
        (
            "iat a string",
            proof().claim("iat", now.to_string()).build(),
            bad("proof_claim_missing_or_malformed"),
        ),
        ("iat negative", proof().claim("iat", -1).build(), bad("proof_claim_missing_or_malformed")),
        ("iat 60 s ago", proof().claim("iat", now - 60).build(), GOOD),
        ("iat 61 s ago", proof().claim("iat", now - 61).build(), bad("proof_too_old")),
        ("iat 0", proof().claim("iat", 0).build(), bad("proof_too_old")),
        ("iat 5 s ahead", proof().claim("iat", now + 5).build(), GOOD),
        ("iat 6 s ahead", proof().claim("iat", now + 6).build(), bad("proof_from_the_future")),
        ("iat at the end of time", proof().claim("iat", u64::MAX).build(), bad("proof_from_the_future")),
        ("iat with a fraction", proof().claim("iat", now as f64 + 0.5).build(), GOOD),
        ("a nonce that was not asked for", proof().nonce("abc").build(), GOOD),
        ("signature cut", proof().signature([7; 63]).build(), bad("proof_signature_invalid")),
        ("signature of zeros", proof().signature([0; 64]).build(), bad("proof_signature_invalid")),
        ("jti absent", proof().without("jti").build(), bad("proof_claim_missing_or_malformed")),
        ("jti empty", proof().claim("jti", "").build(), bad("proof_claim_missing_or_malformed")),
        ("jti a number", proof().claim("jti", 7).build(), bad("proof_claim_missing_or_malformed")),
        ("jti of 1 byte", proof().claim("jti", "a").build(), GOOD),
        ("jti of 256 bytes", proof().claim("jti", "x".repeat(256)).build(), GOOD),
        (
            "jti of 257 bytes",
            proof().claim("jti", "x".repeat(257)).build(),
            bad("proof_claim_missing_or_malformed"),
        ),
        ("other members", proof().claim("exp", now - 100).claim("foo", "bar").build(), GOOD),
    ];
    for (name, proof, (status, challenge, why)) in cases {
        let asked = store.0.load(Ordering::Relaxed);
        let answer = bound.send(&guard, &proof).await;
        let found = reason(&guard, &request("DPoP", &bound.token, &[&proof])).await;
        println!("{name:<28} {status} {challenge:<26} {found}");
        assert_eq!((answer.summary(), &*found), ((status, challenge.to_owned()), why), "{name}");
        if status == 200 {
            assert_eq!(answer.body, "ada: authorization dpop", "{name}");
        } else {
            // Nothing is noted of a proof that fails.
            assert_eq!(store.0.load(Ordering::Relaxed), asked, "{name}");
            assert!(answer.challenges()[0].contains(r#"algs="ES256 ES384 EdDSA RS256 PS256""#), "{name}");
            let payload = proof.split('.').nth(1).filter(|part| part.len() > 16);
            assert!(payload.is_none_or(|part| !answer.body.contains(part)), "{name}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_has_one_proof() {
    let bound = Bound::new();
    let guard = bound.guard(Dpop::new());
    let (one, two) = (bound.proof().build(), bound.proof().build());
    let none = ask(&guard.layer(), request("DPoP", &bound.token, &[])).await;
    assert_eq!(none.summary(), (401, "DPoP invalid_dpop_proof".to_owned()));
    let several = ask(&guard.layer(), request("DPoP", &bound.token, &[&one, &two])).await;
    assert_eq!(several.summary(), (400, "DPoP invalid_request".to_owned()));
    let joined = ask(&guard.layer(), request("DPoP", &bound.token, &[&format!("{one}, {two}")])).await;
    assert_eq!(joined.summary(), (401, "DPoP invalid_dpop_proof".to_owned()));
    let twice = ask(&guard.layer(), request("DPoP", &bound.token, &[&one, &one])).await;
    assert_eq!(twice.summary(), (400, "DPoP invalid_request".to_owned()));
    let latin = ask(&guard.layer(), request("DPoP", &bound.token, &["\u{e9}.a.b"])).await;
    assert_eq!(latin.summary(), (401, "DPoP invalid_dpop_proof".to_owned()));
    assert_eq!(bound.send(&guard, &one).await.status, 200, "none of these used it up");
}

/// A proof that violates a check and all that come after it is rejected for that check.
#[tokio::test(start_paused = true)]
async fn the_checks_have_an_order() {
    let bound = Bound::new();
    let store = Counting::default();
    let guard = bound.guard(Dpop::new().require_nonce().replay_store(store.clone()));
    let other = TestKey::generate(Alg::Es256);
    // From the last check to the first, each adds its violation to those before.
    let mut proof = bound.proof().claim("jti", "");
    type Violate<'a> = Box<dyn Fn(oauth_mock::TokenBuilder) -> oauth_mock::TokenBuilder + 'a>;
    let steps: Vec<(&str, Violate<'_>)> = vec![
        ("proof_signature_invalid", Box::new(|proof| proof.signature([7; 64]))),
        ("proof_nonce_missing_or_stale", Box::new(|proof| proof.nonce("abc"))),
        ("proof_too_old", Box::new(|proof| proof.claim("iat", 0))),
        ("proof_htu_mismatch", Box::new(|proof| proof.claim("htu", "https://evil.example/"))),
        ("proof_htm_mismatch", Box::new(|proof| proof.claim("htm", "PUT"))),
        ("proof_ath_mismatch", Box::new(|proof| proof.access_token_hash("other"))),
        ("proof_key_mismatch", Box::new(|proof| proof.header("jwk", other.public_jwk()))),
        ("proof_key_unusable", Box::new(|proof| proof.header("jwk", json!({"kty": "oct"})))),
        ("proof_algorithm_not_allowed", Box::new(|proof| proof.header("alg", "HS256"))),
        ("proof_type_mismatch", Box::new(|proof| proof.typ("jwt"))),
        ("proof_malformed", Box::new(|proof| proof.header("crit", json!(["a"])))),
        ("proof_too_long", Box::new(|proof| proof.claim("pad", "x".repeat(8000)))),
    ];
    for (expected, violate) in steps {
        proof = violate(proof);
        // The nonce is good until its own check is reached.
        let sent = match expected {
            "proof_signature_invalid" => {
                let nonce = ask(&guard.layer(), request("DPoP", &bound.token, &[])).await;
                proof.clone().nonce(nonce.nonce().unwrap())
            }
            _ => proof.clone(),
        };
        assert_eq!(reason(&guard, &request("DPoP", &bound.token, &[&sent.build()])).await, expected);
    }
    assert_eq!(store.0.load(Ordering::Relaxed), 0, "the store comes last");
}

#[tokio::test(start_paused = true)]
async fn every_algorithm_on_the_list_is_accepted_and_no_other() {
    for (alg, name) in [
        (Alg::Es256, Algorithm::Es256),
        (Alg::Es384, Algorithm::Es384),
        (Alg::EdDsa, Algorithm::EdDsa),
        (Alg::Rs256, Algorithm::Rs256),
        (Alg::Ps256, Algorithm::Ps256),
    ] {
        let bound = Bound::with(alg);
        assert_eq!(bound.call(&bound.guard(Dpop::new()), &bound.proof()).await.status, 200, "{name}");
        let only = bound.guard(Dpop::new().algorithms([name]));
        // The first proof, and one whose header is known.
        for _ in 0..2 {
            assert_eq!(bound.call(&only, &bound.proof()).await.status, 200, "{name}");
        }
        let other = if name == Algorithm::Es256 { Algorithm::EdDsa } else { Algorithm::Es256 };
        let others = bound.guard(Dpop::new().algorithms([other]));
        let answer = bound.call(&others, &bound.proof()).await;
        assert_eq!(answer.summary(), (PROOF.0, PROOF.1.to_owned()), "{name}");
        assert!(answer.challenges()[0].contains(&format!("algs=\"{other}\"")));
    }
}

/// A reload takes an algorithm off the list: what is known of the token does not bring it back.
#[tokio::test(start_paused = true)]
async fn a_known_header_is_checked_against_the_list_in_force() {
    let bound = Bound::new();
    let guard = bound.guard(Dpop::new());
    assert_eq!(bound.call(&guard, &bound.proof()).await.status, 200);
    let only_ed = Dpop::new().algorithms([Algorithm::EdDsa]);
    guard.reload(bound.builder().dpop(only_ed)).unwrap();
    assert_eq!(
        reason(&guard, &request("DPoP", &bound.token, &[&bound.proof().build()])).await,
        "proof_algorithm_not_allowed"
    );
    // And one that takes DPoP away refuses the token, though it is cached.
    guard.reload(bound.builder()).unwrap();
    let answer = bound.call(&guard, &bound.proof()).await;
    assert_eq!(answer.summary(), (401, "Bearer".to_owned()), "DPoP is another scheme now");
    let answer = ask(&guard.layer(), request("Bearer", &bound.token, &[])).await;
    assert_eq!(answer.summary(), (401, "Bearer invalid_token".to_owned()));
    guard.reload(bound.builder().dpop(Dpop::new())).unwrap();
    assert_eq!(bound.call(&guard, &bound.proof()).await.status, 200);
}

/// One header for all its proofs, or another each time: the same checks.
#[tokio::test(start_paused = true)]
async fn a_client_may_change_its_header() {
    let bound = Bound::new();
    let guard = bound.guard(Dpop::new());
    let long = "x".repeat(2000);
    for (n, extra) in ["a", "b", "a", &long, "a", &long].into_iter().enumerate() {
        let proof = bound.proof().header("extra", extra);
        assert_eq!(bound.call(&guard, &proof).await.status, 200, "{n}");
        let forged = proof.clone().claim("jti", format!("forged {n}")).signature([9; 64]).build();
        assert_eq!(
            reason(&guard, &request("DPoP", &bound.token, &[&forged])).await,
            "proof_signature_invalid"
        );
    }
}
