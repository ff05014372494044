use super::*;
use crate::guard::{Check, Guard};
use crate::{Algorithm, Issuer, Profile};
use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

fn claims() -> Claims {
    let secret = [7; 32];
    let payload = r#"{"iss":"https://as","aud":"api","exp":9000000000,"client_id":"shop","scope":"read profile",
        "roles":["editor"],"tenant":"t1","level":3,"staff":true,"teams":["a","b"]}"#;
    let signed =
        format!("{}.{}", URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256"}"#), URL_SAFE_NO_PAD.encode(payload));
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &secret), signed.as_bytes());
    let issuer = Issuer::new("https://as").audience("api").profile(Profile::Jwt);
    let guard = Guard::builder().issuer(issuer.hmac_secret(Algorithm::Hs256, secret)).build().unwrap();
    let token = format!("Bearer {signed}.{}", URL_SAFE_NO_PAD.encode(tag));
    let request = http::Request::get("/").header("authorization", token).body(()).unwrap();
    let Check::Now(outcome) = guard.check(&request) else { panic!("nothing to fetch") };
    outcome.unwrap().unwrap()
}

fn needed(requirement: &Requirement) -> String {
    match requirement.check(&claims()) {
        Err(Refusal::InsufficientScope { needed }) => needed.into(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn terms_compare_exactly() {
    let claims = claims();
    for met in [
        Requirement::scope("read"),
        Requirement::role("editor"),
        Requirement::client("shop"),
        Requirement::claim("tenant", "t1"),
        Requirement::claim("level", 3),
        Requirement::claim("staff", true),
        Requirement::claim_contains("teams", "b"),
    ] {
        assert!(met.is_met_by(&claims), "{met:?}");
        assert!(!(!met).is_met_by(&claims));
    }
    for unmet in [
        Requirement::scope("rea"),
        Requirement::scope("read profile"),
        Requirement::scope("READ"),
        Requirement::role("edit"),
        Requirement::client("sho"),
        Requirement::claim("tenant", "t"),
        Requirement::claim("level", "3"),
        Requirement::claim("nowhere", true),
        Requirement::claim_contains("tenant", "t1"),
        Requirement::claim_contains("teams", "c"),
    ] {
        assert!(!unmet.is_met_by(&claims), "{unmet:?}");
    }
}

#[test]
fn all_of_none_is_met_and_any_of_none_is_not() {
    assert!(Requirement::all([]).is_met_by(&claims()));
    assert!(!Requirement::any([]).is_met_by(&claims()));
}

#[test]
fn a_refusal_names_the_scopes_that_would_be_enough() {
    assert_eq!(needed(&(Requirement::scope("read") & Requirement::scope("write"))), "read write");
    assert_eq!(needed(&Requirement::role("admin")), "");
    let either = Requirement::role("admin") | Requirement::scope("admin");
    assert_eq!(needed(&(Requirement::scope("write") & either)), "write admin");
    assert_eq!(needed(&(Requirement::scope("write") & Requirement::scope("write"))), "write");
    assert_eq!(needed(&!Requirement::scope("read")), "");
}
