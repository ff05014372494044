use std::time::Duration;

use super::*;
use crate::attack::{self, AttackContext, Expected};
use crate::server::MockServer;

fn traits(only_access_tokens: bool, algorithms: &[&'static str]) -> Traits {
    Traits {
        algorithms: algorithms.to_vec(),
        typ: "at+jwt".to_owned(),
        only_access_tokens,
        leeway_seconds: 60,
        leeway_is_exact: true,
    }
}

fn response(status: u16, challenge: Option<&str>) -> Outcome {
    let headers = challenge.map(|value| ("www-authenticate".to_owned(), value.to_owned()));
    Ok(TargetResponse {
        status,
        headers: headers.into_iter().collect(),
        body: String::new(),
        took: Duration::ZERO,
    })
}

/// The verdict on the first request of an attack, or on the one of this variant.
fn on(id: &str, variant: &str, outcome: &Outcome, traits: &Traits) -> Verdict {
    let server = MockServer::builder().algorithms(ALGORITHMS).in_process();
    let context = AttackContext::new(&server).scope("read");
    let attack = attack::find(id).unwrap();
    let requests = attack.requests(&context);
    let request = requests.iter().find(|request| request.variant().starts_with(variant)).unwrap();
    of(attack, request, outcome, traits, false).0
}

#[test]
fn what_must_be_refused_and_is_let_in_is_a_hole() {
    let traits = traits(true, &["RS256"]);
    assert_eq!(on("alg-none", "", &response(200, None), &traits), Verdict::LetIn);
    assert_eq!(on("alg-none", "", &response(204, None), &traits), Verdict::LetIn);
    assert_eq!(on("structure-padding", "signature", &response(200, None), &traits), Verdict::Incorrect);
    assert_eq!(on("json-duplicate-other-claim", "", &response(200, None), &traits), Verdict::Differs);
    assert_eq!(on("http-folded-header", "", &response(200, None), &traits), Verdict::Differs);
}

#[test]
fn the_access_token_profile_counts_where_a_target_asks_for_it() {
    let accepted = response(200, None);
    assert_eq!(on("header-typ", "absent", &accepted, &traits(true, &["RS256"])), Verdict::LetIn);
    assert_eq!(on("header-typ", "absent", &accepted, &traits(false, &["RS256"])), Verdict::Differs);
    assert_eq!(on("time-exp-missing", "", &accepted, &traits(false, &["RS256"])), Verdict::Differs);
    assert_eq!(
        on("header-id-token", "for the client", &accepted, &traits(false, &["RS256"])),
        Verdict::LetIn
    );
    // It was trusted, and lacks the scope: no fault of a target that takes any type.
    let forbidden = response(403, Some("Bearer error=\"insufficient_scope\""));
    assert_eq!(
        on("header-id-token", "for the API", &forbidden, &traits(false, &["RS256"])),
        Verdict::Differs
    );
    assert_eq!(
        on("header-id-token", "for the API", &forbidden, &traits(true, &["RS256"])),
        Verdict::Incorrect
    );
}

#[test]
fn the_verdict_on_a_rejection_depends_on_status_and_challenge() {
    let traits = traits(true, &["RS256"]);
    let on_none = |outcome: &Outcome| on("alg-none", "", outcome, &traits);
    assert_eq!(on_none(&response(401, Some("Bearer error=\"invalid_token\""))), Verdict::Pass);
    assert_eq!(on_none(&response(401, Some("Bearer realm=\"x\""))), Verdict::Differs);
    assert_eq!(on_none(&response(401, Some("Bearer error=\"invalid_request\""))), Verdict::Incorrect);
    assert_eq!(on_none(&response(401, Some("Basic realm=\"x\""))), Verdict::Incorrect);
    assert_eq!(on_none(&response(401, None)), Verdict::Incorrect);
    assert_eq!(on_none(&response(500, None)), Verdict::Incorrect);
    assert_eq!(on_none(&response(302, None)), Verdict::Differs);
    assert_eq!(on_none(&response(400, Some("Bearer error=\"invalid_request\""))), Verdict::Differs);
    let malformed = |outcome: &Outcome| on("http-malformed-credentials", "", outcome, &traits);
    assert_eq!(malformed(&response(400, Some("Bearer error=\"invalid_request\""))), Verdict::Pass);
    assert_eq!(malformed(&response(401, Some("Bearer"))), Verdict::Differs);
    assert_eq!(malformed(&response(400, None)), Verdict::Differs);
    let none = |outcome: &Outcome| on("http-no-token", "no header", outcome, &traits);
    assert_eq!(none(&response(401, Some("Bearer"))), Verdict::Pass);
    assert_eq!(none(&response(401, Some("Bearer error=\"invalid_token\""))), Verdict::Differs);
    assert_eq!(none(&response(200, None)), Verdict::LetIn);
}

#[test]
fn a_refusal_that_repeats_the_token_is_no_good_refusal() {
    let server = MockServer::builder().algorithms(ALGORITHMS).in_process();
    let request = AttackRequest::bearer("", &server.mint().expires_in(-7_200).build());
    let request = request.or(Expected::INVALID_TOKEN, RequirementLevel::Must);
    let signature = request.token().unwrap().rsplit('.').next().unwrap().to_owned();
    let outcome = response(401, Some("Bearer error=\"invalid_token\""));
    let attack = attack::find("time-exp-past").unwrap();
    let traits = traits(true, &["RS256"]);
    assert_eq!(of(attack, &request, &outcome, &traits, false).0, Verdict::Pass);
    let talkative = outcome.map(|response| TargetResponse { body: format!("bad: {signature}"), ..response });
    assert_eq!(of(attack, &request, &talkative, &traits, false).0, Verdict::Leaked);
}

#[test]
fn what_a_target_does_not_take_says_nothing_about_it() {
    let refused = response(401, Some("Bearer error=\"invalid_token\""));
    assert_eq!(on("signature-psychic", "", &refused, &traits(true, &["RS256"])), Verdict::NotApplicable);
    assert_eq!(on("signature-psychic", "", &refused, &traits(true, &["RS256", "ES256"])), Verdict::Pass);
    assert_eq!(
        on("alg-families-side-by-side", "ES256", &refused, &traits(true, &["RS256"])),
        Verdict::NotApplicable
    );
    assert_eq!(
        on("alg-families-side-by-side", "RS256", &refused, &traits(true, &["RS256"])),
        Verdict::Incorrect
    );
    // But an accepted request is always reported.
    assert_eq!(on("signature-psychic", "", &response(200, None), &traits(true, &["RS256"])), Verdict::LetIn);
}

#[test]
fn a_missing_response_counts_but_where_the_server_itself_refuses() {
    let traits = traits(true, &["RS256"]);
    for missing in [NoResponse::Closed, NoResponse::TimedOut, NoResponse::Garbled, NoResponse::Unreachable] {
        assert_eq!(on("alg-none", "", &Err(missing), &traits), Verdict::Incorrect);
    }
    assert_eq!(on("http-folded-header", "", &Err(NoResponse::Closed), &traits), Verdict::Differs);
    assert_eq!(on("structure-oversized", "64 KiB", &Err(NoResponse::Closed), &traits), Verdict::Differs);
    assert_eq!(on("structure-oversized", "64 KiB", &response(431, None), &traits), Verdict::Differs);
}

#[test]
fn what_helps_an_attacker_is_a_hole() {
    let (traits, accepted) = (traits(true, &["RS256"]), response(200, None));
    for (id, variant) in [
        ("http-token-in-the-query", ""),
        ("http-token-in-a-cookie", "jwt"),
        ("http-two-headers", "good, bad"),
        ("http-joined-headers", "tokens"),
        ("time-exp-of-wrong-type", "exp: \""),
        ("cnf-as-bearer", "jkt, for DPoP"),
        ("aud-a-part", "the first half"),
        ("http-other-methods", "HEAD"),
        ("http-neighbouring-paths", "upper case"),
        ("http-identity-headers", "X-User alone"),
    ] {
        assert_eq!(on(id, variant, &accepted, &traits), Verdict::LetIn, "{id}");
    }
}

#[test]
fn a_path_or_method_that_does_not_exist_is_no_fault() {
    let traits = traits(true, &["RS256"]);
    for status in [301, 401, 403, 404, 405, 501] {
        let refused = response(status, None);
        assert_eq!(on("http-other-methods", "DELETE", &refused, &traits), Verdict::Pass, "{status}");
        assert_eq!(on("http-neighbouring-paths", "", &refused, &traits), Verdict::Pass, "{status}");
    }
    assert_eq!(on("http-other-methods", "OPTIONS", &response(204, None), &traits), Verdict::Pass);
    let listed = response(200, None).map(|response| TargetResponse {
        headers: vec![("allow".to_owned(), "GET, HEAD".to_owned())],
        body: "GET, HEAD".to_owned(),
        ..response
    });
    assert_eq!(on("http-other-methods", "OPTIONS", &listed, &traits), Verdict::Pass);
    let resource =
        response(200, None).map(|response| TargetResponse { body: "orders".to_owned(), ..response });
    assert_eq!(on("http-other-methods", "OPTIONS", &resource, &traits), Verdict::LetIn);
    assert_eq!(on("http-other-methods", "POST", &response(500, None), &traits), Verdict::Incorrect);
}

#[test]
fn origins_are_told_apart_or_have_no_credentials() {
    let traits = traits(true, &["RS256"]);
    let cors = |origin: &str, credentials: bool| {
        let mut headers = vec![("access-control-allow-origin".to_owned(), origin.to_owned())];
        if credentials {
            headers.push(("access-control-allow-credentials".to_owned(), "true".to_owned()));
        }
        let outcome = response(200, None).map(|response| TargetResponse { headers, ..response });
        on("http-cors-any-origin", "the origin null", &outcome, &traits)
    };
    assert_eq!(cors("null", true), Verdict::LetIn);
    assert_eq!(cors("null", false), Verdict::Pass);
    assert_eq!(cors("https://app.example", true), Verdict::Pass, "an origin of its own list");
    assert_eq!(cors("*", false), Verdict::Pass);
    assert_eq!(cors("*", true), Verdict::Incorrect);
}

#[test]
fn a_claim_in_a_refusal_and_a_header_made_of_a_claim_are_found() {
    let traits = traits(true, &["RS256"]);
    let server = MockServer::builder().algorithms(ALGORITHMS).in_process();
    let context = AttackContext::new(&server).scope("read");
    let attack = attack::find("http-claims-in-errors").unwrap();
    for request in attack.requests(&context) {
        let [name] = request.unmentionable() else { panic!("{request:?}") };
        let challenge = format!("Bearer error=\"invalid_token\", error_description=\"{name} is unknown\"");
        let outcome = response(401, Some(&challenge));
        let of_header = ["an unknown key id", "an unknown algorithm"].contains(&request.variant());
        let expected = if of_header { Verdict::Incorrect } else { Verdict::Leaked };
        assert_eq!(of(attack, &request, &outcome, &traits, false).0, expected, "{request:?}");
    }
    let attack = attack::find("http-identity-headers").unwrap();
    let requests = attack.requests(&context);
    let beside = requests.iter().find(|request| request.variant() == "X-User beside a token").unwrap();
    let of_header = response(200, None)
        .map(|response| TargetResponse { body: format!("hello {}", beside.unmentionable()[0]), ..response });
    assert_eq!(of(attack, beside, &of_header, &traits, false).0, Verdict::LetIn);
    assert_eq!(of(attack, beside, &response(200, None), &traits, false).0, Verdict::Pass);
    let split = response(200, None).map(|response| TargetResponse {
        headers: vec![("x-injected".to_owned(), "1".to_owned())],
        ..response
    });
    assert_eq!(on("json-control-characters", "CR LF", &split, &traits), Verdict::LetIn);
}

#[test]
fn a_target_that_asks_for_pauses_until_the_end_says_nothing() {
    let traits = traits(true, &["RS256"]);
    assert_eq!(on("alg-none", "", &Err(NoResponse::Throttled), &traits), Verdict::NotApplicable);
}

/// The verdict on the first request of a row about proofs.
fn on_proof(id: &str, outcome: &Outcome) -> Verdict {
    let server = MockServer::builder().in_process();
    let context = AttackContext::new(&server).dpop("http://api.test/").dpop_nonce("n0nce");
    let attack = attack::find(id).unwrap();
    of(attack, &attack.requests(&context)[0], outcome, &traits(true, &["RS256"]), false).0
}

#[test]
fn refusals_of_proofs_have_the_challenge_of_their_scheme() {
    let with = |challenge: &str| response(401, Some(challenge));
    let bad = "DPoP algs=\"ES256\", error=\"invalid_dpop_proof\"";
    assert_eq!(on_proof("dpop-htm", &with(bad)), Verdict::Pass);
    assert_eq!(on_proof("dpop-htm", &with("DPoP error=\"invalid_token\"")), Verdict::Differs);
    assert_eq!(on_proof("dpop-htm", &response(401, None)), Verdict::Incorrect);
    assert_eq!(on_proof("dpop-htm", &response(200, None)), Verdict::LetIn);
    assert_eq!(on_proof("dpop-replay", &response(200, None)), Verdict::Pass, "the first time");
    // A bearer token is refused with the challenge of bearer tokens.
    let traits = traits(true, &["RS256"]);
    assert_eq!(on("alg-none", "", &with("DPoP error=\"invalid_token\""), &traits), Verdict::Incorrect);
}

#[test]
fn a_nonce_that_is_wanted_comes_with_the_refusal() {
    let challenge = ("www-authenticate".to_owned(), "DPoP error=\"use_dpop_nonce\"".to_owned());
    let nonce = ("dpop-nonce".to_owned(), "next".to_owned());
    let refused = |headers: Vec<_>| Ok(TargetResponse { status: 401, headers, ..TargetResponse::default() });
    assert_eq!(on_proof("dpop-nonce", &refused(vec![challenge.clone(), nonce])), Verdict::Pass);
    assert_eq!(on_proof("dpop-nonce", &refused(vec![challenge])), Verdict::Incorrect);
}
