//! What a response means: the one place that decides.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use crate::attack::{ALGORITHMS, Area, Attack, AttackRequest, Expected, RequirementLevel};

use super::report::{Traits, Verdict};
use super::target::{NoResponse, Outcome, TargetResponse};

/// What a server's own limit on headers may refuse before any token is looked at; common ones lie between 8 and 64 KiB.
const LONG: usize = 7 * 1024;

/// What there is to say about a request that got nothing but 429.
pub(super) const THROTTLED: &str = "the target asked for pauses (429) until the end; see --rate";

/// The verdict on a response, and what there is to say about it. `optional`: the target is meant to serve requests without
/// a token.
pub(super) fn of(
    attack: &Attack,
    request: &AttackRequest,
    outcome: &Outcome,
    traits: &Traits,
    optional: bool,
) -> (Verdict, String) {
    let (verdict, note) = by_response(attack, request, outcome, traits, optional);
    // Refused for its algorithm before anything else was looked at: that says nothing about the rest.
    let for_its_algorithm = match outcome {
        Ok(response) if request.expected().status == 200 => (400..500).contains(&response.status),
        _ => {
            let later = matches!(attack.area, Area::Signature | Area::Keys | Area::Structure);
            later && verdict == Verdict::Pass
        }
    };
    match foreign_algorithm(request, traits) {
        Some(alg) if for_its_algorithm => (Verdict::NotApplicable, format!("this target takes no {alg}")),
        _ => (verdict, note),
    }
}

fn by_response(
    attack: &Attack,
    request: &AttackRequest,
    outcome: &Outcome,
    traits: &Traits,
    optional: bool,
) -> (Verdict, String) {
    let response = match outcome {
        Ok(response) => response,
        Err(NoResponse::Throttled) => return (Verdict::NotApplicable, THROTTLED.to_owned()),
        Err(reason) => return without_response(request, *reason),
    };
    if let Some(verdict) = on_words(request, response) {
        return verdict;
    }
    let expected = request.expected();
    // It shows no token, so that the caller is anonymous here. What the response may not say was looked at before.
    if optional && expected.asks_for_a_token() && response.accepted() {
        return (Verdict::NotApplicable, "a token is optional here".to_owned());
    }
    if request.takes_any_refusal() {
        return on_reach(request, response);
    }
    if expected.status == 200 {
        on_good(request, response)
    } else {
        on_bad(attack, request, response, traits)
    }
}

fn without_response(request: &AttackRequest, reason: NoResponse) -> (Verdict, String) {
    let unread = request.is_wire_only() || request.size() > LONG;
    if unread && reason == NoResponse::Closed && request.expected().status != 200 {
        return differs("the server hung up instead of responding");
    }
    incorrect(match reason {
        NoResponse::Unreachable => "the connection was refused",
        NoResponse::Closed => "the connection was closed without a response",
        NoResponse::TimedOut => "no response came in time",
        NoResponse::Garbled => "what came back is no HTTP",
        NoResponse::Throttled => "429 until the end",
    })
}

/// What no response may say, whatever its status.
fn on_words(request: &AttackRequest, response: &TargetResponse) -> Option<(Verdict, String)> {
    if response.headers.iter().any(|(name, _)| name == "x-injected") {
        return Some(let_in("a part of the token became a header of the response"));
    }
    if request.unmentionable().iter().any(|text| response.mentions(text)) {
        return Some(if response.accepted() {
            let_in("the response speaks of whom a header named, and not of whom the token is about")
        } else if request.level() == RequirementLevel::Must {
            leaked("the refusal repeats what the token says (RFC 6750 section 5.3)")
        } else {
            incorrect("the refusal repeats a part of the token's header")
        });
    }
    if !response.accepted() && request.token().is_some_and(|token| response.repeats(token)) {
        return Some(leaked("the refusal repeats a part of the token (RFC 6750 section 5.3)"));
    }
    let (origin, allowed) = (request.header("Origin")?, response.header("access-control-allow-origin")?);
    let credentials =
        response.header("access-control-allow-credentials").is_some_and(|value| value == "true");
    match (credentials, allowed) {
        (true, "*") => Some(incorrect("`*` beside credentials, which browsers refuse (Fetch section 3.2.5)")),
        (true, allowed) if allowed == origin => {
            Some(let_in("any origin may send credentials and read the response"))
        }
        _ => None,
    }
}

/// A request without a token, by a method or to a path that may not exist.
fn on_reach(request: &AttackRequest, response: &TargetResponse) -> (Verdict, String) {
    let options = request.method().is_some_and(|method| method == http::Method::OPTIONS);
    // The response of a framework: which methods there are, and nothing of the resource.
    let about_methods = ["allow", "access-control-allow-methods", "access-control-allow-headers"];
    let about_methods = || about_methods.iter().any(|name| response.header(name).is_some());
    match response.status {
        200..300 if options && (response.body.trim().is_empty() || about_methods()) => pass(),
        200..300 => let_in("accepted without a token; leave this row out if it is meant to be public"),
        501 => pass(),
        500.. => incorrect("an error of the server, not a refusal"),
        _ => pass(),
    }
}

/// A request that is to be accepted.
fn on_good(request: &AttackRequest, response: &TargetResponse) -> (Verdict, String) {
    let allowed = request.expected().tolerated.contains(&response.status);
    match response.status {
        200..300 => pass(),
        500.. if !allowed => incorrect("an error of the server, not a refusal"),
        _ if allowed || request.level() == RequirementLevel::Choice => {
            differs("refused, which is allowed, too")
        }
        400 | 413 | 431 if request.size() > LONG => differs("longer than the server takes"),
        _ => incorrect("a good token was refused"),
    }
}

/// A request that is to be refused.
fn on_bad(
    attack: &Attack,
    request: &AttackRequest,
    response: &TargetResponse,
    traits: &Traits,
) -> (Verdict, String) {
    let expected = request.expected();
    if response.accepted() {
        return on_accepted(request, traits);
    }
    if attack.area == Area::Introspection && expected.status == 503 {
        return on_unknown(expected, response);
    }
    // Where a target may trust a token, it may also find that its scope is too small.
    let trusted = request.level() == RequirementLevel::Profile && !traits.only_access_tokens;
    match response.status {
        503 if matches!(attack.area, Area::Header | Area::Keys) => differs("taken for unavailable keys"),
        500.. => incorrect("an error of the server, not a refusal"),
        300..400 => differs("sent elsewhere instead of refused"),
        status if status == expected.status => on_challenge(attack, request, response),
        403 if trusted => {
            differs("trusted, and its scope found too small, which is the target's choice here")
        }
        status if expected.tolerated.contains(&status) || request.level() == RequirementLevel::Choice => {
            if status == 401 && !challenged(attack, response) {
                no_challenge()
            } else {
                differs("the status is a matter of choice")
            }
        }
        400 | 413 | 414 | 431 if request.size() > LONG => differs("longer than the server takes"),
        400 if matches!(attack.area, Area::Structure | Area::Json | Area::Header | Area::Alg) => {
            differs("taken for a malformed request, which is a matter of choice")
        }
        _ => incorrect("another status than RFC 6750 section 3.1 has for it"),
    }
}

/// A request whose token the API could learn nothing of: its server failed, or said what means nothing.
fn on_unknown(expected: Expected, response: &TargetResponse) -> (Verdict, String) {
    match response.status {
        503 => pass(),
        status if expected.tolerated.contains(&status) => differs("the status is a matter of choice"),
        500 | 502 | 504 => differs("503 says that another try may help (RFC 9110 section 15.6.4)"),
        401 => differs("the token is called invalid, so that a client throws it away"),
        _ => incorrect("neither a refusal of the token nor an error of the server"),
    }
}

fn on_accepted(request: &AttackRequest, traits: &Traits) -> (Verdict, String) {
    let tolerated = request.expected().tolerated.contains(&200);
    match request.level() {
        _ if tolerated => differs("accepted, which is a matter of choice here"),
        RequirementLevel::Profile if !traits.only_access_tokens => {
            differs("this target does not ask for RFC 9068 access tokens, which is its choice")
        }
        RequirementLevel::Must | RequirementLevel::Profile => (Verdict::LetIn, String::new()),
        RequirementLevel::Strict => incorrect("accepted, though by itself that accepts no forged token"),
        RequirementLevel::Choice => differs("accepted, which no standard forbids"),
    }
}

/// The status is right: what does the challenge say (RFC 6750 section 3)?
fn on_challenge(attack: &Attack, request: &AttackRequest, response: &TargetResponse) -> (Verdict, String) {
    if !challenged(attack, response) {
        return if response.status == 400 {
            differs("no challenge with an error code")
        } else {
            no_challenge()
        };
    }
    match (request.expected().error, response.error()) {
        (None, None) => pass(),
        (Some("use_dpop_nonce"), Some("use_dpop_nonce")) if response.header("dpop-nonce").is_none() => {
            incorrect("no `DPoP-Nonce`, so that no client can go on (RFC 9449 section 9)")
        }
        (Some(expected), Some(got)) if expected == got => pass(),
        (Some(_), None) => differs("the challenge has no error code (RFC 6750 section 3: should)"),
        (None, Some(_)) => {
            differs("an error code, though there was no token (RFC 6750 section 3.1: should not)")
        }
        (Some(_), Some(_)) if matches!(attack.area, Area::Dpop | Area::Certificates) => {
            differs("another error code (RFC 9449 section 7.1 leaves the choice)")
        }
        (Some(expected), Some(_)) => {
            incorrect(&format!("the error code is not {expected} (RFC 6750 section 3.1)"))
        }
    }
}

/// The algorithm that the token names, if the table signs with it and this target does not take it.
fn foreign_algorithm(request: &AttackRequest, traits: &Traits) -> Option<String> {
    let header = URL_SAFE_NO_PAD.decode(request.token()?.split('.').next()?).ok()?;
    let header: Value = serde_json::from_slice(&header).ok()?;
    let alg = header.get("alg")?.as_str()?;
    let ours = ALGORITHMS.iter().any(|known| known.as_str() == alg);
    (ours && !traits.algorithms.contains(&alg)).then(|| alg.to_owned())
}

/// Whether the refusal has a challenge by which the caller could do better.
fn challenged(attack: &Attack, response: &TargetResponse) -> bool {
    response.challenge().is_some() || (attack.area == Area::Dpop && response.dpop_challenge().is_some())
}

fn no_challenge() -> (Verdict, String) {
    incorrect("no `WWW-Authenticate: Bearer`, which RFC 6750 section 3 requires")
}

fn pass() -> (Verdict, String) {
    (Verdict::Pass, String::new())
}

fn let_in(note: &str) -> (Verdict, String) {
    (Verdict::LetIn, note.to_owned())
}

fn leaked(note: &str) -> (Verdict, String) {
    (Verdict::Leaked, note.to_owned())
}

fn differs(note: &str) -> (Verdict, String) {
    (Verdict::Differs, note.to_owned())
}

fn incorrect(note: &str) -> (Verdict, String) {
    (Verdict::Incorrect, note.to_owned())
}

#[cfg(test)]
mod tests;
