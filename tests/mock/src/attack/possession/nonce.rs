//! Nonces of the API's (RFC 9449 sections 9 and 4.3, point 10).

use serde_json::json;

use super::proofs::shots;
use crate::attack::{Area, Attack, AttackContext, AttackRequest, Expected, RequirementLevel};
use crate::encode::random_text;

const AREA: Area = Area::Dpop;
const USE_NONCE: Expected = Expected::new(401, Some("use_dpop_nonce"));
const WHY: &str =
    "Who has the key for a minute makes proofs for later: only a nonce of the API's shows when one was made.";

pub(super) const ATTACKS: &[Attack] = &[
    Attack::refused(
        AREA,
        "dpop-nonce",
        "G228",
        "RFC 9449 section 9",
        "a proof holds a nonce that the API handed out",
        WHY,
        nonce,
    )
    .expecting(USE_NONCE),
    Attack::refused(
        AREA,
        "dpop-nonce-stale",
        "G229",
        "RFC 9449 section 9",
        "a nonce that has had its time is refused, and a new one comes with the refusal",
        WHY,
        stale,
    )
    .expecting(USE_NONCE),
    Attack::accepted(
        AREA,
        "dpop-nonce-unasked",
        "G230",
        "RFC 9449 section 4.3 point 10",
        "a nonce that was not asked for does no harm",
        "A client may send on the nonce of another server at the same address.",
        unasked,
    )
    .by_choice(),
];

/// Only where the API asked for one.
fn nonce(context: &AttackContext) -> Vec<AttackRequest> {
    shots(context, |shots| {
        let Some(nonce) = shots.dpop.nonce.clone() else { return shots };
        let half = nonce.get(..nonce.len() / 2).unwrap_or_default().to_owned();
        let wrong = [
            ("an invented one", json!(random_text::<24>())),
            ("of the same length", json!(random_text::<96>().get(..nonce.len().min(128)))),
            ("its first half", json!(half)),
            ("something behind", json!(format!("{nonce}A"))),
            ("a letter changed at the front", json!(changed(&nonce, 0))),
            ("a letter changed in the middle", json!(changed(&nonce, nonce.len() / 2))),
            ("in other letters", json!(swapped(&nonce))),
            ("empty", json!("")),
            ("a number", json!(7)),
            ("a list", json!([nonce])),
            ("null", json!(null)),
        ];
        let shots = shots.with("absent", |proof| proof.without("nonce"));
        let shots = shots
            .each(wrong, |shots, (variant, nonce)| shots.with(variant, |proof| proof.claim("nonce", nonce)));
        shots
            .with("the one handed out", |proof| proof)
            .last(|request| request.expecting(Expected::ACCEPTED).with_level(RequirementLevel::Must))
    })
}

/// The nonce of now, in proofs that are made after its end.
fn stale(context: &AttackContext) -> Vec<AttackRequest> {
    shots(context, |shots| {
        let Some(lifetime) = shots.dpop.nonce_lifetime.filter(|_| shots.dpop.nonce.is_some()) else {
            return shots;
        };
        // An API may take the nonces of the period before as well, so that none ends as it is handed out.
        let wait = lifetime * 2 + std::time::Duration::from_secs(2);
        let later = context.now() + i64::try_from(wait.as_secs()).unwrap_or(0);
        shots.with("", |proof| proof.issued_at(later)).last(|request| request.after(wait))
    })
}

/// Only where the API asked for none.
fn unasked(context: &AttackContext) -> Vec<AttackRequest> {
    shots(context, |shots| {
        if shots.dpop.nonce.is_some() {
            return shots;
        }
        shots.with("an invented one", |proof| proof.nonce(&random_text::<24>()))
    })
}

/// Another letter in this place.
fn changed(text: &str, place: usize) -> String {
    let other = |c: char| if c == 'A' { 'B' } else { 'A' };
    text.chars().enumerate().map(|(at, c)| if at == place { other(c) } else { c }).collect()
}

/// Small letters for capital ones, and the other way round.
fn swapped(text: &str) -> String {
    let swap = |c: char| if c.is_ascii_lowercase() { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() };
    text.chars().map(swap).collect()
}
