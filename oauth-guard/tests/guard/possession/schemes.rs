//! Which scheme goes with which token, and what the challenges say.

use http::{Request, header};
use http_body_util::Full;
use oauth_guard::{CertificateSource, Certificates, Dpop, GuardLayer, Requirement, Rule};
use oauth_mock::{Alg, TestKey};
use serde_json::json;

use super::super::support::settle;
use super::{Bound, ask, reason, request};

#[tokio::test(start_paused = true)]
async fn a_token_goes_with_its_scheme() {
    let bound = Bound::new();
    let plain = bound.fixture.server.mint().subject("eve").build();
    let guard = bound.guard(Dpop::new());
    for (scheme, token, with_proof, expected, why) in [
        ("DPoP", &bound.token, true, (200, ""), "accepted"),
        ("dpop", &bound.token, true, (200, ""), "accepted"),
        ("DPOP", &bound.token, true, (200, ""), "accepted"),
        ("Bearer", &plain, false, (200, ""), "accepted"),
        ("Bearer", &plain, true, (200, ""), "accepted"),
        // A stolen one, with a proof of the thief's or of the owner's, or without.
        ("Bearer", &bound.token, false, (401, "Bearer invalid_token"), "scheme_mismatch"),
        ("Bearer", &bound.token, true, (401, "Bearer invalid_token"), "scheme_mismatch"),
        ("DPoP", &plain, true, (401, "DPoP invalid_token"), "scheme_mismatch"),
        ("DPoP", &plain, false, (401, "DPoP invalid_token"), "scheme_mismatch"),
        ("DPoP", &bound.token, false, (401, "DPoP invalid_dpop_proof"), "proof_missing"),
        ("DPoPs", &bound.token, true, (401, "Bearer"), "no token"),
        ("Basic", &bound.token, true, (401, "Bearer"), "no token"),
    ] {
        // Twice: the token is new, then known.
        for _ in 0..2 {
            let made = |token: &str| bound.proof_for(token).build();
            let send = |proofs: &[&str]| request(scheme, token, proofs);
            let (one, two) = (made(token), made(token));
            let (first, second) =
                if with_proof { (send(&[&one]), send(&[&two])) } else { (send(&[]), send(&[])) };
            assert_eq!(
                ask(&guard.layer(), first).await.summary(),
                (expected.0, expected.1.to_owned()),
                "{scheme}: {why}"
            );
            assert_eq!(reason(&guard, &second).await, why, "{scheme}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_malformed_header_is_malformed_under_either_scheme() {
    let bound = Bound::new();
    let guard = bound.guard(Dpop::new());
    for value in ["DPoP", "DPoP ", "DPoPabc", "DPoP\tabc", "DPoP a b", "DPoP a,b"] {
        let mut sent = request("DPoP", "a", &[]);
        sent.headers_mut().insert(header::AUTHORIZATION, value.parse().unwrap());
        assert_eq!(ask(&guard.layer(), sent).await.status, 400, "{value}");
    }
    let mut two = request("DPoP", &bound.token, &[&bound.proof().build()]);
    two.headers_mut().append(header::AUTHORIZATION, format!("Bearer {}", bound.token).parse().unwrap());
    assert_eq!(ask(&guard.layer(), two).await.status, 400);
}

#[tokio::test(start_paused = true)]
async fn challenges_name_every_scheme_that_is_taken() {
    let bound = Bound::new();
    let bare = |guard: oauth_guard::Guard| async move {
        let mut sent = request("DPoP", "a", &[]);
        sent.headers_mut().clear();
        let answer = ask(&guard.layer(), sent).await;
        assert_eq!(answer.status, 401);
        answer.challenges().into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    let metadata = r#"resource_metadata="https://api.example.com/.well-known/oauth-protected-resource""#;
    let builder = || bound.builder().realm("orders").resource("https://api.example.com");
    let es256 = || Dpop::new().algorithms([oauth_guard::Algorithm::Es256, oauth_guard::Algorithm::EdDsa]);
    assert_eq!(bare(builder().build().unwrap()).await, [format!(r#"Bearer realm="orders", {metadata}"#)]);
    assert_eq!(
        bare(builder().dpop(es256()).build().unwrap()).await,
        [
            format!(r#"Bearer realm="orders", {metadata}"#),
            format!(r#"DPoP realm="orders", {metadata}, algs="ES256 EdDSA""#)
        ]
    );
    assert_eq!(
        bare(builder().dpop(es256().required()).build().unwrap()).await,
        [format!(r#"DPoP realm="orders", {metadata}, algs="ES256 EdDSA""#)]
    );
    // With an error: the scheme that was used, and the other one where it may be used instead.
    let guard = bound.guard(es256());
    let answer = ask(&guard.layer(), request("Bearer", &bound.token, &[])).await;
    assert_eq!(
        answer.challenges(),
        [
            r#"Bearer realm="api", error="invalid_token", error_description="the access token is not valid""#,
            r#"DPoP realm="api", algs="ES256 EdDSA""#
        ]
    );
    let answer = ask(&guard.layer(), request("DPoP", "a.b.c", &[])).await;
    assert_eq!(
        answer.challenges(),
        [
            r#"DPoP realm="api", error="invalid_token", error_description="the access token is not valid", algs="ES256 EdDSA""#
        ]
    );
    let answer = ask(&guard.layer(), request("DPoP", &bound.token, &["a.b.c"])).await;
    assert_eq!(
        answer.challenges(),
        [
            r#"DPoP realm="api", error="invalid_dpop_proof", error_description="the DPoP proof is missing or not valid", algs="ES256 EdDSA""#
        ]
    );
    let layer = guard.layer().require(Requirement::scope("write"));
    let answer = ask(&layer, request("DPoP", &bound.token, &[&bound.proof().build()])).await;
    assert_eq!(answer.status, 403);
    assert_eq!(
        answer.challenges(),
        [r#"DPoP realm="api", error="insufficient_scope", scope="write", algs="ES256 EdDSA""#]
    );
}

#[tokio::test(start_paused = true)]
async fn bound_tokens_may_be_required_everywhere() {
    let bound = Bound::new();
    let plain = bound.fixture.server.mint().build();
    let guard = bound.guard(Dpop::new().required());
    for _ in 0..2 {
        let answer = ask(&guard.layer(), request("Bearer", &plain, &[])).await;
        assert_eq!(answer.summary(), (401, "DPoP invalid_token".to_owned()));
        assert_eq!(answer.challenges().len(), 1, "no other scheme");
        assert_eq!(reason(&guard, &request("Bearer", &plain, &[])).await, "token_not_bound");
    }
    assert_eq!(bound.call(&guard, &bound.proof()).await.status, 200);
    let answer = ask(&guard.layer(), request("Bearer", &bound.token, &[])).await;
    assert_eq!(answer.summary(), (401, "DPoP invalid_token".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn bound_tokens_may_be_required_by_a_rule() {
    let bound = Bound::new();
    let plain = bound.fixture.server.mint().scope("read").build();
    let required = || Requirement::bound() & Requirement::scope("read");
    let builder = || bound.builder().dpop(Dpop::new()).rule(Rule::new("/orders").require(required()));
    let guard = builder().build().unwrap();
    for _ in 0..2 {
        let answer = ask(&guard.layer(), request("Bearer", &plain, &[])).await;
        assert_eq!(answer.summary(), (401, "DPoP invalid_token".to_owned()));
    }
    assert_eq!(bound.call(&guard, &bound.proof()).await.status, 200);
    let mut other = request("Bearer", &plain, &[]);
    *other.uri_mut() = "/others".parse().unwrap();
    assert_eq!(ask(&guard.layer(), other).await.status, 200, "other routes take both");
    // A client that follows a challenge for a bearer token would be rejected again.
    let schemes = async |layer: &GuardLayer, path: &'static str| {
        let answer = ask(layer, Request::get(path).body(Full::default()).unwrap()).await;
        assert_eq!(answer.status, 401);
        let schemes =
            answer.challenges().into_iter().map(|challenge| challenge.split(' ').next().unwrap().to_owned());
        schemes.collect::<Vec<_>>()
    };
    assert_eq!(schemes(&guard.layer(), "/orders").await, ["DPoP"]);
    assert_eq!(schemes(&guard.layer(), "/others").await, ["Bearer", "DPoP"]);
    let layer = guard.layer().require(Requirement::bound());
    assert_eq!(schemes(&layer, "/others").await, ["DPoP"]);
    let layer = guard.layer().require(Requirement::bound() | Requirement::scope("read"));
    assert_eq!(schemes(&layer, "/others").await, ["Bearer", "DPoP"]);
    let rejection = guard.authorize(&Request::get("/orders").body(()).unwrap(), None).unwrap_err();
    assert_eq!((rejection.code(), rejection.reason()), ("missing_token", "missing_token"));
    // Unless it can be bound to a certificate.
    let either = builder().certificates(Certificates::from(CertificateSource::Connection)).build().unwrap();
    assert_eq!(schemes(&either.layer(), "/orders").await, ["Bearer", "DPoP"]);
    // Without DPoP there is no such challenge.
    let without = bound.builder().build().unwrap().layer().require(required());
    let answer = ask(&without, request("Bearer", &plain, &[])).await;
    assert_eq!(answer.summary(), (401, "Bearer invalid_token".to_owned()));
    assert_eq!(schemes(&without, "/orders").await, ["Bearer"]);
    let claims = guard.check(&request("Bearer", &plain, &[])).resolve().await.unwrap().unwrap();
    assert!(!claims.is_bound());
    assert_eq!(guard.require(&Requirement::bound(), &claims).unwrap_err().reason(), "token_not_bound");
    assert!(guard.require(&!Requirement::bound(), &claims).is_ok());
}

#[tokio::test(start_paused = true)]
async fn optional_and_public_routes_treat_a_bound_token_like_any_other() {
    let bound = Bound::new();
    let guard = bound.builder().dpop(Dpop::new()).rule(Rule::new("/public").public()).build().unwrap();
    let optional = guard.layer().optional();
    let mut none = request("DPoP", "a", &[]);
    none.headers_mut().clear();
    assert_eq!(ask(&optional, none).await.body, "no claims: ");
    let answer = ask(&optional, request("DPoP", &bound.token, &[])).await;
    assert_eq!(
        answer.summary(),
        (401, "DPoP invalid_dpop_proof".to_owned()),
        "never as if there were no token"
    );
    let answer = ask(&optional, request("DPoP", &bound.token, &[&bound.proof().build()])).await;
    assert_eq!((answer.status, &*answer.body), (200, "ada: authorization dpop"));
    let mut public = request("DPoP", &bound.token, &["nonsense"]);
    *public.uri_mut() = "/public".parse().unwrap();
    assert_eq!(ask(&optional, public).await.body, "no claims: authorization dpop");
}

/// Where no scheme is written, the token says what it is bound to.
#[tokio::test(start_paused = true)]
async fn elsewhere_than_in_authorization_the_binding_decides() {
    let bound = Bound::new();
    let guard =
        bound.builder().dpop(Dpop::new()).token_header("x-access-token").strip_token().build().unwrap();
    let send = |token: &str, proofs: &[&str]| {
        let mut sent = request("DPoP", "a", proofs);
        sent.headers_mut().remove(header::AUTHORIZATION);
        sent.headers_mut().insert("x-access-token", token.parse().unwrap());
        sent
    };
    let plain = bound.fixture.server.mint().build();
    assert_eq!(ask(&guard.layer(), send(&plain, &[])).await.status, 200);
    assert_eq!(ask(&guard.layer(), send(&bound.token, &[])).await.status, 401);
    let answer = ask(&guard.layer(), send(&bound.token, &[&bound.proof().build()])).await;
    assert_eq!((answer.status, &*answer.body), (200, "ada: "), "token and proof are stripped");
    let answer = ask(&guard.layer(), request("DPoP", &bound.token, &[&bound.proof().build()])).await;
    assert_eq!((answer.status, &*answer.body), (200, "ada: "));
}

/// Keys are not there yet: the proof waits with the token, and nothing of the request is borrowed.
#[tokio::test(start_paused = true)]
async fn a_proof_is_checked_after_a_fetch_as_well() {
    let bound = Bound::new();
    let guard = bound.guard(Dpop::new());
    let stolen = bound.fixture.server.dpop_proof(&TestKey::generate(Alg::Es256), "GET", super::URL);
    let stolen = stolen.access_token_hash(&bound.token).build();
    let answer = ask(&guard.layer(), request("DPoP", &bound.token, &[&stolen])).await;
    assert_eq!(answer.summary(), (401, "DPoP invalid_token".to_owned()));
    // And the same with a proof that is good, used once and then again.
    let guard = bound.guard(Dpop::new());
    let proof = bound.proof().build();
    assert_eq!(bound.send(&guard, &proof).await.status, 200);
    assert_eq!(bound.send(&guard, &proof).await.summary(), (401, "DPoP invalid_dpop_proof".to_owned()));
    // A check that is dropped on the way takes nothing with it.
    let guard = bound.guard(Dpop::new());
    let (one, two) = (bound.proof().build(), bound.proof().build());
    drop(guard.check(&request("DPoP", &bound.token, &[&one])));
    settle().await;
    assert_eq!(bound.send(&guard, &one).await.status, 200, "it was not used up");
    assert_eq!(bound.send(&guard, &two).await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn what_nobody_can_check_is_refused() {
    let bound = Bound::new();
    let guard = bound.guard(Dpop::new());
    let print = bound.key.thumbprint();
    for (cnf, expected) in [
        (json!(null), "scheme_mismatch"),
        (json!({}), "bound_to_key"),
        (json!({"kid": "a"}), "bound_to_key"),
        (json!({"x5t#S256": print}), "bound_to_key"),
        (json!({"jkt": print, "x5t#S256": print}), "bound_to_key"),
        (json!({"jkt": 7}), "claim_missing_or_malformed"),
        (json!({"jkt": "short"}), "claim_missing_or_malformed"),
        (json!([]), "claim_missing_or_malformed"),
        (json!("jkt"), "claim_missing_or_malformed"),
        (json!({"jkt": print, "other": 1}), "accepted"),
    ] {
        let token = bound.fixture.server.mint().claim("cnf", cnf.clone()).build();
        let proof = bound.proof_for(&token).build();
        for _ in 0..2 {
            let found = reason(&guard, &request("DPoP", &token, &[&proof])).await;
            assert!(
                found == expected || found == "proof_replayed" && expected == "accepted",
                "{cnf}: {found}"
            );
        }
    }
}
