//! A proof that comes again (RFC 9449 section 11.1).

use super::proofs::{DPOP, bound, parts, shots};
use super::scheme::BAD_PROOF;
use crate::attack::{Area, Attack, AttackContext, AttackRequest, Expected, RequirementLevel};
use crate::encode::{b64url, random_text};

const AREA: Area = Area::Dpop;

pub(super) const ATTACKS: &[Attack] = &[
    Attack::refused(
        AREA,
        "dpop-replay",
        "G231",
        "RFC 9449 section 11.1",
        "a proof is good once",
        "Who sees a request whole could send it again, for as long as its proof counts as fresh.",
        replay,
    )
    .expecting(BAD_PROOF)
    .by_choice(),
    Attack::refused(
        AREA,
        "dpop-replay-for-another-token",
        "G232",
        "RFC 9449 section 4.3 point 12",
        "a proof is good for one token",
        "Who sees a proof has what the next token of the same key needs.",
        for_another_token,
    )
    .expecting(BAD_PROOF),
    Attack::accepted(
        AREA,
        "dpop-jti-of-another-key",
        "G233",
        "RFC 9449 section 11.1",
        "the jti of one key does not use up that of another",
        "Any client could use up what another's proofs are about to be named.",
        of_another_key,
    )
    .by_choice(),
    Attack::accepted(
        AREA,
        "dpop-jti-of-a-refused-proof",
        "G234",
        "RFC 9449 section 11.1",
        "a refused proof uses nothing up",
        "Who has a stolen token and guesses or sees a jti could keep its owner out.",
        of_a_refused_proof,
    ),
];

/// The requests of these rows lead up to one another.
pub(crate) const IN_ORDER: [&str; 4] = [
    "dpop-replay",
    "dpop-replay-for-another-token",
    "dpop-jti-of-another-key",
    "dpop-jti-of-a-refused-proof",
];

fn accepted(request: AttackRequest) -> AttackRequest {
    request.expecting(Expected::ACCEPTED).with_level(RequirementLevel::Must)
}

fn replay(context: &AttackContext) -> Vec<AttackRequest> {
    shots(context, |shots| {
        let (proof, jti) = (shots.proof().build(), random_text::<16>());
        shots
            .text("the first time", proof.clone())
            .last(accepted)
            .text("the same again", proof.clone())
            .text("the same once more", proof)
            .with("a jti of its own", |proof| proof.claim("jti", jti.clone()))
            .last(accepted)
            .with("its jti in another proof", |proof| proof.claim("jti", jti.clone()).claim("x", 1))
    })
}

fn for_another_token(context: &AttackContext) -> Vec<AttackRequest> {
    shots(context, |shots| {
        let another = context.good().bound_to(&shots.dpop.key).build();
        let (used, unused) = (shots.proof().build(), shots.proof().build());
        let other = |variant, proof: &str| bound(variant, &another).with_header(DPOP, proof);
        let requests = [other("a used one", &used), other("one that was never used", &unused)];
        let shots = shots.text("a good proof", used).last(accepted);
        shots.each(requests, |shots, request| shots.push(request))
    })
}

fn of_another_key(context: &AttackContext) -> Vec<AttackRequest> {
    shots(context, |shots| {
        let jti = random_text::<16>();
        let other = &shots.dpop.other;
        let token = context.good().bound_to(other).build();
        let proof = shots.proof_of(other, &token).claim("jti", jti.clone()).build();
        let request = bound("the same jti of another key", &token).with_header(DPOP, proof);
        let shots = shots.with("one key", |proof| proof.claim("jti", jti)).last(accepted);
        shots.push(request)
    })
}

fn of_a_refused_proof(context: &AttackContext) -> Vec<AttackRequest> {
    shots(context, |shots| {
        let refused =
            |request: AttackRequest| request.expecting(BAD_PROOF).with_level(RequirementLevel::Must);
        let (first, second) = (random_text::<16>(), random_text::<16>());
        let good = shots.proof().claim("jti", first.clone()).build();
        let [header, claims, _] = parts(&good);
        let forged = format!("{header}.{claims}.{}", b64url([1; 64]));
        shots
            .text("forged", forged)
            .last(refused)
            .text("the good one with that jti", good)
            .with("for another method", |proof| proof.claim("jti", second.clone()).claim("htm", "TRACE"))
            .last(refused)
            .with("the good one with this jti", |proof| proof.claim("jti", second))
    })
}
