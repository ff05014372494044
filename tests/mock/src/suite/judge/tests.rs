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

fn answer(status: u16, challenge: Option<&str>) -> Heard {
    let headers = challenge.map(|value| ("www-authenticate".to_owned(), value.to_owned()));
    Ok(Answer { status, headers: headers.into_iter().collect(), body: String::new(), took: Duration::ZERO })
}

/// The verdict on the first request of an attack, or on the one of this variant.
fn on(id: &str, variant: &str, heard: &Heard, traits: &Traits) -> Verdict {
    let server = MockServer::builder().algorithms(ALGORITHMS).in_process();
    let context = AttackContext::new(&server).scope("read");
    let attack = attack::find(id).unwrap();
    let requests = attack.requests(&context);
    let request = requests.iter().find(|request| request.variant().starts_with(variant)).unwrap();
    judge(attack, request, heard, traits).0
}

#[test]
fn what_must_be_refused_and_is_let_in_is_a_hole() {
    let traits = traits(true, &["RS256"]);
    assert_eq!(on("alg-none", "", &answer(200, None), &traits), Verdict::LetIn);
    assert_eq!(on("alg-none", "", &answer(204, None), &traits), Verdict::LetIn);
    assert_eq!(on("structure-padding", "signature", &answer(200, None), &traits), Verdict::Incorrect);
    assert_eq!(on("json-duplicate-other-claim", "", &answer(200, None), &traits), Verdict::Differs);
    assert_eq!(on("http-folded-header", "", &answer(200, None), &traits), Verdict::Differs);
}

#[test]
fn the_access_token_profile_counts_where_a_target_asks_for_it() {
    let accepted = answer(200, None);
    assert_eq!(on("header-typ", "absent", &accepted, &traits(true, &["RS256"])), Verdict::LetIn);
    assert_eq!(on("header-typ", "absent", &accepted, &traits(false, &["RS256"])), Verdict::Differs);
    assert_eq!(on("time-exp-missing", "", &accepted, &traits(false, &["RS256"])), Verdict::Differs);
    assert_eq!(
        on("header-id-token", "for the client", &accepted, &traits(false, &["RS256"])),
        Verdict::LetIn
    );
    // It was believed, and lacks the scope: no fault of a target that takes any type.
    let forbidden = answer(403, Some("Bearer error=\"insufficient_scope\""));
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
fn refusals_are_judged_by_status_and_challenge() {
    let traits = traits(true, &["RS256"]);
    let on_none = |heard: &Heard| on("alg-none", "", heard, &traits);
    assert_eq!(on_none(&answer(401, Some("Bearer error=\"invalid_token\""))), Verdict::Pass);
    assert_eq!(on_none(&answer(401, Some("Bearer realm=\"x\""))), Verdict::Differs);
    assert_eq!(on_none(&answer(401, Some("Bearer error=\"invalid_request\""))), Verdict::Incorrect);
    assert_eq!(on_none(&answer(401, Some("Basic realm=\"x\""))), Verdict::Incorrect);
    assert_eq!(on_none(&answer(401, None)), Verdict::Incorrect);
    assert_eq!(on_none(&answer(500, None)), Verdict::Incorrect);
    assert_eq!(on_none(&answer(302, None)), Verdict::Differs);
    assert_eq!(on_none(&answer(400, Some("Bearer error=\"invalid_request\""))), Verdict::Differs);
    let malformed = |heard: &Heard| on("http-malformed-credentials", "", heard, &traits);
    assert_eq!(malformed(&answer(400, Some("Bearer error=\"invalid_request\""))), Verdict::Pass);
    assert_eq!(malformed(&answer(401, Some("Bearer"))), Verdict::Differs);
    assert_eq!(malformed(&answer(400, None)), Verdict::Differs);
    let none = |heard: &Heard| on("http-no-token", "no header", heard, &traits);
    assert_eq!(none(&answer(401, Some("Bearer"))), Verdict::Pass);
    assert_eq!(none(&answer(401, Some("Bearer error=\"invalid_token\""))), Verdict::Differs);
    assert_eq!(none(&answer(200, None)), Verdict::LetIn);
}

#[test]
fn a_refusal_that_repeats_the_token_is_no_good_refusal() {
    let server = MockServer::builder().algorithms(ALGORITHMS).in_process();
    let request = AttackRequest::bearer("", &server.mint().expires_in(-7_200).build());
    let request = request.or(Expected::INVALID_TOKEN, Demand::Must);
    let signature = request.token().unwrap().rsplit('.').next().unwrap().to_owned();
    let heard = answer(401, Some("Bearer error=\"invalid_token\""));
    let attack = attack::find("time-exp-past").unwrap();
    let traits = traits(true, &["RS256"]);
    assert_eq!(judge(attack, &request, &heard, &traits).0, Verdict::Pass);
    let talkative = heard.map(|answer| Answer { body: format!("bad: {signature}"), ..answer });
    assert_eq!(judge(attack, &request, &talkative, &traits).0, Verdict::Incorrect);
}

#[test]
fn what_a_target_does_not_take_says_nothing_about_it() {
    let refused = answer(401, Some("Bearer error=\"invalid_token\""));
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
    // But whatever is let in is let in.
    assert_eq!(on("signature-psychic", "", &answer(200, None), &traits(true, &["RS256"])), Verdict::LetIn);
}

#[test]
fn silence_is_no_answer_but_where_the_server_itself_refuses() {
    let traits = traits(true, &["RS256"]);
    for silence in [Silence::Closed, Silence::TimedOut, Silence::Garbled, Silence::Unreachable] {
        assert_eq!(on("alg-none", "", &Err(silence), &traits), Verdict::Incorrect);
    }
    assert_eq!(on("http-folded-header", "", &Err(Silence::Closed), &traits), Verdict::Differs);
    assert_eq!(on("structure-oversized", "64 KiB", &Err(Silence::Closed), &traits), Verdict::Differs);
    assert_eq!(on("structure-oversized", "64 KiB", &answer(431, None), &traits), Verdict::Differs);
}
