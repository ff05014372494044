//! The `DPoP` header: one, and one well-formed JWT (RFC 9449 section 4.3, points 1 and 2).

use super::proofs::{DPOP, part, parts, shots};
use super::scheme::{BAD_PROOF, MALFORMED};
use crate::attack::{Area, Attack, AttackContext, AttackRequest, Expected, RequirementLevel};

const AREA: Area = Area::Dpop;

pub(super) const ATTACKS: &[Attack] = &[
    Attack::refused(
        AREA,
        "dpop-proof-missing",
        "G201",
        "RFC 9449 section 7.1",
        "a bound token needs a proof beside it",
        "Without it, a thief can use the token, which binding was to prevent.",
        missing,
    )
    .expecting(BAD_PROOF.or(&[400])),
    Attack::refused(
        AREA,
        "dpop-proof-twice",
        "G202",
        "RFC 9449 section 4.3 point 1",
        "a request has one DPoP header",
        "Of two proofs a proxy or a log may judge one and the API the other.",
        twice,
    )
    .expecting(MALFORMED.or(&[401])),
    Attack::refused(
        AREA,
        "dpop-proof-malformed",
        "G203",
        "RFC 9449 section 4.3 point 2",
        "a proof is one well-formed JWT in compact form",
        "A reader that accepts more than the standard defines may read what was never signed.",
        malformed,
    )
    .expecting(BAD_PROOF.or(&[400])),
    Attack::refused(
        AREA,
        "dpop-proof-oversized",
        "G204",
        "RFC 8725 section 3.11",
        "a proof that no client needs is refused before it costs much, and does no harm",
        "Anybody can send it: what it costs to read is the attacker's to choose.",
        oversized,
    )
    .expecting(BAD_PROOF.or(&[400, 413, 431]))
    .by_choice(),
];

fn missing(context: &AttackContext) -> Vec<AttackRequest> {
    shots(context, |shots| {
        let request = shots.request("no header");
        shots
            .push(request)
            .text("an empty header", "")
            .text("the access token for a proof", context.good().build())
    })
}

fn twice(context: &AttackContext) -> Vec<AttackRequest> {
    shots(context, |shots| {
        let proof = || shots.proof().build();
        let bad = || shots.proof().claim("htm", "DELETE").build();
        let (good, again) = (proof(), proof());
        let pairs = [
            ("two good ones", good, again),
            ("the same twice", proof(), String::new()),
            ("a bad one behind", proof(), bad()),
            ("a good one behind", bad(), proof()),
        ];
        let joined = format!("{}, {}", proof(), proof());
        let shots = shots.each(pairs, |shots, (variant, first, second)| {
            let second = if second.is_empty() { first.clone() } else { second };
            let request = shots.request(variant).with_header(DPOP, first).with_header(DPOP, second);
            shots.push(request)
        });
        // A list in one header is no JWT: what a proxy may make of two headers.
        shots.text("joined by a comma", joined).last(|request| request.expecting(BAD_PROOF.or(&[400])))
    })
}

fn malformed(context: &AttackContext) -> Vec<AttackRequest> {
    shots(context, |shots| {
        let good = shots.proof().build();
        let [header, claims, signature] = parts(&good);
        let fresh = || shots.proof().build();
        let json =
            format!("{{\"protected\":\"{header}\",\"payload\":\"{claims}\",\"signature\":\"{signature}\"}}");
        let texts = [
            ("two parts", format!("{header}.{claims}")),
            ("four parts", format!("{}.{header}", fresh())),
            ("five parts", format!("{}.{header}.{claims}", fresh())),
            ("two dots", "..".to_owned()),
            ("no JWT", "proof".to_owned()),
            ("JSON serialization", json),
            ("padding", format!("{}=", fresh())),
            ("in quotes", format!("\"{}\"", fresh())),
            ("with a scheme", format!("DPoP {}", fresh())),
            ("a header that is no JSON", format!("{}.{claims}.{signature}", part("{\"typ\""))),
            ("a header that is a list", shots.with_header_text("[]")),
            ("a header with something behind", {
                let header = serde_json::Value::Object(shots.proof().header_members().clone());
                shots.with_header_text(format!("{header}x"))
            }),
            ("claims that are no JSON", shots.proof().raw_payload("{\"jti\"").build()),
            ("claims that are a list", shots.proof().raw_payload("[]").build()),
            ("claims that are a string", shots.proof().raw_payload("\"proof\"").build()),
            ("claims that are empty", shots.proof().raw_payload("").build()),
            ("claims with something behind", {
                let claims = serde_json::Value::Object(shots.proof().claims().clone());
                shots.proof().raw_payload(format!("{claims}x")).build()
            }),
        ];
        // Signed whole by the key's holder, and spelled as no standard has it.
        let spelled = [
            "four parts",
            "five parts",
            "padding",
            "in quotes",
            "with a scheme",
            "a header with something behind",
        ];
        let spelled = |variant| spelled.contains(&variant) || variant == "claims with something behind";
        shots.each(texts, |shots, (variant, text)| {
            let level = if spelled(variant) { RequirementLevel::Strict } else { RequirementLevel::Must };
            shots.text(variant, text).last(|request| request.with_level(level))
        })
    })
}

fn oversized(context: &AttackContext) -> Vec<AttackRequest> {
    // Where the server's own limit on headers does not come first, no client sends a proof of this length.
    let tolerant: Expected = BAD_PROOF.or(&[200, 400, 413, 431]);
    shots(context, |shots| {
        let nested = format!("{}{}", "[".repeat(3_000), "]".repeat(3_000));
        let nested = nested.replace("[]", "[1]");
        let deep = |shots: &super::proofs::Shots<'_>| {
            let claims = super::proofs::beside(shots.proof().claims(), &format!("\"x\":{nested}"), false);
            shots.proof().raw_payload(claims).build()
        };
        let nested_claims = deep(&shots);
        shots
            .with("12 KiB of claims", |proof| proof.claim("x", "x".repeat(12 * 1024)))
            .with("a jti of 6 KiB", |proof| proof.claim("jti", "j".repeat(6 * 1024)))
            .text("nested 3,000 deep", nested_claims)
            .last(|request| request.expecting(tolerant).with_level(RequirementLevel::Choice))
    })
}
